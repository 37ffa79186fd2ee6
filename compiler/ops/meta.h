#pragma once

#include <map>

#include "compiler/ops/rules.h"

// What speaks about derivatives and is gone before code is made.
namespace gradc::ops {

struct StopGradient {
  static Op info() {
    return {.name = "stop_gradient",
            .kind = OpKind::StopGradient,
            .doc = "x, as a constant to derivatives",
            .convention = "the value is x itself, bit for bit",
            .index_operands = 0b1};
  }
  static TypeResult type(TypeArgs t) { return accept(t[0]); }
  static Grads vjp(Expr, Expr, Expr) { return {no_gradient}; }
  static std::vector<OpExample> examples() { return {{{{Element::F64, unnamed({2, 3})}}, {}}}; }
};

// Operands: the value; two stand-ins, for the value and for its cotangent; then every input, each followed by its derivative as an
// expression of inputs and stand-ins. A cotangent is answered with a copy of these expressions in which the stand-ins are replaced, so
// that derivatives of any order follow: in the copy the value is this node again. What is left when nothing more is differentiated
// is the value.
struct WithDerivative {
  static constexpr size_t most_inputs = 14;
  static Op info() {
    return {.name = "with_derivative",
            .kind = OpKind::WithDerivative,
            .arity = -1,
            .doc = "a value, with a derivative by each input that the user wrote",
            .convention = "the value is the first operand, bit for bit; nothing but the inputs gets a derivative",
            .index_operands = 0x55555557};  // all but operands 3, 5, 7, ...
  }
  static constexpr AttrSpec attributes[] = {{"function", AttrKind::Text}};
  static TypeResult type(TypeArgs t) {
    size_t n = t.operands.size();
    if (n < 5 || n % 2 == 0 || n > 3 + 2 * most_inputs) return refuse("a value, two stand-ins and pairs of inputs and rules are not {} operands", n);
    for (size_t i = 1; i <= 2; ++i) {
      if (!(t[i] == t[0])) return refuse("the stand-in {} is {} for {}", i, to_string(t[i]), to_string(t[0]));
    }
    for (size_t i = 3; i < n; i += 2) {
      if (!(t[i + 1] == t[i])) return refuse("the derivative of {} is {}", to_string(t[i]), to_string(t[i + 1]));
    }
    return accept(t[0]);
  }

  // A copy of `root` with nodes replaced; what does not depend on them is shared.
  static Expr substitute(GraphBuilder& b, NodeId root, std::map<NodeId, NodeId> replaced) {
    std::vector<bool> needed(root.at() + 1), changes(root.at() + 1);
    needed[root.at()] = true;
    for (size_t i = root.at() + 1; i-- > 0;) {
      if (!needed[i] || replaced.count(NodeId(i))) continue;
      for (NodeId o : b[NodeId(i)].operands) needed[o.at()] = true;
    }
    for (size_t i = 0; i <= root.at(); ++i) {
      NodeId id(i);
      changes[i] = needed[i] && replaced.count(id);
      if (!needed[i] || changes[i]) continue;
      Node n = b[id];  // a copy: the graph grows
      for (NodeId& o : n.operands) {
        changes[i] = changes[i] || changes[o.at()];
        if (auto it = replaced.find(o); it != replaced.end()) o = it->second;
      }
      if (changes[i]) replaced[id] = b.add(*n.op, n.operands, n.attrs, n.body);
    }
    auto it = replaced.find(root);
    return {b, it == replaced.end() ? root : it->second};
  }

  static Grads vjp(Expr ct, Expr y, const std::vector<Expr>& operands) {
    Grads grads(operands.size());
    for (size_t i = 3; i < operands.size(); i += 2) grads[i] = substitute(y.builder(), operands[i + 1].id, {{operands[1].id, y.id}, {operands[2].id, ct.id}});
    return grads;
  }
  static std::vector<OpExample> examples() {
    Type v{Element::F64, unnamed({2, 3})}, x{Element::F64, unnamed({3})};
    return {{{v, v, v, x, x}, {{"function", Symbol("f")}}}, {{v, v, v, v, v, x, x}, {{"function", Symbol("f")}}}};
  }
};

struct Grad {
  static Op info() {
    return {.name = "grad",
            .kind = OpKind::Grad,
            .arity = 2,
            .doc = "dy/dx, a request that the backward stage expands",
            .convention = "y is a scalar; the result has the type of x; inner requests are expanded first"};
  }
  static constexpr const char* not_differentiable =
      "grad is expanded into its formula before anything is differentiated through it";
  // Whether y is a scalar and both are floats is judged by the backward stage, which can say so at the user's line.
  static TypeResult type(TypeArgs t) { return accept(t[1]); }
  static std::vector<OpExample> examples() { return {{{{Element::F64, {}}, {Element::F64, unnamed({2, 3})}}, {}}}; }
};

}  // namespace gradc::ops
