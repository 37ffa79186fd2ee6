#pragma once

#include "compiler/codegen/emitter.h"

namespace gradc {

// `lanes` rows of `chunk` (16 bytes of) elements, `in_row` apart, become `chunk` vectors, `out_row` apart.
void transpose_rows(Builder& b, llvm::Type* element, int lanes, int chunk, llvm::Value* in, int64_t in_row, llvm::Value* out, int64_t out_row);

}  // namespace gradc
