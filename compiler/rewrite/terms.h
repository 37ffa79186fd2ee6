#pragma once

#include "compiler/ops/ops.h"
#include "compiler/rewrite/pattern.h"

// The point-wise operations as functions and operators on terms, so that rules read as formulas.
namespace gradc::rewrite {

#define GRADC_TERM_UNARY(fn, OP) \
  inline Term fn(const Term& x) { return apply(op<ops::OP>(), {x}); }
#define GRADC_TERM_BINARY(fn, OP) \
  inline Term fn(const Term& a, const Term& b) { return apply(op<ops::OP>(), {a, b}); }

GRADC_TERM_UNARY(operator-, Neg)
GRADC_TERM_UNARY(abs, Abs)
GRADC_TERM_UNARY(exp, Exp)
GRADC_TERM_UNARY(expm1, Expm1)
GRADC_TERM_UNARY(log, Log)
GRADC_TERM_UNARY(log1p, Log1p)
GRADC_TERM_UNARY(sqrt, Sqrt)
GRADC_TERM_UNARY(rsqrt, Rsqrt)
GRADC_TERM_UNARY(sin, Sin)
GRADC_TERM_UNARY(cos, Cos)
GRADC_TERM_UNARY(tanh, Tanh)
GRADC_TERM_UNARY(erf, Erf)
GRADC_TERM_UNARY(sigmoid, Sigmoid)
GRADC_TERM_UNARY(softplus, Softplus)
GRADC_TERM_UNARY(operator!, Not)

GRADC_TERM_BINARY(operator+, Add)
GRADC_TERM_BINARY(operator-, Sub)
GRADC_TERM_BINARY(operator*, Mul)
GRADC_TERM_BINARY(operator/, Div)
GRADC_TERM_BINARY(pow, Pow)
GRADC_TERM_BINARY(min, Min)
GRADC_TERM_BINARY(max, Max)
GRADC_TERM_BINARY(logical_and, And)
GRADC_TERM_BINARY(logical_or, Or)

#undef GRADC_TERM_UNARY
#undef GRADC_TERM_BINARY

inline Term select(const Term& condition, const Term& a, const Term& b) { return apply(op<ops::Select>(), {condition, a, b}); }
inline Term fma(const Term& a, const Term& b, const Term& c) { return apply(op<ops::Fma>(), {a, b, c}); }

// Shape operations in patterns: their attributes are for conditions and replacements to look at.
template <class T>
Term of(const Term& x) {
  return apply(op<T>(), {x});
}

// A wildcard that matches any constant.
inline Var constant_var(int slot) { return Var(slot, Term::Kind::Constant); }

}  // namespace gradc::rewrite
