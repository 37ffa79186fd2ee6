#include "compiler/codegen/contraction_dot.h"

#include <bit>

#include <fmt/format.h>
#include <llvm/IR/Intrinsics.h>

#include "compiler/codegen/contraction_loops.h"

namespace gradc {
namespace {

using llvm::Value;

class DotEmitter {
 public:
  DotEmitter(llvm::Module& module, const DotShape& shape, const std::string& name) : shape_(shape), b_(module.getContext()) {
    element_ = shape.element == Element::F32 ? b_.getFloatTy() : b_.getDoubleTy();
    vector_ = llvm::FixedVectorType::get(element_, static_cast<unsigned>(shape.lanes));
    auto* type = llvm::FunctionType::get(b_.getVoidTy(), {b_.getPtrTy(), b_.getPtrTy(), b_.getPtrTy(), b_.getInt64Ty()}, false);
    function_ = llvm::Function::Create(type, llvm::GlobalValue::InternalLinkage, name, module);
    for (unsigned i = 0; i < 3; ++i) function_->addParamAttr(i, llvm::Attribute::NoAlias);
    function_->addFnAttr(llvm::Attribute::NoUnwind);
    function_->addFnAttr(llvm::Attribute::NoInline);
  }

  llvm::Function* emit() {
    auto *entry = block("entry"), *loop = block("k"), *after = block("after");
    auto* k = function_->getArg(3);
    const Sums zero(static_cast<size_t>(shape_.rows * shape_.columns), llvm::ConstantAggregateZero::get(vector_));
    b_.SetInsertPoint(entry);
    auto* whole = shape_.whole ? k : b_.CreateAnd(k, b_.getInt64(~static_cast<uint64_t>(shape_.lanes - 1)));
    shape_.whole ? b_.CreateBr(loop) : b_.CreateCondBr(b_.CreateICmpSGT(whole, b_.getInt64(0)), loop, after);
    const Sums sums = emit_loop(entry, loop, after, whole, zero);
    b_.SetInsertPoint(after);
    store_all(shape_.whole ? sums : emit_rest(entry, loop, after, whole, zero, sums));
    b_.CreateRetVoid();
    return function_;
  }

 private:
  using Sums = std::vector<Value*>;  // by row, column

  llvm::BasicBlock* block(const char* name) { return llvm::BasicBlock::Create(b_.getContext(), name, function_); }
  llvm::Align align() const { return llvm::Align(byte_size(shape_.element)); }

  std::vector<llvm::PHINode*> phis(const Sums& values, llvm::BasicBlock* from) {
    std::vector<llvm::PHINode*> result;
    for (Value* v : values) {
      result.push_back(b_.CreatePHI(vector_, 2));
      result.back()->addIncoming(v, from);
    }
    return result;
  }

  // Whole vectors along k.
  Sums emit_loop(llvm::BasicBlock* entry, llvm::BasicBlock* loop, llvm::BasicBlock* after, Value* whole, const Sums& zero) {
    b_.SetInsertPoint(loop);
    auto* i = b_.CreatePHI(b_.getInt64Ty(), 2);
    const auto sums = phis(zero, entry);
    const Sums added = step(i, {sums.begin(), sums.end()}, nullptr);
    auto* next = b_.CreateAdd(i, b_.getInt64(static_cast<uint64_t>(shape_.lanes)));
    i->addIncoming(b_.getInt64(0), entry);
    i->addIncoming(next, loop);
    for (size_t s = 0; s < sums.size(); ++s) sums[s]->addIncoming(added[s], loop);
    mark_final_loop(b_.CreateCondBr(b_.CreateICmpSLT(next, whole), loop, after));
    return added;
  }

  // What is left of k, behind the loop or instead of it.
  Sums emit_rest(llvm::BasicBlock* entry, llvm::BasicBlock* loop, llvm::BasicBlock* after, Value* whole, const Sums& zero, const Sums& added) {
    auto *tail = block("rest"), *done = block("done");
    const auto before = phis(zero, entry);
    for (size_t s = 0; s < before.size(); ++s) before[s]->addIncoming(added[s], loop);
    b_.CreateCondBr(b_.CreateICmpSLT(whole, function_->getArg(3)), tail, done);

    b_.SetInsertPoint(tail);
    auto* lane = b_.CreateStepVector(llvm::FixedVectorType::get(b_.getInt64Ty(), static_cast<unsigned>(shape_.lanes)));
    auto* left = b_.CreateVectorSplat(static_cast<unsigned>(shape_.lanes), b_.CreateSub(function_->getArg(3), whole));
    const Sums last = step(whole, {before.begin(), before.end()}, b_.CreateICmpSLT(lane, left));
    b_.CreateBr(done);

    b_.SetInsertPoint(done);
    const auto all = phis({before.begin(), before.end()}, after);
    for (size_t s = 0; s < all.size(); ++s) all[s]->addIncoming(last[s], tail);
    return {all.begin(), all.end()};
  }

  Value* load(Value* base, Value* index, int64_t offset, Value* mask) {
    auto* address = b_.CreateGEP(element_, base, b_.CreateAdd(index, b_.getInt64(static_cast<uint64_t>(offset))));
    if (!mask) return b_.CreateAlignedLoad(vector_, address, align());
    return b_.CreateMaskedLoad(vector_, address, align(), mask, llvm::ConstantAggregateZero::get(vector_));
  }

  // Of the operand with fewer vectors all are held, those of the other are used one after the other.
  Sums step(Value* k, Sums sums, Value* mask) {
    const bool hold_rows = shape_.rows < shape_.columns;
    auto row = [&](int r) { return load(function_->getArg(0), k, r * shape_.lhs_row, mask); };
    auto column = [&](int c) { return load(function_->getArg(1), k, c * shape_.rhs_row, mask); };
    Sums held;
    for (int i = 0; i < std::min(shape_.rows, shape_.columns); ++i) held.push_back(hold_rows ? row(i) : column(i));
    for (int i = 0; i < std::max(shape_.rows, shape_.columns); ++i) {
      auto* used = hold_rows ? column(i) : row(i);
      for (size_t h = 0; h < held.size(); ++h) {
        Value*& sum = hold_rows ? sums[h * static_cast<size_t>(shape_.columns) + static_cast<size_t>(i)] : sums[static_cast<size_t>(i * shape_.columns) + h];
        sum = b_.CreateIntrinsic(llvm::Intrinsic::fma, {vector_}, {used, held[h], sum});
      }
    }
    return sums;
  }

  // Adds the lanes of each of up to as many vectors as they have lanes; the results are the first lanes, in order. Two vectors of partial
  // sums become one by adding the lower halves of their groups of lanes to the upper ones: a tree over the vectors, then over what is left
  // in each group.
  Value* add_lanes(Sums sums) {
    sums.resize(std::bit_ceil(sums.size()), llvm::ConstantAggregateZero::get(vector_));
    std::vector<std::vector<int>> held;  // by vector, by group: whose partial sums
    for (size_t i = 0; i < sums.size(); ++i) held.push_back({static_cast<int>(i)});
    int group = shape_.lanes;
    for (; sums.size() > 1; group /= 2) {
      const size_t half = sums.size() / 2;
      for (size_t i = 0; i < half; ++i) {
        sums[i] = add_halves(sums[i], sums[i + half], group);
        std::vector<int> merged;
        for (size_t g = 0; g < held[i].size(); ++g) merged.insert(merged.end(), {held[i][g], held[i + half][g]});
        held[i] = merged;
      }
      sums.resize(half);
      held.resize(half);
    }
    const int groups = group;
    for (; group > 1; group /= 2) sums[0] = add_halves(sums[0], sums[0], group, groups);
    llvm::SmallVector<int, 16> order(static_cast<size_t>(shape_.lanes), -1);
    for (size_t g = 0; g < held[0].size(); ++g) order[static_cast<size_t>(held[0][g])] = static_cast<int>(g) * groups;
    return b_.CreateShuffleVector(sums[0], order);
  }

  // Of groups `group` lanes long: lower halves of a's and b's in turn, plus upper halves. With `spacing`, groups begin that far apart and
  // only a is there.
  Value* add_halves(Value* a, Value* c, int group, int spacing = 0) {
    llvm::SmallVector<int, 16> lower(static_cast<size_t>(shape_.lanes), -1), upper(static_cast<size_t>(shape_.lanes), -1);
    for (int from = 0; from < shape_.lanes; from += spacing ? spacing : group) {
      for (int i = 0; i < group / 2; ++i) {
        const auto at = static_cast<size_t>(from + i);
        lower[at] = from + i, upper[at] = from + group / 2 + i;
        if (spacing) continue;
        lower[at + static_cast<size_t>(group / 2)] = shape_.lanes + from + i;
        upper[at + static_cast<size_t>(group / 2)] = shape_.lanes + from + group / 2 + i;
      }
    }
    return b_.CreateFAdd(b_.CreateShuffleVector(a, c, lower), b_.CreateShuffleVector(a, c, upper));
  }

  // As many sums as a vector has lanes at a time.
  void store_all(const Sums& sums) {
    for (size_t from = 0; from < sums.size(); from += static_cast<size_t>(shape_.lanes)) {
      const size_t end = std::min(sums.size(), from + static_cast<size_t>(shape_.lanes));
      store(add_lanes({sums.begin() + static_cast<std::ptrdiff_t>(from), sums.begin() + static_cast<std::ptrdiff_t>(end)}), from, end - from);
    }
  }

  void store(Value* sums, size_t first, size_t count) {
    llvm::SmallVector<llvm::Constant*, 16> valid;
    for (size_t lane = 0; lane < static_cast<size_t>(shape_.lanes); ++lane) valid.push_back(b_.getInt1(lane < count));
    Value *mask = llvm::ConstantVector::get(valid), *to = b_.CreateConstGEP1_64(element_, function_->getArg(2), first);
    if (shape_.adds) sums = b_.CreateFAdd(b_.CreateMaskedLoad(vector_, to, align(), mask, llvm::ConstantAggregateZero::get(vector_)), sums);
    b_.CreateMaskedStore(sums, to, align(), mask);
  }

  const DotShape shape_;
  Builder b_;
  llvm::Type* element_ = nullptr;
  llvm::FixedVectorType* vector_ = nullptr;
  llvm::Function* function_ = nullptr;
};

}  // namespace

llvm::Function* emit_dot_tile(llvm::Module& module, const DotShape& s) {
  const std::string name =
      fmt::format("dot.{}.{}x{}.lhs{}.rhs{}{}", gradc::name(s.element), s.rows, s.columns, s.lhs_row, s.rhs_row, s.adds ? ".adds" : "") + (s.whole ? ".whole" : "");
  if (llvm::Function* known = module.getFunction(name)) return known;
  return DotEmitter(module, s, name).emit();
}

}  // namespace gradc
