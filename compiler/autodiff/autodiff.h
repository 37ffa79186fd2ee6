#pragma once

#include "compiler/graph/graph.h"

namespace gradc {

// A gradient that can't be had, as data for a diagnostic: which node, why, and the path from y to it.
struct AutodiffProblem {
  enum Kind { NotScalar, NotFloat, NoPath, NotDifferentiable } kind;
  NodeId grad;                // the Grad node
  NodeId node;                // the operation in the way (NotDifferentiable)
  std::vector<NodeId> path;   // from y down to it
  std::string reason;
  // The scan body that all these ids are of; null for the graph itself.
  std::shared_ptr<const Graph> body{};
  // Where node is a scan: the way on inside it, from an output of its body to the operation in the way or to a scan in it, and so on.
  struct Inside {
    std::shared_ptr<const Graph> body;
    std::vector<NodeId> path;
  };
  std::vector<Inside> inside{};
};

struct AutodiffResult {
  Graph graph;                             // without Grad nodes
  std::vector<AutodiffProblem> problems;   // ids of the input graph; the graph is meaningless where there are any
};

// Expands every Grad(y, x) node, innermost first, by reverse mode: dy/dx becomes ordinary nodes (Grad has x's type, so it can be
// differentiated again). Primal nodes keep their order and names; adjoints are named "d(y)/d(name)" where the primal has a name,
// and carry the primal's origins plus a Derivation. Grad nodes in the body of a scan
// are expanded there, before anything is differentiated through the scan.
AutodiffResult expand_gradients(const Graph& graph);

}  // namespace gradc
