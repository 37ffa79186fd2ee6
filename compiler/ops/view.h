#pragma once

#include <cstdlib>

#include "compiler/ops/rules.h"

// Operations that move elements and compute nothing.
namespace gradc::ops {

inline Type example_type(std::vector<int64_t> sizes, Element e = Element::F64) {
  return {e, unnamed(sizes)};
}

struct Broadcast {
  static Op info() {
    return {.name = "broadcast",
            .kind = OpKind::View,
            .doc = "repeats x along new axes; axis i of x becomes axis axes[i]",
            .convention = "sizes of matched axes are equal: an axis of size 1 is reshaped away first"};
  }
  static constexpr AttrSpec attributes[] = {{"axes", AttrKind::Integers}, {"sizes", AttrKind::Integers}};
  static TypeResult type(TypeArgs t) {
    const auto &axes = t.ints("axes"), &sizes = t.ints("sizes");
    if (axes.size() != t[0].rank() || !distinct_axes(axes, sizes.size()))
      return refuse("axes do not place those of {}", to_string(t[0]));
    Type result{t[0].element, unnamed(sizes)};
    for (size_t i = 0; i < axes.size(); ++i) {
      Dim& to = result.dims[static_cast<size_t>(axes[i])];
      if (to.size != t[0].size(i)) return refuse("axis {} of {} does not fit size {}", i, to_string(t[0]), to.size);
      to.name = t[0].dims[i].name;
    }
    return accept(std::move(result));
  }
  static std::vector<ViewTerm> view(const Type&, const Type&, const Attrs& attrs) {
    std::vector<ViewTerm> terms;
    for (int64_t axis : attrs.integers("axes")) terms.push_back({.axis = static_cast<int>(axis)});
    return terms;
  }
  static Grads vjp(Expr ct, Expr y, Expr x) {
    std::vector<int64_t> axes = y.attrs().integers("axes"), repeated, order = axes, perm;
    for (int64_t axis : all_axes(y)) {
      if (!contains(axes, axis)) repeated.push_back(axis);
    }
    // The sum leaves the axes in ascending order; x may have them in another.
    std::sort(order.begin(), order.end());
    for (size_t i = 0; i < x.rank(); ++i)
      perm.push_back(std::find(order.begin(), order.end(), axes[i]) - order.begin());
    return {transpose(reduce_sum(ct, repeated), perm)};
  }
  static std::vector<OpExample> examples() {
    using V = std::vector<int64_t>;
    return {{{example_type({})}, {{"axes", V{}}, {"sizes", V{2, 3}}}},
            {{example_type({3})}, {{"axes", V{1}}, {"sizes", V{2, 3}}}},
            {{example_type({2, 3})}, {{"axes", V{2, 0}}, {"sizes", V{3, 4, 2}}}}};
  }
};

struct Transpose {
  static Op info() {
    return {.name = "transpose",
            .kind = OpKind::View,
            .doc = "reorders axes; axis j of the result is axis perm[j] of x",
            .convention = "perm names every axis once"};
  }
  static constexpr AttrSpec attributes[] = {{"perm", AttrKind::Integers}};
  static TypeResult type(TypeArgs t) {
    const auto& perm = t.ints("perm");
    if (perm.size() != t[0].rank() || !distinct_axes(perm, perm.size()))
      return refuse("perm does not reorder the axes of {}", to_string(t[0]));
    Type result{t[0].element, {}};
    for (int64_t p : perm) result.dims.push_back(t[0].dims[static_cast<size_t>(p)]);
    return accept(std::move(result));
  }
  static std::vector<int64_t> inverse(const std::vector<int64_t>& perm) {
    std::vector<int64_t> inv(perm.size());
    for (size_t j = 0; j < perm.size(); ++j) inv[static_cast<size_t>(perm[j])] = static_cast<int64_t>(j);
    return inv;
  }
  static std::vector<ViewTerm> view(const Type&, const Type&, const Attrs& attrs) {
    std::vector<ViewTerm> terms;
    for (int64_t axis : inverse(attrs.integers("perm"))) terms.push_back({.axis = static_cast<int>(axis)});
    return terms;
  }
  static Grads vjp(Expr ct, Expr y, Expr) { return {transpose(ct, inverse(y.attrs().integers("perm")))}; }
  static std::vector<OpExample> examples() {
    return {{{example_type({2, 3})}, {{"perm", std::vector<int64_t>{1, 0}}}},
            {{example_type({2, 3, 4})}, {{"perm", std::vector<int64_t>{2, 0, 1}}}}};
  }
};

struct Slice {
  static Op info() {
    return {.name = "slice",
            .kind = OpKind::View,
            .doc = "x[start], x[start + stride], ... below limit, along each axis",
            .convention = "never empty and never outside: 0 <= start < limit <= size"};
  }
  static constexpr AttrSpec attributes[] = {
      {"starts", AttrKind::Integers}, {"limits", AttrKind::Integers}, {"strides", AttrKind::Integers}};
  static TypeResult type(TypeArgs t) {
    const auto &starts = t.ints("starts"), &limits = t.ints("limits"), &strides = t.ints("strides");
    size_t n = t[0].rank();
    if (starts.size() != n || limits.size() != n || strides.size() != n)
      return refuse("{} needs {} bounds", to_string(t[0]), n);
    Type result = t[0];
    for (size_t i = 0; i < n; ++i) {
      if (starts[i] < 0 || starts[i] >= limits[i] || limits[i] > t[0].size(i) || strides[i] < 1) {
        return refuse("[{}..{}) by {} does not lie in axis {} of {}", starts[i], limits[i], strides[i], i,
                      to_string(t[0]));
      }
      result.dims[i] = resized(t[0].dims[i], (limits[i] - starts[i] - 1) / strides[i] + 1);
    }
    return accept(std::move(result));
  }
  static std::vector<ViewTerm> view(const Type& operand, const Type&, const Attrs& attrs) {
    std::vector<ViewTerm> terms;
    for (size_t i = 0; i < operand.rank(); ++i) {
      terms.push_back({static_cast<int>(i), attrs.integers("strides")[i], attrs.integers("starts")[i]});
    }
    return terms;
  }
  static Grads vjp(Expr ct, Expr y, Expr x) {
    std::vector<int64_t> low = y.attrs().integers("starts"), interior = y.attrs().integers("strides"), high;
    for (size_t i = 0; i < x.rank(); ++i) {
      high.push_back(x.size(i) - low[i] - (y.size(i) - 1) * interior[i] - 1);
      interior[i] -= 1;
    }
    return {pad(ct, low, high, 0, interior)};
  }
  static std::vector<OpExample> examples() {
    using V = std::vector<int64_t>;
    return {{{example_type({7})}, {{"starts", V{1}}, {"limits", V{6}}, {"strides", V{2}}}},
            {{example_type({4, 5})}, {{"starts", V{0, 1}}, {"limits", V{3, 5}}, {"strides", V{1, 3}}}}};
  }
};

struct Reverse {
  static Op info() {
    return {.name = "reverse",
            .kind = OpKind::View,
            .doc = "runs backwards along axes",
            .convention = "axes in ascending order"};
  }
  static constexpr AttrSpec attributes[] = {{"axes", AttrKind::Integers}};
  static TypeResult type(TypeArgs t) {
    if (!axis_set(t.ints("axes"), t[0].rank())) return refuse("axes are not axes of {}", to_string(t[0]));
    return accept(t[0]);
  }
  static std::vector<ViewTerm> view(const Type& operand, const Type&, const Attrs& attrs) {
    std::vector<ViewTerm> terms;
    for (size_t i = 0; i < operand.rank(); ++i) {
      bool back = contains(attrs.integers("axes"), static_cast<int64_t>(i));
      terms.push_back({static_cast<int>(i), back ? -1 : 1, back ? operand.size(i) - 1 : 0});
    }
    return terms;
  }
  static Grads vjp(Expr ct, Expr y, Expr) { return {reverse(ct, y.attrs().integers("axes"))}; }
  static std::vector<OpExample> examples() {
    return {{{example_type({4})}, {{"axes", std::vector<int64_t>{0}}}},
            {{example_type({2, 3, 2})}, {{"axes", std::vector<int64_t>{0, 2}}}}};
  }
};

// With broadcast, slice and pad: windows, and so convolution and pooling. A window of K elements every `stride` elements of an axis
// is slice(skew(broadcast(x, K times)), stride). Skewing back is a skew of a pad, so all derivatives are of the same family.
struct Skew {
  static Op info() {
    return {.name = "skew",
            .kind = OpKind::View,
            .doc = "y[.., i, .., k, ..] = x[.., i + step k + start, .., k, ..], i along each of `axes` and k along its partner in `by`",
            .convention = "never empty and never outside; an axis is skewed or skews, not both"};
  }
  static constexpr AttrSpec attributes[] = {{"axes", AttrKind::Integers},
                                            {"by", AttrKind::Integers},
                                            {"steps", AttrKind::Integers},
                                            {"starts", AttrKind::Integers},
                                            {"sizes", AttrKind::Integers}};
  // Lowest and highest value of step * k for k below size.
  static std::pair<int64_t, int64_t> reach(int64_t step, int64_t size) {
    int64_t far = step * (size - 1);
    return {std::min<int64_t>(far, 0), std::max<int64_t>(far, 0)};
  }
  static TypeResult type(TypeArgs t) {
    const auto &axes = t.ints("axes"), &by = t.ints("by"), &steps = t.ints("steps"), &starts = t.ints("starts"), &sizes = t.ints("sizes");
    size_t n = axes.size(), rank = t[0].rank();
    if (!axis_set(axes, rank)) return refuse("axes are not axes of {}", to_string(t[0]));
    if (by.size() != n || steps.size() != n || starts.size() != n || sizes.size() != n) return refuse("{} axes need as many partners, steps, starts and sizes", n);
    Type result = t[0];
    for (size_t i = 0; i < n; ++i) {
      if (!in_range(by[i], rank) || contains(axes, by[i])) return refuse("axis {} of {} cannot skew another", by[i], to_string(t[0]));
      auto axis = static_cast<size_t>(axes[i]);
      int64_t width = t[0].size(static_cast<size_t>(by[i]));
      if (sizes[i] < 1 || width < 1 || std::abs(steps[i]) > (int64_t{1} << 40) / width) return refuse("nothing is left of axis {} of {}", axis, to_string(t[0]));
      auto [low, high] = reach(steps[i], width);
      if (starts[i] + low < 0 || starts[i] + high + sizes[i] > t[0].size(axis))
        return refuse("[{}..{}) does not lie in axis {} of {}", starts[i] + low, starts[i] + high + sizes[i], axis, to_string(t[0]));
      result.dims[axis] = resized(t[0].dims[axis], sizes[i]);
    }
    return accept(std::move(result));
  }
  static std::vector<ViewTerm> view(const Type& operand, const Type&, const Attrs& attrs) {
    std::vector<ViewTerm> terms;
    for (size_t i = 0; i < operand.rank(); ++i) terms.push_back({.axis = static_cast<int>(i)});
    const auto& axes = attrs.integers("axes");
    for (size_t i = 0; i < axes.size(); ++i) {
      ViewTerm& term = terms[static_cast<size_t>(axes[i])];
      term.offset = attrs.integers("starts")[i];
      term.by = static_cast<int>(attrs.integers("by")[i]);
      term.by_scale = attrs.integers("steps")[i];
    }
    return terms;
  }
  // Element j of row k came to j - step k - start. What came from nowhere is 0.
  static Grads vjp(Expr ct, Expr y, Expr x) {
    Attrs attrs = y.attrs();
    std::vector<int64_t> axes = attrs.integers("axes"), by = attrs.integers("by"), steps, starts, sizes, low(x.rank(), 0), high(x.rank(), 0);
    for (size_t i = 0; i < axes.size(); ++i) {
      auto axis = static_cast<size_t>(axes[i]);
      int64_t start = -attrs.integers("starts")[i], size = x.size(axis);
      steps.push_back(-attrs.integers("steps")[i]);
      auto [lowest, highest] = reach(steps[i], x.size(static_cast<size_t>(by[i])));
      low[axis] = std::max<int64_t>(0, -(start + lowest));
      high[axis] = std::max<int64_t>(0, start + highest + size - y.size(axis));
      starts.push_back(start + low[axis]);
      sizes.push_back(size);
    }
    return {skew(pad(ct, low, high), axes, by, steps, starts, sizes)};
  }
  static OpExample example(std::vector<int64_t> x, std::vector<int64_t> axes, std::vector<int64_t> by, std::vector<int64_t> steps,
                           std::vector<int64_t> starts, std::vector<int64_t> sizes) {
    return {{example_type(x)}, {{"axes", axes}, {"by", by}, {"steps", steps}, {"starts", starts}, {"sizes", sizes}}};
  }
  static std::vector<OpExample> examples() {
    return {example({5, 3}, {0}, {1}, {1}, {0}, {3}),
            example({3, 6}, {1}, {0}, {-2}, {4}, {2}),
            example({2, 5, 6, 2, 3}, {1, 2}, {3, 4}, {2, 1}, {1, 0}, {2, 3}),
            example({4, 2, 4}, {0, 2}, {1, 1}, {1, -1}, {0, 1}, {3, 2})};
  }
};

struct Reshape {
  static Op info() {
    return {.name = "reshape",
            .kind = OpKind::Reshape,
            .doc = "the same elements in row-major order under another shape",
            .convention = "axes that stay at the front or at the back keep their names"};
  }
  static constexpr AttrSpec attributes[] = {{"sizes", AttrKind::Integers}};
  static TypeResult type(TypeArgs t) {
    Type result{t[0].element, unnamed(t.ints("sizes"))};
    if (result.count() != t[0].count())
      return refuse("{} has {} elements, not {}", to_string(t[0]), t[0].count(), result.count());
    const std::vector<Dim>& from = t[0].dims;
    std::vector<Dim>& to = result.dims;
    size_t shorter = std::min(from.size(), to.size()), front = 0;
    while (front < shorter && from[front].size == to[front].size) to[front].name = from[front].name, ++front;
    for (size_t back = 1; back <= shorter - front; ++back) {
      const Dim& d = from[from.size() - back];
      if (d.size != to[to.size() - back].size) break;
      to[to.size() - back].name = d.name;
    }
    return accept(std::move(result));
  }
  static Grads vjp(Expr ct, Expr, Expr x) { return {reshape(ct, x.sizes())}; }
  static std::vector<OpExample> examples() {
    return {{{example_type({2, 6})}, {{"sizes", std::vector<int64_t>{3, 4}}}},
            {{example_type({1})}, {{"sizes", std::vector<int64_t>{}}}}};
  }
};

struct Pad {
  static Op info() {
    return {.name = "pad",
            .kind = OpKind::Pad,
            .doc = "x with `low` and `high` copies of a value round it and `interior` between neighbours",
            .convention = "widths are not negative"};
  }
  static constexpr AttrSpec attributes[] = {{"low", AttrKind::Integers},
                                            {"high", AttrKind::Integers},
                                            {"interior", AttrKind::Integers},
                                            {"value", AttrKind::Number}};
  static constexpr int64_t widest_interior = 1 << 20;  // keeps sizes from overflowing
  static TypeResult type(TypeArgs t) {
    const auto &low = t.ints("low"), &high = t.ints("high"), &interior = t.ints("interior");
    size_t n = t[0].rank();
    if (low.size() != n || high.size() != n || interior.size() != n)
      return refuse("{} needs {} widths", to_string(t[0]), n);
    Type result = t[0];
    for (size_t i = 0; i < n; ++i) {
      if (low[i] < 0 || high[i] < 0 || interior[i] < 0 || interior[i] > widest_interior) {
        return refuse("widths {}, {}, {} of axis {} are out of range", low[i], high[i], interior[i], i);
      }
      int64_t size = t[0].size(i);
      result.dims[i] = resized(t[0].dims[i], low[i] + high[i] + size + interior[i] * (size - 1));
    }
    return accept(std::move(result));
  }
  static Grads vjp(Expr ct, Expr y, Expr x) {
    std::vector<int64_t> starts = y.attrs().integers("low"), strides = y.attrs().integers("interior"), limits;
    for (size_t i = 0; i < x.rank(); ++i) {
      strides[i] += 1;
      limits.push_back(starts[i] + (x.size(i) - 1) * strides[i] + 1);
    }
    return {slice(ct, starts, limits, strides)};
  }
  static std::vector<OpExample> examples() {
    using V = std::vector<int64_t>;
    return {{{example_type({3})}, {{"low", V{1}}, {"high", V{2}}, {"interior", V{0}}, {"value", 0.5}}},
            {{example_type({2, 3})}, {{"low", V{0, 1}}, {"high", V{1, 0}}, {"interior", V{1, 2}}, {"value", 0.0}}}};
  }
};

struct Concatenate {
  static Op info() {
    return {.name = "concatenate",
            .kind = OpKind::Concatenate,
            .arity = -1,
            .doc = "operands one after the other along an axis",
            .convention = "all other axes are equal"};
  }
  static constexpr AttrSpec attributes[] = {{"axis", AttrKind::Integer}};
  static TypeResult type(TypeArgs t) {
    Type result = t[0];
    int64_t axis = t.integer("axis");
    if (!in_range(axis, result.rank())) return refuse("{} has no axis {}", to_string(result), axis);
    auto along = static_cast<size_t>(axis);
    for (size_t i = 1; i < t.operands.size(); ++i) {
      Type same = t[i];
      if (same.rank() == result.rank()) same.dims[along].size = result.dims[along].size;
      if (!(same == result)) return refuse("{} does not continue {}", to_string(t[i]), to_string(t[0]));
      result.dims[along] = {result.size(along) + t[i].size(along), {}};
    }
    return accept(std::move(result));
  }
  static Grads vjp(Expr ct, Expr y, const std::vector<Expr>& parts) {
    auto along = static_cast<size_t>(y.attrs().integer("axis"));
    std::vector<int64_t> starts(y.rank(), 0), limits = y.sizes();
    Grads grads;
    for (const Expr& part : parts) {
      limits[along] = starts[along] + part.size(along);
      grads.push_back(slice(ct, starts, limits));
      starts[along] = limits[along];
    }
    return grads;
  }
  static std::vector<OpExample> examples() {
    return {{{example_type({2}), example_type({3}), example_type({1})}, {{"axis", int64_t{0}}}},
            {{example_type({2, 3}), example_type({2, 1})}, {{"axis", int64_t{1}}}}};
  }
};

}  // namespace gradc::ops
