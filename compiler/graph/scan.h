#pragma once

#include "compiler/graph/graph.h"

namespace gradc {

// How a scan's operands and results correspond to the inputs and outputs of its body (docs/decisions/0005-scan.md).
//
//   operand i of the scan  <->  node i of the body, an Input: carries (role::carry, the operand is the initial value), then
//                               sequences (role::element, the operand's type without axis 0), then constants
//   result k of the scan   <->  output k of the body: the next value of each carry (the result is the last one), then
//                               emissions (the results are all of them, along a new axis 0)
struct ScanLayout {
  explicit ScanLayout(const Node& scan);

  int64_t length = 0;     // steps
  size_t carries = 0, sequences = 0, constants = 0, emissions = 0;
  bool reverse = false;   // from the last element to the first
  bool recompute = false; // the derivative keeps the carries only, and computes the body again

  size_t operands() const { return carries + sequences + constants; }
  size_t results() const { return carries + emissions; }
  size_t sequence(size_t k) const { return carries + k; }              // operand of sequence k
  size_t constant(size_t k) const { return carries + sequences + k; }  // operand of constant k
  size_t emission(size_t k) const { return carries + k; }              // result of emission k
  const char* role(size_t operand) const { return operand < carries ? role::carry : operand < carries + sequences ? role::element : role::constant; }
};

// The type without its first axis: of one element of a sequence.
Type without_time(const Type& sequence);
// The type of all elements one after the other.
Type over_time(const Type& element, const Dim& time);

// Whether two graphs compute the same outputs from the same inputs by the same nodes in the same order; names of nodes,
// axes and outputs, and where they come from, do not count.
bool same_computation(const Graph& a, const Graph& b);
size_t computation_hash(const Graph& g);

}  // namespace gradc
