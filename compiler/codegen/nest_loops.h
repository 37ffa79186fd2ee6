#pragma once

#include <functional>
#include <map>
#include <tuple>

#include "compiler/codegen/emitter.h"

namespace gradc {

using Values = std::vector<llvm::Value*>;  // carried round loops: accumulators
using LoopBody = std::function<Values(Values)>;

// The values a dim takes at some place: all, or those of the tiles round that place.
struct DimRange {
  llvm::Value* begin;
  llvm::Value* end;  // null where no loop over the dim can follow
  int64_t size;      // -1: known only when running, at most `most` and a multiple of `multiple`
  int64_t multiple;
  int64_t most;
};

// The loops open while a nest is emitted, and the address arithmetic spread over them: what an index adds to an address is added
// at the level of its loop, in multiples that are counted up beside the index, so that the innermost loop is left with one addition.
class LoopNest : public Point {
 public:
  LoopNest(BodyContext& context, const Nest& nest, int levels);

  // Runs body for each block in [begin, end) at level 1, with the indices of the parallel loops set.
  void blocks(const std::vector<Loop>& parallel, const std::function<void()>& body);
  // One loop, at `level`; `step` of the vectorised loop is its width. Its range is narrowed inside.
  Values loop(int level, const Loop& loop, int64_t step, Values carried, const LoopBody& body);
  // The vectorised loop: body gets the lanes' mask. Whole vectors first and one masked rest, or masked throughout.
  Values vector_loop(int level, int dim, int width, bool masked_throughout, Values carried,
                     const std::function<Values(Values, llvm::Value* mask)>& body);

  // Which level's index each dim has for the statements that follow.
  void bind(const std::vector<int>& bound) { bound_ = bound; }
  llvm::Value* index(size_t dim) { return levels_[static_cast<size_t>(bound_[dim])].index_of(dim, zero_); }
  llvm::Value* block_start(size_t dim) const { return block_start_[dim]; }
  const DimRange& range(size_t dim) const { return ranges_[dim]; }

  llvm::Value* linear(const Affine& at) override;
  llvm::Value* address(int slot, const Affine& at) override;
  llvm::Value* block_times(int64_t stride) override;

 private:
  using Key = std::tuple<int, int64_t, std::vector<int64_t>>;  // slot (-1: index arithmetic), offset, strides of bound dims
  struct Level {
    std::map<size_t, llvm::Value*> index;                      // by dim (the grid has several)
    llvm::PHINode* phi = nullptr;                              // of a loop: its index
    llvm::BasicBlock* before = nullptr;
    llvm::Value* start = nullptr;
    int64_t step = 1;
    llvm::Instruction* exit = nullptr;                         // branch into the next level, once open: hoisted code goes before it
    std::map<std::pair<size_t, int64_t>, llvm::Value*> multiples;
    std::vector<std::pair<llvm::PHINode*, int64_t>> counted;   // multiples that are loop-carried, with their increments
    std::map<Key, llvm::Value*> sums;
    llvm::Value* index_of(size_t dim, llvm::Value* otherwise) const {
      auto i = index.find(dim);
      return i == index.end() ? otherwise : i->second;
    }
  };

  Level& at_level(int level) { return levels_[static_cast<size_t>(level)]; }
  llvm::Value* i64(int64_t v) { return b_.getInt64(static_cast<uint64_t>(v)); }
  llvm::Value* plus(llvm::Value* a, llvm::Value* c);
  llvm::Value* times(llvm::Value* a, int64_t c);
  llvm::BasicBlock* block(const char* name);
  bool leave_open(int level, llvm::Instruction* branch);
  Values once(int level, size_t dim, llvm::Value* index, const DimRange& inside, Values carried, const LoopBody& body);
  Values counted_loop(int level, size_t dim, const DimRange& range, int64_t step, const std::function<DimRange(llvm::Value*)>& inside,
                      Values carried, const LoopBody& body);
  Values when(int level, llvm::Value* condition, Values carried, const LoopBody& body);
  DimRange tile(const DimRange& outer, llvm::Value* begin, int64_t step);
  void position(int level);
  llvm::Value* multiple(int level, size_t dim, int64_t stride);
  llvm::Value* sum(int slot, const Affine& at, int64_t offset);

  BodyContext& context_;
  Builder& b_;
  llvm::Value* zero_;
  std::vector<DimRange> ranges_;
  std::vector<llvm::Value*> block_start_;
  std::vector<Level> levels_;
  std::vector<int> bound_;
  llvm::Value* block_ = nullptr;
  std::map<int64_t, llvm::Value*> block_multiples_;
};

}  // namespace gradc
