#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/autodiff/dependence.h"

namespace gradc {

// An operation without a derivative that a cotangent arrived at.
struct Refusal {
  NodeId node;                              // the operation, or the scan that it is in
  std::vector<bool> behind{};               // of a scan: the operands that the operation depends on
  std::vector<std::vector<NodeId>> inside{};  // the way on, from an output of the scan's body to the operation or to a scan in it, ...
};

// One reverse sweep over a graph without Grad nodes: the derivatives of a scalar with respect to each of `xs`, from the cotangents of
// some values that it was computed from, which may be the scalar itself. Appends to the graph; each primal node is visited
// once, last to first, and its cotangent is the sum of its consumers' contributions in that order, so that the same graph
// always gives the same sums. A scan's body gains emissions of what its derivative reads.
class ReverseSweep {
 public:
  struct Seed {
    NodeId node, cotangent;
  };
  // `of` is what the scalar is called.
  ReverseSweep(GraphBuilder& b, const std::vector<Seed>& seeds, const std::vector<NodeId>& xs, Symbol of);
  // Of y itself. Nothing is computed where y depends on no x.
  ReverseSweep(GraphBuilder& b, NodeId y, const std::vector<NodeId>& xs);

  // The derivative by x; nothing where none reaches it. x must be one of xs.
  NodeId cotangent(NodeId x) const { return x.at() < final_.size() ? final_[x.at()] : NodeId(); }
  const std::vector<Refusal>& refused() const { return refused_; }  // last to first

 private:
  void mark_active(const std::vector<NodeId>& xs);
  void sweep();
  void visit(NodeId node);
  void visit_scan(NodeId scan);
  NodeId accumulate(NodeId node);
  void propagate(NodeId node, NodeId cotangent);
  void contribute(NodeId node, const std::vector<bool>& wanted, const std::vector<NodeId>& results);
  void enter(NodeId primal, const std::string& rule);
  void name_cotangent(NodeId cotangent, NodeId primal);
  std::vector<bool> wanted_operands(NodeId node) const;

  GraphBuilder& b_;
  Symbol of_;
  size_t begin_ = 0;        // no active node comes earlier
  size_t first_adjoint_;    // nodes from here on are made by this sweep
  Dependence open_{Dependence::Open};
  std::unordered_map<NodeId, Symbol> named_after_;  // cotangents named here, and after which value
  std::vector<bool> active_;  // depends on some x by a path that a derivative passes, or that is to be refused
  std::vector<bool> through_;  // active because of its operands, not only as an x
  std::vector<std::vector<NodeId>> contributions_;
  std::unordered_map<NodeId, std::vector<NodeId>> of_results_;  // of scans: the cotangents of their results
  std::vector<NodeId> final_;
  std::vector<Refusal> refused_;
};

}  // namespace gradc
