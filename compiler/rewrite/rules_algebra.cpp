#include <cmath>

#include "compiler/ops/ops.h"
#include "compiler/rewrite/facts.h"
#include "compiler/rewrite/terms.h"

// Identities of arithmetic, order and logic. Nothing here assumes that values are finite or zeros unsigned: x * 0 and x - x
// stay for floats, and x + 0 goes only where x is proved never to be -0.
namespace gradc::rewrite {
namespace {

bool ints(const Match& m) { return m.root.type.element == Element::Int; }
bool floats(const Match& m) { return m.is_float(); }

// ---- signs: they move outwards, where sums absorb them ----
std::vector<Rule> signs() {
  Var x(0), y(1), product(2);
  Var c = constant_var(3);
  return {
      {.name = "neg-neg", .identity = "-(-x) = x", .pattern = -(-x), .replacement = x},
      {.name = "sub-neg", .identity = "x - (-y) = x + y", .pattern = x - (-y), .replacement = x + y},
      {.name = "add-neg", .identity = "x + (-y) = x - y", .pattern = x + (-y), .replacement = x - y},
      {.name = "sub-from-minus-zero", .identity = "-0 - x = -x", .caveat = "0 - x is left alone: it is 0, not -0, at x = 0",
       .pattern = -0.0 - x, .replacement = -x, .when = floats},
      {.name = "neg-mul-constant", .identity = "(-x) c = x (-c)", .pattern = (-x) * c, .when = floats,
       .build = [x, c](Match& m) { return m[x] * -m.value(c); }},
      {.name = "neg-of-mul-constant", .identity = "-(x c) = x (-c)", .pattern = -product.is(x * c),
       .when = [product](const Match& m) { return m.is_float() && m.single_use(product); },
       .build = [x, c](Match& m) { return m[x] * -m.value(c); }},
      {.name = "neg-mul-neg", .identity = "(-x) (-y) = x y", .pattern = (-x) * (-y), .replacement = x * y},
      {.name = "neg-mul", .identity = "(-x) y = -(x y)", .pattern = (-x) * y, .replacement = -(x * y)},
      {.name = "neg-div-neg", .identity = "(-x) / (-y) = x / y", .pattern = (-x) / (-y), .replacement = x / y, .when = floats},
      {.name = "neg-div", .identity = "(-x) / y = -(x / y)", .pattern = (-x) / y, .replacement = -(x / y), .when = floats},
      {.name = "div-neg", .identity = "x / (-y) = -(x / y)", .pattern = x / (-y), .replacement = -(x / y), .when = floats},
      {.name = "abs-neg", .identity = "|-x| = |x|", .pattern = abs(-x), .replacement = abs(x)},
      {.name = "abs-abs", .identity = "||x|| = |x|", .pattern = abs(abs(x)), .replacement = abs(x)},
      {.name = "abs-nonnegative", .identity = "|x| = x where x is never below 0, nor -0", .pattern = abs(x), .replacement = x,
       .when = [x](const Match& m) { return nonnegative(m, m[x].id); }},
      {.name = "abs-mul-abs", .identity = "|x| |x| = x x", .pattern = abs(x) * abs(x), .replacement = x * x},
      {.name = "cos-neg", .identity = "cos(-x) = cos(x)", .pattern = cos(-x), .replacement = cos(x)},
  };
}

// ---- neutral elements and constants ----

Expr scaled(const Match& m, const Var& x, double factor) { return m[x] * factor; }

// The combined factor, unless it leaves the range in which products round once.
bool combines(const Match& m, const Var& c, const Var& d, double combined) {
  Element e = m.root.type.element;
  return m.is_float() && normal(m.value(c), e) && normal(m.value(d), e) && normal(combined, e);
}

std::vector<Rule> constants() {
  Var x(0);
  Var c = constant_var(1), d = constant_var(2);
  auto ratio = [c, d](const Match& m) { return rounded(m.value(c) / m.value(d), m.root.type.element); };
  auto product = [c, d](const Match& m) { return rounded(m.value(c) * m.value(d), m.root.type.element); };
  const char* regrouped = "one rounding instead of two; an overflow or underflow of the intermediate value goes away";
  return {
      {.name = "add-minus-zero", .identity = "x + (-0) = x", .pattern = x + -0.0, .replacement = x},
      {.name = "add-zero", .identity = "x + 0 = x where x is never -0", .caveat = "not for any x: -0 + 0 is 0", .pattern = x + 0.0, .replacement = x,
       .when = [x](const Match& m) { return ints(m) || nonnegative(m, m[x].id); }},
      {.name = "sub-zero", .identity = "x - 0 = x", .pattern = x - 0.0, .replacement = x},
      {.name = "mul-one", .identity = "x 1 = x", .pattern = x * 1.0, .replacement = x},
      {.name = "mul-minus-one", .identity = "x (-1) = -x", .pattern = x * -1.0, .replacement = -x},
      {.name = "div-one", .identity = "x / 1 = x", .pattern = x / 1.0, .replacement = x},
      {.name = "div-minus-one", .identity = "x / (-1) = -x", .pattern = x / -1.0, .replacement = -x, .when = floats},
      {.name = "mul-zero-int", .identity = "i 0 = 0 for whole numbers", .caveat = "not for floats: inf 0 and NaN 0 are NaN", .pattern = x * 0.0,
       .replacement = 0.0, .when = ints},
      {.name = "sub-self-int", .identity = "i - i = 0 for whole numbers", .caveat = "not for floats: inf - inf is NaN", .pattern = x - x,
       .replacement = 0.0, .when = ints},
      {.name = "add-add-int", .identity = "(i + c) + d = i + (c + d) for whole numbers", .caveat = "not for floats: rounding does not associate",
       .pattern = (x + c) + d, .when = [c, d](const Match& m) { return ints(m) && std::abs(m.value(c) + m.value(d)) < 0x1p52; },
       .build = [x, c, d](Match& m) { return m[x] + (m.value(c) + m.value(d)); }},
      {.name = "add-self", .identity = "x + x = 2 x", .pattern = x + x, .replacement = x * 2.0, .when = floats},
      {.name = "div-power-of-two", .identity = "x / c = x (1/c) for c = 2^k", .pattern = x / c,
       .when = [c](const Match& m) { return m.is_float() && power_of_two(m.value(c), m.root.type.element); },
       .build = [x, c](Match& m) { return scaled(m, x, 1 / m.value(c)); }},
      {.name = "mul-mul-constants", .identity = "(x c) d = x (c d)", .accuracy = Accuracy::Rounding, .ulps = 3, .caveat = regrouped,
       .pattern = (x * c) * d, .when = [=](const Match& m) { return combines(m, c, d, product(m)); },
       .build = [=](Match& m) { return scaled(m, x, product(m)); }},
      {.name = "div-mul-constants", .identity = "(x / c) d = x (d / c)", .accuracy = Accuracy::Rounding, .ulps = 3, .caveat = regrouped,
       .pattern = (x / d) * c, .when = [=](const Match& m) { return combines(m, c, d, ratio(m)); },
       .build = [=](Match& m) { return scaled(m, x, ratio(m)); }},
      {.name = "mul-div-constants", .identity = "(x c) / d = x (c / d)", .accuracy = Accuracy::Rounding, .ulps = 3, .caveat = regrouped,
       .pattern = (x * c) / d, .when = [=](const Match& m) { return combines(m, c, d, ratio(m)); },
       .build = [=](Match& m) { return scaled(m, x, ratio(m)); }},
      {.name = "div-div-constants", .identity = "(x / c) / d = x / (c d)", .accuracy = Accuracy::Rounding, .ulps = 3, .caveat = regrouped,
       .pattern = (x / c) / d, .when = [=](const Match& m) { return combines(m, c, d, product(m)); },
       .build = [=](Match& m) { return m[x] / product(m); }},
  };
}

// ---- powers ----
std::vector<Rule> powers() {
  Var x(0);
  auto proved = [x](const Match& m) { return nonnegative(m, m[x].id); };
  const char* at_edges = "pow(-0, 1/2) is 0 and pow(-inf, 1/2) is inf, where the root is -0 and NaN: so only for x >= 0";
  return {
      {.name = "pow-zero", .identity = "x^0 = 1, also for NaN", .pattern = pow(x, 0.0), .replacement = 1.0},
      {.name = "pow-one", .identity = "x^1 = x", .pattern = pow(x, 1.0), .replacement = x},
      {.name = "pow-two", .identity = "x^2 = x x", .accuracy = Accuracy::Rounding, .ulps = 2, .caveat = "rounded once instead of to pow's tolerance",
       .pattern = pow(x, 2.0), .replacement = x * x},
      {.name = "pow-three", .identity = "x^3 = x x x", .accuracy = Accuracy::Rounding, .ulps = 3, .caveat = "two roundings",
       .pattern = pow(x, 3.0), .replacement = (x * x) * x, .when = floats},
      {.name = "pow-minus-one", .identity = "x^-1 = 1 / x", .accuracy = Accuracy::Rounding, .ulps = 2, .caveat = "rounded once instead of to pow's tolerance",
       .pattern = pow(x, -1.0), .replacement = 1.0 / x, .when = floats},
      {.name = "pow-half", .identity = "x^(1/2) = sqrt(x)", .accuracy = Accuracy::Rounding, .ulps = 2, .caveat = at_edges,
       .pattern = pow(x, 0.5), .replacement = sqrt(x), .when = proved},
      {.name = "pow-minus-half", .identity = "x^(-1/2) = rsqrt(x)", .accuracy = Accuracy::Rounding, .ulps = 4, .caveat = at_edges,
       .pattern = pow(x, -0.5), .replacement = rsqrt(x), .when = proved},
  };
}

// ---- order, choice, logic, conversion ----

bool widens(Element from, Element to) { return from == Element::Bool || (from == Element::F32 && to == Element::F64); }

std::vector<Rule> choices() {
  Var x(0), y(1), z(2), p(3), inner(6);
  Var c = constant_var(4), d = constant_var(5);
  auto numbers = [c, d](const Match& m) { return !std::isnan(m.value(c)) && !std::isnan(m.value(d)); };
  // Of the constants, the one that the operation keeps; -0 counts as below 0.
  auto larger = [c, d](const Match& m) {
    double a = m.value(c), b = m.value(d);
    return a > b || (a == b && !std::signbit(a)) ? a : b;
  };
  auto smaller = [c, d](const Match& m) {
    double a = m.value(c), b = m.value(d);
    return a < b || (a == b && std::signbit(a)) ? a : b;
  };
  auto zero_one = [](const Match& m) { return m.root.type.element == Element::Bool; };
  return {
      {.name = "max-self", .identity = "max(x, x) = x", .pattern = max(x, x), .replacement = x},
      {.name = "min-self", .identity = "min(x, x) = x", .pattern = min(x, x), .replacement = x},
      {.name = "max-zero-nonnegative", .identity = "max(x, 0) = x where x is never below 0, nor -0", .pattern = max(x, 0.0), .replacement = x,
       .when = [x](const Match& m) { return nonnegative(m, m[x].id); }},
      {.name = "max-max-constants", .identity = "max(max(x, c), d) = max(x, max(c, d))", .pattern = max(max(x, c), d), .when = numbers,
       .build = [=](Match& m) { return gradc::max(m[x], larger(m)); }},
      {.name = "min-min-constants", .identity = "min(min(x, c), d) = min(x, min(c, d))", .pattern = min(min(x, c), d), .when = numbers,
       .build = [=](Match& m) { return gradc::min(m[x], smaller(m)); }},
      {.name = "select-same", .identity = "select(p, x, x) = x", .pattern = select(p, x, x), .replacement = x},
      {.name = "select-not", .identity = "select(not p, x, y) = select(p, y, x)", .pattern = select(!p, x, y), .replacement = select(p, y, x)},
      {.name = "select-select-then", .identity = "select(p, select(p, x, y), z) = select(p, x, z)", .pattern = select(p, select(p, x, y), z),
       .replacement = select(p, x, z)},
      {.name = "select-select-else", .identity = "select(p, x, select(p, y, z)) = select(p, x, z)", .pattern = select(p, x, select(p, y, z)),
       .replacement = select(p, x, z)},
      {.name = "not-not", .identity = "not not p = p", .pattern = !!p, .replacement = p},
      {.name = "and-self", .identity = "p and p = p", .pattern = logical_and(p, p), .replacement = p},
      {.name = "or-self", .identity = "p or p = p", .pattern = logical_or(p, p), .replacement = p},
      {.name = "and-true", .identity = "p and true = p", .pattern = logical_and(p, 1.0), .replacement = p},
      {.name = "and-false", .identity = "p and false = false", .pattern = logical_and(p, 0.0), .replacement = 0.0},
      {.name = "or-true", .identity = "p or true = true", .pattern = logical_or(p, 1.0), .replacement = 1.0, .when = zero_one},
      {.name = "or-false", .identity = "p or false = p", .pattern = logical_or(p, 0.0), .replacement = p},
      {.name = "cast-same", .identity = "cast to the element it has = x", .pattern = of<ops::Cast>(x), .replacement = x,
       .when = [x](const Match& m) { return m[x].element() == m.root.type.element; }},
      {.name = "cast-cast", .identity = "cast(cast(x)) = cast(x) where the inner one keeps the value", .pattern = of<ops::Cast>(inner.is(of<ops::Cast>(x))),
       .when = [x, inner](const Match& m) { return widens(m[x].element(), m[inner].element()); },
       .build = [x](Match& m) { return cast(m[x], m.root.type.element); }},
  };
}

}  // namespace

const RuleSet& algebra_rules() {
  static const RuleSet rules = [] {
    RuleSet set{"algebra", "identities of arithmetic, order, choice and logic", {}};
    for (const std::vector<Rule>& part : {signs(), constants(), powers(), choices()}) {
      set.rules.insert(set.rules.end(), part.begin(), part.end());
    }
    return set;
  }();
  return rules;
}

const RuleSet& fma_rules() {
  static const RuleSet rules = [] {
    Var a(0), b(1), c(2), product(3);
    auto once = [product](const Match& m) { return m.is_float() && m.single_use(product); };
    const char* why = "the product is not rounded: bits follow the optimised graph, whatever is fused with what later";
    return RuleSet{"fma", "fuses a product that is read once into the sum that reads it", {
        {.name = "fma-add", .identity = "a b + c = fma(a, b, c)", .accuracy = Accuracy::Rounding, .ulps = 1, .caveat = why,
         .pattern = product.is(a * b) + c, .replacement = fma(a, b, c), .when = once},
        {.name = "fma-sub", .identity = "a b - c = fma(a, b, -c)", .accuracy = Accuracy::Rounding, .ulps = 1, .caveat = why,
         .pattern = product.is(a * b) - c, .replacement = fma(a, b, -c), .when = once},
        {.name = "fma-sub-from", .identity = "c - a b = fma(-a, b, c)", .accuracy = Accuracy::Rounding, .ulps = 1, .caveat = why,
         .pattern = c - product.is(a * b), .replacement = fma(-a, b, c), .when = once},
    }};
  }();
  return rules;
}

}  // namespace gradc::rewrite
