#include "compiler/rewrite/rebuild.h"

#include <algorithm>

namespace gradc::rewrite {

Trails::Id Trails::add(Step s) {
  steps_.push_back(s);
  return static_cast<Id>(steps_.size() - 1);
}

Trails::Id Trails::join(Id a, Id b) {
  if (a < 0 || a == b) return b;
  if (b < 0) return a;
  return add({{}, a, b, {}});
}

ProvenanceId Trails::settle(Id id, ProvenanceTable& table) {
  const Step& top = steps_[static_cast<size_t>(id)];
  if (top.left < 0) return top.provenance;
  ++epoch_;
  seen_.resize(steps_.size(), 0);
  Provenance all;
  std::vector<ProvenanceId> leaves;
  std::vector<Id> stack{id};
  while (!stack.empty()) {
    Id at = stack.back();
    stack.pop_back();
    if (at < 0 || seen_[static_cast<size_t>(at)] == epoch_) continue;
    seen_[static_cast<size_t>(at)] = epoch_;
    const Step& s = steps_[static_cast<size_t>(at)];
    if (s.provenance) leaves.push_back(s.provenance);
    if (s.rule) all.rewrites.push_back(s.rule);
    stack.push_back(s.left);
    stack.push_back(s.right);
  }
  std::sort(leaves.begin(), leaves.end());
  leaves.erase(std::unique(leaves.begin(), leaves.end()), leaves.end());
  auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  for (ProvenanceId leaf : leaves) {
    const Provenance& p = table.get(leaf);
    append(all.origins, p.origins);
    append(all.derivations, p.derivations);
    append(all.rewrites, p.rewrites);
  }
  return table.add(std::move(all));
}

ProvenanceId Trails::any(Id id) const {
  while (steps_[static_cast<size_t>(id)].left >= 0) id = steps_[static_cast<size_t>(id)].left;
  return steps_[static_cast<size_t>(id)].provenance;
}

Rebuild::Rebuild(Graph&& in) : in_(std::move(in)), live_(in_.live()), input_uses_(in_.size(), 0), renamed_(in_.size()) {
  for (size_t i = 0; i < in_.size(); ++i) {
    if (!live_[i]) continue;
    for (NodeId operand : in_[NodeId(i)].operands) ++input_uses_[operand.at()];
  }
  for (const Output& o : in_.outputs) ++input_uses_[o.node.at()];
  out.name = in_.name;
  out.provenance = std::move(in_.provenance);
}

Node Rebuild::take(size_t i) {
  Node n = std::move(in_.edit(NodeId(i)));
  for (NodeId& operand : n.operands) operand = renamed_[operand.at()];
  return n;
}

NodeId Rebuild::append(Node n, Trails::Id trail) {
  trail_.push_back(trail);
  uses_.push_back(0);
  return out.add(std::move(n));
}

void Rebuild::adopt(size_t first, Trails::Id trail) {
  for (size_t i = first; i < out.size(); ++i) {
    trail_.push_back(trail);
    uses_.push_back(0);
    for (NodeId operand : out[NodeId(i)].operands) ++uses_[operand.at()];
  }
}

void Rebuild::define(size_t i, NodeId replacement) {
  renamed_[i] = replacement;
  uses_[replacement.at()] += input_uses_[i];
}

void Rebuild::inherit(NodeId id, Symbol name, const Type& type) {
  Node& n = out.edit(id);
  if (!n.name) n.name = name;
  for (size_t axis = 0; axis < type.rank(); ++axis) {
    if (!n.type.dims[axis].name) n.type.dims[axis].name = type.dims[axis].name;
  }
}

Graph Rebuild::finish() {
  for (const Output& o : in_.outputs) out.outputs.push_back({o.name, o.kind, renamed_[o.node.at()]});
  std::vector<bool> live = out.live();
  for (size_t i = 0; i < out.size(); ++i) {
    Node& n = out.edit(NodeId(i));
    n.provenance = live[i] ? trails.settle(trail_[i], out.provenance) : trails.any(trail_[i]);
  }
  return std::move(out);
}

}  // namespace gradc::rewrite
