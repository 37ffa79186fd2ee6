#include "compiler/ops/ops.h"
#include "compiler/rewrite/axes.h"
#include "compiler/rewrite/facts.h"
#include "compiler/rewrite/shape_rules.h"
#include "compiler/rewrite/terms.h"

// Work moved to where there is less of it: before a broadcast, after a sum.
namespace gradc::rewrite {
namespace {

bool is(const Node& n, const Op& o) { return n.op == &o; }

// A constant like c with other sizes.
Expr resized(const Match& m, NodeId c, const Axes& sizes) {
  Type type{m.node(c).type.element, {}};
  for (int64_t s : sizes) type.dims.push_back({s, {}});
  return gradc::constant(m.expr(c).builder(), m.node(c).attrs.number("value"), type);
}

// f(broadcast(x), broadcast(y), c): computed over the axes that any operand has, then broadcast.
Expr sink_broadcast(Match& m) {
  Axes used;
  bool any = false;
  for (NodeId id : m.root.operands) {
    const Node& n = m.node(id);
    if (n.op->kind == OpKind::Constant) continue;
    if (!is(n, op<ops::Broadcast>())) return {};
    any = true;
    for (int64_t axis : n.attrs.integers("axes")) {
      if (!has(used, axis)) used.push_back(axis);
    }
  }
  used = sorted(used);
  if (!any || used.size() == m.root.type.rank()) return {};
  Axes sizes = pick(m.root.type.sizes(), used);
  std::vector<Expr> operands;
  for (NodeId id : m.root.operands) {
    m.consume(id);
    Attrs attrs = m.node(id).attrs;
    bool splat = m.node(id).op->kind == OpKind::Constant;
    operands.push_back(splat ? resized(m, id, sizes)
                             : broadcast(m.expr(m.node(id).operands[0]), positions(used, attrs.integers("axes")), sizes));
  }
  return broadcast(gradc::apply(*m.root.op, operands, m.root.attrs), used, m.root.type.sizes());
}

// f(view(x), view(y), c) = view(f(x, y, c)) for a view that only moves elements and is the same for all.
Expr sink_view(Match& m) {
  const Node* view = nullptr;
  auto source = [&](const Node& n) -> const Type& { return m.node(n.operands[0]).type; };
  for (NodeId id : m.root.operands) {
    const Node& n = m.node(id);
    if (n.op->kind == OpKind::Constant) continue;
    if (!is(n, op<ops::Transpose>()) && !is(n, op<ops::Reshape>()) && !is(n, op<ops::Reverse>())) return {};
    if (view && (n.op != view->op || !(n.attrs == view->attrs) || !source(n).same_shape(source(*view)))) return {};
    view = &n;
  }
  if (!view) return {};
  const Op& moves = *view->op;
  Attrs attrs = view->attrs;
  Axes sizes = source(*view).sizes();
  std::vector<Expr> operands;
  for (NodeId id : m.root.operands) {
    m.consume(id);
    operands.push_back(m.node(id).op->kind == OpKind::Constant ? resized(m, id, sizes) : m.expr(m.node(id).operands[0]));
  }
  return gradc::apply(moves, {gradc::apply(*m.root.op, operands, m.root.attrs)}, attrs);
}

Expr reduce(const Op& combine, Expr x, const Axes& axes) {
  return axes.empty() ? x : gradc::apply(combine, {x}, {{"axes", sorted(axes)}});
}

// Where the axes that are left stand in the result.
Axes kept(const Match& m, size_t rank) { return without(range(rank), m.ints("axes")); }

bool same_reduction(const Match& m, const Var& inner) { return m.node(inner).op == m.root.op; }
bool is_sum(const Match& m) { return m.root.op->combiner == Combiner::Sum; }
bool is_extreme(const Match& m) { return m.root.op->combiner == Combiner::Max || m.root.op->combiner == Combiner::Min; }

Expr merge_reductions(Match& m, const Var& x, const Var& inner) {
  Axes first = m.ints(inner, "axes"), both = pick(without(range(m[x].rank()), first), m.ints("axes"));
  both.insert(both.end(), first.begin(), first.end());
  return reduce(*m.root.op, m[x], both);
}

// Axes that are both repeated and reduced: a sum counts them, an extreme does not notice.
Expr reduce_broadcast(Match& m, const Var& x, const Var& repeated) {
  Axes axes = m.ints(repeated, "axes"), over = m.ints("axes"), sizes = m.type(repeated).sizes();
  Axes left = kept(m, sizes.size());
  int64_t times = 1;
  for (int64_t axis : without(over, axes)) times *= at(sizes, axis);
  Expr inner = reduce(*m.root.op, m[x], positions(axes, common(over, axes)));
  if (is_sum(m)) inner = inner * static_cast<double>(times);
  return broadcast(inner, positions(left, without(axes, over)), m.root.type.sizes());
}

// A factor that is the same along all reduced axes, as a value of the result's shape.
bool constant_along(const Match& m, const Var& factor) {
  const Node& n = m.node(factor);
  if (n.op->kind == OpKind::Constant) return normal(n.attrs.number("value"), n.type.element);
  return is(n, op<ops::Broadcast>()) && common(n.attrs.integers("axes"), m.ints("axes")).empty();
}
Expr factor_of_sum(Match& m, const Var& factor) {
  NodeId id = m[factor].id;
  m.consume(id);
  if (m.node(id).op->kind == OpKind::Constant) return resized(m, id, m.root.type.sizes());
  Axes axes = m.ints(factor, "axes"), left = kept(m, m.type(factor).rank());
  return broadcast(m.expr(m.node(id).operands[0]), positions(left, axes), m.root.type.sizes());
}

}  // namespace

std::vector<Rule> motion_rules() {
  Var x(0), z(1), inner(2);
  auto reduction = [](const Term& t) { return of_kind(OpKind::Reduction, {t}); };
  auto sum_of = [](const Term& t) { return of<ops::ReduceSum>(t); };
  auto factors_out = [=](const Match& m) { return m.is_float() && m.single_use(inner) && constant_along(m, z); };
  const char* regrouped = "terms are added in another grouping; within the rounding of the sum of their magnitudes";
  const char* distributes = "each term is rounded before scaling instead of after; within the rounding of the sum of magnitudes. A partial sum may "
                            "leave the range that the scaled one keeps, and where z is 0 or infinite, NaN and infinity may trade places";
  return {
      {.name = "sink-broadcast", .identity = "f(broadcast(x), broadcast(y), c) = broadcast(f(x, y, c))", .pattern = of_kind(OpKind::Pointwise),
       .build = sink_broadcast},
      {.name = "sink-view", .identity = "f(view(x), view(y), c) = view(f(x, y, c)) for a transpose, reshape or reverse",
       .pattern = of_kind(OpKind::Pointwise), .build = sink_view},
      {.name = "reduce-reduce-extreme", .identity = "max(max(x)) = max(x) over both sets of axes; so min", .pattern = reduction(inner.is(reduction(x))),
       .when = [=](const Match& m) { return is_extreme(m) && same_reduction(m, inner); },
       .build = [=](Match& m) { return merge_reductions(m, x, inner); }},
      {.name = "reduce-reduce", .identity = "sum(sum(x)) = sum(x) over both sets of axes; so product", .accuracy = Accuracy::Rounding, .ulps = 16,
       .caveat = regrouped, .pattern = reduction(inner.is(reduction(x))), .when = [=](const Match& m) { return same_reduction(m, inner); },
       .build = [=](Match& m) { return merge_reductions(m, x, inner); }},
      {.name = "extreme-broadcast", .identity = "max over repeated axes = max over the others; so min", .pattern = reduction(inner.is(of<ops::Broadcast>(x))),
       .when = [=](const Match& m) { return is_extreme(m) && !without(m.ints("axes"), m.ints(inner, "axes")).empty(); },
       .build = [=](Match& m) { return reduce_broadcast(m, x, inner); }},
      {.name = "sum-broadcast", .identity = "sum over n repeats = n times the sum over the other axes", .accuracy = Accuracy::Rounding, .ulps = 16,
       .caveat = "n x is rounded once, adding x up rounds n times", .pattern = sum_of(inner.is(of<ops::Broadcast>(x))),
       .when = [=](const Match& m) { return !without(m.ints("axes"), m.ints(inner, "axes")).empty(); },
       .build = [=](Match& m) { return reduce_broadcast(m, x, inner); }},
      {.name = "reduce-one", .identity = "a reduction over axes of size 1 is a reshape", .accuracy = Accuracy::Rounding,
       .caveat = "the sum of one -0 is 0, which becomes -0", .pattern = reduction(x),
       .when = [x](const Match& m) { return m.type(x).count() == m.root.type.count(); },
       .build = [x](Match& m) { return reshape(m[x], m.root.type.sizes()); }},
      {.name = "reduce-reshape", .identity = "a reduction over everything does not see a reshape", .pattern = reduction(of<ops::Reshape>(x)),
       .when = [](const Match& m) { return m.root.type.rank() == 0; },
       .build = [x](Match& m) { return reduce(*m.root.op, m[x], range(m[x].rank())); }},
      {.name = "reduce-transpose", .identity = "a reduction over everything does not see a transpose", .accuracy = Accuracy::Rounding, .ulps = 16,
       .caveat = regrouped, .pattern = reduction(of<ops::Transpose>(x)), .when = [](const Match& m) { return m.root.type.rank() == 0; },
       .build = [x](Match& m) { return reduce(*m.root.op, m[x], range(m[x].rank())); }},
      {.name = "sum-neg", .identity = "sum(-x) = -sum(x)", .accuracy = Accuracy::Rounding, .caveat = "a sum of zeros is 0, its negative -0",
       .pattern = sum_of(inner.is(-x)), .when = [=](const Match& m) { return m.is_float() && m.single_use(inner); },
       .build = [=](Match& m) { return -reduce(*m.root.op, m[x], m.ints("axes")); }},
      {.name = "sum-scaled", .identity = "sum(x broadcast(z)) = sum(x) z where z is the same along the sum", .accuracy = Accuracy::Rounding, .ulps = 16,
       .caveat = distributes, .pattern = sum_of(inner.is(x * z)), .when = factors_out,
       .build = [=](Match& m) { return reduce(*m.root.op, m[x], m.ints("axes")) * factor_of_sum(m, z); }},
      {.name = "sum-divided", .identity = "sum(x / broadcast(z)) = sum(x) / z where z is the same along the sum", .accuracy = Accuracy::Rounding, .ulps = 16,
       .caveat = distributes, .pattern = sum_of(inner.is(x / z)), .when = factors_out,
       .build = [=](Match& m) { return reduce(*m.root.op, m[x], m.ints("axes")) / factor_of_sum(m, z); }},
  };
}

const RuleSet& shape_rules() {
  static const RuleSet rules = [] {
    RuleSet set{"shape", "views of views, and work moved to where there is less of it", {}};
    for (const std::vector<Rule>& part : {view_rules(), motion_rules(), contraction_rules()}) {
      set.rules.insert(set.rules.end(), part.begin(), part.end());
    }
    return set;
  }();
  return rules;
}

}  // namespace gradc::rewrite
