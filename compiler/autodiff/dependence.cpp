#include "compiler/autodiff/dependence.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/support/error.h"

namespace gradc {

Barrier barrier(const Graph& g, NodeId node, size_t operand) {
  const Node& n = g[node];
  if (n.op->kind == OpKind::StopGradient) return Barrier::StopGradient;
  if (operand < 32 && (n.op->index_operands >> operand & 1)) return Barrier::IndexOperand;
  if (n.op->not_differentiable) return Barrier::NotDifferentiable;
  bool to = n.op->kind == OpKind::Scan || is_float(n.type.element), from = n.op->kind == OpKind::Result || is_float(g[n.operands[operand]].type.element);
  return to && from ? Barrier::None : Barrier::NotFloat;
}

bool carries_cotangent(const Graph& g, NodeId node, size_t operand) {
  Barrier at = barrier(g, node, operand);
  return at == Barrier::None || (at == Barrier::NotDifferentiable && is_float(g[node].type.element) &&
                                 is_float(g[g[node].operands[operand]].type.element));
}

namespace {

using Table = Dependence::Table;

Table product(const Table& a, const Table& b) {
  Table out(a.size(), std::vector<bool>(b.empty() ? 0 : b[0].size()));
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < b.size(); ++j) {
      for (size_t k = 0; a[i][j] && k < b[j].size(); ++k) out[i][k] = out[i][k] || b[j][k];
    }
  }
  return out;
}

void unite(Table& a, const Table& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t k = 0; k < a[i].size(); ++k) a[i][k] = a[i][k] || b[i][k];
  }
}

Table identity(size_t n) {
  Table t(n, std::vector<bool>(n));
  for (size_t i = 0; i < n; ++i) t[i][i] = true;
  return t;
}

Table power(Table base, int64_t exponent) {
  Table out = identity(base.size());
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2) out = product(out, base);
    base = product(base, base);
  }
  return out;
}

// What reaches what in at most so many steps.
Table at_most(const Table& step, int64_t steps) {
  Table out = identity(step.size());
  for (int64_t m = 0; m < std::min(steps, static_cast<int64_t>(step.size())); ++m) {
    Table further = product(out, step);
    unite(out, further);
  }
  return out;
}

// The columns of a table from `first` on, `count` of them.
Table columns(const Table& t, size_t first, size_t count) {
  Table out;
  for (const std::vector<bool>& row : t) out.emplace_back(row.begin() + static_cast<std::ptrdiff_t>(first), row.begin() + static_cast<std::ptrdiff_t>(first + count));
  return out;
}

// What results depend on, given what outputs depend on within a step. An emission of some step depends on the operands by way of the
// carries of all steps before; a last carry on initial ones by as many steps as there are, and on others by any of them.
Table over_steps(const Table& within, const ScanLayout& l) {
  if (l.carries == 0) return within;
  Table to_carries = columns(within, 0, l.carries), carries(to_carries.begin(), to_carries.begin() + static_cast<std::ptrdiff_t>(l.carries));
  Table through = within, earlier = product(to_carries, at_most(carries, l.length - 2));
  if (l.length > 1) unite(through, product(earlier, Table(within.begin(), within.begin() + static_cast<std::ptrdiff_t>(l.carries))));
  Table last = power(carries, l.length);
  for (size_t i = 0; i < l.carries; ++i) {
    for (size_t c = 0; c < l.carries; ++c) through[i][c] = last[i][c];
  }
  return through;
}

}  // namespace

const Dependence::Entry& Dependence::entry(const Node& scan) {
  ScanLayout l(scan);
  auto known = known_.find({scan.body.get(), l.length});
  if (known != known_.end()) return known->second;
  Entry e{scan.body, inputs_within_step(*scan.body, l.operands()), Table(l.operands(), std::vector<bool>(l.results())), {}};
  for (size_t k = 0; k < l.results(); ++k) {
    NodeId output = scan.body->outputs[k].node;
    if (open_ && !is_float((*scan.body)[output].type.element)) continue;
    for (size_t i = 0; i < l.operands(); ++i) e.through[i][k] = e.inputs_of[output.at()][i];
  }
  e.in_some_step = e.through;
  for (size_t c = 0; c < l.carries; ++c) {  // what reaches a carry reaches all that the carry reaches
    for (size_t i = 0; i < l.operands(); ++i) {
      for (size_t k = 0; k < l.results() && e.in_some_step[i][c]; ++k) e.in_some_step[i][k] = e.in_some_step[i][k] || e.in_some_step[c][k];
    }
  }
  e.through = over_steps(e.through, l);
  return known_.emplace(std::pair(scan.body.get(), l.length), std::move(e)).first->second;
}

Dependence::Table Dependence::inputs_within_step(const Graph& body, size_t inputs) {
  Table on(body.size(), std::vector<bool>(inputs));
  auto unite = [&](size_t to, NodeId from) {
    for (size_t i = 0; i < inputs; ++i) on[to][i] = on[to][i] || on[from.at()][i];
  };
  for (size_t i = 0; i < body.size(); ++i) {
    const Node& n = body[NodeId(i)];
    if (i < inputs) on[i][i] = true;
    if (n.op->kind == OpKind::Scan) continue;
    if (n.op->kind != OpKind::Result) {
      for (size_t k = 0; k < n.operands.size(); ++k) {
        if (passes(body, NodeId(i), k)) unite(i, n.operands[k]);
      }
      continue;
    }
    const Node& inner = body[n.operands[0]];
    const Table& table = through(inner);
    for (size_t k = 0; k < inner.operands.size(); ++k) {
      if (table[k][static_cast<size_t>(n.attrs.integer("index"))]) unite(i, inner.operands[k]);
    }
  }
  return on;
}

std::vector<bool> Dependence::operands_behind(const Node& scan, NodeId body_node) {
  const Entry& e = entry(scan);
  std::vector<bool> behind = e.inputs_of[body_node.at()];
  for (size_t c = 0; c < ScanLayout(scan).carries; ++c) {
    if (!e.inputs_of[body_node.at()][c]) continue;
    for (size_t i = 0; i < behind.size(); ++i) behind[i] = behind[i] || e.in_some_step[i][c];
  }
  return behind;
}

bool Dependence::depends(const Graph& g, NodeId node, const std::vector<bool>& marked) {
  const Node& n = g[node];
  if (n.op->kind != OpKind::Result) {
    for (size_t k = 0; k < n.operands.size(); ++k) {
      if (marked[n.operands[k].at()] && passes(g, node, k)) return true;
    }
    return false;
  }
  const Node& scan = g[n.operands[0]];
  const Table& table = through(scan);
  auto index = static_cast<size_t>(n.attrs.integer("index"));
  for (size_t k = 0; k < scan.operands.size(); ++k) {
    if (marked[scan.operands[k].at()] && table[k][index]) return true;
  }
  return false;
}

std::vector<NodeId> Dependence::path(const Graph& g, NodeId y, NodeId x) {
  if (x > y) return {};
  std::vector<NodeId> consumer(y.at() + 1);  // through which a node was first reached
  std::map<NodeId, std::vector<size_t>> results;  // of scans: which were reached
  consumer[y.at()] = y;
  for (size_t i = y.at() + 1; i-- > x.at() + 1;) {
    if (!consumer[i]) continue;
    const Node& n = g[NodeId(i)];
    if (n.op->kind == OpKind::Result) results[n.operands[0]].push_back(static_cast<size_t>(n.attrs.integer("index")));
    for (size_t k = 0; k < n.operands.size(); ++k) {
      bool leads = passes(g, NodeId(i), k);
      if (n.op->kind == OpKind::Scan) {
        const std::vector<bool>& reaches = through(n)[k];
        const std::vector<size_t>& wanted = results[NodeId(i)];
        leads = wanted.empty() || std::any_of(wanted.begin(), wanted.end(), [&](size_t r) { return reaches[r]; });
      }
      NodeId& reached = consumer[n.operands[k].at()];
      if (!reached && leads) reached = NodeId(i);
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
