#pragma once

#include "compiler/autodiff/sweep.h"

namespace gradc {

struct ScanCotangents {
  std::vector<NodeId> operands;   // none where no derivative flows
  std::vector<Refusal> refused;   // operations of the body without a derivative
};

// The cotangents of a scan's operands, given those of its results (none where none arrived), by a scan in the other
// direction (docs/decisions/0005-scan.md). Appends to the graph, and gives the scan's body emissions of the primal values that
// the derivative reads; results so far keep their numbers. `of` is what the differentiated scalar is called.
ScanCotangents differentiate_scan(GraphBuilder& b, NodeId scan, const std::vector<NodeId>& results, const std::vector<bool>& wanted, Symbol of);

}  // namespace gradc
