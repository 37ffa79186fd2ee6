#include <cmath>

#include "compiler/ops/ops.h"
#include "compiler/rewrite/axes.h"
#include "compiler/rewrite/shape_rules.h"
#include "compiler/rewrite/terms.h"

// Views of views. Elements move and are never computed, so everything here is exact.
namespace gradc::rewrite {
namespace {

// start, stride and count of a slice of a slice.
Expr slice_of_slice(Match& m, const Var& x, const Var& inner) {
  Axes starts = m.ints(inner, "starts"), strides = m.ints(inner, "strides"), limits;
  Axes by = m.ints("starts"), step = m.ints("strides");
  for (size_t i = 0; i < starts.size(); ++i) {
    starts[i] += by[i] * strides[i];
    strides[i] *= step[i];
    limits.push_back(starts[i] + (m.root.type.size(i) - 1) * strides[i] + 1);
  }
  return slice(m[x], starts, limits, strides);
}

// Repeated axes need no slicing.
Expr slice_of_broadcast(Match& m, const Var& x, const Var& repeated) {
  Axes axes = m.ints(repeated, "axes");
  Expr cut = slice(m[x], pick(m.ints("starts"), axes), pick(m.ints("limits"), axes), pick(m.ints("strides"), axes));
  return broadcast(cut, axes, m.root.type.sizes());
}

// The slice misses everything that was padded on.
bool slice_within_pad(const Match& m, const Var& x, const Var& padded) {
  Axes starts = m.ints("starts"), limits = m.ints("limits"), low = m.ints(padded, "low"), interior = m.ints(padded, "interior");
  for (size_t i = 0; i < starts.size(); ++i) {
    if (interior[i] != 0 || starts[i] < low[i] || limits[i] > low[i] + m[x].size(i)) return false;
  }
  return true;
}
Expr slice_of_pad(Match& m, const Var& x, const Var& padded) {
  Axes starts = m.ints("starts"), limits = m.ints("limits"), low = m.ints(padded, "low");
  for (size_t i = 0; i < starts.size(); ++i) starts[i] -= low[i], limits[i] -= low[i];
  return slice(m[x], starts, limits, m.ints("strides"));
}

// A slice that lies in one of the parts.
Expr slice_of_concatenate(Match& m, const Var& whole) {
  int64_t axis = m.node(whole).attrs.integer("axis"), begin = 0;
  Axes starts = m.ints("starts"), limits = m.ints("limits");
  auto along = static_cast<size_t>(axis);
  for (NodeId id : m.node(whole).operands) {
    int64_t end = begin + m.node(id).type.size(along);
    if (starts[along] >= begin && limits[along] <= end) {
      starts[along] -= begin, limits[along] -= begin;
      return slice(m.expr(id), starts, limits, m.ints("strides"));
    }
    begin = end;
  }
  return {};
}

// Neighbouring slices of one value, put together again.
Expr concatenate_slices(Match& m) {
  auto along = static_cast<size_t>(m.root.attrs.integer("axis"));
  const Node& first = m.node(m.root.operands[0]);
  if (first.op != &op<ops::Slice>()) return {};
  NodeId whole = first.operands[0];
  Axes starts = first.attrs.integers("starts"), limits = first.attrs.integers("limits");
  for (int64_t step : first.attrs.integers("strides")) {
    if (step != 1) return {};
  }
  for (size_t i = 1; i < m.root.operands.size(); ++i) {
    const Node& part = m.node(m.root.operands[i]);
    if (part.op != first.op || part.operands[0] != whole || part.attrs.integers("strides") != first.attrs.integers("strides")) return {};
    Axes next = starts, end = part.attrs.integers("limits"), expected = limits;
    next[along] = limits[along];
    expected[along] = end[along];
    if (part.attrs.integers("starts") != next || end != expected) return {};
    limits = end;
  }
  for (NodeId id : m.root.operands) m.consume(id);
  return slice(m.expr(whole), starts, limits);
}

bool all_zero(const Axes& list) { return std::all_of(list.begin(), list.end(), [](int64_t x) { return x == 0; }); }

bool pads_merge(const Match& m, const Var& inner) {
  double a = m.root.attrs.number("value"), b = m.node(inner).attrs.number("value");
  return a == b && std::signbit(a) == std::signbit(b) && all_zero(m.ints("interior"));
}
Expr pad_of_pad(Match& m, const Var& x, const Var& inner) {
  Axes low = m.ints("low"), high = m.ints("high"), inner_low = m.ints(inner, "low"), inner_high = m.ints(inner, "high");
  for (size_t i = 0; i < low.size(); ++i) low[i] += inner_low[i], high[i] += inner_high[i];
  return pad(m[x], low, high, m.root.attrs.number("value"), m.ints(inner, "interior"));
}

// Axes of size 1 apart, the order of axes is kept.
bool keeps_order(const Match& m, const Var& x) {
  Axes moved;
  for (int64_t axis : m.ints("perm")) {
    if (m[x].size(static_cast<size_t>(axis)) != 1) moved.push_back(axis);
  }
  return ascending(moved);
}

}  // namespace

std::vector<Rule> view_rules() {
  Var x(0), inner(1);
  auto same_type = [x](const Match& m) { return m.type(x) == m.root.type; };
  return {
      {.name = "transpose-transpose", .identity = "transpose(transpose(x, p), q) = transpose(x, p q)",
       .pattern = of<ops::Transpose>(inner.is(of<ops::Transpose>(x))),
       .build = [=](Match& m) { return transpose(m[x], pick(m.ints(inner, "perm"), m.ints("perm"))); }},
      {.name = "transpose-reshape", .identity = "a transpose that only moves axes of size 1 is a reshape", .pattern = of<ops::Transpose>(x),
       .when = [x](const Match& m) { return keeps_order(m, x); },
       .build = [x](Match& m) { return reshape(m[x], m.root.type.sizes()); }},
      {.name = "transpose-broadcast", .identity = "transpose(broadcast(x)) = broadcast(x) with the axes placed anew",
       .pattern = of<ops::Transpose>(inner.is(of<ops::Broadcast>(x))),
       .build = [=](Match& m) { return broadcast(m[x], positions(m.ints("perm"), m.ints(inner, "axes")), m.root.type.sizes()); }},
      {.name = "broadcast-transpose", .identity = "broadcast(transpose(x)) = broadcast(x) with the axes placed anew",
       .pattern = of<ops::Broadcast>(inner.is(of<ops::Transpose>(x))),
       .build = [=](Match& m) {
         Axes perm = m.ints(inner, "perm");
         return broadcast(m[x], pick(m.ints("axes"), positions(perm, range(perm.size()))), m.root.type.sizes());
       }},
      {.name = "broadcast-broadcast", .identity = "broadcast(broadcast(x)) = broadcast(x)",
       .pattern = of<ops::Broadcast>(inner.is(of<ops::Broadcast>(x))),
       .build = [=](Match& m) { return broadcast(m[x], pick(m.ints("axes"), m.ints(inner, "axes")), m.root.type.sizes()); }},
      {.name = "broadcast-reshape", .identity = "a broadcast that only adds axes of size 1 is a reshape", .pattern = of<ops::Broadcast>(x),
       .when = [x](const Match& m) { return m.type(x).count() == m.root.type.count() && ascending(m.ints("axes")); },
       .build = [x](Match& m) { return reshape(m[x], m.root.type.sizes()); }},
      {.name = "reshape-reshape", .identity = "reshape(reshape(x)) = reshape(x)", .pattern = of<ops::Reshape>(of<ops::Reshape>(x)),
       .build = [x](Match& m) { return reshape(m[x], m.root.type.sizes()); }},
      {.name = "reshape-same", .identity = "reshape to the shape it has = x", .pattern = of<ops::Reshape>(x), .replacement = x, .when = same_type},
      {.name = "reshape-broadcast-scalar", .identity = "reshape(broadcast(scalar)) = broadcast(scalar)",
       .pattern = of<ops::Reshape>(of<ops::Broadcast>(x)), .when = [x](const Match& m) { return m.type(x).rank() == 0; },
       .build = [x](Match& m) { return broadcast(m[x], {}, m.root.type.sizes()); }},
      {.name = "slice-all", .identity = "the slice of everything = x", .pattern = of<ops::Slice>(x), .replacement = x, .when = same_type},
      {.name = "slice-slice", .identity = "slice(slice(x)) = slice(x)", .pattern = of<ops::Slice>(inner.is(of<ops::Slice>(x))),
       .build = [=](Match& m) { return slice_of_slice(m, x, inner); }},
      {.name = "slice-broadcast", .identity = "slice(broadcast(x)) = broadcast(slice(x))", .pattern = of<ops::Slice>(inner.is(of<ops::Broadcast>(x))),
       .build = [=](Match& m) { return slice_of_broadcast(m, x, inner); }},
      {.name = "slice-pad", .identity = "slice(pad(x)) = slice(x) where it misses the padding", .pattern = of<ops::Slice>(inner.is(of<ops::Pad>(x))),
       .when = [=](const Match& m) { return slice_within_pad(m, x, inner); },
       .build = [=](Match& m) { return slice_of_pad(m, x, inner); }},
      {.name = "slice-concatenate", .identity = "slice(concatenate(.., x, ..)) = slice(x) where it lies in x",
       .pattern = of<ops::Slice>(inner.is(apply_any(op<ops::Concatenate>()))), .build = [=](Match& m) { return slice_of_concatenate(m, inner); }},
      {.name = "concatenate-one", .identity = "concatenate(x) = x", .pattern = apply_any(op<ops::Concatenate>()),
       .when = [](const Match& m) { return m.root.operands.size() == 1; },
       .build = [](Match& m) { return m.operand(0); }},
      {.name = "concatenate-slices", .identity = "neighbouring slices of x, concatenated = a slice of x", .pattern = apply_any(op<ops::Concatenate>()),
       .build = concatenate_slices},
      {.name = "reverse-reverse", .identity = "reverse(reverse(x)) reverses the axes that one of the two does",
       .pattern = of<ops::Reverse>(inner.is(of<ops::Reverse>(x))),
       .build = [=](Match& m) {
         Axes a = m.ints("axes"), b = m.ints(inner, "axes"), once = without(a, b), other = without(b, a);
         once.insert(once.end(), other.begin(), other.end());
         return reverse(m[x], once);
       }},
      {.name = "pad-nothing", .identity = "pad(x) by nothing = x", .pattern = of<ops::Pad>(x), .replacement = x, .when = same_type},
      {.name = "pad-pad", .identity = "pad(pad(x, c), c) = pad(x, c)", .pattern = of<ops::Pad>(inner.is(of<ops::Pad>(x))),
       .when = [=](const Match& m) { return pads_merge(m, inner); },
       .build = [=](Match& m) { return pad_of_pad(m, x, inner); }},
  };
}

}  // namespace gradc::rewrite
