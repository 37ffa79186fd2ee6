#include "compiler/codegen/contraction_window_tile.h"

#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>

namespace gradc {
namespace {

class WindowTile {
 public:
  WindowTile(llvm::Module& module, const WindowTileShape& shape, const std::string& name)
      : shape_(shape), vectors_(static_cast<int>(shape.width / shape.lanes)), b_(module.getContext()) {
    element_ = shape.element == Element::F32 ? b_.getFloatTy() : b_.getDoubleTy();
    vector_ = llvm::FixedVectorType::get(element_, static_cast<unsigned>(shape.lanes));
    auto* type = llvm::FunctionType::get(b_.getVoidTy(), {b_.getPtrTy(), b_.getPtrTy(), b_.getPtrTy(), b_.getInt64Ty(), b_.getInt1Ty()}, false);
    function_ = llvm::Function::Create(type, llvm::GlobalValue::InternalLinkage, name, module);
    for (unsigned i = 0; i < 3; ++i) function_->addParamAttr(i, llvm::Attribute::NoAlias);
    function_->addFnAttr(llvm::Attribute::NoUnwind);
    function_->addFnAttr(llvm::Attribute::NoInline);
  }

  llvm::Function* emit() {
    b_.SetInsertPoint(block("entry"));
    State state{function_->getArg(0), function_->getArg(1), {}};
    state.sums.assign(static_cast<size_t>(shape_.rows * vectors_), llvm::ConstantAggregateZero::get(vector_));
    store(sum_over(0, state).sums);
    return function_;
  }

 private:
  struct State {
    llvm::Value *lhs, *rhs;
    std::vector<llvm::Value*> sums;  // by row, vector
  };

  llvm::BasicBlock* block(const char* name) { return llvm::BasicBlock::Create(b_.getContext(), name, function_); }
  llvm::Align align() const { return llvm::Align(byte_size(shape_.element)); }
  llvm::Value* at(llvm::Value* base, int64_t index) { return index == 0 ? base : b_.CreateConstGEP1_64(element_, base, static_cast<uint64_t>(index)); }

  // The loops from `depth` inwards. Every loop runs at least once.
  State sum_over(size_t depth, const State& before) {
    if (depth == shape_.loops.size()) return step(before);
    const auto& loop = shape_.loops[depth];
    if (depth > 0 && loop.extent == 1) return sum_over(depth + 1, before);
    auto *from = b_.GetInsertBlock(), *head = block("sum");
    b_.CreateBr(head);
    b_.SetInsertPoint(head);
    auto phi = [&](llvm::Value* start) {
      auto* p = b_.CreatePHI(start->getType(), 2);
      p->addIncoming(start, from);
      return p;
    };
    auto* left = phi(depth == 0 ? static_cast<llvm::Value*>(function_->getArg(3)) : b_.getInt64(static_cast<uint64_t>(loop.extent)));
    auto *lhs = phi(before.lhs), *rhs = phi(before.rhs);
    State inside{lhs, rhs, {}};
    std::vector<llvm::PHINode*> sums;
    for (llvm::Value* s : before.sums) sums.push_back(phi(s));
    inside.sums.assign(sums.begin(), sums.end());

    State after = sum_over(depth + 1, inside);
    after.lhs = at(lhs, loop.lhs);
    after.rhs = at(rhs, loop.rhs);
    auto* remaining = b_.CreateSub(left, b_.getInt64(1));
    auto *latch = b_.GetInsertBlock(), *done = block("summed");
    left->addIncoming(remaining, latch);
    lhs->addIncoming(after.lhs, latch);
    rhs->addIncoming(after.rhs, latch);
    for (size_t i = 0; i < sums.size(); ++i) sums[i]->addIncoming(after.sums[i], latch);
    b_.CreateCondBr(b_.CreateICmpSGT(remaining, b_.getInt64(0)), head, done);
    b_.SetInsertPoint(done);
    return after;
  }

  State step(State s) {
    std::vector<llvm::Value*> row;
    for (int v = 0; v < vectors_; ++v) row.push_back(b_.CreateAlignedLoad(vector_, at(s.rhs, static_cast<int64_t>(v) * shape_.lanes), align()));
    for (int r = 0; r < shape_.rows; ++r) {
      auto* splat = b_.CreateVectorSplat(static_cast<unsigned>(shape_.lanes), b_.CreateAlignedLoad(element_, at(s.lhs, r * shape_.row_stride), align()));
      for (int v = 0; v < vectors_; ++v) {
        auto& sum = s.sums[static_cast<size_t>(r * vectors_ + v)];
        sum = b_.CreateIntrinsic(llvm::Intrinsic::fma, {vector_}, {splat, row[static_cast<size_t>(v)], sum});
      }
    }
    return s;
  }

  // What is there already is added last: errors grow with the length of a piece and the number of pieces, not with their product.
  void store(const std::vector<llvm::Value*>& sums) {
    auto *first = block("first"), *adds = block("adds");
    b_.CreateCondBr(function_->getArg(4), adds, first);
    for (bool add : {false, true}) {
      b_.SetInsertPoint(add ? adds : first);
      for (int r = 0; r < shape_.rows; ++r)
        for (int v = 0; v < vectors_; ++v) {
          llvm::Value* sum = sums[static_cast<size_t>(r * vectors_ + v)];
          auto* place = at(function_->getArg(2), r * shape_.nr + static_cast<int64_t>(v) * shape_.lanes);
          if (add) sum = b_.CreateFAdd(b_.CreateAlignedLoad(vector_, place, align()), sum);
          b_.CreateAlignedStore(sum, place, align());
        }
      b_.CreateRetVoid();
    }
  }

  const WindowTileShape shape_;
  const int vectors_;
  llvm::IRBuilder<> b_;
  llvm::Type* element_ = nullptr;
  llvm::FixedVectorType* vector_ = nullptr;
  llvm::Function* function_ = nullptr;
};

}  // namespace

llvm::Function* emit_window_tile(llvm::Module& module, const WindowTileShape& s) {
  std::string name = fmt::format("window.{}.{}x{}.rows{}.nr{}", gradc::name(s.element), s.rows, s.width, s.row_stride, s.nr);
  for (size_t i = 0; i < s.loops.size(); ++i) name += fmt::format(".{}by{}_{}", i == 0 ? 0 : s.loops[i].extent, s.loops[i].lhs, s.loops[i].rhs);
  if (llvm::Function* known = module.getFunction(name)) return known;
  return WindowTile(module, s, name).emit();
}

}  // namespace gradc
