#include "compiler/autodiff/over_time.h"

#include <algorithm>
#include <utility>

#include "compiler/ops/ops.h"
#include "compiler/support/error.h"

namespace gradc {

OverTime::OverTime(const SweptBody& body, int64_t length, bool stacking) : body_(body), length_(length), stacking_(stacking) { classify_all(); }

// What is stacked for one sum serves others as well, so they are looked at twice.
void OverTime::plan(const std::vector<NodeId>& sums) {
  for (int round = 0; round < 2; ++round) {
    seen_.clear();
    totals_.clear();
    for (NodeId id : sums) collect(id);
    classify_all();
  }
}

void OverTime::classify_all() {
  how_.assign(body_.graph.size(), How::Total);
  for (size_t i = 0; i < how_.size(); ++i) how_[i] = classify(NodeId(i));
}

// Whether the operation is linear in those of its operands that vary, jointly.
bool OverTime::linear(const Node& n) const {
  auto varies = [&](size_t k) { return bool(body_.varies[n.operands[k].at()]); };
  switch (n.op->kind) {
    case OpKind::View:
    case OpKind::Reshape: return true;
    case OpKind::Pad: return n.attrs.number("value") == 0;
    case OpKind::Contraction: return !varies(0) || !varies(1);
    case OpKind::ScatterAdd: return !varies(0);
    default: break;
  }
  if (n.op == &op<ops::Mul>()) return !varies(0) || !varies(1);
  if (n.op == &op<ops::Div>()) return !varies(1);
  return n.op == &op<ops::Add>() || n.op == &op<ops::Sub>() || n.op == &op<ops::Neg>() || n.op == &op<ops::ReduceSum>();
}

// Of a linear operation: operands that are replaced by their sum; the others stay as they are.
bool OverTime::summed(const Node& n, size_t operand) const {
  if (n.op == &op<ops::Add>() || n.op == &op<ops::Sub>()) return true;
  return body_.varies[n.operands[operand].at()];
}

OverTime::How OverTime::classify(NodeId id) const {
  const Node& n = body_.graph[id];
  if (!body_.varies[id.at()]) return How::Repeated;
  if (stacked_.count(id)) return How::Stacked;
  if (n.op == &op<ops::ReduceSum>() && stacked_.count(n.operands[0])) return How::StackedAxes;
  if (n.op->kind == OpKind::Contraction && !linear(n) && stacking_) return How::Product;
  if (n.op->kind == OpKind::ScatterAdd && !linear(n) && stacking_) return How::Scatter;
  if (!linear(n)) return How::Total;
  // One product or one scatter after the loop instead of one a step.
  bool gains = n.op->kind == OpKind::Contraction || n.op->kind == OpKind::ScatterAdd;
  for (size_t k = 0; k < n.operands.size(); ++k) {
    How how = how_[n.operands[k].at()];
    gains = gains || (summed(n, k) && how != How::Total && how != How::Repeated);
  }
  return gains ? How::Linear : How::Total;
}

void OverTime::collect(NodeId id) {
  if (!seen_.insert(id).second) return;
  const Node& n = body_.graph[id];
  switch (how_[id.at()]) {
    case How::Linear:
      for (size_t k = 0; k < n.operands.size(); ++k) {
        if (summed(n, k)) collect(n.operands[k]);
      }
      return;
    case How::Product:
    case How::Scatter: stacked_.insert(n.operands.begin(), n.operands.end()); return;
    case How::Total: totals_.insert(id); return;
    case How::Repeated:
    case How::Stacked:
    case How::StackedAxes: return;
  }
}

Expr OverTime::sum(NodeId node, const Outside& outside) {
  auto known = built_.find(node);
  if (known != built_.end()) return known->second;
  // What is made here stands for a value of the body, and comes from where that does.
  ProvenanceId around = std::exchange(outside.builder.provenance, body_.graph[node].provenance);
  if (!outside.builder.provenance) outside.builder.provenance = around;
  Expr made = build(node, outside);
  outside.builder.provenance = around;
  built_.emplace(node, made);
  return made;
}

Expr OverTime::build(NodeId id, const Outside& outside) {
  const Node& n = body_.graph[id];
  switch (how_[id.at()]) {
    case How::Repeated: return outside.invariant(id) * static_cast<double>(length_);
    case How::Linear: {
      std::vector<Expr> operands;
      for (size_t k = 0; k < n.operands.size(); ++k) operands.push_back(summed(n, k) ? sum(n.operands[k], outside) : outside.invariant(n.operands[k]));
      return apply(*n.op, operands, n.attrs);
    }
    case How::Product: {
      auto with_time = [&](const char* key) {
        std::vector<int64_t> labels = n.attrs.integers(key);
        int64_t time = 0;
        for (const char* side : {"lhs", "rhs"}) {
          for (int64_t l : n.attrs.integers(side)) time = std::max(time, l + 1);
        }
        labels.insert(labels.begin(), time);
        return labels;
      };
      return contract(outside.all_steps(n.operands[0]), outside.all_steps(n.operands[1]), with_time("lhs"), with_time("rhs"), n.attrs.integers("out"));
    }
    case How::Scatter: {
      // The axes of the index become one in the result: time is one more of them, and the first.
      int64_t axis = n.attrs.integer("axis");
      Expr indices = outside.all_steps(n.operands[0]), updates = outside.all_steps(n.operands[1]);
      std::vector<int64_t> perm = all_axes(updates);
      perm.erase(perm.begin());
      perm.insert(perm.begin() + axis, 0);
      return scatter_add(indices, transpose(updates, perm), axis, n.attrs.integer("size"));
    }
    case How::Stacked: return reduce_sum(outside.all_steps(id), {0});
    case How::StackedAxes: {
      std::vector<int64_t> axes{0};
      for (int64_t axis : n.attrs.integers("axes")) axes.push_back(axis + 1);
      return reduce_sum(outside.all_steps(n.operands[0]), axes);
    }
    case How::Total: return outside.total(id);
  }
  GRADC_BUG("unknown sum");
}

}  // namespace gradc
