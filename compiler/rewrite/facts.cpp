#include "compiler/rewrite/facts.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "compiler/ops/ops.h"

namespace gradc::rewrite {
namespace {

bool one_of(const Op* o, std::initializer_list<const Op*> list) { return std::find(list.begin(), list.end(), o) != list.end(); }

}  // namespace

bool nonnegative(const Match& m, NodeId id, int depth) {
  const Node& n = m.node(id);
  if (n.op->kind == OpKind::Constant) return !std::signbit(n.attrs.number("value"));
  if (one_of(n.op, {&op<ops::Exp>(), &op<ops::Abs>(), &op<ops::Sigmoid>(), &op<ops::Softplus>(), &op<ops::Iota>(), &op<ops::Random>()})) {
    return is_float(n.type.element);  // |smallest int| wraps
  }
  if (depth == 0 || !is_float(n.type.element)) return false;
  auto holds = [&](size_t i) { return nonnegative(m, n.operands[i], depth - 1); };
  if (n.op == &op<ops::Mul>() && n.operands[0] == n.operands[1]) return true;
  if (n.op == &op<ops::Max>()) return holds(0) || holds(1);
  if (one_of(n.op, {&op<ops::Add>(), &op<ops::Mul>(), &op<ops::Div>(), &op<ops::Min>()})) return holds(0) && holds(1);
  if (n.op == &op<ops::Select>()) return holds(1) && holds(2);
  if (n.op == &op<ops::Cast>()) {
    const Element from = m.node(n.operands[0]).type.element;
    return from == Element::Bool || (is_float(from) && holds(0));
  }
  bool keeps = n.op->kind == OpKind::View || n.op->kind == OpKind::Reshape ||
               one_of(n.op, {&op<ops::Sqrt>(), &op<ops::ReduceSum>(), &op<ops::ReduceMin>()});
  return keeps && holds(0);
}

bool from_max(const Match& m, NodeId id, int depth) {
  const Node& n = m.node(id);
  if (n.op == &op<ops::ReduceMax>()) return true;
  if (depth == 0) return false;
  bool passes = n.op->kind == OpKind::View || n.op->kind == OpKind::Reshape || n.op == &op<ops::Select>();
  return passes && std::any_of(n.operands.begin(), n.operands.end(), [&](NodeId o) { return from_max(m, o, depth - 1); });
}

bool shifted_by_max(const Match& m, NodeId id) {
  const Node& n = m.node(id);
  return n.op == &op<ops::Sub>() && from_max(m, n.operands[1]);
}

bool normal(double c, Element e) {
  double low = e == Element::F32 ? FLT_MIN : DBL_MIN, high = e == Element::F32 ? FLT_MAX : DBL_MAX;
  return std::abs(c) >= low && std::abs(c) <= high;
}

bool power_of_two(double c, Element e) {
  int exponent = 0;
  return normal(c, e) && normal(1 / c, e) && std::abs(std::frexp(c, &exponent)) == 0.5;
}

double rounded(double c, Element e) { return e == Element::F32 ? static_cast<float>(c) : c; }

}  // namespace gradc::rewrite
