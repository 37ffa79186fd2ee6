#include "compiler/autodiff/swept_body.h"

#include <algorithm>
#include <utility>

#include "compiler/ops/scan_builder.h"

namespace gradc {
namespace {

class Sweeper {
 public:
  Sweeper(GraphBuilder& b, NodeId scan, const std::vector<NodeId>& results, const std::vector<bool>& wanted, Symbol of)
      : outer_(b.graph()), scan_(b[scan]), layout_(scan_), results_(results), wanted_(wanted), of_(of) {}

  SweptBody run() {
    out_.graph = *scan_.body;
    out_.primal = out_.graph.size();
    choose_carries();
    std::vector<ReverseSweep::Seed> seeds = add_cotangents();
    std::vector<NodeId> xs = inputs();
    if (!seeds.empty() && !xs.empty()) sweep(seeds, xs);
    mark_varying();
    return std::move(out_);
  }

 private:
  // A carry needs its cotangent where it depends on something wanted, and something with a cotangent depends on it.
  void choose_carries() {
    const Dependence::Table& reaches = open_.in_some_step(scan_);
    for (size_t c = 0; c < layout_.carries; ++c) {
      if (!is_float(outer_[scan_.operands[c]].type.element)) continue;
      bool active = wanted_[c], asked = bool(results_[c]);
      for (size_t i = 0; i < layout_.operands(); ++i) active = active || (wanted_[i] && reaches[i][c]);
      for (size_t k = 0; k < layout_.results(); ++k) asked = asked || (results_[k] && reaches[c][k]);
      if (active && asked) out_.carries.push_back(c);
    }
  }

  bool carried(size_t c) const { return std::binary_search(out_.carries.begin(), out_.carries.end(), c); }

  std::vector<ReverseSweep::Seed> add_cotangents() {
    GraphBuilder b(out_.graph);
    std::vector<ReverseSweep::Seed> seeds;
    out_.of_output.resize(layout_.results());
    for (size_t k = 0; k < layout_.results(); ++k) {
      NodeId output = scan_.body->outputs[k].node;
      bool carry = k < layout_.carries;
      if (carry ? !carried(k) : !results_[k] || !is_float(out_.graph[output].type.element)) continue;
      out_.of_output[k] = body_input(b, carry ? role::carry : role::element, out_.graph.size(), out_.graph[output].type).id;
      seeds.push_back({output, out_.of_output[k]});
    }
    return seeds;
  }

  std::vector<NodeId> inputs() const {
    std::vector<NodeId> xs;
    for (size_t i = 0; i < layout_.operands(); ++i) {
      if (i < layout_.carries ? carried(i) : wanted_[i]) xs.push_back(NodeId(i));
    }
    return xs;
  }

  void sweep(const std::vector<ReverseSweep::Seed>& seeds, const std::vector<NodeId>& xs) {
    out_.graph.provenance = std::move(outer_.provenance);
    GraphBuilder b(out_.graph);
    ReverseSweep made(b, seeds, xs, of_);
    outer_.provenance = std::exchange(out_.graph.provenance, {});
    out_.of_input.resize(layout_.operands());
    for (NodeId x : xs) out_.of_input[x.at()] = made.cotangent(x);
    for (const Refusal& r : made.refused()) refuse(r, seeds);
  }

  void refuse(const Refusal& r, const std::vector<ReverseSweep::Seed>& seeds) {
    Refusal from_outside{.node = {}, .behind = behind(r), .inside = {{r.node}}};
    for (const ReverseSweep::Seed& s : seeds) {
      std::vector<NodeId> path = open_.path(out_.graph, s.node, r.node);
      if (path.empty()) continue;
      from_outside.inside = {path};
      break;
    }
    from_outside.inside.insert(from_outside.inside.end(), r.inside.begin(), r.inside.end());
    out_.refused.push_back(std::move(from_outside));
  }

  std::vector<bool> behind(const Refusal& r) {
    if (r.inside.empty()) return open_.operands_behind(scan_, r.node);
    std::vector<bool> all(layout_.operands());
    const std::vector<NodeId>& operands = out_.graph[r.node].operands;  // of a scan in the body
    for (size_t j = 0; j < operands.size(); ++j) {
      if (!r.behind[j]) continue;
      std::vector<bool> some = open_.operands_behind(scan_, operands[j]);
      for (size_t i = 0; i < all.size(); ++i) all[i] = all[i] || some[i];
    }
    return all;
  }

  void mark_varying() {
    out_.varies.resize(out_.graph.size());
    for (size_t i = 0; i < out_.graph.size(); ++i) {
      const Node& n = out_.graph[NodeId(i)];
      if (n.op->kind == OpKind::Input) out_.varies[i] = n.attrs.text("role") != Symbol(role::constant);
      for (NodeId operand : n.operands) out_.varies[i] = out_.varies[i] || out_.varies[operand.at()];
    }
  }

  Graph& outer_;
  const Node scan_;  // a copy: the graph may grow
  ScanLayout layout_;
  const std::vector<NodeId>& results_;
  const std::vector<bool>& wanted_;
  Symbol of_;
  Dependence open_{Dependence::Open};
  SweptBody out_;
};

}  // namespace

SweptBody sweep_body(GraphBuilder& b, NodeId scan, const std::vector<NodeId>& results, const std::vector<bool>& wanted, Symbol of) {
  SweptBody swept = Sweeper(b, scan, results, wanted, of).run();
  for (Refusal& r : swept.refused) r.node = scan;
  return swept;
}

}  // namespace gradc
