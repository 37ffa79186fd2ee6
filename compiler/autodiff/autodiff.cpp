#include "compiler/autodiff/autodiff.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "compiler/autodiff/sweep.h"
#include "compiler/support/error.h"

namespace gradc {
namespace {

bool has_grads(const Graph& g) {
  for (size_t i = 0; i < g.size(); ++i) {
    const Node& n = g[NodeId(i)];
    if (n.op->kind == OpKind::Grad || (n.body && has_grads(*n.body))) return true;
  }
  return false;
}

// Rebuilds the graph node by node. A Grad comes after everything its operands need, inner Grads included, so walking
// forwards expands innermost first. All Grads of one y are answered by one sweep, at the first of them.
class Expansion {
 public:
  explicit Expansion(const Graph& source) : source_(source), builder_(result_.graph) {}

  AutodiffResult run();

 private:
  Graph& graph() { return result_.graph; }
  void copy(NodeId id);
  void expand_body(NodeId id, Node& scan);
  void expand(NodeId grad);
  bool well_typed(NodeId grad);
  void differentiate(NodeId y);
  void settle(NodeId grad, const ReverseSweep& sweep);
  bool stands_between(const Refusal& refusal, NodeId x);
  void answer(NodeId grad, NodeId derivative);
  void refuse(NodeId grad, const Refusal& refusal, const std::vector<NodeId>& path);
  void tell_inside(AutodiffProblem& problem, const Refusal& refusal) const;
  void explain_missing(NodeId grad);
  void report(AutodiffProblem::Kind kind, NodeId grad, NodeId node, std::vector<NodeId> path, std::string reason);
  void fill_sources(NodeId source);
  void drop_dead_adjoints();
  std::vector<NodeId> source_path(const std::vector<NodeId>& path);

  const Graph& source_;
  AutodiffResult result_;
  GraphBuilder builder_;
  std::vector<NodeId> renamed_;                 // source node -> node of the new graph
  std::vector<NodeId> made_for_;                // node of the new graph -> source node (for adjoints: the Grad)
  std::vector<bool> unsound_;                   // source nodes that depend on a Grad already reported
  std::map<NodeId, std::vector<NodeId>> grads_of_;  // y -> its Grad nodes
  std::map<NodeId, std::vector<NodeId>> bodies_;  // scans of the new graph: what nodes of an expanded body were made for
  Dependence all_{Dependence::All}, open_{Dependence::Open};
  std::set<NodeId> named_by_user_;              // adjoints that took the name of their Grad
};

AutodiffResult Expansion::run() {
  graph().name = source_.name;
  graph().provenance = source_.provenance;
  renamed_.resize(source_.size());
  unsound_.resize(source_.size());
  for (size_t i = 0; i < source_.size(); ++i) {
    const Node& n = source_[NodeId(i)];
    if (n.op->kind == OpKind::Grad) grads_of_[n.operands[0]].push_back(NodeId(i));
  }
  for (size_t i = 0; i < source_.size(); ++i) {
    NodeId id(i);
    for (NodeId operand : source_[id].operands) unsound_[i] = unsound_[i] || unsound_[operand.at()];
    if (source_[id].op->kind == OpKind::Grad) expand(id);
    else copy(id);
  }
  for (const Output& o : source_.outputs) graph().outputs.push_back({o.name, o.kind, renamed_[o.node.at()]});
  drop_dead_adjoints();
  return std::move(result_);
}

// Derivative rules make the cotangents of all operands; those that nobody asked for go. Primal nodes stay, dead or not.
void Expansion::drop_dead_adjoints() {
  std::vector<bool> keep = graph().live();
  Graph out;
  std::vector<NodeId> moved(graph().size());
  for (size_t i = graph().size(); i-- > 0;) {
    keep[i] = keep[i] || source_[made_for_[i]].op->kind != OpKind::Grad;
    if (!keep[i]) continue;
    for (NodeId operand : graph()[NodeId(i)].operands) keep[operand.at()] = true;
  }
  for (size_t i = 0; i < graph().size(); ++i) {
    if (!keep[i]) continue;
    Node n = graph()[NodeId(i)];
    for (NodeId& operand : n.operands) operand = moved[operand.at()];
    moved[i] = out.add(std::move(n));
  }
  out.name = graph().name;
  out.provenance = std::move(graph().provenance);
  for (const Output& o : graph().outputs) out.outputs.push_back({o.name, o.kind, moved[o.node.at()]});
  std::vector<NodeId> made_for(out.size());
  for (size_t i = 0; i < moved.size(); ++i) {
    if (keep[i]) made_for[moved[i].at()] = made_for_[i];
  }
  made_for_ = std::move(made_for);
  graph() = std::move(out);
}

void Expansion::copy(NodeId id) {
  Node n = source_[id];
  for (NodeId& operand : n.operands) operand = renamed_[operand.at()];
  if (n.body && has_grads(*n.body)) expand_body(id, n);
  renamed_[id.at()] = graph().add(std::move(n));
  fill_sources(id);
}

// The body is lent the provenance table meanwhile.
void Expansion::expand_body(NodeId id, Node& scan) {
  Graph body = *scan.body;
  body.provenance = std::move(graph().provenance);
  Expansion inner(body);
  AutodiffResult r = inner.run();
  graph().provenance = std::exchange(r.graph.provenance, {});
  for (AutodiffProblem& p : r.problems) {
    if (!p.body) p.body = scan.body;
    result_.problems.push_back(std::move(p));
    unsound_[id.at()] = true;
  }
  if (unsound_[id.at()]) return;
  scan.body = std::make_shared<const Graph>(std::move(r.graph));
  bodies_[NodeId(graph().size())] = std::move(inner.made_for_);
}

void Expansion::expand(NodeId grad) {
  if (!renamed_[grad.at()]) {
    if (unsound_[grad.at()]) renamed_[grad.at()] = renamed_[source_[grad].operands[1].at()];
    else differentiate(source_[grad].operands[0]);
  }
  fill_sources(grad);
}

bool Expansion::well_typed(NodeId grad) {
  NodeId y = source_[grad].operands[0], x = source_[grad].operands[1];
  auto kind = [&](NodeId id, AutodiffProblem::Kind problem, const char* must) {
    report(problem, grad, id, {}, fmt::format("{} is {}, and {}", describe(source_, id), to_string(source_[id].type), must));
    return false;
  };
  if (source_[y].type.rank() != 0) return kind(y, AutodiffProblem::NotScalar, "only a scalar has a gradient");
  if (!is_float(source_[y].type.element)) return kind(y, AutodiffProblem::NotFloat, "only floating-point values have gradients");
  if (!is_float(source_[x].type.element)) {
    return kind(x, AutodiffProblem::NotFloat, "gradients are taken with respect to floating-point values only");
  }
  return true;
}

// Answers every Grad of y.
void Expansion::differentiate(NodeId y) {
  NodeId new_y = renamed_[y.at()];
  std::vector<NodeId> grads, xs;
  for (NodeId grad : grads_of_.at(y)) {
    NodeId x = source_[grad].operands[1];
    if (!well_typed(grad)) continue;
    if (x > y || renamed_[x.at()] > new_y) {
      explain_missing(grad);
      continue;
    }
    grads.push_back(grad);
    xs.push_back(renamed_[x.at()]);
  }
  if (xs.empty()) return;
  ReverseSweep sweep(builder_, new_y, xs);
  for (NodeId grad : grads) settle(grad, sweep);
}

void Expansion::settle(NodeId grad, const ReverseSweep& sweep) {
  NodeId y = renamed_[source_[grad].operands[0].at()], x = renamed_[source_[grad].operands[1].at()];
  for (const Refusal& r : sweep.refused()) {
    if (r.node != x && stands_between(r, x)) return refuse(grad, r, open_.path(graph(), y, r.node));
  }
  NodeId derivative = sweep.cotangent(x);
  if (!derivative) return explain_missing(grad);
  answer(grad, derivative);
}

void Expansion::answer(NodeId grad, NodeId derivative) {
  Node& n = graph().edit(derivative);
  const Node& request = source_[grad];
  n.provenance = graph().provenance.unite(n.provenance, request.provenance);
  bool primal = derivative.at() < made_for_.size() && source_[made_for_[derivative.at()]].op->kind != OpKind::Grad;
  if (request.name && !primal && named_by_user_.insert(derivative).second) n.name = request.name;
  renamed_[grad.at()] = derivative;
}

// Whether x reaches an operation that was refused, perhaps in the body of a scan.
bool Expansion::stands_between(const Refusal& refusal, NodeId x) {
  if (refusal.inside.empty()) return !open_.path(graph(), refusal.node, x).empty();
  const std::vector<NodeId>& operands = graph()[refusal.node].operands;
  for (size_t i = 0; i < operands.size(); ++i) {
    if (refusal.behind[i] && !open_.path(graph(), operands[i], x).empty()) return true;
  }
  return false;
}

void Expansion::refuse(NodeId grad, const Refusal& refusal, const std::vector<NodeId>& path) {
  const Node* n = &graph()[refusal.node];
  for (const std::vector<NodeId>& inner : refusal.inside) n = &(*n->body)[inner.back()];
  report(AutodiffProblem::NotDifferentiable, grad, refusal.node, path, fmt::format("{} has no derivative: {}", n->op->name, n->op->not_differentiable));
  tell_inside(result_.problems.back(), refusal);
}

// The way on through the bodies of the source graph. It ends early where nodes were made by an inner gradient.
void Expansion::tell_inside(AutodiffProblem& problem, const Refusal& refusal) const {
  const Node* scan = &source_[problem.node];
  auto expanded = bodies_.find(refusal.node);
  for (const std::vector<NodeId>& path : refusal.inside) {
    if (!scan->body) return;
    AutodiffProblem::Inside inside{scan->body, {}};
    for (NodeId id : path) {
      if (expanded != bodies_.end()) id = expanded->second[id.at()];
      if (id.at() < inside.body->size() && (inside.path.empty() || inside.path.back() != id)) inside.path.push_back(id);
    }
    if (inside.path.empty()) return;
    scan = &(*inside.body)[inside.path.back()];
    problem.inside.push_back(std::move(inside));
    if (expanded != bodies_.end()) return;
  }
}

// No cotangent reached x. Says what stands between: nothing at all, or the first barrier on a path.
void Expansion::explain_missing(NodeId grad) {
  NodeId source_y = source_[grad].operands[0], source_x = source_[grad].operands[1];
  NodeId y = renamed_[source_y.at()], x = renamed_[source_x.at()];
  std::string from = describe(source_, source_y), to = describe(source_, source_x);
  std::vector<NodeId> path = x ? all_.path(graph(), y, x) : std::vector<NodeId>{};
  auto no_path = [&](size_t length, std::string reason) {
    NodeId at = length ? path[length - 1] : NodeId{};
    path.resize(length);
    report(AutodiffProblem::NoPath, grad, at, path, std::move(reason));
  };
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    const Node& n = graph()[path[i]];
    size_t operand = size_t(std::find(n.operands.begin(), n.operands.end(), path[i + 1]) - n.operands.begin());
    std::vector<NodeId> head(path.begin(), path.begin() + std::ptrdiff_t(i) + 1);
    if (n.op->kind == OpKind::Scan && i > 0) {
      auto index = static_cast<size_t>(graph()[path[i - 1]].attrs.integer("index"));
      if (!open_.through(n)[operand][index])
        return no_path(i + 1, fmt::format("{} depends on {} only through values inside a scan that carry no derivative", from, to));
    }
    switch (barrier(graph(), path[i], operand)) {
      case Barrier::None: continue;
      case Barrier::NotDifferentiable: return refuse(grad, {path[i]}, head);
      case Barrier::NotFloat:  // a cast from an integer or condition: what made it says why
        if (graph()[path[i + 1]].op->not_differentiable) continue;
        return no_path(i + 1, fmt::format("{} depends on {} only through the {} value of {}, which carries no derivative", from,
                                          to, name(graph()[path[i + 1]].type.element), describe(graph(), path[i + 1])));
      case Barrier::StopGradient: return no_path(i + 1, fmt::format("{} depends on {} only through stop_gradient", from, to));
      case Barrier::IndexOperand:
        return no_path(i + 1, fmt::format("{} depends on {} only through a condition or index of {}", from, to, n.op->name));
    }
  }
  if (path.empty()) return no_path(0, fmt::format("{} does not depend on {}", from, to));
  no_path(0, fmt::format("the derivative of {} with respect to {} is zero everywhere", from, to));
}

// A placeholder of the right type lets the walk go on to find further problems.
void Expansion::report(AutodiffProblem::Kind kind, NodeId grad, NodeId node, std::vector<NodeId> path, std::string reason) {
  bool of_source = kind == AutodiffProblem::NotScalar || kind == AutodiffProblem::NotFloat;
  if (node && !of_source) node = source_path({node})[0];
  result_.problems.push_back({kind, grad, node, source_path(path), std::move(reason)});
  renamed_[grad.at()] = renamed_[source_[grad].operands[1].at()];
  unsound_[grad.at()] = true;
}

// Nodes appended since the last call came from this source node.
void Expansion::fill_sources(NodeId source) { made_for_.resize(graph().size(), source); }

std::vector<NodeId> Expansion::source_path(const std::vector<NodeId>& path) {
  std::vector<NodeId> out;
  for (NodeId id : path) {
    NodeId source = made_for_[id.at()];
    if (out.empty() || out.back() != source) out.push_back(source);
  }
  return out;
}

}  // namespace

AutodiffResult expand_gradients(const Graph& graph) { return Expansion(graph).run(); }

}  // namespace gradc
