#pragma once

#include "compiler/codegen/contraction_point.h"
#include "compiler/codegen/emitter.h"
#include "compiler/support/error.h"

namespace gradc {

// What both kinds of contraction share: the grid, and the statements at a point.
class ContractionEmitter {
 protected:
  ContractionEmitter(const Contraction& form, BodyContext& context)
      : form_(form), context_(context), b_(context.builder), statements_(context.statements), point_(context.statements) {
    for (const Stmt& s : form.epilogue)
      GRADC_ASSERT(s.kind != StmtKind::Accumulate || s.first.empty(), "a contraction's epilogue runs once per element");
  }

  llvm::Value* i64(int64_t value) { return b_.getInt64(static_cast<uint64_t>(value)); }
  llvm::Value* minimum(llvm::Value* a, llvm::Value* c) { return b_.CreateSelect(b_.CreateICmpSLT(a, c), a, c); }
  llvm::Value* times(llvm::Value* a, int64_t c) { return c == 1 ? a : b_.CreateMul(a, i64(c)); }
  // Of a choice made by the block: equal constants stay constants.
  llvm::Value* choose(llvm::Value* last, int64_t in_last, int64_t otherwise) {
    return in_last == otherwise ? i64(otherwise) : b_.CreateSelect(last, i64(in_last), i64(otherwise));
  }

  llvm::Value* evaluate(const std::vector<Stmt>& stmts, const Lanes& lanes) {
    llvm::Value* result = statements_.emit(stmts, point_, lanes);
    statements_.locate(nullptr);
    return result;
  }

  void finish_point(llvm::Value* sum, const Lanes& lanes) {
    for (const Stmt& s : form_.epilogue)
      if (s.kind == StmtKind::Accumulator) statements_.values[static_cast<size_t>(s.value)] = sum;
    evaluate(form_.epilogue, lanes);
  }

  const Contraction& form_;
  BodyContext& context_;
  Builder& b_;
  StatementEmitter& statements_;
  FlatPoint point_;
};

}  // namespace gradc
