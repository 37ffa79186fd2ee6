#include "compiler/codegen/contraction_overlap.h"

#include <fmt/format.h>

#include "compiler/codegen/contraction_loops.h"
#include "compiler/codegen/line_table.h"

namespace gradc {

using llvm::Value;

namespace {

Value* i64(Builder& b, int64_t value) { return b.getInt64(static_cast<uint64_t>(value)); }

}  // namespace

std::vector<llvm::Type*> EpilogueBehind::parameters(Builder& b) const { return {b.getPtrTy(), b.getInt64Ty(), b.getInt64Ty(), b.getInt64Ty()}; }

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
  auto* vectors = i64(b, plan_.nr / plan_.lanes);
  auto *in_tile = b.CreateUDiv(number, vectors), *row = b.CreateAdd(row_, in_tile);
  auto* column = b.CreateAdd(column_, b.CreateMul(b.CreateURem(number, vectors), i64(b, plan_.lanes)));
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
  for (const Access& a : plan_.streams) ask_for(b, point_->address(a.slot, a.at), true);
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

std::string PanelAhead::name() const { return fmt::format("fetches{}", plan_.source_k); }

std::vector<llvm::Type*> PanelAhead::parameters(Builder& b) const { return {b.getPtrTy(), b.getPtrTy(), b.getInt64Ty(), b.getInt64Ty()}; }

void PanelAhead::enter(Builder&, llvm::Function& tile, unsigned first) {
  source_ = tile.getArg(first), panel_ = tile.getArg(first + 1), first_ = tile.getArg(first + 2), end_ = tile.getArg(first + 3);
}

void PanelAhead::emit(Builder& b, Value* number) {
  auto* row = b.CreateAdd(first_, number);
  if_then(b, b.CreateICmpSLT(row, end_), [&] { emit_row(b, source_, panel_, row, end_); });
}

Value* PanelAhead::at(Builder& b, Value* base, Value* index) const {
  return b.CreateGEP(form_.element == Element::F32 ? b.getFloatTy() : b.getDoubleTy(), base, index);
}

// Asks for rows ahead; behind the last, for the first rows of the panel that follows.
void PanelAhead::emit_row(Builder& b, Value* source, Value* panel, Value* row, Value* end) const {
  constexpr int64_t rows_ahead = 32;
  const auto bytes = static_cast<int64_t>(byte_size(form_.element));
  auto* element = form_.element == Element::F32 ? b.getFloatTy() : b.getDoubleTy();
  auto* type = llvm::FixedVectorType::get(element, static_cast<unsigned>(plan_.lanes));
  auto *from = at(b, source, b.CreateMul(row, i64(b, plan_.source_k))), *to = at(b, panel, b.CreateMul(row, i64(b, plan_.nr)));
  auto *ahead = b.CreateAdd(row, i64(b, rows_ahead)), *beyond = b.CreateSub(ahead, end), *follows = b.CreateICmpSGE(beyond, i64(b, 0));
  auto* asked = at(b, at(b, source, b.CreateMul(b.CreateSelect(follows, beyond, ahead), i64(b, plan_.source_k))), b.CreateSelect(follows, i64(b, plan_.nr), i64(b, 0)));
  ask_for_row(b, element, asked, plan_.nr, plan_.source_k);
  for (int64_t column = 0; column < plan_.nr; column += plan_.lanes) {
    auto* elements = b.CreateAlignedLoad(type, at(b, from, i64(b, column)), llvm::Align(static_cast<uint64_t>(bytes)));
    b.CreateAlignedStore(elements, at(b, to, i64(b, column)), llvm::Align(static_cast<uint64_t>(bytes)));
  }
}

}  // namespace gradc
