#pragma once

#include "compiler/autodiff/sweep.h"

namespace gradc {

// A scan's body with the sweep over it: first the nodes of the body, as they are, then inputs for the cotangents of its outputs, then
// what the sweep made. Nodes that the sweep added to pick a primal scan's further results count as primal as well.
struct SweptBody {
  Graph graph;
  size_t primal = 0;               // nodes of the body itself
  std::vector<bool> varies;        // by node: differs from step to step
  std::vector<size_t> carries;     // whose cotangents are carried, ascending
  std::vector<NodeId> of_output;   // by result: the input that stands for its cotangent; none
  std::vector<NodeId> of_input;    // by operand: its cotangent in one step; none
  std::vector<Refusal> refused;

  bool is_primal(NodeId id) const { return id.at() < primal || (graph[id].op->kind == OpKind::Result && graph[id].operands[0].at() < primal); }
};

// Nothing is swept (of_input is empty) where no cotangent can reach a wanted operand. The provenance table of `b` is lent to the sweep.
SweptBody sweep_body(GraphBuilder& b, NodeId scan, const std::vector<NodeId>& results, const std::vector<bool>& wanted, Symbol of);

}  // namespace gradc
