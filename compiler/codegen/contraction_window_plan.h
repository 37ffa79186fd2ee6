#pragma once

#include <optional>
#include <vector>

#include "compiler/schedule/windows.h"

namespace gradc {

// A contraction whose left operand reads an image through windows (schedule/windows.h). A box of the image is evaluated into scratch,
// padding included, and the register tiles read their rows from it at constant distances: no element is packed twice.
//
// A convolution (`!sums_places`) goes through the box's rows, each tile summing over all of K in pieces; the derivative by a filter goes
// through pieces of K, each with a box of its own, and adds each to all rows and columns of the block.
// Everything here follows from the body and the target; sizes in elements.
struct WindowPlan {
  Windows windows;
  int lanes = 8;
  int64_t mr = 6, nr = 16;
  int64_t M = 1, N = 1, K = 1;
  int n = -1;                   // dim of the columns; -1: one column
  bool direct = false;          // the right operand is read where it lies
  bool transposes = false;      // it lies along K: panels are turned
  std::vector<int> batch;       // dims
  std::vector<int> outer;       // dims of M before the line
  std::vector<int> k;           // dims of K
  int64_t run = 1;              // rows of a line in one block
  std::vector<int64_t> row_extents;  // outer dims, then the line
  Stretch block;                // of row_extents: a block of the grid
  Stretch box;                  // of the extents of `outer`: rows of one box, where rows are places. Else as far as the block goes
  Stretch piece;                // of the extents of `k`: summed by one call of a tile
  int64_t pieces = 1;
  int64_t block_m = 1, block_n = 1, blocks_m = 1, blocks_n = 1, batches = 1;
  bool resident = true;         // all panels of the block are packed once

  // The box: strides and extents by axis of the image, and strides by dim of the contraction.
  std::vector<int64_t> axis_stride, axis_extent;
  std::vector<int64_t> dim_stride;
  std::vector<int64_t> rhs_stride;  // by dim of the contraction: where the tiles read the right operand
  int64_t lowest = 0;           // place in the box of the first row's first summand
  int64_t line_stride = 0;

  int64_t piece_terms = 1;      // the most summands of a piece
  int64_t temp_row = 0;
  // Byte offsets of the parts of the scratch.
  int64_t image_at = 0, rhs_at = 0, temp_at = 0, sums_at = 0, bytes = 0;
};

std::optional<WindowPlan> plan_windows(const Contraction& contraction, const Target& target);

}  // namespace gradc
