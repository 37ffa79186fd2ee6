#include "compiler/autodiff/sweep.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/autodiff/scan.h"
#include "compiler/ops/expr.h"
#include "compiler/support/error.h"

namespace gradc {
namespace {

size_t behind_all(const std::vector<ReverseSweep::Seed>& seeds) {
  size_t end = 0;
  for (const ReverseSweep::Seed& s : seeds) end = std::max(end, s.node.at() + 1);
  return end;
}

}  // namespace

ReverseSweep::ReverseSweep(GraphBuilder& b, const std::vector<Seed>& seeds, const std::vector<NodeId>& xs, Symbol of)
    : b_(b), of_(of), first_adjoint_(b.graph().size()), active_(behind_all(seeds)), through_(active_.size()),
      contributions_(active_.size()), final_(active_.size()) {
  mark_active(xs);
  for (const Seed& s : seeds) {
    if (active_[s.node.at()]) contributions_[s.node.at()].push_back(s.cotangent);
  }
  sweep();
}

ReverseSweep::ReverseSweep(GraphBuilder& b, NodeId y, const std::vector<NodeId>& xs)
    : b_(b), of_(describe(b.graph(), y)), first_adjoint_(b.graph().size()), active_(y.at() + 1), through_(y.at() + 1),
      contributions_(y.at() + 1), final_(y.at() + 1) {
  mark_active(xs);
  if (!active_[y.at()]) return;
  enter(y, "seed");
  contributions_[y.at()] = {constant(b_, 1, b_.type(y)).id};
  sweep();
}

void ReverseSweep::mark_active(const std::vector<NodeId>& xs) {
  const Graph& g = b_.graph();
  begin_ = std::min_element(xs.begin(), xs.end())->at();
  for (NodeId x : xs) {
    if (x.at() < active_.size()) active_[x.at()] = true;
  }
  for (size_t i = begin_; i < active_.size(); ++i) {
    through_[i] = open_.depends(g, NodeId(i), active_);
    if (through_[i]) active_[i] = true;
  }
}

void ReverseSweep::sweep() {
  for (size_t i = active_.size(); i-- > begin_;) visit(NodeId(i));
}

void ReverseSweep::visit(NodeId node) {
  if (b_[node].op->kind == OpKind::Scan) return visit_scan(node);
  if (contributions_[node.at()].empty()) return;
  NodeId cotangent = accumulate(node);
  final_[node.at()] = cotangent;
  name_cotangent(cotangent, node);
  if (!through_[node.at()]) return;
  const Node& n = b_[node];
  if (n.op->not_differentiable) {
    refused_.push_back({node});
  } else if (n.op->kind == OpKind::Result) {
    std::vector<NodeId>& all = of_results_[n.operands[0]];
    all.resize(b_[n.operands[0]].body->outputs.size());
    NodeId& of = all[static_cast<size_t>(n.attrs.integer("index"))];
    if (of) enter(node, "sum of adjoints");  // the same result, picked twice
    of = of ? (Expr(b_, of) + Expr(b_, cotangent)).id : cotangent;
  } else {
    propagate(node, cotangent);
  }
}

void ReverseSweep::visit_scan(NodeId scan) {
  auto known = of_results_.find(scan);
  if (known == of_results_.end()) return;
  enter(scan, "vjp of scan");
  std::vector<bool> wanted = wanted_operands(scan);
  ScanCotangents made = differentiate_scan(b_, scan, known->second, wanted, of_);
  refused_.insert(refused_.end(), made.refused.begin(), made.refused.end());
  contribute(scan, wanted, made.operands);
}

NodeId ReverseSweep::accumulate(NodeId node) {
  std::vector<NodeId> terms = std::move(contributions_[node.at()]);
  if (terms.size() > 1) enter(node, "sum of adjoints");
  Expr sum(b_, terms[0]);
  for (size_t i = 1; i < terms.size(); ++i) sum = sum + Expr(b_, terms[i]);
  return sum.id;
}

std::vector<bool> ReverseSweep::wanted_operands(NodeId node) const {
  const std::vector<NodeId>& operands = b_[node].operands;
  std::vector<bool> wanted(operands.size());
  for (size_t k = 0; k < operands.size(); ++k) wanted[k] = active_[operands[k].at()] && carries_cotangent(b_.graph(), node, k);
  return wanted;
}

void ReverseSweep::propagate(NodeId node, NodeId cotangent) {
  const Op& op = *b_[node].op;
  std::vector<bool> wanted = wanted_operands(node);
  GRADC_ASSERT(op.vjp, "{} has neither a derivative nor a reason for having none", op.name);
  enter(node, fmt::format("vjp of {}", op.name));
  std::vector<NodeId> results = op.vjp(b_, node, cotangent, wanted);
  GRADC_ASSERT(results.size() == wanted.size(), "vjp of {} gave {} cotangents for {} operands", op.name, results.size(), wanted.size());
  contribute(node, wanted, results);
}

void ReverseSweep::contribute(NodeId node, const std::vector<bool>& wanted, const std::vector<NodeId>& results) {
  const std::vector<NodeId> operands = b_[node].operands;
  for (size_t k = 0; k < operands.size(); ++k) {
    if (!wanted[k] || !results[k]) continue;
    GRADC_ASSERT(b_.type(results[k]) == b_.type(operands[k]), "vjp of {}, operand {}: {} for {}", b_[node].op->name, k,
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
  n.name = fmt::format("d({})/d({})", of_, of);
}

}  // namespace gradc
