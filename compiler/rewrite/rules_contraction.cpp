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

}  // namespace

std::vector<Rule> contraction_rules() {
  Var x(0), y(1), a(2), b(3), inner(4);
  const char* regrouped = "sums are grouped anew; within the rounding of the sum of magnitudes";
  return {
      {.name = "contract-transpose", .identity = "contraction(transpose(x), y) = contraction(x, y) with moved labels", .pattern = of_kind(OpKind::Contraction),
       .build = absorb_transposes},
      {.name = "transpose-contraction", .identity = "transpose(contraction(x, y)) = contraction(x, y) with moved labels",
       .pattern = of<ops::Transpose>(inner.is(of_kind(OpKind::Contraction, {x, y}))), .when = [=](const Match& m) { return m.single_use(inner); },
       .build = [=](Match& m) {
         return contract(m[x], m[y], m.ints(inner, "lhs"), m.ints(inner, "rhs"), pick(m.ints(inner, "out"), m.ints("perm")));
       }},
      {.name = "contract-broadcast", .identity = "contraction(broadcast(x), y) = contraction(x, sum(y)) without the repeated labels",
       .accuracy = Accuracy::Rounding, .ulps = 16, .caveat = regrouped, .pattern = of_kind(OpKind::Contraction), .build = absorb_broadcast},
      {.name = "contract-nothing", .identity = "a contraction that sums nothing = broadcast(x) broadcast(y)", .accuracy = Accuracy::Rounding,
       .caveat = "a sum of one -0 is 0, the product stays -0", .pattern = of_kind(OpKind::Contraction), .when = sums_nothing, .build = as_product},
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
