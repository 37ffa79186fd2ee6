#pragma once

#include "compiler/graph/scalar.h"
#include "compiler/ops/rules.h"

// Comparisons, logic, choice and conversion.
namespace gradc::ops {

// What comparisons share. Derivatives go round conditions: select passes them to its branches.
struct Comparison {
  static constexpr const char* not_differentiable = "a comparison gives true or false, which has no derivative";
  static Op describe(const char* name, const char* doc, bool commutative = false) {
    return {.name = name,
            .arity = 2,
            .doc = doc,
            .convention = Symbol(name) == Symbol("ne") ? "true if either is NaN; -0 equals 0"
                                                       : "false if either is NaN; -0 equals 0",
            .commutative = commutative,
            .samples = {{.special = {0, -0.0, 1}}},
            .ulp_f32 = 0,
            .ulp_f64 = 0};
  }
};

struct Lt : Comparison {
  static Op info() { return describe("lt", "a < b"); }
  static TypeResult type(TypeArgs t) { return t.comparison(numbers); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return a < b; }
};
struct Le : Comparison {
  static Op info() { return describe("le", "a <= b"); }
  static TypeResult type(TypeArgs t) { return t.comparison(numbers); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return a <= b; }
};
struct Gt : Comparison {
  static Op info() { return describe("gt", "a > b"); }
  static TypeResult type(TypeArgs t) { return t.comparison(numbers); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return b < a; }
};
struct Ge : Comparison {
  static Op info() { return describe("ge", "a >= b"); }
  static TypeResult type(TypeArgs t) { return t.comparison(numbers); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return b <= a; }
};
struct Eq : Comparison {
  static Op info() { return describe("eq", "a == b", true); }
  static TypeResult type(TypeArgs t) { return t.comparison(anything); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return equal(a, b); }
};
struct Ne : Comparison {
  static Op info() { return describe("ne", "a != b", true); }
  static TypeResult type(TypeArgs t) { return t.comparison(anything); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return not_equal(a, b); }
};

struct Logic {
  static constexpr const char* not_differentiable = "logic works on true and false, which have no derivative";
  static Op describe(const char* name, int arity, const char* doc) {
    return {.name = name,
            .arity = arity,
            .doc = doc,
            .convention = "bool only",
            .commutative = arity == 2,
            .samples = {{.low = 0, .high = 1, .special = {0, 1}}},
            .ulp_f32 = 0,
            .ulp_f64 = 0};
  }
};

struct And : Logic {
  static Op info() { return describe("and", 2, "both are true"); }
  static TypeResult type(TypeArgs t) { return t.pointwise(bools); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return logical_and(a, b); }
};
struct Or : Logic {
  static Op info() { return describe("or", 2, "at least one is true"); }
  static TypeResult type(TypeArgs t) { return t.pointwise(bools); }
  static ScalarExpr value(ScalarExpr a, ScalarExpr b) { return logical_or(a, b); }
};
struct Not : Logic {
  static Op info() { return describe("not", 1, "is false"); }
  static TypeResult type(TypeArgs t) { return t.pointwise(bools); }
  static ScalarExpr value(ScalarExpr a) { return logical_not(a); }
};

struct Select {
  static Op info() {
    return {.name = "select",
            .arity = 3,
            .doc = "a where the condition holds, else b",
            .convention = "the branch not taken takes no part: its NaN does not show and its cotangent is 0",
            .index_operands = 0b001,
            .samples = {{.low = 0, .high = 1, .special = {0, 1}}, {}, {}},
            .ulp_f32 = 0,
            .ulp_f64 = 0};
  }
  static TypeResult type(TypeArgs t) {
    if (t[0].element != Element::Bool) return refuse("the condition is {}, not bool", to_string(t[0]));
    return t.pointwise(anything, 1);
  }
  static ScalarExpr value(ScalarExpr c, ScalarExpr a, ScalarExpr b) { return select(c, a, b); }
  static Grads vjp(Expr ct, Expr, Expr c, Expr, Expr) { return {no_gradient, select(c, ct, 0), select(c, 0, ct)}; }
  static std::vector<OpExample> examples() {
    std::vector<OpExample> list;
    for (Element e : {Element::F32, Element::F64, Element::Int}) {
      Type x{e, {{5, {}}}};
      list.push_back({{x.with(Element::Bool), x, x}, {}});
    }
    return list;
  }
};

struct Cast {
  static Op info() {
    return {
        .name = "cast",
        .doc = "the same value in another element type",
        .convention =
            "float to float rounds to nearest; float to int truncates and saturates, NaN gives 0; to bool is x != 0. "
            "Between floats the derivative is the cotangent; whole numbers and truth have none",
        .samples = {{.special = {0, -0.0, 1.5, -1.5, 1e20}}},
        .ulp_f32 = 0.5,
        .ulp_f64 = 0.5};
  }
  static constexpr AttrSpec attributes[] = {{"element", AttrKind::ElementName}};
  static Element target(const Attrs& attrs) { return *parse_element(attrs.text("element").str()); }
  static TypeResult type(TypeArgs t) { return accept(t[0].with(target(t.attrs))); }
  static ScalarExpr value(ScalarExpr x, const Attrs& attrs) { return x.cast(target(attrs)); }
  static Grads vjp(Expr ct, Expr y, Expr x) {
    if (!is_float(x.element()) || !is_float(y.element())) return {no_gradient};
    return {cast(ct, x.element())};
  }
  static std::vector<OpExample> examples() {
    std::vector<OpExample> list;
    for (Element from : {Element::Bool, Element::Int, Element::F32, Element::F64}) {
      for (const char* to : {"bool", "int", "f32", "f64"})
        list.push_back({{{from, {{5, {}}}}}, {{"element", Symbol(to)}}});
    }
    return list;
  }
};

}  // namespace gradc::ops
