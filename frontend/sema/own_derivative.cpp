// derivative f(x; y, ct) = ...: a function's derivative as its author writes it. The value is computed as before; the rule is evaluated
// on stand-ins for the value and its cotangent, and the graph keeps both together (WithDerivative).
#include "frontend/sema/elaborator.h"

namespace gradc::sema {
namespace {

// A floating-point input of the graph that the value depends on by another way than through `inputs`.
NodeId other_source(const Graph& g, NodeId value, const std::vector<NodeId>& inputs) {
  std::vector<bool> reached(value.at() + 1), stop(value.at() + 1);
  reached[value.at()] = true;
  for (NodeId i : inputs) {
    if (i <= value) stop[i.at()] = true;
  }
  for (size_t i = value.at() + 1; i-- > 0;) {
    const Node& n = g[NodeId(i)];
    if (!reached[i] || stop[i] || n.op->kind == OpKind::StopGradient || !is_float(n.type.element)) continue;
    if (n.op->kind == OpKind::Input && n.attrs.text("role") != Symbol(role::step)) return NodeId(i);
    for (size_t k = 0; k < n.operands.size(); ++k) {
      if (k >= 32 || !(n.op->index_operands >> k & 1)) reached[n.operands[k].at()] = true;
    }
  }
  return {};
}

}  // namespace

Value Elaborator::with_rule(const ast::Derivative& rule, const ast::Fn& fn, const ScopePtr& scope, const std::map<Symbol, Binding>& given, Value value, SourceSpan at) {
  if (value.as<Num>() || in_initial_) return value;  // nothing to differentiate
  auto* t = value.as<TensorRef>();
  if (!t || !is_float(type(*t).element)) {
    report(DiagnosticKind::WrongType, at, quote(at), "a single tensor of floats, since it has a derivative,", describe(value)).note(rule.function.span, "the derivative is declared here");
    abort();
  }
  if (t->weak) return value;
  At here(*this, rule.function.span);
  Expr y(builder(), t->node), y_stand_in = stop_gradient(y), ct_stand_in = stop_gradient(y.literal(0));

  Frame frame;
  frame.kind = Frame::Function;
  frame.declaration = &rule;
  frame.callee = rule.function.name;
  frame.caller = frame_->caller;
  frame.scope = inner_scope(scope);
  frame.scope->names = given;
  frame.scope->names[rule.value.name] = {wrap(y_stand_in), rule.value.span};
  frame.scope->names[rule.cotangent.name] = {wrap(ct_stand_in), rule.cotangent.span};
  FrameScope enter(*this, frame);
  Value result = evaluate_body(rule.body, {}, rule.function.span);
  SourceSpan body = std::holds_alternative<ast::ExprPtr>(rule.body) ? std::get<ast::ExprPtr>(rule.body)->span : rule.function.span;
  std::vector<Value> parts{result};
  if (rule.inputs.size() > 1) {
    const ListValue* list = result.list();
    parts = list ? list->items : parts;
    if (!list || parts.size() != rule.inputs.size()) {
      report(DiagnosticKind::WrongCount, body, rule.inputs.size(), quote(body), list ? fmt::format("{} values", parts.size()) : describe(result));
      abort();
    }
  }
  std::vector<std::pair<Expr, Expr>> pairs;
  std::vector<NodeId> inputs;
  for (size_t i = 0; i < parts.size(); ++i) {
    Symbol name = rule.inputs[i].name;
    auto* x = given.at(name).value.as<TensorRef>();
    if (!x || !is_float(type(*x).element)) continue;  // a number, or an index: no derivative is asked for
    Expr input(builder(), x->node), part = expr(parts[i], body, input.element());
    if (part.rank() == 0) part = broadcast_to(part, input.type().dims);
    if (!part.type().same_shape(input.type())) {
      report(DiagnosticKind::DerivativeShape, body, fn.name.name, name, shape_to_string(part.type()), name, shape_to_string(input.type()));
      abort();
    }
    pairs.emplace_back(input, part);
    inputs.push_back(x->node);
  }
  if (NodeId other = other_source(builder().graph(), t->node, inputs)) {
    report(DiagnosticKind::DerivativeMisses, rule.function.span, fn.name.name, builder().graph().label(other))
        .note(fn.name.span, fmt::format("make it an argument of '{}' and of the derivative, or hold it fixed by stop_gradient", fn.name.name));
    abort();
  }
  if (pairs.empty()) return value;
  if (pairs.size() > 14) {
    report(DiagnosticKind::WrongCount, rule.function.span, "at most 14", fn.name.name, fmt::format("{} inputs", pairs.size()));
    abort();
  }
  Expr out = with_derivative(fn.name.name, y, y_stand_in, ct_stand_in, pairs);
  return wrap(with_dims(out, y.type().dims));
}

}  // namespace gradc::sema
