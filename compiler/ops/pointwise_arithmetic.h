#pragma once

#include "compiler/graph/scalar.h"
#include "compiler/ops/rules.h"

// Arithmetic that is exact or rounded once.
namespace gradc::ops {

struct Add {
  static Op info() {
    return {.name = "add",
            .arity = 2,
            .doc = "a + b",
            .convention = "IEEE 754; int wraps modulo 2^64",
            .commutative = true,
            .samples = {{.special = {0, -0.0, 1e30}}},
            .ulp_f32 = 0.5,
            .ulp_f64 = 0.5};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(numbers); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return a + b; }
  static Grads vjp(Expr ct, Expr, Expr, Expr) { return {ct, ct}; }
};

struct Sub {
  static Op info() {
    return {.name = "sub",
            .arity = 2,
            .doc = "a - b",
            .convention = "IEEE 754; int wraps modulo 2^64",
            .samples = {{.special = {0, -0.0, 1e30}}},
            .ulp_f32 = 0.5,
            .ulp_f64 = 0.5};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(numbers); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return a - b; }
  static Grads vjp(Expr ct, Expr, Expr, Expr) { return {ct, -ct}; }
};

struct Mul {
  static Op info() {
    return {.name = "mul",
            .arity = 2,
            .doc = "a * b",
            .convention = "IEEE 754; int wraps modulo 2^64",
            .commutative = true,
            .samples = {{.special = {0, -0.0, 1, 1e30, 1e-30}}},
            .ulp_f32 = 0.5,
            .ulp_f64 = 0.5};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(numbers); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return a * b; }
  static Grads vjp(Expr ct, Expr, Expr a, Expr b) { return {ct * b, ct * a}; }
};

struct Div {
  static Op info() {
    return {.name = "div",
            .arity = 2,
            .doc = "a / b",
            .convention = "IEEE 754; int truncates towards zero and gives 0 for a zero divisor",
            .stability = "the derivative for b is -(ct / b) * y: a / b^2 would overflow for small b",
            .samples = {{.special = {0, 1e30}}, {.low = 0.2, .high = 4, .special = {-2, 1e-20}}},
            .ulp_f32 = 0.5,
            .ulp_f64 = 0.5};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(numbers); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return a / b; }
  static Grads vjp(Expr ct, Expr y, Expr, Expr b) {
    Expr da = ct / b;
    return {da, -(da * y)};
  }
};

struct Rem {
  static Op info() {
    return {
        .name = "rem",
        .arity = 2,
        .doc = "the remainder of a / b, with the sign of a",
        .convention =
            "C's fmod, exact; int gives 0 for a zero divisor; at the jumps the derivative of the side away from zero",
        .samples = {{.low = 5.2, .high = 6.2, .special = {0, 7.5, -7.5}},
                    {.low = 2.1, .high = 2.5, .special = {-2.5, 0.1}}},
        .ulp_f32 = 0,
        .ulp_f64 = 0};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(numbers); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return rem(a, b); }
  // y = a - q b with q whole and locally constant: (a - y) / b is q, and its own derivative is 0 as it should be.
  static Grads vjp(Expr ct, Expr y, Expr a, Expr b) { return {ct, -(ct * ((a - y) / b))}; }
};

struct Neg {
  static Op info() {
    return {.name = "neg",
            .doc = "-x",
            .convention = "flips the sign bit; int wraps",
            .samples = {{.special = {0, -0.0}}},
            .ulp_f32 = 0,
            .ulp_f64 = 0};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(numbers); }
  static ScalarExpr value(ScalarExpr x) { return -x; }
  static Grads vjp(Expr ct, Expr, Expr) { return {-ct}; }
};

struct Abs {
  static Op info() {
    return {.name = "abs",
            .doc = "|x|",
            .convention = "clears the sign bit; int wraps; the derivative at 0 is 0",
            .samples = {{.special = {0, -0.0}, .kinks = {0}}},
            .ulp_f32 = 0,
            .ulp_f64 = 0};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(numbers); }
  static ScalarExpr value(ScalarExpr x) { return abs(x); }
  static Grads vjp(Expr ct, Expr, Expr x) { return {select(gt(x, 0), ct, select(lt(x, 0), -ct, 0))}; }
};

struct Min {
  static Op info() {
    return {.name = "min",
            .arity = 2,
            .doc = "the smaller of a and b",
            .convention = "NaN if either is NaN, -0 < 0; the derivative goes to a where a < b, otherwise to b",
            .commutative = true,
            .samples = {{.special = {0, -0.0}}},
            .ulp_f32 = 0,
            .ulp_f64 = 0};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(numbers); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return min(a, b); }
  static Grads vjp(Expr ct, Expr, Expr a, Expr b) {
    Expr first = lt(a, b);
    return {select(first, ct, 0), select(first, 0, ct)};
  }
};

struct Max {
  static Op info() {
    return {.name = "max",
            .arity = 2,
            .doc = "the larger of a and b",
            .convention =
                "NaN if either is NaN, -0 < 0; the derivative goes to a where a > b, otherwise to b (so relu'(0) = 0)",
            .commutative = true,
            .samples = {{.special = {0, -0.0}}},
            .ulp_f32 = 0,
            .ulp_f64 = 0};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(numbers); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return max(a, b); }
  static Grads vjp(Expr ct, Expr, Expr a, Expr b) {
    Expr first = gt(a, b);
    return {select(first, ct, 0), select(first, 0, ct)};
  }
};

struct Fma {
  static Op info() {
    return {.name = "fma",
            .arity = 3,
            .doc = "a * b + c, rounded once",
            .convention = "IEEE 754 fusedMultiplyAdd",
            .stability = "keeps the digits that a * b would round away when c nearly cancels it",
            .samples = {{.special = {0, -0.0}}},
            .ulp_f32 = 0.5,
            .ulp_f64 = 0.5};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b, ScalarExpr c) { return fma(a, b, c); }
  static Grads vjp(Expr ct, Expr, Expr a, Expr b, Expr) { return {ct * b, ct * a, ct}; }
};

struct Sign {
  static Op info() {
    return {.name = "sign",
            .doc = "-1, 0 or 1",
            .convention = "keeps the sign of zeros; NaN gives NaN",
            .samples = {{.special = {0, -0.0}, .kinks = {0}}},
            .ulp_f32 = 0,
            .ulp_f64 = 0};
  }
  static constexpr const char* not_differentiable =
      "sign is piecewise constant: its derivative is 0 everywhere but at 0, where it has none";
  static TypeResult type(TypeArgs t) { return t.pointwise(numbers); }
  static ScalarExpr value(ScalarExpr x) { return select(0 < x, x.literal(1), select(x < 0, x.literal(-1), x)); }
};

struct Floor {
  static Op info() {
    return {.name = "floor",
            .doc = "the largest whole number not above x",
            .convention = "keeps zeros' signs, infinities and NaN",
            .samples = {{.special = {0, -0.0, 2, -2, 0.5, 1e20}}},
            .ulp_f32 = 0,
            .ulp_f64 = 0};
  }
  static constexpr const char* not_differentiable =
      "floor is piecewise constant: its derivative is 0 but at the whole numbers, where it has none";
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return floor(x); }
};

struct Ceil {
  static Op info() {
    return {.name = "ceil",
            .doc = "the smallest whole number not below x",
            .convention = "keeps zeros' signs, infinities and NaN",
            .samples = {{.special = {0, -0.0, 2, -2, -0.5, 1e20}}},
            .ulp_f32 = 0,
            .ulp_f64 = 0};
  }
  static constexpr const char* not_differentiable =
      "ceil is piecewise constant: its derivative is 0 but at the whole numbers, where it has none";
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return ceil(x); }
};

struct Round {
  static Op info() {
    return {.name = "round",
            .doc = "the nearest whole number",
            .convention = "halves go to the even neighbour; keeps zeros' signs, infinities and NaN",
            .samples = {{.special = {0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 1e20}}},
            .ulp_f32 = 0,
            .ulp_f64 = 0};
  }
  static constexpr const char* not_differentiable =
      "round is piecewise constant: its derivative is 0 but at the halves, where it has none";
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return round(x); }
};

}  // namespace gradc::ops
