#pragma once

#include "compiler/codegen/emitter.h"

namespace gradc {

// `lanes` rows of `chunk` (16 bytes of) elements, `in_row` apart, become `chunk` vectors, `out_row` apart.
void transpose_rows(Builder& b, llvm::Type* element, int lanes, int chunk, llvm::Value* in, int64_t in_row, llvm::Value* out, int64_t out_row);

// A matrix in memory: its rows, each of `columns` elements, `row` elements apart.
struct StoredMatrix {
  llvm::Value* at;
  int64_t row;
  llvm::Value *rows, *columns;
};

// Rows, a multiple of `lanes` of them, become columns of `out`, whose rows are `out_row` apart. Where columns are no multiple of 16 bytes, either
// there is room for more behind each row of both (`padded`), or there are 16 bytes at least, and the last of them are turned twice.
void transpose(Builder& b, llvm::Type* element, int lanes, const StoredMatrix& in, bool padded, llvm::Value* out, int64_t out_row);

}  // namespace gradc
