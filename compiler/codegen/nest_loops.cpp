#include "compiler/codegen/nest_loops.h"

#include <algorithm>
#include <numeric>

#include "compiler/support/error.h"

namespace gradc {

using llvm::Value;

LoopNest::LoopNest(BodyContext& context, const Nest& nest, int levels) : context_(context), b_(context.builder), zero_(i64(0)) {
  for (const KernelDim& d : nest.dims) ranges_.push_back({zero_, i64(d.extent), d.extent, d.extent, d.extent});
  block_start_.assign(nest.dims.size(), zero_);
  levels_.resize(static_cast<size_t>(levels) + 1);
  bound_.assign(nest.dims.size(), 0);
}

Value* LoopNest::plus(Value* a, Value* c) {
  auto* constant = llvm::dyn_cast<llvm::ConstantInt>(a);
  return constant && constant->isZero() ? c : b_.CreateAdd(a, c);
}

Value* LoopNest::times(Value* a, int64_t c) { return c == 1 ? a : b_.CreateMul(a, i64(c)); }

llvm::BasicBlock* LoopNest::block(const char* name) { return llvm::BasicBlock::Create(b_.getContext(), name, context_.function); }

// The first branch out of a level's own code is where later discoveries are hoisted to; true if it is this one.
bool LoopNest::leave_open(int level, llvm::Instruction* branch) {
  if (at_level(level).exit) return false;
  at_level(level).exit = branch;
  return true;
}

DimRange LoopNest::tile(const DimRange& outer, Value* begin, int64_t step) {
  if (step == 1) return {begin, nullptr, 1, 1, 1};  // no loop over this dim follows
  Value* end = b_.CreateAdd(begin, i64(step));
  if (outer.size >= 0 && outer.size % step == 0) return {begin, end, step, step, step};
  if (outer.size >= 0 && step >= outer.size) return outer;
  if (outer.size < 0 && outer.multiple % step == 0) return {begin, end, step, step, step};
  end = b_.CreateSelect(b_.CreateICmpSLT(end, outer.end), end, outer.end);
  return {begin, end, -1, std::gcd(step, outer.multiple), std::min(step, outer.most)};
}

void LoopNest::blocks(const std::vector<Loop>& parallel, const std::function<void()>& body) {
  auto *head = block("block"), *after = block("done");
  auto* before = b_.GetInsertBlock();
  at_level(0).exit = b_.CreateCondBr(b_.CreateICmpSLT(context_.begin, context_.end), head, after);
  b_.SetInsertPoint(head);
  llvm::PHINode* number = b_.CreatePHI(b_.getInt64Ty(), 2, "block");
  number->addIncoming(context_.begin, before);
  block_ = number;

  std::vector<int64_t> trips, most;
  for (const DimRange& r : ranges_) most.push_back(r.most);
  for (const Loop& l : parallel) {
    int64_t& m = most[static_cast<size_t>(l.dim)];
    trips.push_back((m + l.step - 1) / l.step);
    m = std::min(m, l.step);
  }
  std::vector<Value*> counters(parallel.size());
  Value* rest = number;
  for (size_t i = parallel.size(); i-- > 0;) {
    bool outermost = i == 0;
    counters[i] = outermost ? rest : trips[i] == 1 ? zero_ : b_.CreateURem(rest, i64(trips[i]));
    if (!outermost && trips[i] > 1) rest = b_.CreateUDiv(rest, i64(trips[i]));
  }
  for (size_t i = 0; i < parallel.size(); ++i) {
    auto d = static_cast<size_t>(parallel[i].dim);
    DimRange& r = ranges_[d];
    Value* begin = plus(r.begin, times(counters[i], parallel[i].step));
    GRADC_ASSERT(r.size >= 0 || r.multiple % parallel[i].step == 0, "parallel tiles of a dim that do not nest evenly");
    r = tile(r, begin, parallel[i].step);
    at_level(1).index[d] = begin;
    block_start_[d] = begin;
  }
  body();

  Value* next = b_.CreateAdd(number, i64(1));
  number->addIncoming(next, b_.GetInsertBlock());
  mark_final_loop(b_.CreateCondBr(b_.CreateICmpSLT(next, context_.end), head, after));
  after->moveAfter(b_.GetInsertBlock());
  b_.SetInsertPoint(after);
}

// A level of one trip: no loop, but a block of its own, so that its parent has an end to hoist to.
Values LoopNest::once(int level, size_t dim, Value* index, const DimRange& inside, Values carried, const LoopBody& body) {
  auto* into = block("once");
  bool opened = leave_open(level - 1, b_.CreateBr(into));
  b_.SetInsertPoint(into);
  at_level(level) = Level{};
  at_level(level).index[dim] = index;
  DimRange outer = std::exchange(ranges_[dim], inside);
  Values result = body(std::move(carried));
  ranges_[dim] = outer;
  if (opened) at_level(level - 1).exit = nullptr;
  return result;
}

// At least one trip.
Values LoopNest::counted_loop(int level, size_t dim, const DimRange& range, int64_t step,
                              const std::function<DimRange(Value*)>& inside, Values carried, const LoopBody& body) {
  auto *head = block("loop"), *before = b_.GetInsertBlock();
  llvm::Instruction* branch = b_.CreateBr(head);
  bool opened = leave_open(level - 1, branch);
  b_.SetInsertPoint(head);
  Level& l = at_level(level) = Level{};
  l.phi = b_.CreatePHI(b_.getInt64Ty(), 2, "i");
  l.phi->addIncoming(range.begin, before);
  l.index[dim] = l.phi;
  l.before = before, l.start = range.begin, l.step = step;
  std::vector<llvm::PHINode*> phis;
  for (Value* v : carried) {
    phis.push_back(b_.CreatePHI(v->getType(), 2));
    phis.back()->addIncoming(v, before);
  }
  DimRange outer = std::exchange(ranges_[dim], inside(l.phi));
  Values result = body(Values(phis.begin(), phis.end()));
  ranges_[dim] = outer;

  context_.statements.locate(nullptr);
  auto* latch = b_.GetInsertBlock();
  Value* next = b_.CreateAdd(l.phi, i64(step));
  l.phi->addIncoming(next, latch);
  for (auto [phi, increment] : l.counted) phi->addIncoming(b_.CreateAdd(phi, i64(increment)), latch);
  for (size_t i = 0; i < phis.size(); ++i) phis[i]->addIncoming(result[i], latch);
  auto* after = block("after");
  mark_final_loop(b_.CreateCondBr(b_.CreateICmpSLT(next, range.end), head, after));
  b_.SetInsertPoint(after);
  if (opened) at_level(level - 1).exit = nullptr;
  return result;
}

Values LoopNest::when(int level, Value* condition, Values carried, const LoopBody& body) {
  auto *then = block("then"), *after = block("after"), *before = b_.GetInsertBlock();
  bool opened = leave_open(level - 1, b_.CreateCondBr(condition, then, after));
  b_.SetInsertPoint(then);
  Values done = body(carried);
  context_.statements.locate(nullptr);
  auto* last = b_.GetInsertBlock();
  b_.CreateBr(after);
  after->moveAfter(last);
  b_.SetInsertPoint(after);
  for (size_t i = 0; i < carried.size(); ++i) {
    llvm::PHINode* phi = b_.CreatePHI(carried[i]->getType(), 2);
    phi->addIncoming(carried[i], before);
    phi->addIncoming(done[i], last);
    done[i] = phi;
  }
  if (opened) at_level(level - 1).exit = nullptr;
  return done;
}

Values LoopNest::loop(int level, const Loop& loop, int64_t step, Values carried, const LoopBody& body) {
  auto dim = static_cast<size_t>(loop.dim);
  DimRange range = ranges_[dim];
  if (range.most == 0) return carried;
  if (range.most <= step) return once(level, dim, range.begin, range, std::move(carried), body);
  auto inside = [&](Value* begin) { return tile(range, begin, step); };
  return counted_loop(level, dim, range, step, inside, std::move(carried), body);
}

Values LoopNest::vector_loop(int level, int dim, int width, bool masked_throughout, Values carried,
                             const std::function<Values(Values, Value*)>& body) {
  auto d = static_cast<size_t>(dim);
  const DimRange range = ranges_[d];
  if (range.most == 0) return carried;
  auto whole = [&](Values v) { return body(std::move(v), nullptr); };
  auto inside = [&](Value* begin) { return DimRange{begin, nullptr, width, width, width}; };
  auto lanes = [&](Value* rest) -> Value* {  // the first `rest` lanes
    llvm::SmallVector<uint32_t, 16> numbers(static_cast<size_t>(width));
    std::iota(numbers.begin(), numbers.end(), 0u);
    Value* count = b_.CreateVectorSplat(static_cast<unsigned>(width), b_.CreateTrunc(rest, b_.getInt32Ty()));
    return b_.CreateICmpSLT(llvm::ConstantDataVector::get(b_.getContext(), numbers), count);
  };
  auto masked = [&](Values v) { return body(std::move(v), lanes(b_.CreateSub(range.end, at_level(level).index.at(d)))); };

  if (range.multiple % width == 0) {
    if (range.size == width) return once(level, d, range.begin, range, std::move(carried), whole);
    return counted_loop(level, d, range, width, inside, std::move(carried), whole);
  }
  if (range.most < width) {
    auto few = [&](Values v) { return body(std::move(v), lanes(range.size >= 0 ? i64(range.size) : b_.CreateSub(range.end, range.begin))); };
    return once(level, d, range.begin, range, std::move(carried), few);
  }
  if (masked_throughout) return counted_loop(level, d, range, width, inside, std::move(carried), masked);

  Value *size = range.size >= 0 ? i64(range.size) : b_.CreateSub(range.end, range.begin);
  Value* rest = b_.CreateURem(size, i64(width));
  Value* middle = plus(range.begin, b_.CreateSub(size, rest));
  DimRange front{range.begin, middle, range.size < 0 ? -1 : range.size / width * width, width, range.most};
  auto main = [&](Values v) {
    if (front.size == width) return once(level, d, range.begin, front, std::move(v), whole);
    return counted_loop(level, d, front, width, inside, std::move(v), whole);
  };
  auto tail = [&](Values v) {
    auto last = [&](Values w) { return body(std::move(w), lanes(rest)); };
    return once(level, d, middle, {middle, range.end, -1, 1, width - 1}, std::move(v), last);
  };
  if (range.size >= 0) return tail(main(std::move(carried)));
  carried = when(level, b_.CreateICmpSLT(range.begin, middle), std::move(carried), main);
  return when(level, b_.CreateICmpNE(rest, zero_), std::move(carried), tail);
}

// ---- addresses ----

// Puts the builder where code of a level belongs: before the branch into the loops under it, or here if we are at that level.
void LoopNest::position(int level) {
  if (llvm::Instruction* exit = at_level(level).exit) {
    b_.SetInsertPoint(exit);
    context_.statements.locate(nullptr);
  }
}

Value* LoopNest::multiple(int level, size_t dim, int64_t stride) {
  Level& l = at_level(level);
  Value* index = l.index_of(dim, zero_);
  if (stride == 1) return index;
  Value*& known = l.multiples[{dim, stride}];
  if (known) return known;
  Builder::InsertPointGuard guard(b_);
  if (index != l.phi) {
    position(level);
    return known = times(index, stride);
  }
  b_.SetInsertPoint(l.before->getTerminator());
  Value* start = times(l.start, stride);
  b_.SetInsertPoint(l.phi->getParent(), l.phi->getIterator());
  llvm::PHINode* phi = b_.CreatePHI(b_.getInt64Ty(), 2);
  phi->addIncoming(start, l.before);
  l.counted.emplace_back(phi, stride * l.step);
  return known = phi;
}

// offset + strides * index as a number (slot -1), or as a pointer into a slot.
Value* LoopNest::sum(int slot, const Affine& at, int64_t offset) {
  llvm::Type* element = slot < 0 ? nullptr : context_.statements.memory_type(context_.body.slots[static_cast<size_t>(slot)].element);
  Value* total = slot < 0 ? i64(offset) : context_.statements.slot_pointer(slot);
  std::vector<int64_t> seen(at.strides.size(), 0);
  for (int level = 1; level < static_cast<int>(levels_.size()); ++level) {
    bool moves = false;
    for (size_t d = 0; d < at.strides.size(); ++d) {
      if (bound_[d] != level || at.strides[d] == 0) continue;
      seen[d] = at.strides[d];
      moves = true;
    }
    if (!moves) continue;
    Value*& known = at_level(level).sums[{slot, slot < 0 ? offset : 0, seen}];
    if (!known) {
      Value* step = nullptr;
      for (size_t d = 0; d < at.strides.size(); ++d) {
        if (bound_[d] != level || at.strides[d] == 0) continue;
        Value* m = multiple(level, d, at.strides[d]);
        Builder::InsertPointGuard guard(b_);
        position(level);
        step = step ? b_.CreateAdd(step, m) : m;
      }
      Builder::InsertPointGuard guard(b_);
      position(level);
      known = slot < 0 ? plus(total, step) : b_.CreateGEP(element, total, step);
    }
    total = known;
  }
  return total;
}

Value* LoopNest::linear(const Affine& at) { return sum(-1, at, at.offset); }

// The constant goes last: it is the displacement of an x86 address, and accesses that differ by it share the rest.
Value* LoopNest::address(int slot, const Affine& at) {
  Value* base = sum(slot, at, 0);
  if (at.offset == 0) return base;
  llvm::Type* element = context_.statements.memory_type(context_.body.slots[static_cast<size_t>(slot)].element);
  return b_.CreateConstGEP1_64(element, base, static_cast<uint64_t>(at.offset));
}

Value* LoopNest::block_times(int64_t stride) {
  Value*& known = block_multiples_[stride];
  if (known) return known;
  Builder::InsertPointGuard guard(b_);
  position(1);
  return known = times(block_, stride);
}

}  // namespace gradc
