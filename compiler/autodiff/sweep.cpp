#include "compiler/autodiff/sweep.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/ops/expr.h"
#include "compiler/support/error.h"

namespace gradc {

Barrier barrier(const Graph& g, NodeId node, size_t operand) {
  const Node& n = g[node];
  if (n.op->kind == OpKind::StopGradient) return Barrier::StopGradient;
  if (operand < 32 && (n.op->index_operands >> operand & 1)) return Barrier::IndexOperand;
  if (n.op->not_differentiable) return Barrier::NotDifferentiable;
  if (!is_float(n.type.element) || !is_float(g[n.operands[operand]].type.element)) return Barrier::NotFloat;
  return Barrier::None;
}

namespace {

// Floating-point operations without a derivative stay on the path, so that a cotangent arrives there and is refused; those
// that yield integers or conditions end it.
bool carries_cotangent(const Graph& g, NodeId node, size_t operand) {
  Barrier at = barrier(g, node, operand);
  return at == Barrier::None || (at == Barrier::NotDifferentiable && is_float(g[node].type.element) &&
                                 is_float(g[g[node].operands[operand]].type.element));
}

}  // namespace

ReverseSweep::ReverseSweep(GraphBuilder& b, NodeId y, const std::vector<NodeId>& xs)
    : b_(b), y_(y), first_adjoint_(b.graph().size()), active_(y.at() + 1), through_(y.at() + 1), contributions_(y.at() + 1),
      final_(y.at() + 1) {
  mark_active(xs);
  if (!active_[y.at()]) return;
  enter(y, "seed");
  contributions_[y.at()] = {constant(b_, 1, b_.type(y)).id};
  for (size_t i = y.at() + 1; i-- > begin_;) visit(NodeId(i));
}

void ReverseSweep::mark_active(const std::vector<NodeId>& xs) {
  const Graph& g = b_.graph();
  begin_ = std::min_element(xs.begin(), xs.end())->at();
  for (NodeId x : xs) active_[x.at()] = true;
  for (size_t i = begin_; i < active_.size(); ++i) {
    const std::vector<NodeId>& operands = g[NodeId(i)].operands;
    for (size_t k = 0; k < operands.size() && !through_[i]; ++k) {
      through_[i] = active_[operands[k].at()] && carries_cotangent(g, NodeId(i), k);
    }
    if (through_[i]) active_[i] = true;
  }
}

void ReverseSweep::visit(NodeId node) {
  if (contributions_[node.at()].empty()) return;
  NodeId cotangent = accumulate(node);
  final_[node.at()] = cotangent;
  name_cotangent(cotangent, node);
  if (!through_[node.at()]) return;
  if (b_[node].op->not_differentiable) refused_.push_back(node);
  else propagate(node, cotangent);
}

NodeId ReverseSweep::accumulate(NodeId node) {
  std::vector<NodeId> terms = std::move(contributions_[node.at()]);
  if (terms.size() > 1) enter(node, "sum of adjoints");
  Expr sum(b_, terms[0]);
  for (size_t i = 1; i < terms.size(); ++i) sum = sum + Expr(b_, terms[i]);
  return sum.id;
}

void ReverseSweep::propagate(NodeId node, NodeId cotangent) {
  const Op& op = *b_[node].op;
  const std::vector<NodeId> operands = b_[node].operands;
  std::vector<bool> wanted(operands.size());
  for (size_t k = 0; k < operands.size(); ++k) {
    wanted[k] = active_[operands[k].at()] && carries_cotangent(b_.graph(), node, k);
  }
  GRADC_ASSERT(op.vjp, "{} has neither a derivative nor a reason for having none", op.name);
  enter(node, fmt::format("vjp of {}", op.name));
  std::vector<NodeId> results = op.vjp(b_, node, cotangent, wanted);
  GRADC_ASSERT(results.size() == operands.size(), "vjp of {} gave {} cotangents for {} operands", op.name, results.size(),
               operands.size());
  for (size_t k = 0; k < operands.size(); ++k) {
    if (!wanted[k] || !results[k]) continue;
    GRADC_ASSERT(b_.type(results[k]) == b_.type(operands[k]), "vjp of {}, operand {}: {} for {}", op.name, k,
                 to_string(b_.type(results[k])), to_string(b_.type(operands[k])));
    contributions_[operands[k].at()].push_back(results[k]);
  }
}

// Nodes made from here on belong to this primal node.
void ReverseSweep::enter(NodeId primal, const std::string& rule) {
  const Graph& g = b_.graph();
  const Node& n = g[primal];
  std::string label = n.name ? n.name.str() : fmt::format("%{} {}", primal.index, n.op->name);
  b_.provenance = b_.graph().provenance.derived(n.provenance, {label, rule});
}

// Where several values share one cotangent, the name closest to the user's own lines wins: "logits" before "loss.shifted".
void ReverseSweep::name_cotangent(NodeId cotangent, NodeId primal) {
  Node& n = b_.graph().edit(cotangent);
  Symbol of = b_[primal].name;
  if (!of || cotangent.at() < first_adjoint_) return;
  auto depth = [](Symbol name) { return std::count(name.str().begin(), name.str().end(), '.'); };
  auto known = named_after_.find(cotangent);
  if (known == named_after_.end() ? bool(n.name) : depth(of) >= depth(known->second)) return;
  named_after_[cotangent] = of;
  n.name = fmt::format("d({})/d({})", describe(b_.graph(), y_), of);
}

std::vector<NodeId> path_between(const Graph& g, NodeId y, NodeId x, bool open) {
  if (x > y) return {};
  std::vector<NodeId> consumer(y.at() + 1);  // through which a node was first reached
  consumer[y.at()] = y;
  for (size_t i = y.at() + 1; i-- > x.at() + 1;) {
    if (!consumer[i]) continue;
    const std::vector<NodeId>& operands = g[NodeId(i)].operands;
    for (size_t k = 0; k < operands.size(); ++k) {
      NodeId& reached = consumer[operands[k].at()];
      if (!reached && (!open || carries_cotangent(g, NodeId(i), k))) reached = NodeId(i);
    }
  }
  if (!consumer[x.at()]) return {};
  std::vector<NodeId> path{x};
  while (path.back() != y) path.push_back(consumer[path.back().at()]);
  return {path.rbegin(), path.rend()};
}

std::string describe(const Graph& g, NodeId id) {
  const Node& n = g[id];
  if (n.name || n.operands.empty()) return g.label(id);
  std::string operands;
  for (NodeId operand : n.operands) {
    if (!g[operand].name) return g.label(id);
    operands += (operands.empty() ? "" : ", ") + g[operand].name.str();
  }
  return fmt::format("{}({})", n.op->name, operands);
}

}  // namespace gradc
