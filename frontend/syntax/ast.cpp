#include "frontend/syntax/ast.h"

#include <algorithm>
#include <array>

namespace gradc::ast {

const char* spelling(BinaryOp op) {
  constexpr std::array names{"+", "-", "*", "/", "%", "@", "**", "<", "<=", ">", ">=", "==", "!=", "and", "or"};
  return names[static_cast<size_t>(op)];
}

const char* spelling(UnaryOp op) {
  return op == UnaryOp::Negate ? "-" : "not";
}

bool is_comparison(BinaryOp op) {
  return op >= BinaryOp::Less && op <= BinaryOp::NotEqual;
}

bool is_reducer(Symbol name) {
  static const std::array<Symbol, 7> reducers{"sum", "mean", "product", "max", "min", "argmax", "argmin"};
  return std::find(reducers.begin(), reducers.end(), name) != reducers.end();
}

const Expr& strip(const Expr& e) {
  const Expr* inner = &e;
  while (const Paren* p = inner->as<Paren>()) inner = p->inner.get();
  return *inner;
}

std::optional<std::string> path_of(const Expr& e) {
  if (const Name* n = e.as<Name>()) return n->name.str();
  if (const Member* m = e.as<Member>()) {
    auto base = path_of(*m->base);
    if (!base) return std::nullopt;
    return *base + "." + m->name.name.str();
  }
  if (const Index* x = e.as<Index>()) {
    auto base = path_of(*x->base);
    const Number* n = x->items.size() == 1 ? x->items[0]->as<Number>() : nullptr;
    if (!base || !n || !n->integer) return std::nullopt;
    return *base + "[" + std::to_string(*n->integer) + "]";
  }
  return std::nullopt;
}

}  // namespace gradc::ast
