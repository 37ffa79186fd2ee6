#pragma once

#include <numbers>

#include "compiler/graph/scalar.h"
#include "compiler/ops/rules.h"

// Roots, powers, exponentials and their kin.
namespace gradc::ops {

struct Pow {
  static Op info() {
    return {
        .name = "pow",
        .arity = 2,
        .doc = "a to the power b",
        .convention =
            "IEEE 754 pow: pow(x, 0) = 1 even for NaN, negative bases take whole exponents, else NaN; int gives 0 for "
            "negative exponents; at a = 0 the derivative for b is 0",
        .stability = "b * a^(b-1) at a = b = 0 would be 0 * inf; the exponent is moved to 1 there",
        .samples = {{.low = 0.1, .high = 3, .special = {0, 1}}, {.low = -2, .high = 3, .special = {0, 1, 2, 0.5}}}};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(numbers); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return pow(a, b); }
  static Grads vjp(Expr ct, Expr y, Expr a, Expr b) {
    const Node& exponent_node = b.builder()[b.id];
    // The exponent that is nearly always meant, a number, keeps the rule as one learns it.
    if (exponent_node.op->kind == OpKind::Constant) return {ct * whole_power(a, exponent_node.attrs.number("value")), no_gradient};
    // Operands are moved, not results masked: a masked infinity comes back as NaN in the second derivative.
    Expr at_zero = eq(a, 0);
    Expr exponent = select(logical_and(at_zero, eq(b, 0)), 1, b);
    Expr da = ct * (b * pow(a, exponent - 1));
    Expr db = ct * (y * log(select(at_zero, 1, a)));
    return {da, select(at_zero, 0, db)};
  }

 private:
  // d a^c / da
  static Expr whole_power(Expr a, double c) {
    if (c == 0) return a.literal(0);
    if (c == 1) return a.literal(1);
    return c == 2 ? 2 * a : c * pow(a, c - 1);
  }
};

struct Exp {
  static Op info() {
    return {.name = "exp",
            .doc = "e to the power x",
            .convention = "0 at -inf",
            .stability = "overflows f32 above 88.7: losses use log-sum-exp forms",
            .samples = {{.low = -20, .high = 20, .special = {0, -0.0, 80, -80, -100}}}};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return exp(x); }
  static Grads vjp(Expr ct, Expr y, Expr) { return {ct * y}; }
};

struct Expm1 {
  static Op info() {
    return {.name = "expm1",
            .doc = "exp(x) - 1",
            .convention = "-1 at -inf, keeps zeros' signs",
            .stability =
                "exp(x) - 1 has no right digits near 0, this has all; the derivative is exp(x), as y + 1 has none far "
                "below 0",
            .samples = {{.special = {0, -0.0, 1e-10, -1e-10, 20, -40}}}};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return expm1(x); }
  static Grads vjp(Expr ct, Expr, Expr x) { return {ct * exp(x)}; }
};

struct Log {
  static Op info() {
    return {.name = "log",
            .doc = "natural logarithm",
            .convention = "-inf at 0 and -0, NaN below",
            .samples = {{.low = 0.1, .high = 10, .special = {1, 1e-30, 1e30}}}};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return log(x); }
  static Grads vjp(Expr ct, Expr, Expr x) { return {ct / x}; }
};

struct Log1p {
  static Op info() {
    return {.name = "log1p",
            .doc = "log(1 + x)",
            .convention = "-inf at -1, NaN below, keeps zeros' signs",
            .stability = "log(1 + x) has no right digits near 0, this has all",
            .samples = {{.low = -0.8, .high = 5, .special = {0, -0.0, 1e-10, -1e-10, 1e20}}}};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return log1p(x); }
  static Grads vjp(Expr ct, Expr, Expr x) { return {ct / (1 + x)}; }
};

struct Sqrt {
  static Op info() {
    return {.name = "sqrt",
            .doc = "square root",
            .convention = "keeps zeros' signs, NaN below 0; the derivative at 0 is inf",
            .samples = {{.low = 0.1, .high = 10, .special = {0, -0.0, 1, 1e-30, 1e30}}},
            .ulp_f32 = 0.5,
            .ulp_f64 = 0.5};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return sqrt(x); }
  static Grads vjp(Expr ct, Expr y, Expr) { return {(0.5 * ct) / y}; }
};

struct Rsqrt {
  static Op info() {
    return {.name = "rsqrt",
            .doc = "1 / sqrt(x)",
            .convention = "inf at 0, -inf at -0, 0 at inf, NaN below 0",
            .samples = {{.low = 0.1, .high = 10, .special = {1, 1e-30, 1e30}}}};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return rsqrt(x); }
  // y^3 is 1 / (x sqrt x); multiplied from the left, so that a small cotangent meets the large factors one by one.
  static Grads vjp(Expr ct, Expr y, Expr) { return {-0.5 * ct * y * y * y}; }
};

struct Sin {
  static Op info() {
    return {.name = "sin",
            .doc = "sine, x in radians",
            .convention = "NaN at infinities, keeps zeros' signs",
            .stability = "arguments are reduced by more digits of pi than the element has",
            .samples = {{.low = -10, .high = 10, .special = {0, -0.0, 3.14159265358979, 1e5}}}};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return sin(x); }
  static Grads vjp(Expr ct, Expr, Expr x) { return {ct * cos(x)}; }
};

struct Cos {
  static Op info() {
    return {.name = "cos",
            .doc = "cosine, x in radians",
            .convention = "NaN at infinities",
            .stability = "arguments are reduced by more digits of pi than the element has",
            .samples = {{.low = -10, .high = 10, .special = {0, 1.5707963267949, 1e5}}}};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return cos(x); }
  static Grads vjp(Expr ct, Expr, Expr x) { return {-(ct * sin(x))}; }
};

struct Tanh {
  static Op info() {
    return {
        .name = "tanh",
        .doc = "hyperbolic tangent",
        .convention = "-1 and 1 at the infinities, keeps zeros' signs",
        .stability =
            "the derivative (1 - y) * (1 + y) loses one rounding less than 1 - y * y; both are exact to an ulp of 1",
        .samples = {{.special = {0, -0.0, 1e-10, 20, -20}}}};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return tanh(x); }
  static Grads vjp(Expr ct, Expr y, Expr) { return {ct * ((1 - y) * (1 + y))}; }
};

struct Sigmoid {
  static Op info() {
    return {.name = "sigmoid",
            .doc = "1 / (1 + exp(-x))",
            .convention = "0 and 1 at the infinities",
            .stability =
                "exp(-x) overflows f32 below -88 and would give 0 where the value is a subnormal; with e = exp(-|x|) "
                "nothing overflows. "
                "The derivative y * (1 - y) is exact to an ulp of 1; the stability rewrites keep more where it matters",
            .samples = {{.low = -8, .high = 8, .special = {0, -0.0, 20, -20, 88, -88, -100, 1000, -1000}}},
            .ulp_f32 = 4,
            .ulp_f64 = 4};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) {
    ScalarExpr e = exp(-abs(x));
    return select(x < 0, e, x.literal(1)) / (1 + e);
  }
  static Grads vjp(Expr ct, Expr y, Expr) { return {ct * (y * (1 - y))}; }
};

struct Softplus {
  static Op info() {
    return {.name = "softplus",
            .doc = "log(1 + exp(x))",
            .convention = "0 at -inf, inf at inf",
            .stability =
                "exp overflows f32 above 88; max(x, 0) + log1p(exp(-|x|)) does not, and keeps all digits of the tail "
                "below 0",
            .samples = {{.low = -8, .high = 8, .special = {0, 20, -20, 100, -100, 1000}}},
            .ulp_f32 = 4,
            .ulp_f64 = 4};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return max(x, 0) + log1p(exp(-abs(x))); }
  static Grads vjp(Expr ct, Expr, Expr x) { return {ct * sigmoid(x)}; }
};

struct Erf {
  static Op info() {
    return {.name = "erf",
            .doc = "error function",
            .convention = "-1 and 1 at the infinities, keeps zeros' signs",
            .samples = {{.special = {0, -0.0, 1e-10, 10, -10}}}};
  }
  static TypeResult type(TypeArgs t) { return t.pointwise(floats); }
  static ScalarExpr value(ScalarExpr x) { return erf(x); }
  static Grads vjp(Expr ct, Expr, Expr x) {
    constexpr double two_over_root_pi = 2 * std::numbers::inv_sqrtpi;
    return {ct * (two_over_root_pi * exp(-(x * x)))};
  }
};

}  // namespace gradc::ops
