#pragma once

#include "compiler/ops/rules.h"

// What speaks about derivatives and is gone before code is made.
namespace gradc::ops {

struct StopGradient {
  static Op info() {
    return {.name = "stop_gradient",
            .kind = OpKind::StopGradient,
            .doc = "x, as a constant to derivatives",
            .convention = "the value is x itself, bit for bit",
            .index_operands = 0b1};
  }
  static TypeResult type(TypeArgs t) { return accept(t[0]); }
  static Grads vjp(Expr, Expr, Expr) { return {no_gradient}; }
  static std::vector<OpExample> examples() { return {{{{Element::F64, unnamed({2, 3})}}, {}}}; }
};

struct Grad {
  static Op info() {
    return {.name = "grad",
            .kind = OpKind::Grad,
            .arity = 2,
            .doc = "dy/dx, a request that the backward stage expands",
            .convention = "y is a scalar; the result has the type of x; inner requests are expanded first"};
  }
  static constexpr const char* not_differentiable =
      "grad is expanded into its formula before anything is differentiated through it";
  // Whether y is a scalar and both are floats is judged by the backward stage, which can say so at the user's line.
  static TypeResult type(TypeArgs t) { return accept(t[1]); }
  static std::vector<OpExample> examples() { return {{{{Element::F64, {}}, {Element::F64, unnamed({2, 3})}}, {}}}; }
};

}  // namespace gradc::ops
