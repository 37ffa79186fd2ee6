#include <cmath>

#include "compiler/eval/eval.h"
#include "compiler/ops/ops.h"
#include "compiler/rewrite/facts.h"
#include "compiler/rewrite/terms.h"

// Values that are known when the graph is compiled. Constants hold a double: a whole number that it can't hold stays unfolded.
namespace gradc::rewrite {
namespace {

constexpr double largest_whole = 9007199254740992;  // 2^53

// The value of a point-wise operation on constants, by the interpreter: exactly its bits.
double interpret(const Node& root, const std::vector<const Node*>& operands) {
  Graph g;
  GraphBuilder b(g);
  std::vector<NodeId> scalars;
  for (const Node* n : operands) scalars.push_back(constant(b, n->attrs.number("value"), {n->type.element, {}}).id);
  NodeId result = b.add(*root.op, std::move(scalars), root.attrs);
  return Interpreter(g, {}).value(result).at(0);
}

Expr fold_pointwise(Match& m) {
  std::vector<const Node*> constants;
  for (NodeId id : m.root.operands) {
    const Node& n = m.node(id);
    if (n.op->kind != OpKind::Constant) return {};
    if (n.type.element == Element::Int && std::abs(n.attrs.number("value")) > largest_whole) return {};
    constants.push_back(&n);
  }
  double value = interpret(m.root, constants);
  if (m.root.type.element == Element::Int && std::abs(value) > largest_whole) return {};
  for (NodeId id : m.root.operands) m.consume(id);
  return m.number(value);
}

// n equal elements combined; nothing where the value is not simply known.
Expr fold_reduction(Match& m, const Var& c) {
  double value = m.value(c);
  auto n = static_cast<double>(m.node(c).type.count() / std::max<int64_t>(m.root.type.count(), 1));
  if (n == 0) return {};
  switch (*m.root.op->combiner) {
    case Combiner::Max:
    case Combiner::Min: return m.number(value);
    case Combiner::Prod: return value == 1 ? m.number(1) : Expr{};
    case Combiner::Sum: break;
  }
  double sum = rounded(n * value, m.root.type.element) + 0.0;  // a sum of -0 is 0
  if (m.root.type.element == Element::Int && std::abs(sum) > largest_whole) return {};
  return m.number(sum);
}

Expr fold_concatenate(Match& m) {
  double value = 0;
  for (size_t i = 0; i < m.root.operands.size(); ++i) {
    const Node& n = m.node(m.root.operands[i]);
    if (n.op->kind != OpKind::Constant) return {};
    double v = n.attrs.number("value");
    if (i > 0 && (v != value || std::signbit(v) != std::signbit(value))) return {};
    value = v;
  }
  for (NodeId id : m.root.operands) m.consume(id);
  return m.number(value);
}

}  // namespace

const RuleSet& fold_rules() {
  static const RuleSet rules = [] {
    Var x(0), y(1), i(2);
    Var c = constant_var(3);
    auto same_value = [c](Match& m) { return m.number(m.value(c)); };
    return RuleSet{"fold", "computes what is known at compile time, with the interpreter's bits", {
        {.name = "fold-pointwise", .identity = "f(c, d, ...) = its value", .pattern = of_kind(OpKind::Pointwise), .build = fold_pointwise},
        {.name = "fold-view", .identity = "a view of a constant is that constant", .pattern = of_kind(OpKind::View, {c}), .build = same_value},
        {.name = "fold-reshape", .identity = "reshape(c) = c", .pattern = of_kind(OpKind::Reshape, {c}), .build = same_value},
        {.name = "fold-pad", .identity = "pad(c, c) = c", .pattern = of<ops::Pad>(c),
         .when = [c](const Match& m) {
           double fill = m.root.attrs.number("value");
           return m.value(c) == fill && std::signbit(m.value(c)) == std::signbit(fill);
         },
         .build = same_value},
        {.name = "fold-concatenate", .identity = "concatenate(c, c, ...) = c", .pattern = of_kind(OpKind::Concatenate), .build = fold_concatenate},
        {.name = "fold-gather", .identity = "gather(c, i) = c", .pattern = apply(op<ops::Gather>(), {c, i}), .build = same_value},
        {.name = "fold-scatter-add", .identity = "scatter_add(i, 0) = 0",
         .pattern = apply(op<ops::ScatterAdd>(), {i, c}),
         .when = [c](const Match& m) { return m.value(c) == 0; },
         .build = [](Match& m) { return m.number(0); }},
        {.name = "fold-reduction", .identity = "sum of n times c = n c; max and min of c = c; product of 1 = 1",
         .accuracy = Accuracy::Rounding, .ulps = 2, .caveat = "n c is rounded once, adding c up rounds n times",
         .pattern = of_kind(OpKind::Reduction, {c}), .build = [c](Match& m) { return fold_reduction(m, c); }},
        {.name = "fold-arg-reduction", .identity = "argmax(c) = 0: the first of equal elements",
         .pattern = of_kind(OpKind::ArgReduction, {c}), .build = [](Match& m) { return m.number(0); }},
        {.name = "fold-select", .identity = "select(true, x, y) = x; select(false, x, y) = y", .pattern = select(c, x, y),
         .build = [c, x, y](Match& m) { return m.value(c) != 0 ? m[x] : m[y]; }},
        {.name = "fold-iota", .identity = "the only index of an axis of size 1 is 0", .pattern = of_kind(OpKind::Iota),
         .when = [](const Match& m) { return m.root.type.size(static_cast<size_t>(m.root.attrs.integer("axis"))) == 1; },
         .build = [](Match& m) { return m.number(0); }},
    }};
  }();
  return rules;
}

}  // namespace gradc::rewrite
