#include "compiler/codegen/contraction_transpose.h"

#include <algorithm>
#include <vector>

#include "compiler/codegen/contraction_loops.h"

namespace gradc {
namespace {

using llvm::Value;

Value* concatenate(Builder& b, Value* x, Value* y) {
  const auto width = llvm::cast<llvm::FixedVectorType>(x->getType())->getNumElements();
  llvm::SmallVector<int, 16> mask;
  for (unsigned i = 0; i < 2 * width; ++i) mask.push_back(static_cast<int>(i));
  return b.CreateShuffleVector(x, y, mask);
}

// Within each part of `part` lanes: groups of `size` lanes from the low (or high) half of x and y in turn. The unpack instructions.
Value* interleave(Builder& b, Value* x, Value* y, int lanes, int part, int size, bool high) {
  llvm::SmallVector<int, 16> mask;
  for (int lane = 0; lane < lanes; ++lane) {
    const int group = lane % part / size;
    const int from = lane / part * part + (group / 2) * size + lane % size + (high ? part / 2 : 0);
    mask.push_back(group % 2 == 0 ? from : lanes + from);
  }
  return b.CreateShuffleVector(x, y, mask);
}

}  // namespace

// The pieces of rows i, i + chunk, i + 2 chunk ... are put side by side, then each 16-byte part is transposed with its neighbours.
void transpose_rows(Builder& b, llvm::Type* element, int lanes, int chunk, Value* in, int64_t in_row, Value* out, int64_t out_row) {
  const llvm::Align align(element->getPrimitiveSizeInBits().getFixedValue() / 8);
  auto* piece = llvm::FixedVectorType::get(element, static_cast<unsigned>(chunk));
  std::vector<Value*> v;
  for (int i = 0; i < chunk; ++i) {
    std::vector<Value*> parts;
    for (int row = i; row < lanes; row += chunk)
      parts.push_back(b.CreateAlignedLoad(piece, b.CreateConstGEP1_64(element, in, static_cast<uint64_t>(row * in_row)), align));
    for (; parts.size() > 1; parts.resize(parts.size() / 2))
      for (size_t j = 0; j < parts.size() / 2; ++j) parts[j] = concatenate(b, parts[2 * j], parts[2 * j + 1]);
    v.push_back(parts[0]);
  }
  auto zip = [&](size_t x, size_t y, int size, bool high) { return interleave(b, v[x], v[y], lanes, chunk, size, high); };
  if (chunk == 2) v = {zip(0, 1, 1, false), zip(0, 1, 1, true)};
  if (chunk == 4) {
    v = {zip(0, 1, 1, false), zip(2, 3, 1, false), zip(0, 1, 1, true), zip(2, 3, 1, true)};
    v = {zip(0, 1, 2, false), zip(0, 1, 2, true), zip(2, 3, 2, false), zip(2, 3, 2, true)};
  }
  for (int i = 0; i < chunk; ++i)
    b.CreateAlignedStore(v[static_cast<size_t>(i)], b.CreateConstGEP1_64(element, out, static_cast<uint64_t>(i * out_row)), align);
}

void transpose(Builder& b, llvm::Type* element, int lanes, const StoredMatrix& in, bool padded, Value* out, int64_t out_row) {
  const int64_t chunk = std::max<int64_t>(1, 16 / static_cast<int64_t>(element->getPrimitiveSizeInBits().getFixedValue() / 8));
  auto times = [&](Value* v, int64_t factor) { return b.CreateMul(v, b.getInt64(static_cast<uint64_t>(factor))); };
  auto* last = b.CreateSub(in.columns, b.getInt64(static_cast<uint64_t>(chunk)));
  for_loop(b, b.getInt64(0), in.rows, lanes, [&](Value* row) {
    for_loop(b, b.getInt64(0), in.columns, chunk, [&](Value* at) {
      auto* column = padded ? at : b.CreateSelect(b.CreateICmpSLT(at, last), at, last);
      auto* from = b.CreateGEP(element, in.at, b.CreateAdd(times(row, in.row), column));
      auto* to = b.CreateGEP(element, out, b.CreateAdd(times(column, out_row), row));
      transpose_rows(b, element, lanes, static_cast<int>(chunk), from, in.row, to, out_row);
    });
  });
}

}  // namespace gradc
