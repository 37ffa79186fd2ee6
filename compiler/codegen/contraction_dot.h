#pragma once

#include <algorithm>

#include <llvm/IR/Module.h>

#include "compiler/graph/type.h"

namespace gradc {

// The inner loop of a product with so few columns that a vector along them would be mostly empty: vectors run along k, in both
// operands, and every sum is a vector of partial sums.
struct DotShape {
  Element element = Element::F32;
  int lanes = 8;                    // of a vector
  int rows = 8, columns = 1;        // rows * columns vectors are held in registers
  int64_t lhs_row = 0, rhs_row = 0; // strides in elements; both have k contiguous
  bool adds = false;                // to the sums already in memory; else starts from zero
  bool whole = false;               // k is always a multiple of lanes
};

// Rows of a tile: with a few columns as many as keep all sums of a tile in one vector; with more, as many as leave registers for the
// elements of both operands.
inline int64_t dot_rows(int64_t lanes, int64_t registers, int64_t columns) {
  return columns <= lanes / 4 ? lanes / columns : std::max<int64_t>(1, (registers - 1) / (columns + 1));
}

// void dot(ptr lhs, ptr rhs, ptr sums, i64 k): sums[row * columns + column] (+)= the dot product over k > 0 elements. Lanes are added
// pairwise in halves, so the tree follows from k and the number of lanes.
llvm::Function* emit_dot_tile(llvm::Module& module, const DotShape& shape);

}  // namespace gradc
