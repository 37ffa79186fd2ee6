#include "compiler/graph/scan.h"

#include <algorithm>

#include "compiler/support/error.h"

namespace gradc {

ScanLayout::ScanLayout(const Node& scan) {
  GRADC_ASSERT(scan.op->kind == OpKind::Scan && scan.body, "{} is no scan", scan.op->name);
  auto count = [&](const char* key) { return static_cast<size_t>(scan.attrs.integer(key)); };
  length = scan.attrs.integer("length");
  carries = count("carries");
  sequences = count("sequences");
  constants = scan.operands.size() - carries - sequences;
  emissions = scan.body->outputs.size() - carries;
  reverse = count("reverse") != 0;
  recompute = count("recompute") != 0;
}

Type without_time(const Type& sequence) {
  GRADC_ASSERT(sequence.rank() > 0, "a sequence has an axis");
  return {sequence.element, {sequence.dims.begin() + 1, sequence.dims.end()}};
}

Type over_time(const Type& element, const Dim& time) {
  Type t = element;
  t.dims.insert(t.dims.begin(), time);
  return t;
}

bool same_computation(const Graph& a, const Graph& b) {
  auto same_node = [](const Node& x, const Node& y) {
    if (x.op != y.op || x.operands != y.operands || !(x.attrs == y.attrs)) return false;
    return x.body == y.body || (x.body && y.body && same_computation(*x.body, *y.body));
  };
  if (&a == &b) return true;
  if (a.size() != b.size() || a.outputs.size() != b.outputs.size()) return false;
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    if (a.outputs[i].node != b.outputs[i].node) return false;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (!same_node(a[NodeId(i)], b[NodeId(i)])) return false;
  }
  return true;
}

size_t computation_hash(const Graph& g) {
  size_t h = g.size();
  auto mix = [&](size_t v) { h = (h ^ v) * 0x9E3779B97F4A7C15ull + (h >> 29); };
  for (size_t i = 0; i < g.size(); ++i) {
    const Node& n = g[NodeId(i)];
    mix(std::hash<const void*>{}(n.op));
    mix(n.attrs.hash());
    for (NodeId operand : n.operands) mix(operand.at());
    if (n.body) mix(computation_hash(*n.body));
  }
  for (const Output& o : g.outputs) mix(o.node.at());
  return h;
}

}  // namespace gradc
