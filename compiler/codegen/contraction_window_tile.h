#pragma once

#include <llvm/IR/Module.h>

#include "compiler/graph/type.h"

namespace gradc {

// The inner loops of a product whose rows and summands lie at constant distances in an image.
struct WindowTileShape {
  struct Loop {
    int64_t extent = 1;  // of the outermost: given with each call
    int64_t lhs = 0, rhs = 0;  // strides in elements
  };
  Element element = Element::F32;
  int lanes = 8;
  int rows = 6;
  int64_t width = 16;            // columns, a multiple of lanes
  int64_t row_stride = 0;        // of lhs
  int64_t nr = 16;               // row length of the sums
  std::vector<Loop> loops{};     // over the summands, outermost first
};

// void tile(ptr lhs, ptr rhs, ptr sums, i64 count, i1 adds): sums (+)= lhs * rhs, in order of the summands; count: of the outermost loop.
// Bodies of one module share the tiles they have in common.
llvm::Function* emit_window_tile(llvm::Module& module, const WindowTileShape& shape);

}  // namespace gradc
