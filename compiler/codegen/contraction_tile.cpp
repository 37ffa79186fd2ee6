#include "compiler/codegen/contraction_tile.h"

#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

#include "compiler/codegen/contraction_plan.h"

namespace gradc {
namespace {

class TileEmitter {
 public:
  TileEmitter(llvm::Module& module, const TileShape& shape, const TileBreaks& breaks, const std::string& name)
      : shape_(shape), breaks_(breaks), vectors_(static_cast<int>(shape.width / shape.lanes)), builder_(module.getContext()) {
    auto& b = builder_;
    element_ = shape.element == Element::F32 ? b.getFloatTy() : b.getDoubleTy();
    vector_ = llvm::FixedVectorType::get(element_, static_cast<unsigned>(shape.lanes));
    std::vector<llvm::Type*> parameters{b.getPtrTy(), b.getPtrTy(), b.getPtrTy(), b.getInt64Ty()};
    if (shape.asks > 0) parameters.push_back(b.getPtrTy());
    if (copies_rhs()) parameters.push_back(b.getPtrTy());
    own_parameters_ = static_cast<unsigned>(parameters.size());
    for (const TileWork* work : breaks.work) {
      for (llvm::Type* type : work->parameters(b)) parameters.push_back(type);
    }
    auto* type = llvm::FunctionType::get(b.getVoidTy(), parameters, false);
    function_ = llvm::Function::Create(type, llvm::GlobalValue::InternalLinkage, name, module);
    for (unsigned i = 0; i < own_parameters_; ++i)
      if (parameters[i]->isPointerTy()) function_->addParamAttr(i, llvm::Attribute::NoAlias);
    function_->addFnAttr(llvm::Attribute::NoUnwind);
    function_->addFnAttr(llvm::Attribute::NoInline);
    copies_ = sum_copies(shape.rows, vectors_);
  }

  llvm::Function* emit() {
    auto& b = builder_;
    auto *entry = block("entry"), *loop = block("k"), *done = copies_ > 1 || has_breaks() ? nullptr : block("done");
    b.SetInsertPoint(entry);
    unsigned parameter = own_parameters_;
    for (TileWork* work : breaks_.work) {
      work->enter(b, *function_, parameter);
      parameter += static_cast<unsigned>(work->parameters(b).size());
    }
    const Cursor start{function_->getArg(0), function_->getArg(1), copies_rhs() ? function_->getArg(shape_.asks > 0 ? 5 : 4) : nullptr, initial_sums()};
    auto* k = function_->getArg(3);
    if (has_breaks()) {
      emit_breaks(entry, loop, start, k);
    } else if (copies_ == 1) {
      b.CreateBr(loop);
      const Cursor end = emit_loop(loop, entry, start, k, 1, done);
      b.SetInsertPoint(done);
      store_sums(end.sums);
    } else {
      emit_copies(entry, loop, start, k);
    }
    b.CreateRetVoid();
    return function_;
  }

 private:
  using Sums = std::vector<llvm::Value*>;  // by copy, row, vector
  struct Cursor {
    llvm::Value *lhs, *rhs, *copy;  // copy: null where rhs stays where it is
    Sums sums;
  };

  llvm::BasicBlock* block(const char* name) { return llvm::BasicBlock::Create(builder_.getContext(), name, function_); }
  bool has_breaks() const { return !breaks_.work.empty(); }
  bool copies_rhs() const { return shape_.copy_row != 0; }
  size_t tile_size() const { return static_cast<size_t>(shape_.rows * vectors_); }
  llvm::Value* at(llvm::Value* base, int64_t index) { return index == 0 ? base : builder_.CreateConstGEP1_64(element_, base, static_cast<uint64_t>(index)); }
  llvm::Align align() const { return llvm::Align(byte_size(shape_.element)); }
  llvm::Value* sums_at(int row, int v) { return at(function_->getArg(2), row * shape_.sums_row + static_cast<int64_t>(v) * shape_.lanes); }

  Sums initial_sums() { return Sums(tile_size() * static_cast<size_t>(copies_), llvm::ConstantAggregateZero::get(vector_)); }

  // Whole groups of k into the copies, which are then added; the rest of k one by one.
  void emit_copies(llvm::BasicBlock* entry, llvm::BasicBlock* loop, const Cursor& start, llvm::Value* k) {
    auto& b = builder_;
    auto *add = block("add"), *rest = block("rest"), *done = block("done");
    auto* whole = b.CreateAnd(k, b.getInt64(~static_cast<uint64_t>(copies_ - 1)));
    b.CreateCondBr(b.CreateICmpSGT(whole, b.getInt64(0)), loop, add);
    const Cursor end = emit_loop(loop, entry, start, whole, copies_, add);
    b.SetInsertPoint(add);
    Cursor joined = join(entry, start, loop, end);
    for (int copy = 1; copy < copies_; ++copy)
      for (size_t i = 0; i < tile_size(); ++i)
        joined.sums[i] = b.CreateFAdd(joined.sums[i], joined.sums[static_cast<size_t>(copy) * tile_size() + i]);
    joined.sums.resize(tile_size());
    auto* left = b.CreateSub(k, whole);
    b.CreateCondBr(b.CreateICmpSGT(left, b.getInt64(0)), rest, done);
    const Cursor last = emit_loop(rest, add, joined, left, 1, done);
    b.SetInsertPoint(done);
    store_sums(join(add, joined, rest, last).sums);
  }

  // Breaks, each with some steps behind it, then the rest of k.
  void emit_breaks(llvm::BasicBlock* entry, llvm::BasicBlock* loop, const Cursor& start, llvm::Value* k) {
    auto& b = builder_;
    auto *between = block("between"), *rest = block("rest"), *done = block("done");
    b.CreateBr(loop);
    const Cursor middle = emit_loop(loop, entry, start, b.getInt64(static_cast<uint64_t>(breaks_.count)), static_cast<int>(breaks_.steps), between, true);
    b.SetInsertPoint(between);
    const int64_t taken = breaks_.count * breaks_.steps;
    auto* left = breaks_.k > 0 ? b.getInt64(static_cast<uint64_t>(breaks_.k - taken)) : b.CreateSub(k, b.getInt64(static_cast<uint64_t>(taken)));
    b.CreateCondBr(b.CreateICmpSGT(left, b.getInt64(0)), rest, done);
    const Cursor last = emit_loop(rest, between, middle, left, 1, done);
    b.SetInsertPoint(done);
    store_sums(join(between, middle, rest, last).sums);
  }

  llvm::Value* load_rhs(llvm::Value* rhs, int64_t k, int v) {
    auto& b = builder_;
    auto* address = at(rhs, k * shape_.rhs_k + static_cast<int64_t>(v) * shape_.lanes);
    const int64_t valid = shape_.valid - static_cast<int64_t>(v) * shape_.lanes;
    if (valid >= shape_.lanes) return b.CreateAlignedLoad(vector_, address, align());
    llvm::SmallVector<llvm::Constant*, 16> mask;
    for (int lane = 0; lane < shape_.lanes; ++lane) mask.push_back(b.getInt1(lane < valid));
    return b.CreateMaskedLoad(vector_, address, align(), llvm::ConstantVector::get(mask), llvm::ConstantAggregateZero::get(vector_));
  }

  // One or a few at a time: asked for all at once they would fill the queue of misses and hold up the loads of the tile itself.
  void ask_from_table(llvm::Value* left, int64_t step) {
    auto& b = builder_;
    for (int i = 0; i < shape_.asks; ++i) {
      auto* turn = b.CreateMul(b.CreateSub(left, b.getInt64(static_cast<uint64_t>(step))), b.getInt64(static_cast<uint64_t>(shape_.asks)));
      auto* index = b.CreateAnd(b.CreateSub(turn, b.getInt64(static_cast<uint64_t>(i))), b.getInt64(static_cast<uint64_t>(shape_.table - 1)));
      ask_for(b, b.CreateLoad(b.getPtrTy(), b.CreateGEP(b.getPtrTy(), function_->getArg(4), index)), true);
    }
  }

  // Rows far apart are no stream that the processor would follow by itself.
  void ask_ahead(llvm::Value* rhs, int64_t k) {
    constexpr int64_t rows_ahead = 32;
    ask_for_row(builder_, element_, at(rhs, (k + rows_ahead) * shape_.rhs_k), shape_.valid, shape_.rhs_k);
  }

  // One trip takes `steps` values of k, each into its own copy of the sums where there are several. `count`: of k, or of breaks.
  Cursor emit_loop(llvm::BasicBlock* loop, llvm::BasicBlock* before, const Cursor& start, llvm::Value* count, int steps, llvm::BasicBlock* after,
                   bool breaks = false) {
    auto& b = builder_;
    b.SetInsertPoint(loop);
    auto phi = [&](llvm::Value* from) {
      auto* p = b.CreatePHI(from->getType(), 2);
      p->addIncoming(from, before);
      return p;
    };
    auto* turn = phi(breaks ? b.getInt64(0) : count);  // of the breaks; without them, what is left of k
    auto *lhs = phi(start.lhs), *rhs = phi(start.rhs), *copy = copies_rhs() ? phi(start.copy) : nullptr;
    std::vector<llvm::PHINode*> sums;
    for (llvm::Value* s : start.sums) sums.push_back(phi(s));
    if (breaks) {
      for (TileWork* work : breaks_.work) work->emit(b, turn);
    }
    Cursor next{at(lhs, steps * shape_.lhs_k), at(rhs, steps * shape_.rhs_k), copy ? at(copy, steps * shape_.copy_row) : nullptr, Sums(sums.begin(), sums.end())};
    for (int step = 0; step < steps; ++step) {
      if (shape_.asks > 0) ask_from_table(breaks ? b.CreateSub(function_->getArg(3), b.CreateMul(turn, b.getInt64(static_cast<uint64_t>(steps)))) : turn, step);
      emit_step({lhs, rhs, copy, {}}, step, next.sums);
    }
    auto* next_turn = breaks ? b.CreateAdd(turn, b.getInt64(1)) : b.CreateSub(turn, b.getInt64(static_cast<uint64_t>(steps)));
    auto* latch = b.GetInsertBlock();  // breaks have blocks of their own
    turn->addIncoming(next_turn, latch);
    lhs->addIncoming(next.lhs, latch);
    rhs->addIncoming(next.rhs, latch);
    if (copy) copy->addIncoming(next.copy, latch);
    for (size_t i = 0; i < sums.size(); ++i) sums[i]->addIncoming(next.sums[i], latch);
    b.CreateCondBr(breaks ? b.CreateICmpSLT(next_turn, count) : b.CreateICmpSGT(next_turn, b.getInt64(0)), loop, after);
    return next;
  }

  void emit_step(const Cursor& from, int step, Sums& sums) {
    auto& b = builder_;
    if (from.copy) ask_ahead(from.rhs, step);
    Sums row;
    for (int v = 0; v < vectors_; ++v) {
      row.push_back(load_rhs(from.rhs, step, v));
      if (from.copy) b.CreateAlignedStore(row.back(), at(from.copy, step * shape_.copy_row + static_cast<int64_t>(v) * shape_.lanes), align());
    }
    const size_t own = copies_ > 1 ? static_cast<size_t>(step) * tile_size() : 0;
    for (int r = 0; r < shape_.rows; ++r) {
      auto* scalar = b.CreateAlignedLoad(element_, at(from.lhs, r * shape_.lhs_row + step * shape_.lhs_k), align());
      auto* splat = b.CreateVectorSplat(static_cast<unsigned>(shape_.lanes), scalar);
      for (int v = 0; v < vectors_; ++v) {
        auto& sum = sums[own + static_cast<size_t>(r * vectors_ + v)];
        sum = b.CreateIntrinsic(llvm::Intrinsic::fma, {vector_}, {splat, row[static_cast<size_t>(v)], sum});
      }
    }
  }

  // The values after a loop that may have been passed over.
  Cursor join(llvm::BasicBlock* skipped, const Cursor& before, llvm::BasicBlock* loop, const Cursor& after) {
    auto merge = [&](llvm::Value* a, llvm::Value* c) {
      auto* phi = builder_.CreatePHI(a->getType(), 2);
      phi->addIncoming(a, skipped);
      phi->addIncoming(c, loop);
      return phi;
    };
    Cursor joined{merge(before.lhs, after.lhs), merge(before.rhs, after.rhs), before.copy ? merge(before.copy, after.copy) : nullptr, {}};
    for (size_t i = 0; i < before.sums.size(); ++i) joined.sums.push_back(merge(before.sums[i], after.sums[i]));
    return joined;
  }

  // What is there already is added last: errors grow with the length of a block and the number of blocks, not with their product.
  void store_sums(const Sums& sums) {
    auto& b = builder_;
    for (int r = 0; r < shape_.rows; ++r)
      for (int v = 0; v < vectors_; ++v) {
        llvm::Value* sum = sums[static_cast<size_t>(r * vectors_ + v)];
        if (shape_.adds) sum = b.CreateFAdd(b.CreateAlignedLoad(vector_, sums_at(r, v), align()), sum);
        b.CreateAlignedStore(sum, sums_at(r, v), align());
      }
  }

  const TileShape shape_;
  const TileBreaks breaks_;
  const int vectors_;
  unsigned own_parameters_ = 0;
  int copies_ = 1;  // a power of two
  llvm::IRBuilder<> builder_;
  llvm::Type* element_ = nullptr;
  llvm::FixedVectorType* vector_ = nullptr;
  llvm::Function* function_ = nullptr;
};

}  // namespace

void ask_for(Builder& b, llvm::Value* address, bool to_write) {
  b.CreateIntrinsic(llvm::Intrinsic::prefetch, {b.getPtrTy()}, {address, b.getInt32(to_write), b.getInt32(3), b.getInt32(1)});
}

void ask_for_row(Builder& b, llvm::Type* element, llvm::Value* row, int64_t elements, int64_t apart) {
  const int64_t line = 64 / static_cast<int64_t>(element->getPrimitiveSizeInBits().getFixedValue() / 8);
  for (int64_t i = 0; i < elements; i += line) ask_for(b, i == 0 ? row : b.CreateConstGEP1_64(element, row, static_cast<uint64_t>(i)), false);
  if (apart % line != 0) ask_for(b, b.CreateConstGEP1_64(element, row, static_cast<uint64_t>(elements - 1)), false);
}

llvm::Function* emit_tile(llvm::Module& module, const TileShape& s, const TileBreaks& breaks) {
  const std::string columns = s.valid < s.width ? fmt::format("{}of{}", s.valid, s.width) : fmt::format("{}", s.width);
  std::string name = fmt::format("tile.{}.{}x{}.lhs{}_{}.rhs{}.sums{}{}", gradc::name(s.element), s.rows, columns, s.lhs_row, s.lhs_k, s.rhs_k, s.sums_row,
                                 s.adds ? ".adds" : "");
  if (s.asks > 0) name += fmt::format(".asks{}of{}", s.asks, s.table);
  if (s.copy_row != 0) name += fmt::format(".copy{}", s.copy_row);
  if (!breaks.work.empty()) name += fmt::format(".breaks{}x{}of{}", breaks.count, breaks.steps, breaks.k);
  for (const TileWork* work : breaks.work) name += '.' + work->name();
  if (!s.owner.empty()) name += '.' + s.owner;
  if (llvm::Function* known = module.getFunction(name)) return known;
  return TileEmitter(module, s, breaks, name).emit();
}

}  // namespace gradc
