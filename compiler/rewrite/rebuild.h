#pragma once

#include <vector>

#include "compiler/graph/graph.h"

namespace gradc::rewrite {

// Collects, for every node of a graph that is being rebuilt, the provenances it has to unite. Unions are made once, at the
// end and only for live nodes: uniting step by step would intern a set for every step, quadratic for long chains.
class Trails {
 public:
  using Id = int32_t;
  Id leaf(ProvenanceId provenance) { return add({provenance, -1, -1, {}}); }
  Id join(Id a, Id b);
  Id through(Id a, Symbol rule) { return add({{}, a, -1, rule}); }
  // The union of everything on the trail.
  ProvenanceId settle(Id id, ProvenanceTable& table);
  // Any one provenance of the trail, for nodes that nobody will see.
  ProvenanceId any(Id id) const;

 private:
  struct Step {
    ProvenanceId provenance;
    Id left, right;
    Symbol rule;
  };
  Id add(Step s);
  std::vector<Step> steps_;
  std::vector<uint32_t> seen_;
  uint32_t epoch_ = 0;
};

// Rebuilds a graph node by node, in order: what every pass has in common. Keeps names, names of dimensions, provenance and
// the count of uses.
class Rebuild {
 public:
  explicit Rebuild(Graph&& in);
  size_t input_size() const { return in_.size(); }
  bool live(size_t i) const { return live_[i]; }
  Node take(size_t i);  // the i-th node, moved out, its operands renamed to the new graph
  Trails::Id leaf(const Node& n) { return trails.leaf(n.provenance); }

  NodeId append(Node n, Trails::Id trail);
  // Books nodes that were added to `out` directly.
  void adopt(size_t first, Trails::Id trail);
  // From here on, the i-th node is `replacement`.
  void define(size_t i, NodeId replacement);
  // `id` also stands for a node of this name and type: takes over names where it has none of its own.
  void inherit(NodeId id, Symbol name, const Type& type);
  void join(NodeId id, Trails::Id trail) { trail_[id.at()] = trails.join(trail_[id.at()], trail); }
  Trails::Id trail(NodeId id) const { return trail_[id.at()]; }
  int uses(NodeId id) const { return uses_[id.at()]; }
  Graph finish();

  Graph out;
  Trails trails;

 private:
  Graph in_;
  std::vector<bool> live_;
  std::vector<int> input_uses_;
  std::vector<NodeId> renamed_;
  std::vector<Trails::Id> trail_;
  // Of nodes of `out`, by live nodes and outputs: exact when the pass begins, never too few while it runs.
  std::vector<int> uses_;
};

}  // namespace gradc::rewrite
