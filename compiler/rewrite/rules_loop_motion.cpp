#include <algorithm>
#include <map>
#include <set>

#include "compiler/rewrite/loop.h"

// Work moved out of loops.
namespace gradc::rewrite {
namespace {

bool is_source(const Node& n) { return n.op->kind == OpKind::Input || n.op->kind == OpKind::Constant || n.op->kind == OpKind::Iota; }

// A view that is no smaller than what it looks at: there is no work in it to save.
bool is_view(const Loop& loop, const Node& n) {
  return (n.op->kind == OpKind::View || n.op->kind == OpKind::Reshape) && loop.body[n.operands[0]].type.count() <= n.type.count();
}

std::vector<NodeId> outputs(const Loop& loop) {
  std::vector<NodeId> list = loop.emissions;
  for (const Loop::Carry& c : loop.carries) list.push_back(c.next);
  return list;
}

// Point-wise work on constants and indices alone costs less than reading its result.
bool from_nothing(const Loop& loop, NodeId id) {
  const Node& n = loop.body[id];
  bool light = n.op->kind == OpKind::Constant || n.op->kind == OpKind::Iota || n.op->kind == OpKind::Pointwise || n.op->kind == OpKind::View ||
               n.op->kind == OpKind::Reshape;
  return light && std::all_of(n.operands.begin(), n.operands.end(), [&](NodeId o) { return from_nothing(loop, o); });
}

// What does not change from step to step is computed before the loop.
bool hoist_invariant(Loop& loop, Outside& outside, const char* name) {
  std::vector<bool> varies = loop.varying();
  std::set<NodeId> chosen;
  auto choose = [&](NodeId id) {
    while (is_view(loop, loop.body[id])) id = loop.body[id].operands[0];
    if (!is_source(loop.body[id]) && !from_nothing(loop, id)) chosen.insert(id);
  };
  for (size_t i = 0; i < loop.body.size(); ++i) {
    for (NodeId operand : loop.body[NodeId(i)].operands) {
      if (varies[i] && !varies[operand.at()]) choose(operand);
    }
  }
  for (NodeId id : outputs(loop)) {
    if (!varies[id.at()]) choose(id);
  }
  std::map<NodeId, NodeId> renames;
  std::vector<Loop::Input> made;
  for (NodeId id : chosen) {
    Expr value = loop.once(id, outside, name);
    made.push_back({value.id, {}});
    renames[id] = {};
  }
  if (chosen.empty()) return false;
  size_t k = 0;
  for (auto& [id, input] : renames) {
    made[k].inner = input = loop.add_input(role::constant, id);
    ++k;
  }
  loop.constants.insert(loop.constants.end(), made.begin(), made.end());
  loop.replace(renames);
  return true;
}

int64_t summed_size(const Loop& loop, const Node& n) {
  const auto &lhs = n.attrs.integers("lhs"), &out = n.attrs.integers("out");
  int64_t size = 1;
  for (size_t i = 0; i < lhs.size(); ++i) {
    if (std::find(out.begin(), out.end(), lhs[i]) == out.end()) size *= loop.body[n.operands[0]].type.size(i);
  }
  return size;
}

// One product for all steps instead of one a step. Short sums are not worth the memory of their results.
constexpr int64_t shortest_sum = 8;
bool gains_from_batching(const Loop& loop, const Node& n, const std::vector<bool>& varies) {
  if (n.op->kind == OpKind::Reduction || n.op->kind == OpKind::ArgReduction) return true;
  if (n.op->kind != OpKind::Contraction) return false;
  int64_t read = 0;
  for (NodeId o : n.operands) read += varies[o.at()] ? loop.body[o].type.count() : 0;
  return n.type.count() <= read || summed_size(loop, n) >= shortest_sum;
}

// What depends on elements but on no carry, where it gains: computed for all steps, before the loop.
bool hoist_over_time(Loop& loop, Outside& outside, const char* name) {
  if (loop.recompute) return false;  // asked to use little memory
  std::vector<bool> carried = loop.carried(), varies = loop.varying(), known(loop.body.size());
  for (const Loop::Input& s : loop.sequences) known[s.inner.at()] = true;
  auto hoistable = [&](size_t i) {
    const Node& n = loop.body[NodeId(i)];
    return varies[i] && !carried[i] && gains_from_batching(loop, n, varies) && loop.can_batch_all(NodeId(i), varies, known);
  };
  // From the outputs down: what a hoisted value is computed from goes with it.
  std::vector<bool> needed(loop.body.size());
  for (NodeId id : outputs(loop)) needed[id.at()] = true;
  std::vector<NodeId> chosen;
  for (size_t i = loop.body.size(); i-- > 0;) {
    if (!needed[i]) continue;
    if (hoistable(i)) {
      chosen.push_back(NodeId(i));
      continue;
    }
    for (NodeId operand : loop.body[NodeId(i)].operands) needed[operand.at()] = true;
  }
  if (chosen.empty()) return false;
  std::map<NodeId, NodeId> renames;
  std::vector<Loop::Input> made;
  for (NodeId id : chosen) made.push_back({loop.for_all_steps(id, outside, name).id, {}});
  for (size_t k = 0; k < chosen.size(); ++k) made[k].inner = renames[chosen[k]] = loop.add_input(role::element, chosen[k]);
  loop.sequences.insert(loop.sequences.end(), made.begin(), made.end());
  loop.replace(renames);
  return true;
}

// How an emission can be computed after the loop: what the loop then emits instead, and whether that gains anything.
struct Sinking {
  std::set<NodeId> seen, emitted;
  bool gains = false, possible = true;
};

void plan_sinking(const Loop& loop, NodeId id, const std::vector<bool>& varies, const std::vector<bool>& stays, const std::vector<bool>& known, Sinking& plan) {
  if (!varies[id.at()] || known[id.at()] || !plan.seen.insert(id).second) return;
  const Node& n = loop.body[id];
  std::vector<bool> only_this(loop.body.size());
  bool leaves = !stays[id.at()] && n.op->kind != OpKind::Input;
  if (leaves) {
    for (NodeId o : n.operands) only_this[o.at()] = true;  // one level: its operands are looked at below
    leaves = loop.can_batch_all(id, varies, only_this);
  }
  if (!leaves) {
    plan.emitted.insert(id);
    return;
  }
  plan.gains = plan.gains || (n.op->kind == OpKind::Contraction && summed_size(loop, n) > 1);
  for (NodeId o : n.operands) plan_sinking(loop, o, varies, stays, known, plan);
}

// An emission that no carry needs is computed for all steps after the loop, where a product gains from it and the loop does not have to
// emit more than before.
bool sink_emission(Loop& loop, Outside&, const char*) {
  if (loop.recompute) return false;
  std::vector<bool> varies = loop.varying(), stays = loop.feeds_carries();
  for (size_t k = 0; k < loop.emissions.size(); ++k) {
    NodeId e = loop.emissions[k];
    std::vector<bool> known(loop.body.size());
    for (const Loop::Input& s : loop.sequences) known[s.inner.at()] = true;
    for (NodeId other : loop.emissions) known[other.at()] = known[other.at()] || other != e;
    if (stays[e.at()] || known[e.at()]) continue;
    Sinking plan;
    plan_sinking(loop, e, varies, stays, known, plan);
    int64_t more = 0;
    for (NodeId id : plan.emitted) more += loop.body[id].type.count();
    if (!plan.gains || plan.emitted.count(e) || more > loop.body[e].type.count()) continue;
    loop.deferred.push_back(e);
    loop.remove_emission(k, {Loop::Value::Deferred, loop.deferred.size() - 1});
    for (NodeId id : plan.emitted) loop.emissions.push_back(id);
    return true;
  }
  return false;
}

}  // namespace

std::vector<LoopRuleInfo> loop_motion_rules() {
  constexpr const char* blocks = "compiled products add up in blocks that depend on the shape";
  return {
      {{"loops", "loop-hoist-invariant", "what each step computes alike is computed once, before the loop", ""}, hoist_invariant},
      {{"loops", "loop-hoist-over-time", "[x_t W for each t] = X W: products and sums of elements alone are made for all steps, before the loop", blocks},
       hoist_over_time},
      {{"loops", "loop-sink", "[d_t W for each t] = D W: emissions that no carry needs are computed for all steps, after the loop", blocks}, sink_emission},
  };
}

}  // namespace gradc::rewrite
