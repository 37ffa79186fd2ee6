#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/graph/graph.h"

namespace gradc {

// Why no derivative passes from a node to one of its operands.
enum class Barrier : uint8_t { None, NotFloat, IndexOperand, StopGradient, NotDifferentiable };
Barrier barrier(const Graph& g, NodeId node, size_t operand);

// One reverse sweep over a graph without Grad nodes: the derivatives of the scalar `y` with respect to each of `xs`, all of
// which come no later than y. Appends to the graph; each primal node is visited once, last to first, and its cotangent is
// the sum of its consumers' contributions in that order, so that the same graph always gives the same sums.
class ReverseSweep {
 public:
  ReverseSweep(GraphBuilder& b, NodeId y, const std::vector<NodeId>& xs);

  // dy/dx once run; nothing where no derivative reaches x. x must be one of xs.
  NodeId cotangent(NodeId x) const { return final_[x.at()]; }
  // Operations without a derivative that a cotangent arrived at, last to first.
  const std::vector<NodeId>& refused() const { return refused_; }

 private:
  void mark_active(const std::vector<NodeId>& xs);
  void visit(NodeId node);
  NodeId accumulate(NodeId node);
  void propagate(NodeId node, NodeId cotangent);
  void enter(NodeId primal, const std::string& rule);
  void name_cotangent(NodeId cotangent, NodeId primal);

  GraphBuilder& b_;
  NodeId y_;
  size_t begin_ = 0;        // no active node comes earlier
  size_t first_adjoint_;    // nodes from here on are made by this sweep
  std::unordered_map<NodeId, Symbol> named_after_;  // cotangents named here, and after which value
  std::vector<bool> active_;  // depends on some x by a path that a derivative passes, or that is to be refused
  std::vector<bool> through_;  // active because of its operands, not only as an x
  std::vector<std::vector<NodeId>> contributions_;
  std::vector<NodeId> final_;
  std::vector<NodeId> refused_;
};

// The nodes of one path from y down to x, both included; empty where there is none. With `open`, only along edges on which
// a cotangent travels.
std::vector<NodeId> path_between(const Graph& g, NodeId y, NodeId x, bool open);

// "loss", else "sum(u)" where all operands have names, else "%12".
std::string describe(const Graph& g, NodeId id);

}  // namespace gradc
