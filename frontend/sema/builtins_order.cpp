// Order and running totals: sorting, the largest elements, cumulative sums; rows added by index. All from comparisons, sums and shifts.
#include <algorithm>
#include <limits>

#include "frontend/sema/builtins.h"

namespace gradc::sema {
namespace {

Expr moved_axis(Expr x, int64_t from, int64_t to) {
  std::vector<int64_t> perm = all_axes(x);
  perm.erase(perm.begin() + from);
  perm.insert(perm.begin() + to, from);
  return transpose(x, perm);
}

int64_t last_axis(Expr x) { return static_cast<int64_t>(x.rank()) - 1; }

Expr not_a_number(Expr x) { return is_float(x.element()) ? ne(x, x) : logical_not(eq(x, x)); }

// x repeated along a new axis: the last, or the last but one.
Expr repeated(Expr x, int64_t count, bool last) {
  std::vector<int64_t> axes = all_axes(x), sizes = x.sizes();
  if (last) {
    sizes.push_back(count);
  } else {
    axes.back() += 1;
    sizes.insert(sizes.end() - 1, count);
  }
  return broadcast(x, axes, sizes);
}

// The place of every element along the last axis once it is sorted: how many go before it. Greater first with `descending`, equals in
// their order, NaN as the greatest. n^2 comparisons, none of them stored.
Expr rank_of(Elaborator& sema, Expr x, bool descending, SourceSpan at) {
  int64_t n = x.sizes().back();
  std::vector<Dim> wide = x.type().dims;
  wide.push_back({n, {}});
  sema.check_size(wide, at);
  Expr mine = repeated(x, n, true), other = repeated(x, n, false);  // [.., mine, other]
  auto greater = [](Expr a, Expr b) { return logical_or(gt(a, b), logical_and(not_a_number(a), logical_not(not_a_number(b)))); };
  Expr before = descending ? greater(other, mine) : greater(mine, other);
  Expr equal = logical_not(logical_or(greater(mine, other), greater(other, mine)));
  Type whole{Element::Int, wide};
  GraphBuilder& b = sema.builder();
  auto axis = static_cast<int64_t>(wide.size());
  Expr earlier = lt(iota(b, axis - 1, whole), iota(b, axis - 2, whole));
  return reduce_sum(cast(logical_or(before, logical_and(equal, earlier)), Element::Int), {axis - 1});
}

struct Chosen {
  Expr values, indices;  // [.., count]
};

// Elements by their rank: sum over the axis of those whose rank is r, so that the derivative of a value goes to its element.
Chosen by_rank(Elaborator& sema, Expr x, int64_t count, bool descending, SourceSpan at) {
  Expr rank = rank_of(sema, x, descending, at);
  Expr wide = repeated(x, count, false), of = repeated(rank, count, false);  // [.., r, element]
  auto axis = static_cast<int64_t>(wide.rank()) - 1;
  Type whole = of.type();
  GraphBuilder& b = sema.builder();
  Expr hit = eq(of, iota(b, axis - 1, whole));
  return {reduce_sum(select(hit, wide, wide.literal(0)), {axis}), reduce_sum(select(hit, iota(b, axis, whole), of.literal(0)), {axis})};
}

// The `count` greatest one after the other, each the first greatest of those left: count passes over the axis.
Chosen one_by_one(Elaborator& sema, Expr x, int64_t count) {
  GraphBuilder& b = sema.builder();
  int64_t axis = last_axis(x);
  Type ints = x.type().with(Element::Int);
  Expr place = iota(b, axis, ints), taken = constant(b, 0, x.type().with(Element::Bool));
  double least = x.element() == Element::Int ? static_cast<double>(std::numeric_limits<int64_t>::min()) : -std::numeric_limits<double>::infinity();
  std::vector<Expr> values, indices;
  std::vector<int64_t> column = x.sizes();
  column.back() = 1;
  for (int64_t k = 0; k < count; ++k) {
    Expr left = select(taken, x.literal(least), x), best = unreduce(reduce_max(left, {axis}), {axis}, x.sizes());
    Expr hit = logical_and(logical_not(taken), logical_or(eq(left, best), not_a_number(left)));
    Expr index = argmax(cast(hit, Element::Int), axis);
    Expr here = eq(place, unreduce(index, {axis}, x.sizes()));
    values.push_back(reshape(reduce_sum(select(here, x, x.literal(0)), {axis}), column));
    indices.push_back(reshape(index, column));
    taken = logical_or(taken, here);
  }
  return {concatenate(values, axis), concatenate(indices, axis)};
}

struct Along {
  Expr x;  // the axis last
  int64_t axis;
};
Along along(const BuiltinCall& c, size_t which) {
  Expr x = c.tensor(0);
  int64_t axis = c.sema.axis_of(c.has(which) ? c.value(which) : number(-1), x.type(), c.at(which));
  return {moved_axis(x, axis, last_axis(x)), axis};
}
Value back(const BuiltinCall& c, Expr x, int64_t axis) { return c.sema.wrap(moved_axis(x, last_axis(x), axis)); }

constexpr int64_t most_passes = 16;

Value top_k(const BuiltinCall& c) {
  Along a = along(c, 2);
  int64_t n = a.x.sizes().back(), k = c.sema.integer_of(c.value(1), c.at(1), "a number of elements");
  if (k < 1 || k > n) {
    c.sema.note_origin(c.sema.report(DiagnosticKind::TopKOutOfRange, c.span, k, n, c.sema.quote(c.at(0)), to_string(c.tensor(0).type())), c.value(0), c.at(0));
    c.sema.abort();
  }
  Chosen chosen = k <= most_passes ? one_by_one(c.sema, a.x, k) : by_rank(c.sema, a.x, k, true, c.span);
  return list_of({back(c, chosen.values, a.axis), back(c, chosen.indices, a.axis)});
}

Value sort(const BuiltinCall& c, bool indices) {
  Along a = along(c, 1);
  Chosen chosen = by_rank(c.sema, a.x, a.x.sizes().back(), c.flag(2), c.span);
  return back(c, indices ? chosen.indices : chosen.values, a.axis);
}

// Running totals in log n steps: each adds what lies 1, 2, 4, ... places before. Sums of 2^k elements are added in a tree, so rounding
// grows with log n.
Value cumulative(const BuiltinCall& c, bool product) {
  Along a = along(c, 1);
  Expr total = a.x;
  int64_t n = total.sizes().back();
  for (int64_t reach = 1; reach < n; reach *= 2) {
    std::vector<int64_t> starts(total.rank(), 0), limits = total.sizes(), low(total.rank(), 0), high(total.rank(), 0);
    limits.back() -= reach;
    low.back() = reach;
    Expr before = pad(slice(total, starts, limits), low, high, product ? 1 : 0);
    total = product ? total * before : total + before;
  }
  return back(c, with_dims(total, a.x.type().dims), a.axis);
}

Value stack(const BuiltinCall& c) {
  auto [values, spans] = values_of(c);
  std::vector<Expr> parts = c.sema.align(values, spans, c.builtin.name, c.span).exprs;
  Type wider = parts[0].type();
  wider.dims.push_back({1, {}});
  int64_t axis = c.sema.axis_of(c.has(1) ? c.value(1) : number(0), wider, c.at(1));
  std::vector<Dim> dims = parts[0].type().dims;
  dims.insert(dims.begin() + axis, Dim{1, {}});
  std::vector<int64_t> sizes;
  for (const Dim& d : dims) sizes.push_back(d.size);
  for (Expr& p : parts) p = with_dims(reshape(p, sizes), dims);
  return c.sema.wrap(concatenate(parts, axis));
}

// roll(x, 1): every element one place further, the last ones in front.
Value roll(const BuiltinCall& c) {
  Expr x = c.tensor(0);
  int64_t axis = c.sema.axis_of(c.has(2) ? c.value(2) : number(-1), x.type(), c.at(2)), n = x.size(static_cast<size_t>(axis));
  int64_t by = c.sema.integer_of(c.value(1), c.at(1), "a shift") % n;
  int64_t cut = by > 0 ? n - by : -by;
  if (cut == 0) return c.value(0);
  auto part = [&](int64_t from, int64_t to) {
    std::vector<int64_t> starts(x.rank(), 0), limits = x.sizes();
    starts[static_cast<size_t>(axis)] = from, limits[static_cast<size_t>(axis)] = to;
    return slice(x, starts, limits);
  };
  return c.sema.wrap(with_dims(concatenate({part(cut, n), part(0, cut)}, axis), x.type().dims));
}

// scatter_add(updates, index, size): zeros with updates[i] added at index[i]; the axes of the index become one of that size.
Value scatter(const BuiltinCall& c) {
  Expr updates = c.tensor(0), index = c.tensor(1);
  if (index.element() != Element::Int) {
    c.sema.report(DiagnosticKind::IndexNotInt, c.at(1), c.sema.quote(c.at(1)), to_string(index.type()));
    c.sema.abort();
  }
  int64_t axis = c.has(3) ? c.sema.axis_of(c.value(3), updates.type(), c.at(3)) : 0;
  std::vector<Dim> size = c.sema.shape_of(c.value(2), c.at(2)), dims = updates.type().dims;
  if (size.size() != 1 || size[0].size < 1) {
    c.sema.report(DiagnosticKind::OutOfBounds, c.at(2), "a size", 1, size.empty() ? 0 : size[0].size);
    c.sema.abort();
  }
  bool fits = static_cast<size_t>(axis) + index.rank() <= dims.size();
  for (size_t i = 0; fits && i < index.rank(); ++i) fits = dims[static_cast<size_t>(axis) + i].size == index.size(i);
  if (!fits) {
    Diagnostic& d = c.sema.report(DiagnosticKind::ShapesDoNotMatch, c.span, c.builtin.name, c.sema.quote(c.at(0)), c.sema.describe(c.value(0)), c.sema.quote(c.at(1)), c.sema.describe(c.value(1)));
    c.sema.note_origin(d, c.value(0), c.at(0));
    c.sema.note_origin(d, c.value(1), c.at(1));
    c.sema.abort();
  }
  c.sema.limit_index(c.value(1), size[0].size, fmt::format("the {} rows of {}", size[0].size, c.builtin.name), c.span);
  dims.erase(dims.begin() + axis, dims.begin() + axis + static_cast<std::ptrdiff_t>(index.rank()));
  dims.insert(dims.begin() + axis, size[0]);
  c.sema.check_size(dims, c.span);
  return c.sema.wrap(with_dims(scatter_add(index, updates, axis, size[0].size), dims));
}

}  // namespace

const std::vector<Builtin>& order_builtins() {
  static const std::vector<Builtin> table = {
      {"top_k", "x, k, axis?", "the k greatest elements in descending order, and their indices; along the last axis by default", top_k},
      {"sort", "x, axis?, descending?", "in ascending order, along the last axis by default", [](const BuiltinCall& c) { return sort(c, false); }},
      {"argsort", "x, axis?, descending?", "the indices that sort x, equals in their order", [](const BuiltinCall& c) { return sort(c, true); }},
      {"cumsum", "x, axis?", "running sums, along the last axis by default", [](const BuiltinCall& c) { return cumulative(c, false); }},
      {"cumprod", "x, axis?", "running products, along the last axis by default", [](const BuiltinCall& c) { return cumulative(c, true); }},
      {"stack", "xs..., axis?", "tensors of one shape along a new axis, the first by default", stack},
      {"roll", "x, by, axis?", "every element that many places further, round the end; along the last axis by default", roll},
      {"scatter_add", "updates, index, size, axis?", "zeros with updates[i] added at index[i]; the inverse in shape of gather", scatter},
  };
  return table;
}

}  // namespace gradc::sema
