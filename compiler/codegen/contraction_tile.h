#pragma once

#include <string>

#include "compiler/codegen/emitter.h"

namespace gradc {

// The inner loop of a product: `rows` x `width` sums held in registers while k runs.
struct TileShape {
  Element element = Element::F32;
  int lanes = 8;
  int rows = 6;
  int64_t width = 16;        // a multiple of lanes
  int64_t valid = 16;        // columns that exist, where rhs is read in place; the others are not touched
  int64_t lhs_row = 0, lhs_k = 1;  // strides in elements
  int64_t rhs_k = 16;
  int64_t sums_row = 16;     // row length of the sums in memory
  bool adds = false;         // to the sums already in memory; else starts from zero
  int asks = 0;              // cache lines asked for at each step of k, from a table of `table` addresses (a power of two), in turn
  int64_t table = 0;
  std::string owner;         // not empty: the only body that uses the tile
  int64_t copy_row = 0;      // not 0: what is read of rhs is stored too, into rows of that length; columns beyond `valid` as zeros
};

void ask_for(Builder& builder, llvm::Value* address, bool to_write);
// Every line of a row of so many elements. `apart`: elements from one row to the next; where those are no whole lines, a row may begin inside of one.
void ask_for_row(Builder& builder, llvm::Type* element, llvm::Value* row, int64_t elements, int64_t apart);

// Work done in the breaks of a tile: the processor does it beside the multiply-adds that follow.
class TileWork {
 public:
  virtual ~TileWork() = default;
  // Of a tile with this work in it.
  virtual std::string name() const = 0;
  // Of the tile, behind those that it has itself.
  virtual std::vector<llvm::Type*> parameters(Builder& builder) const = 0;
  // Where the tile begins; `first`: number of the first of these parameters.
  virtual void enter(Builder& builder, llvm::Function& tile, unsigned first) = 0;
  // In one of the breaks.
  virtual void emit(Builder& builder, llvm::Value* number) = 0;
};

struct TileBreaks {
  int64_t count = 0, steps = 1;  // so many breaks, each before so many steps of k
  int64_t k = 0;                 // steps of every sum, 0 where they differ; never fewer than count * steps
  std::vector<TileWork*> work;
};

// void tile(ptr lhs, ptr rhs, ptr sums, i64 k [, ptr table] [, ptr copy]): sums (+)= lhs * rhs over k > 0 steps, in order of k.
// Bodies of one module share the tiles they have in common.
llvm::Function* emit_tile(llvm::Module& module, const TileShape& shape, const TileBreaks& breaks = {});

}  // namespace gradc
