#pragma once

#include "compiler/codegen/emitter.h"

// Control flow written where it is used: the body is a function called with the builder inside. Loops of one known trip leave no
// loop behind.

namespace gradc {

inline llvm::BasicBlock* new_block(Builder& b, const char* name) {
  return llvm::BasicBlock::Create(b.getContext(), name, b.GetInsertBlock()->getParent());
}

// for (i = from; i < to; i += step) sum = body(i, sum), tested before the first trip. Without a start value there is no sum.
template <class Body>
llvm::Value* for_sum(Builder& b, llvm::Value* from, llvm::Value* to, llvm::Value* start, Body body, int64_t step = 1) {
  auto *first = llvm::dyn_cast<llvm::ConstantInt>(from), *limit = llvm::dyn_cast<llvm::ConstantInt>(to);
  if (first && limit && first->getSExtValue() < limit->getSExtValue() && first->getSExtValue() + step >= limit->getSExtValue())
    return body(from, start);
  auto *before = b.GetInsertBlock(), *head = new_block(b, "loop"), *after = new_block(b, "done");
  b.CreateCondBr(b.CreateICmpSLT(from, to), head, after);
  b.SetInsertPoint(head);
  auto* index = b.CreatePHI(b.getInt64Ty(), 2);
  index->addIncoming(from, before);
  llvm::PHINode* sum = start ? b.CreatePHI(start->getType(), 2) : nullptr;
  if (sum) sum->addIncoming(start, before);

  llvm::Value* added = body(index, sum);
  auto* next = b.CreateAdd(index, b.getInt64(static_cast<uint64_t>(step)));
  auto* latch = b.GetInsertBlock();
  index->addIncoming(next, latch);
  if (sum) sum->addIncoming(added, latch);
  auto* again = b.CreateCondBr(b.CreateICmpSLT(next, to), head, after);
  mark_final_loop(again);

  after->moveAfter(latch);
  b.SetInsertPoint(after);
  if (!sum) return nullptr;
  auto* result = b.CreatePHI(start->getType(), 2);
  result->addIncoming(start, before);
  result->addIncoming(added, latch);
  return result;
}

template <class Body>
void for_loop(Builder& b, llvm::Value* from, llvm::Value* to, int64_t step, Body body) {
  for_sum(b, from, to, nullptr, [&](llvm::Value* i, llvm::Value*) -> llvm::Value* { return body(i), nullptr; }, step);
}

template <class Body>
void if_then(Builder& b, llvm::Value* condition, Body body) {
  if (auto* constant = llvm::dyn_cast<llvm::ConstantInt>(condition)) {
    if (!constant->isZero()) body();
    return;
  }
  auto *then = new_block(b, "then"), *after = new_block(b, "after");
  b.CreateCondBr(condition, then, after);
  b.SetInsertPoint(then);
  body();
  b.CreateBr(after);
  after->moveAfter(b.GetInsertBlock());
  b.SetInsertPoint(after);
}

template <class Then, class Else>
void if_else(Builder& b, llvm::Value* condition, Then then_body, Else else_body) {
  if (auto* constant = llvm::dyn_cast<llvm::ConstantInt>(condition)) return constant->isZero() ? else_body() : then_body();
  auto *then = new_block(b, "then"), *otherwise = new_block(b, "else"), *after = new_block(b, "after");
  b.CreateCondBr(condition, then, otherwise);
  b.SetInsertPoint(then);
  then_body();
  b.CreateBr(after);
  otherwise->moveAfter(b.GetInsertBlock());
  b.SetInsertPoint(otherwise);
  else_body();
  b.CreateBr(after);
  after->moveAfter(b.GetInsertBlock());
  b.SetInsertPoint(after);
}

}  // namespace gradc
