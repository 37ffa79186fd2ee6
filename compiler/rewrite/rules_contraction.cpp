#include "compiler/ops/ops.h"
#include "compiler/rewrite/axes.h"
#include "compiler/rewrite/shape_rules.h"
#include "compiler/rewrite/terms.h"

// Views and sums absorbed by contractions. A contraction names its axes by labels, so moving and dropping axes is bookkeeping.
namespace gradc::rewrite {
namespace {

// The two operands of a contraction with their labels.
struct Side {
  Expr x;
  Axes labels;
};
struct Product {
  std::array<Side, 2> sides;
  Axes out;
  Expr build() const { return contract(sides[0].x, sides[1].x, sides[0].labels, sides[1].labels, out); }
};
Product product_of(const Match& m) {
  return {{Side{m.operand(0), m.ints("lhs")}, Side{m.operand(1), m.ints("rhs")}}, m.ints("out")};
}

bool summed(const Product& p, int64_t label) { return !has(p.out, label); }

// contraction(transpose(x), y): the labels move instead of the axes.
Expr absorb_transposes(Match& m) {
  Product p = product_of(m);
  bool changed = false;
  for (Side& side : p.sides) {
    const Node& n = m.node(side.x.id);
    if (n.op != &op<ops::Transpose>()) continue;
    m.consume(side.x.id);
    Axes perm = n.attrs.integers("perm");
    side = {m.expr(n.operands[0]), pick(side.labels, positions(perm, range(perm.size())))};
    changed = true;
  }
  return changed ? p.build() : Expr{};
}

// What a repeated operand really is, and the labels that it really has. A constant is a repeated scalar.
bool unrepeat(Match& m, Side& side) {
  const Node& n = m.node(side.x.id);
  if (n.op == &op<ops::Broadcast>()) {
    m.consume(side.x.id);
    side = {m.expr(n.operands[0]), pick(side.labels, n.attrs.integers("axes"))};
    return true;
  }
  if (n.op->kind != OpKind::Constant || n.type.rank() == 0) return false;
  m.consume(side.x.id);
  side = {gradc::constant(side.x.builder(), n.attrs.number("value"), {n.type.element, {}}), {}};
  return true;
}

// Along a repeated label nothing is multiplied anew: a summed one is summed in the other operand alone, one of the result
// is broadcast afterwards.
Expr absorb_broadcast(Match& m) {
  Product p = product_of(m);
  for (size_t i = 0; i < 2; ++i) {
    Side &side = p.sides[i], &other = p.sides[1 - i];
    Axes before = side.labels;
    if (!unrepeat(m, side)) continue;
    Axes gone = without(before, side.labels), sum_labels, free;
    for (int64_t label : gone) {
      if (!has(other.labels, label)) free.push_back(label);
      else if (summed(p, label)) sum_labels.push_back(label);
    }
    other = {reduce_sum(other.x, positions(other.labels, sum_labels)), without(other.labels, sum_labels)};
    Axes full = p.out;
    p.out = without(full, free);
    return broadcast(p.build(), positions(full, p.out), m.root.type.sizes());
  }
  return {};
}

// Elements that nobody asks for are not summed: the slice moves to the operands that have the axis.
Expr slice_operands(Match& m, const Var& inner) {
  const Node& n = m.node(inner);
  Product p{{Side{m.expr(n.operands[0]), m.ints(inner, "lhs")}, Side{m.expr(n.operands[1]), m.ints(inner, "rhs")}}, m.ints(inner, "out")};
  Axes starts = m.ints("starts"), limits = m.ints("limits"), strides = m.ints("strides");
  for (Side& side : p.sides) {
    Axes from(side.labels.size(), 0), to = side.x.sizes(), step(side.labels.size(), 1);
    bool cut = false;
    for (size_t i = 0; i < side.labels.size(); ++i) {
      if (!has(p.out, side.labels[i])) continue;
      int64_t axis = position(p.out, side.labels[i]);
      cut |= at(limits, axis) - at(starts, axis) != to[i] || at(strides, axis) != 1;
      from[i] = at(starts, axis), to[i] = at(limits, axis), step[i] = at(strides, axis);
    }
    if (cut) side.x = slice(side.x, from, to, step);
  }
  return p.build();
}

// Nothing to sum: an ordinary product.
bool sums_nothing(const Match& m) {
  Product p = product_of(m);
  return without(p.sides[0].labels, p.out).empty() && without(p.sides[1].labels, p.out).empty();
}
Expr as_product(Match& m) {
  Product p = product_of(m);
  auto spread = [&](const Side& s) { return broadcast(s.x, positions(p.out, s.labels), m.root.type.sizes()); };
  return spread(p.sides[0]) * spread(p.sides[1]);
}

// sum(broadcast(x) broadcast(y)): every summed axis is in both, every other axis in one of them.
bool is_contraction(const Match& m, const Var& a, const Var& b) {
  Axes lhs = m.ints(a, "axes"), rhs = m.ints(b, "axes"), sum = m.ints("axes");
  for (int64_t axis : range(m.type(a).rank())) {
    bool left = has(lhs, axis), right = has(rhs, axis);
    if (has(sum, axis) ? !(left && right) : !(left || right)) return false;
  }
  return m.is_float();
}

// A sum over skewed rows of a product, as the derivative of a convolution by its input has it:
// sum_k pad(contraction(x, y))[i + k, k]. The side that is padded and skewed, and the pieces by name.
struct SkewedSum {
  Product product;
  size_t side = 0;
  Axes axes, by, over;  // labels

  const Side& skewed() const { return product.sides[side]; }
  const Side& other() const { return product.sides[1 - side]; }
  bool moves(int64_t label) const { return has(skewed().labels, label) && !has(other().labels, label); }
};

SkewedSum skewed_sum(const Match& m, const Var& skewing, const Var& inner) {
  const Node& n = m.node(inner);
  SkewedSum s{{{Side{m.expr(n.operands[0]), m.ints(inner, "lhs")}, Side{m.expr(n.operands[1]), m.ints(inner, "rhs")}}, m.ints(inner, "out")}, 0, {}, {}, {}};
  s.axes = pick(s.product.out, m.ints(skewing, "axes"));
  s.by = pick(s.product.out, m.ints(skewing, "by"));
  s.over = pick(s.product.out, m.ints("axes"));
  s.side = has(s.product.sides[0].labels, s.axes[0]) ? 0 : 1;
  return s;
}

// What moves is on one side alone, what it moves by on the other alone and summed.
bool sums_skewed(const Match& m, const Var& skewing, const Var& padding, const Var& inner) {
  if (!m.is_float() || m.node(padding).attrs.number("value") != 0) return false;
  SkewedSum s = skewed_sum(m, skewing, inner);
  Axes low = m.ints(padding, "low"), high = m.ints(padding, "high"), interior = m.ints(padding, "interior");
  for (size_t i = 0; i < low.size(); ++i) {
    if (low[i] + high[i] + interior[i] != 0 && !s.moves(s.product.out[i])) return false;
  }
  auto rows = [&](int64_t label) { return has(s.over, label) && !has(s.skewed().labels, label); };
  auto summed = [&](int64_t label) { return has(s.other().labels, label) && (has(s.skewed().labels, label) || has(s.by, label)); };
  return std::all_of(s.axes.begin(), s.axes.end(), [&](int64_t label) { return s.moves(label); }) &&
         std::all_of(s.by.begin(), s.by.end(), rows) && std::all_of(s.over.begin(), s.over.end(), summed);
}

// The other operand's rows become windows of the side that moves; they stand before its last axis, which stays the innermost.
Expr absorb_skewed_sum(Match& m, const Var& skewing, const Var& padding, const Var& inner) {
  SkewedSum s = skewed_sum(m, skewing, inner);
  Side& side = s.product.sides[s.side];
  Axes padding_of[3] = {m.ints(padding, "low"), m.ints(padding, "high"), m.ints(padding, "interior")}, own[3];
  for (int64_t label : side.labels) {
    bool kept = has(s.product.out, label);
    for (size_t k = 0; k < 3; ++k) own[k].push_back(kept ? at(padding_of[k], position(s.product.out, label)) : 0);
  }
  Expr x = pad(side.x, own[0], own[1], 0, own[2]);
  Axes labels = side.labels, sizes = x.sizes();
  for (int64_t label : s.by) {
    if (has(labels, label)) continue;
    auto before_last = static_cast<std::ptrdiff_t>(labels.size()) - 1;
    labels.insert(labels.begin() + before_last, label);
    sizes.insert(sizes.begin() + before_last, m.type(padding).size(static_cast<size_t>(position(s.product.out, label))));
  }
  x = broadcast(x, positions(labels, side.labels), sizes);
  Axes axes = positions(labels, s.axes), order = sorted(axes), from = positions(axes, order);
  x = skew(x, order, pick(positions(labels, s.by), from), pick(m.ints(skewing, "steps"), from), pick(m.ints(skewing, "starts"), from),
           pick(m.ints(skewing, "sizes"), from));
  side = {x, labels};
  s.product.out = without(s.product.out, s.over);
  return s.product.build();
}

}  // namespace

std::vector<Rule> contraction_rules() {
  Var x(0), y(1), a(2), b(3), inner(4), skewing(5), padding(6);
  const char* regrouped = "sums are grouped anew; within the rounding of the sum of magnitudes";
  return {
      {.name = "contract-transpose", .identity = "contraction(transpose(x), y) = contraction(x, y) with moved labels", .pattern = of_kind(OpKind::Contraction),
       .build = absorb_transposes},
      {.name = "transpose-contraction", .identity = "transpose(contraction(x, y)) = contraction(x, y) with moved labels",
       .pattern = of<ops::Transpose>(inner.is(of_kind(OpKind::Contraction, {x, y}))), .when = [=](const Match& m) { return m.single_use(inner); },
       .build = [=](Match& m) {
         return contract(m[x], m[y], m.ints(inner, "lhs"), m.ints(inner, "rhs"), pick(m.ints(inner, "out"), m.ints("perm")));
       }},
      {.name = "slice-contraction", .identity = "slice(contraction(x, y)) = contraction(slice(x), slice(y))",
       .pattern = of<ops::Slice>(inner.is(of_kind(OpKind::Contraction, {x, y}))), .when = [=](const Match& m) { return m.single_use(inner); },
       .build = [=](Match& m) { return slice_operands(m, inner); }},
      {.name = "contract-broadcast", .identity = "contraction(broadcast(x), y) = contraction(x, sum(y)) without the repeated labels",
       .accuracy = Accuracy::Rounding, .ulps = 16, .caveat = regrouped, .pattern = of_kind(OpKind::Contraction), .build = absorb_broadcast},
      {.name = "contract-nothing", .identity = "a contraction that sums nothing = broadcast(x) broadcast(y)", .accuracy = Accuracy::Rounding,
       .caveat = "a sum of one -0 is 0, the product stays -0", .pattern = of_kind(OpKind::Contraction), .when = sums_nothing, .build = as_product},
      {.name = "sum-skewed-contraction", .identity = "sum_k pad(contraction(x, y))[i + k, k] = contraction(pad(x)[i + k], y) with k among the summed labels",
       .accuracy = Accuracy::Rounding, .ulps = 16, .caveat = "sums are grouped anew, and zeros outside x meet all of y: NaN where y is infinite",
       .pattern = of<ops::ReduceSum>(skewing.is(of<ops::Skew>(padding.is(of<ops::Pad>(inner.is(of_kind(OpKind::Contraction, {x, y}))))))),
       .when = [=](const Match& m) {
         return m.single_use(skewing) && m.single_use(padding) && m.single_use(inner) && sums_skewed(m, skewing, padding, inner);
       },
       .build = [=](Match& m) { return absorb_skewed_sum(m, skewing, padding, inner); }},
      {.name = "sum-product", .identity = "sum(broadcast(x) broadcast(y)) = contraction(x, y)", .accuracy = Accuracy::Rounding, .ulps = 16,
       .caveat = "products are not rounded before they are added",
       .pattern = of<ops::ReduceSum>(inner.is(a.is(of<ops::Broadcast>(x)) * b.is(of<ops::Broadcast>(y)))),
       .when = [=](const Match& m) { return m.single_use(inner) && is_contraction(m, a, b); },
       .build = [=](Match& m) {
         return contract(m[x], m[y], m.ints(a, "axes"), m.ints(b, "axes"), without(range(m.type(a).rank()), m.ints("axes")));
       }},
  };
}

}  // namespace gradc::rewrite
