#include <algorithm>

#include "compiler/rewrite/engine.h"
#include "compiler/rewrite/loop.h"

// The pass that knows loops: what is moved out of them, and what of them nobody needs.
namespace gradc::rewrite {
namespace {

// Walks a graph, offers every scan to `change`, and puts the values that its results became in their places.
template <class Change>
Graph each_loop(Graph&& graph, Change change) {
  auto is_scan = [&](size_t i) { return graph[NodeId(i)].op->kind == OpKind::Scan; };
  bool any = false;
  for (size_t i = 0; i < graph.size(); ++i) any = any || is_scan(i);
  if (!any) return std::move(graph);

  std::map<size_t, size_t> scan_of;               // by result node
  std::map<size_t, std::vector<bool>> used;       // by scan: its results that are picked
  std::vector<bool> live = graph.live();
  for (size_t i = 0; i < graph.size(); ++i) {
    const Node& n = graph[NodeId(i)];
    if (n.op->kind != OpKind::Result) continue;
    size_t scan = scan_of[i] = n.operands[0].at();
    std::vector<bool>& of_scan = used[scan];
    of_scan.resize(graph[NodeId(scan)].body->outputs.size());
    if (live[i]) of_scan[static_cast<size_t>(n.attrs.integer("index"))] = true;
  }
  Rebuild rebuild(std::move(graph));
  Outside outside(rebuild);
  std::map<size_t, std::vector<NodeId>> values;   // by changed scan: of each result
  for (size_t i = 0; i < rebuild.input_size(); ++i) {
    Node n = rebuild.take(i);
    Trails::Id trail = rebuild.leaf(n);
    if (n.op->kind == OpKind::Scan && rebuild.live(i)) {
      Loop loop(n);
      loop.used = used[i];
      if (change(loop, outside)) {
        values[i] = loop.finish(outside, n.provenance, n.name);
        rebuild.define(i, NodeId(rebuild.out.size() - 1));  // nobody asks: its results are known
        continue;
      }
    }
    auto changed = n.op->kind == OpKind::Result ? values.find(scan_of.at(i)) : values.end();
    if (changed == values.end()) {
      rebuild.define(i, rebuild.append(std::move(n), trail));
      continue;
    }
    NodeId value = changed->second[static_cast<size_t>(n.attrs.integer("index"))];
    if (!value) value = NodeId(size_t{0});  // dropped: nobody picks it
    if (rebuild.live(i)) {
      rebuild.inherit(value, n.name, n.type);
      rebuild.join(value, trail);
    }
    rebuild.define(i, value);
  }
  return rebuild.finish();
}

}  // namespace

const std::vector<LoopRuleInfo>& loop_rules() {
  static const std::vector<LoopRuleInfo> list = [] {
    std::vector<LoopRuleInfo> rules = loop_input_rules(), motion = loop_motion_rules();
    rules.insert(rules.end(), motion.begin(), motion.end());
    return rules;
  }();
  return list;
}

Graph simplify_loops(Graph&& graph, Ledger& ledger) {
  return each_loop(std::move(graph), [&](Loop& loop, Outside& outside) {
    bool changed = false;
    for (const LoopRuleInfo& rule : loop_rules()) {
      if (!ledger.enabled(rule.info.name) || ledger.exhausted() || !rule.run(loop, outside, rule.info.name)) continue;
      ledger.book("loops", rule.info.name);
      loop.replace({});
      changed = true;
    }
    return changed;
  });
}

}  // namespace gradc::rewrite
