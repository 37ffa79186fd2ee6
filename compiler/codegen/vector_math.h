#pragma once

#include <llvm/IR/IRBuilder.h>

#include "compiler/graph/scalar.h"

namespace gradc {

// exp, expm1, log, log1p, sin, cos, tanh, erf, pow and rsqrt on float or double, scalars or vectors of any width, as straight-line
// code; every lane has the bits that the scalar code would give.
//
// f32: within 2.5 ULP (pow 4). f64: within 2.5 ULP; erf and pow call the C library lane by lane. NaN, infinities, signed zeros and
// subnormals (operands and results) are right. Arguments of sin and cos beyond 2^27 take a cold path through the C library.
// Needs fma in hardware to be fast, not to be right.
llvm::Value* emit_math(llvm::IRBuilder<>& builder, ScalarOp op, llvm::ArrayRef<llvm::Value*> args);
bool is_math(ScalarOp op);

}  // namespace gradc
