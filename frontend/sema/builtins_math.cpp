// Point-wise functions and reductions.
#include <algorithm>
#include <cmath>

#include "frontend/sema/builtins.h"

namespace gradc::sema {
namespace {

using Fold = double (*)(double);
using Build = Expr (*)(Expr);

Value unary(const BuiltinCall& c, Fold fold, Build build, bool want_float = true) {
  if (auto* n = c.value(0).as<Num>()) return number(fold(n->value));
  return c.sema.pointwise(c.builtin.name, {c.value(0)}, {c.at(0)}, c.span, want_float, [&](const std::vector<Expr>& x) { return build(x[0]); });
}

// One row: a function of one number with the operation of the same name.
#define GRADC_UNARY_BUILTIN(name, doc, formula)                                             \
  Builtin{#name, "x", doc, [](const BuiltinCall& c) {                                       \
            return unary(c, [](double x) -> double { return formula; }, [](Expr x) { return gradc::name(x); }); \
          }}

Value cast_to(const BuiltinCall& c, Element to) {
  if (auto* n = c.value(0).as<Num>()) {
    if (to == Element::Int) return number(std::trunc(n->value));
    if (to == Element::Bool) return n->value != 0;
    return number(n->value);
  }
  return c.sema.wrap(cast(c.tensor(0), to));
}

// min(x, y) of two values, or the least element of one.
Value extreme(const BuiltinCall& c, bool greatest);

double softplus_of(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

}  // namespace

const std::vector<Builtin>& math_builtins() {
  static const std::vector<Builtin> table = {
      GRADC_UNARY_BUILTIN(exp, "e to the power x", std::exp(x)),
      GRADC_UNARY_BUILTIN(expm1, "exp(x) - 1, exact near 0", std::expm1(x)),
      GRADC_UNARY_BUILTIN(log, "natural logarithm", std::log(x)),
      GRADC_UNARY_BUILTIN(log1p, "log(1 + x), exact near 0", std::log1p(x)),
      GRADC_UNARY_BUILTIN(sqrt, "square root", std::sqrt(x)),
      GRADC_UNARY_BUILTIN(rsqrt, "1 / sqrt(x)", 1 / std::sqrt(x)),
      GRADC_UNARY_BUILTIN(sin, "sine", std::sin(x)),
      GRADC_UNARY_BUILTIN(cos, "cosine", std::cos(x)),
      GRADC_UNARY_BUILTIN(tanh, "hyperbolic tangent", std::tanh(x)),
      GRADC_UNARY_BUILTIN(erf, "error function", std::erf(x)),
      GRADC_UNARY_BUILTIN(sigmoid, "1 / (1 + exp(-x))", 1 / (1 + std::exp(-x))),
      GRADC_UNARY_BUILTIN(softplus, "log(1 + exp(x))", softplus_of(x)),
      {"abs", "x", "absolute value", [](const BuiltinCall& c) { return unary(c, std::fabs, [](Expr x) { return abs(x); }, false); }},
      {"sign", "x", "-1, 0 or 1", [](const BuiltinCall& c) { return unary(c, [](double x) { return double((x > 0) - (x < 0)); }, [](Expr x) { return sign(x); }, false); }},
      {"floor", "x", "the whole number below", [](const BuiltinCall& c) { return unary(c, std::floor, [](Expr x) { return floor(x); }); }},
      {"ceil", "x", "the whole number above", [](const BuiltinCall& c) { return unary(c, std::ceil, [](Expr x) { return ceil(x); }); }},
      {"round", "x", "the nearest whole number, ties to even", [](const BuiltinCall& c) { return unary(c, std::nearbyint, [](Expr x) { return round(x); }); }},
      {"where", "condition, a, b", "a where the condition holds, otherwise b; its derivative is free of NaN from the branch not taken",
       [](const BuiltinCall& c) { return c.sema.where(c.value(0), c.value(1), c.value(2), {c.at(0), c.at(1), c.at(2)}, c.span); }},
      {"int", "x", "whole numbers, cut towards zero", [](const BuiltinCall& c) { return cast_to(c, Element::Int); }},
      {"float", "x", "the model's element type", [](const BuiltinCall& c) { return cast_to(c, c.sema.model_element()); }},
      {"f32", "x", "32-bit floats", [](const BuiltinCall& c) { return cast_to(c, Element::F32); }},
      {"f64", "x", "64-bit floats", [](const BuiltinCall& c) { return cast_to(c, Element::F64); }},
      {"bool", "x", "true where x is not 0", [](const BuiltinCall& c) { return cast_to(c, Element::Bool); }},
  };
  return table;
}

namespace {

std::vector<Dim> kept_dims(const Type& t, const std::vector<int64_t>& axes, bool keep) {
  std::vector<Dim> out;
  for (size_t i = 0; i < t.rank(); ++i) {
    bool gone = std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) != axes.end();
    if (!gone) out.push_back(t.dims[i]);
    else if (keep) out.push_back({1, {}});
  }
  return out;
}

Expr keep_axes(Expr reduced, const Type& from, const std::vector<int64_t>& axes, bool keep) {
  std::vector<Dim> dims = kept_dims(from, axes, keep);
  std::vector<int64_t> sizes;
  for (const Dim& d : dims) sizes.push_back(d.size);
  return with_dims(reshape(reduced, sizes), dims);
}

std::vector<int64_t> reduced_axes(const BuiltinCall& c, size_t axis, size_t axes, const Type& t) {
  if (c.has(axis) && c.has(axes)) {
    c.sema.report(DiagnosticKind::ArgumentTwice, c.at(axes), "axes", c.builtin.name).note(c.at(axis), "'axis' is given here");
    c.sema.abort();
  }
  if (c.has(axis)) return c.sema.axes_of(c.value(axis), t, c.at(axis));
  return c.sema.axes_of(c.has(axes) ? c.value(axes) : Value(None{}), t, c.span);
}

double count_of(const Type& t, const std::vector<int64_t>& axes) {
  double n = 1;
  for (int64_t a : axes) n *= static_cast<double>(t.size(static_cast<size_t>(a)));
  return n;
}

using Reduce = Expr (*)(Expr, std::vector<int64_t>);

// Signature: x, axis?, axes?, keepdims?
Value reduce(const BuiltinCall& c, Reduce build, bool floats) {
  Expr x = floats ? c.floats(0) : c.tensor(0);
  if (x.element() == Element::Bool) x = cast(x, Element::Int);
  std::vector<int64_t> axes = reduced_axes(c, 1, 2, x.type());
  return c.sema.wrap(keep_axes(build(x, axes), x.type(), axes, c.flag(3)));
}

Expr mean_over(Expr x, std::vector<int64_t> axes) {
  double n = count_of(x.type(), axes);
  return reduce_sum(x, std::move(axes)) / n;
}

Expr variance_over(Expr x, std::vector<int64_t> axes) {
  Expr centred = x - unreduce(mean_over(x, axes), axes, x.sizes());
  return mean_over(centred * centred, axes);
}

Value arg_extreme(const BuiltinCall& c, Expr (*build)(Expr, int64_t)) {
  Expr x = c.tensor(0);
  int64_t axis = c.sema.axis_of(c.has(1) ? c.value(1) : number(-1), x.type(), c.at(1));
  return c.sema.wrap(keep_axes(build(x, axis), x.type(), {axis}, c.flag(2)));
}

Value extreme(const BuiltinCall& c, bool greatest) {
  bool axes_second = c.has(1) && c.value(1).as<std::shared_ptr<const AllBut>>();
  if (c.has(1) && !axes_second) {
    auto *a = c.value(0).as<Num>(), *b = c.value(1).as<Num>();
    if (a && b) return number(greatest ? std::max(a->value, b->value) : std::min(a->value, b->value));
    return c.sema.pointwise(c.builtin.name, {c.value(0), c.value(1)}, {c.at(0), c.at(1)}, c.span, false,
                            [&](const std::vector<Expr>& x) { return greatest ? max(x[0], x[1]) : min(x[0], x[1]); });
  }
  Expr x = c.tensor(0);
  std::vector<int64_t> axes = axes_second ? c.sema.axes_of(c.value(1), x.type(), c.at(1)) : reduced_axes(c, 2, 3, x.type());
  return c.sema.wrap(keep_axes(greatest ? reduce_max(x, axes) : reduce_min(x, axes), x.type(), axes, c.flag(4)));
}

}  // namespace

const std::vector<Builtin>& reduction_builtins() {
  static const std::vector<Builtin> table = {
      {"sum", "x, axis?, axes?, keepdims?", "sum over axes, all by default", [](const BuiltinCall& c) { return reduce(c, reduce_sum, false); }},
      {"product", "x, axis?, axes?, keepdims?", "product over axes, all by default", [](const BuiltinCall& c) { return reduce(c, reduce_prod, false); }},
      {"mean", "x, axis?, axes?, keepdims?", "mean over axes, all by default", [](const BuiltinCall& c) { return reduce(c, mean_over, true); }},
      {"variance", "x, axis?, axes?, keepdims?", "mean squared distance from the mean (biased), over axes", [](const BuiltinCall& c) { return reduce(c, variance_over, true); }},
      {"max", "x, y?, axis?, axes?, keepdims?", "the greater of two values, or the greatest element over axes", [](const BuiltinCall& c) { return extreme(c, true); }},
      {"min", "x, y?, axis?, axes?, keepdims?", "the lesser of two values, or the least element over axes", [](const BuiltinCall& c) { return extreme(c, false); }},
      {"argmax", "x, axis?, keepdims?", "index of the first greatest element, along the last axis by default", [](const BuiltinCall& c) { return arg_extreme(c, argmax); }},
      {"argmin", "x, axis?, keepdims?", "index of the first least element, along the last axis by default", [](const BuiltinCall& c) { return arg_extreme(c, argmin); }},
  };
  return table;
}

}  // namespace gradc::sema
