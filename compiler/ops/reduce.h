#pragma once

#include "compiler/ops/rules.h"

// Sums, products and extremes over axes, and where extremes lie.
namespace gradc::ops {

struct Reduction {
  static constexpr AttrSpec attributes[] = {{"axes", AttrKind::Integers}};
  static Op describe(const char* name, Combiner combiner, const char* doc, const char* convention,
                     const char* stability = "") {
    return {.name = name,
            .kind = OpKind::Reduction,
            .doc = doc,
            .convention = convention,
            .stability = stability,
            .combiner = combiner};
  }
  static TypeResult type(TypeArgs t) {
    if (std::string p = t.element_problem(numbers); !p.empty()) return {std::nullopt, p};
    const auto& axes = t.ints("axes");
    if (!axis_set(axes, t[0].rank())) return refuse("axes are not ascending axes of {}", to_string(t[0]));
    Type result{t[0].element, {}};
    for (size_t i = 0; i < t[0].rank(); ++i) {
      if (!contains(axes, static_cast<int64_t>(i))) result.dims.push_back(t[0].dims[i]);
    }
    return accept(std::move(result));
  }
  static std::vector<int64_t> axes(Expr y) { return y.attrs().integers("axes"); }
  static std::vector<OpExample> examples() {
    using V = std::vector<int64_t>;
    return {{{{Element::F64, unnamed({5})}}, {{"axes", V{0}}}},
            {{{Element::F64, unnamed({3, 4})}}, {{"axes", V{1}}}},
            {{{Element::F64, unnamed({2, 3, 2})}}, {{"axes", V{0, 2}}}}};
  }
};

struct ReduceSum : Reduction {
  static Op info() {
    return describe(
        "reduce_sum", Combiner::Sum, "sum over axes", "int wraps",
        "the interpreter adds in double; compiled code adds in a fixed tree that depends on the shape alone");
  }
  static Grads vjp(Expr ct, Expr y, Expr x) { return {unreduce(ct, axes(y), x.sizes())}; }
};

struct ReduceProd : Reduction {
  static Op info() {
    return describe("reduce_prod", Combiner::Prod, "product over axes", "int wraps",
                    "the derivative is the product of the other elements, from running products of both sides: y / x "
                    "would fail at zeros");
  }

  // Products of all elements before each one along the last axis (or after, for reversed x): shifted by one and then
  // doubled, so that n elements take log n steps, nothing is divided, and derivatives of any order are ordinary
  // products.
  static Expr product_before(Expr x) {
    int64_t n = x.sizes().back();
    Expr p = shift(x, 1);
    for (int64_t reach = 1; reach < n; reach *= 2) p = p * shift(p, reach);
    return p;
  }
  static Expr shift(Expr x, int64_t by) {
    std::vector<int64_t> starts(x.rank(), 0), limits = x.sizes(), low(x.rank(), 0), high(x.rank(), 0);
    if (by >= limits.back()) return x.literal(1);
    limits.back() -= by;
    low.back() = by;
    return pad(slice(x, starts, limits), low, high, 1);
  }
  static Grads vjp(Expr ct, Expr y, Expr x) {
    // Reduced axes last and flattened into one.
    std::vector<int64_t> perm, back(x.rank()), flat_sizes = y.sizes(), reduced = axes(y);
    for (int64_t axis : all_axes(x)) {
      if (!contains(reduced, axis)) perm.push_back(axis);
    }
    perm.insert(perm.end(), reduced.begin(), reduced.end());
    for (size_t j = 0; j < perm.size(); ++j) back[static_cast<size_t>(perm[j])] = static_cast<int64_t>(j);
    Expr moved = transpose(x, perm);
    int64_t n = 1;
    for (int64_t axis : reduced) n *= x.size(static_cast<size_t>(axis));
    flat_sizes.push_back(n);
    Expr flat = reshape(moved, flat_sizes);
    auto last = static_cast<int64_t>(flat.rank()) - 1;
    Expr after = reverse(product_before(reverse(flat, {last})), {last});
    Expr others = product_before(flat) * after;
    return {unreduce(ct, reduced, x.sizes()) * transpose(reshape(others, moved.sizes()), back)};
  }
};

// Extremes share the cotangent evenly among equal elements.
struct Extreme : Reduction {
  static constexpr const char* convention =
      "NaN if any element is NaN, and then so is the derivative; among equal extremes the derivative is divided evenly";
  static Grads vjp(Expr ct, Expr y, Expr x) {
    std::vector<int64_t> over = axes(y);
    // A choice of constants, not a cast of the comparison: the path of the derivative leads through branches only.
    Expr one = x.literal(1);
    Expr extreme = select(eq(x, unreduce(y, over, x.sizes())), one, 0);
    return {extreme * unreduce(ct / reduce_sum(extreme, over), over, x.sizes())};
  }
};

struct ReduceMax : Extreme {
  static Op info() { return describe("reduce_max", Combiner::Max, "largest element over axes", convention); }
};
struct ReduceMin : Extreme {
  static Op info() { return describe("reduce_min", Combiner::Min, "smallest element over axes", convention); }
};

struct ArgExtreme {
  static constexpr AttrSpec attributes[] = {{"axis", AttrKind::Integer}};
  static constexpr const char* not_differentiable =
      "an index is a whole number: it jumps where it changes and is constant elsewhere";
  static Op describe(const char* name, Combiner combiner, const char* doc) {
    return {.name = name,
            .kind = OpKind::ArgReduction,
            .doc = doc,
            .convention = "the first of equal extremes; NaN counts as the extreme; -0 equals 0",
            .combiner = combiner};
  }
  static TypeResult type(TypeArgs t) {
    if (std::string p = t.element_problem(numbers); !p.empty()) return {std::nullopt, p};
    int64_t axis = t.integer("axis");
    if (!in_range(axis, t[0].rank())) return refuse("{} has no axis {}", to_string(t[0]), axis);
    Type result = t[0].with(Element::Int);
    result.dims.erase(result.dims.begin() + axis);
    return accept(std::move(result));
  }
  static std::vector<OpExample> examples() {
    return {{{{Element::F64, unnamed({5})}}, {{"axis", int64_t{0}}}},
            {{{Element::F64, unnamed({3, 4})}}, {{"axis", int64_t{1}}}}};
  }
};

struct ArgMax : ArgExtreme {
  static Op info() { return describe("argmax", Combiner::Max, "index of the largest element along an axis"); }
};
struct ArgMin : ArgExtreme {
  static Op info() { return describe("argmin", Combiner::Min, "index of the smallest element along an axis"); }
};

}  // namespace gradc::ops
