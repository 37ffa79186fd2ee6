#include "compiler/codegen/contraction_overlap.h"

#include <llvm/IR/Intrinsics.h>

#include "compiler/codegen/contraction_loops.h"
#include "compiler/codegen/line_table.h"

namespace gradc {

using llvm::Value;

EpilogueBehind::EpilogueBehind(const Contraction& form, const ContractionPlan& plan, const BodyContext& context)
    : form_(form), plan_(plan), context_(context) {
  auto& b = context.builder;
  count = plan.mr * plan.nr / plan.lanes;
  steps = plan.overlap;
  k = plan.K;
  name = context.function->getName().str();
  parameters = {b.getPtrTy(), b.getInt64Ty(), b.getInt64Ty(), b.getInt64Ty()};
}

std::vector<Value*> EpilogueBehind::arguments(Value* row, Value* column, Value* rows_above) const {
  return {context_.function->getArg(0), row, column, rows_above};
}

void EpilogueBehind::enter(Builder& b, llvm::Function& tile, unsigned first) {
  llvm::DILocalScope* scope = context_.lines ? context_.lines->add(tile) : nullptr;
  if (scope) b.SetCurrentDebugLocation(llvm::DILocation::get(b.getContext(), 0, 0, scope));
  statements_.emplace(b, context_.body, tile.getArg(first), scope);
  point_.emplace(*statements_);
  sums_ = tile.getArg(2);
  row_ = tile.getArg(first + 1), column_ = tile.getArg(first + 2), rows_above_ = tile.getArg(first + 3);
}

void EpilogueBehind::emit(Builder& b, Value* number) {
  auto* vectors = b.getInt64(static_cast<uint64_t>(plan_.nr / plan_.lanes));
  auto *in_tile = b.CreateUDiv(number, vectors), *row = b.CreateAdd(row_, in_tile);
  auto* column = b.CreateAdd(column_, b.CreateMul(b.CreateURem(number, vectors), b.getInt64(static_cast<uint64_t>(plan_.lanes))));
  point_->set(plan_.n, column);
  point_->set(plan_.m, row);
  ask(b);
  if_then(b, b.CreateICmpULT(in_tile, rows_above_), [&] {
    point_->set(plan_.m, b.CreateSub(row, rows_above_));
    emit_vector(b, number);
  });
}

// For what the epilogue of this very tile will need. Rows that it does not have are the next tile's.
void EpilogueBehind::ask(Builder& b) {
  for (const Access& a : plan_.streams) {
    auto* address = point_->address(a.slot, a.at);
    b.CreateIntrinsic(llvm::Intrinsic::prefetch, {b.getPtrTy()}, {address, b.getInt32(1), b.getInt32(3), b.getInt32(1)});
  }
}

void EpilogueBehind::emit_vector(Builder& b, Value* number) {
  llvm::Type* element = statements_->memory_type(form_.element);
  auto* type = llvm::FixedVectorType::get(element, static_cast<unsigned>(plan_.lanes));
  auto* from = b.CreateGEP(type, sums_, number);
  auto* sum = b.CreateAlignedLoad(type, from, llvm::Align(byte_size(form_.element)));
  for (const Stmt& s : form_.epilogue)
    if (s.kind == StmtKind::Accumulator) statements_->values[static_cast<size_t>(s.value)] = sum;
  statements_->emit(form_.epilogue, *point_, {.dim = plan_.n.back().dim, .width = plan_.lanes, .mask = nullptr});
}

}  // namespace gradc
