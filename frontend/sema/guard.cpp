// where(c, a, b) has a NaN-free derivative by construction. A branch that is not taken gets the cotangent 0, but 0 times an infinite
// local derivative (log at 0, sqrt at 0) is NaN. So the point-wise cone of each branch is rebuilt over leaves
// select(c, leaf, stop_gradient(leaf)): the same values, and a cotangent that is cut to an exact 0 where the branch is not taken.
#include <map>

#include "compiler/ops/ops.h"
#include "frontend/sema/elaborator.h"

namespace gradc::sema {
namespace {

class Cone {
 public:
  Cone(GraphBuilder& b, Expr condition, bool sense, std::map<int32_t, std::vector<GuardedCopy>>& copies)
      : builder_(b), condition_(condition), sense_(sense), copies_(copies) {}

  NodeId rebuild(NodeId id) {
    if (auto it = done_.find(id.index); it != done_.end()) return it->second;
    const Node node = builder_[id];
    NodeId result = is_inner(node) ? copy(id, node) : leaf(id, node);
    done_[id.index] = result;
    return result;
  }
  bool is_inner(const Node& n) const { return n.op->kind == OpKind::Pointwise && is_float(n.type.element) && n.type.same_shape(condition_.type()); }

 private:
  NodeId copy(NodeId id, const Node& node) {
    std::vector<NodeId> operands;
    for (NodeId o : node.operands) operands.push_back(rebuild(o));
    if (operands == node.operands) return id;
    NodeId result = builder_.add(*node.op, operands, node.attrs);
    Node& made = builder_.graph().edit(result);
    made.name = node.name;
    made.provenance = builder_.graph().provenance.unite(node.provenance, made.provenance);
    made.type = node.type;
    copies_[id.index].push_back({result, condition_.id, sense_});
    return result;
  }
  NodeId leaf(NodeId id, const Node& node) {
    bool differentiable = is_float(node.type.element) && node.op->kind != OpKind::Constant && node.op->kind != OpKind::StopGradient;
    if (!differentiable || !node.type.same_shape(condition_.type())) return id;
    Expr x(builder_, id), cut = stop_gradient(x);
    return (sense_ ? select(condition_, x, cut) : select(condition_, cut, x)).id;
  }

  GraphBuilder& builder_;
  Expr condition_;
  bool sense_;
  std::map<int32_t, std::vector<GuardedCopy>>& copies_;
  std::map<int32_t, NodeId> done_;
};

}  // namespace

Value Elaborator::guard(const Value& branch, const Value& condition, bool sense) {
  auto *t = branch.as<TensorRef>(), *c = condition.as<TensorRef>();
  if (!t || !c || t->initial || c->initial || in_initial_) return branch;
  Expr cond(builder(), c->node);
  const Type& ty = type(*t);
  if (!is_float(ty.element)) return branch;
  if (cond.rank() < ty.rank() || cond.sizes() != ty.sizes()) {
    // A smaller condition is repeated over the branch; one that does not fit is reported by the caller.
    if (cond.rank() > ty.rank()) return branch;
    for (size_t i = 0; i < cond.rank(); ++i) {
      int64_t size = cond.size(i);
      if (size != 1 && size != ty.size(ty.rank() - cond.rank() + i)) return branch;
    }
    cond = broadcast_to(cond, ty.dims);
  }
  Cone cone(builder(), cond, sense, copies_);
  if (!cone.is_inner(builder()[t->node])) return branch;
  return TensorRef{cone.rebuild(t->node), t->weak, false};
}

}  // namespace gradc::sema
