#pragma once

#include <llvm/IR/Module.h>

#include "compiler/graph/type.h"

namespace gradc {

// The inner loop of a product with so few columns that a vector along them would be mostly empty: vectors run along k, in both
// operands, and every sum is a vector of partial sums.
struct DotShape {
  Element element = Element::F32;
  int lanes = 8;                    // of a vector
  int rows = 8, columns = 1;        // rows * columns <= lanes
  int64_t lhs_row = 0, rhs_row = 0; // strides in elements; both have k contiguous
  bool adds = false;                // to the sums already in memory; else starts from zero
};

// Most rows that keep all sums of a tile in one vector.
inline int most_dot_rows(int lanes, int64_t columns) { return static_cast<int>(lanes / columns); }

// void dot(ptr lhs, ptr rhs, ptr sums, i64 k): sums[row * columns + column] (+)= the dot product over k > 0 elements. Lanes are added
// pairwise in halves, so the tree follows from k and the number of lanes.
llvm::Function* emit_dot_tile(llvm::Module& module, const DotShape& shape);

}  // namespace gradc
