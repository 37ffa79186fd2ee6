#include <algorithm>
#include <unordered_map>

#include "compiler/graph/scan.h"
#include "compiler/rewrite/engine.h"

// Passes that are analyses rather than rules: common subexpressions, dead code, and the removal of stop_gradient.
namespace gradc::rewrite {
namespace {

// What a node computes, its operands named by value. Attributes are compared by bits.
struct Key {
  const Op* op;
  std::vector<NodeId> operands;
  Attrs attrs;
  std::shared_ptr<const Graph> body;
  bool operator==(const Key& o) const {
    return op == o.op && operands == o.operands && attrs == o.attrs && (body == o.body || (body && o.body && same_computation(*body, *o.body)));
  }
};
struct KeyHash {
  size_t operator()(const Key& k) const {
    size_t h = std::hash<const void*>{}(k.op) ^ k.attrs.hash();
    if (k.body) h ^= computation_hash(*k.body);
    for (NodeId id : k.operands) h = h * 0x9E3779B97F4A7C15ull + static_cast<size_t>(id.index) + (h >> 31);
    return h;
  }
};

}  // namespace

// Constants cost nothing, so equal ones count as one value but stay apart: merging them would give every literal the source
// lines of all the others.
Graph merge_common(Graph&& graph, Ledger& ledger) {
  Rebuild rebuild(std::move(graph));
  std::unordered_map<Key, NodeId, KeyHash> known;
  std::vector<NodeId> value;  // of each new node: the first node with that value
  for (size_t i = 0; i < rebuild.input_size(); ++i) {
    Node n = rebuild.take(i);
    Trails::Id trail = rebuild.leaf(n);
    Key key{n.op, n.operands, n.attrs, n.body};
    for (NodeId& operand : key.operands) operand = value[operand.at()];
    if (n.op->commutative) std::sort(key.operands.begin(), key.operands.end());
    auto [it, fresh] = known.try_emplace(std::move(key), NodeId(rebuild.out.size()));
    bool merge = !fresh && n.op->kind != OpKind::Constant && rebuild.live(i) && !ledger.exhausted();
    if (merge) {
      ledger.book("cse", "common-subexpression");
      rebuild.inherit(it->second, n.name, n.type);
      rebuild.join(it->second, rebuild.trails.through(trail, "common-subexpression"));
      rebuild.define(i, it->second);
      continue;
    }
    value.push_back(it->second);
    rebuild.define(i, rebuild.append(std::move(n), trail));
  }
  return rebuild.finish();
}

Graph without_dead_code(Graph&& graph, Ledger& ledger) {
  std::vector<bool> live = graph.live();
  if (ledger.exhausted() || std::find(live.begin(), live.end(), false) == live.end()) return std::move(graph);
  ledger.book("dead-code", "remove-unused");
  Graph out = graph.compacted();
  out.provenance = std::move(graph.provenance);
  return out;
}

Graph without_stop_gradient(Graph&& graph, Ledger&) {
  Rebuild rebuild(std::move(graph));
  for (size_t i = 0; i < rebuild.input_size(); ++i) {
    Node n = rebuild.take(i);
    Trails::Id trail = rebuild.leaf(n);
    if (n.op->kind != OpKind::StopGradient && n.op->kind != OpKind::WithDerivative) {
      rebuild.define(i, rebuild.append(std::move(n), trail));
      continue;
    }
    NodeId x = n.operands[0];
    rebuild.inherit(x, n.name, n.type);
    rebuild.join(x, rebuild.trails.through(trail, n.op->kind == OpKind::StopGradient ? "stop-gradient" : "own-derivative"));
    rebuild.define(i, x);
  }
  return rebuild.finish();
}

}  // namespace gradc::rewrite
