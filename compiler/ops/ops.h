#pragma once

#include "compiler/graph/graph.h"

namespace gradc {

// Every primitive operation, one line each; its struct lives in a family header (source.h, pointwise_arithmetic.h, ...)
// and is the only place that knows it. Documentation, printing and the per-operation tests are folds over this list.
// clang-format off
#define GRADC_OPS(X) \
  X(Input) X(Constant) X(Iota) X(Random) \
  X(Add) X(Sub) X(Mul) X(Div) X(Rem) X(Neg) X(Abs) X(Min) X(Max) X(Fma) X(Sign) X(Floor) X(Ceil) X(Round) \
  X(Pow) X(Exp) X(Expm1) X(Log) X(Log1p) X(Sqrt) X(Rsqrt) X(Sin) X(Cos) X(Tanh) X(Sigmoid) X(Softplus) X(Erf) \
  X(Lt) X(Le) X(Gt) X(Ge) X(Eq) X(Ne) X(And) X(Or) X(Not) X(Select) X(Cast) \
  X(Broadcast) X(Transpose) X(Slice) X(Reverse) X(Skew) X(Reshape) X(Pad) X(Concatenate) \
  X(ReduceSum) X(ReduceProd) X(ReduceMax) X(ReduceMin) X(ArgMax) X(ArgMin) \
  X(Contraction) X(Gather) X(ScatterAdd) \
  X(StopGradient) X(WithDerivative) X(Grad) \
  X(Scan) X(Result)
// clang-format on

namespace ops {
#define X(T) struct T;
GRADC_OPS(X)
#undef X
}  // namespace ops

// The descriptor folded from a struct: op<ops::Add>(). Comparing addresses tells operations apart.
template <class T>
const Op& op();
#define X(T)  \
  template <> \
  const Op& op<ops::T>();
GRADC_OPS(X)
#undef X

// All of them, in the order of the list.
const OpRegistry& op_registry();

}  // namespace gradc
