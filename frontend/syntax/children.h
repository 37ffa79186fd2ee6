#pragma once

#include "frontend/syntax/ast.h"

namespace gradc::ast {

// Calls f on each direct sub-expression, in source order; those inside blocks are not visited.
template <class F>
void for_each_child(const Expr& e, F&& f) {
  auto all = [&](const std::vector<ExprPtr>& list) {
    for (const ExprPtr& x : list) f(*x);
  };
  auto maybe = [&](const ExprPtr& x) {
    if (x) f(*x);
  };
  std::visit(Overloaded{
                 [](const Number&) {},
                 [](const String&) {},
                 [](const Bool&) {},
                 [](const Name&) {},
                 [&](const Unary& x) { f(*x.operand); },
                 [&](const Binary& x) { f(*x.lhs), f(*x.rhs); },
                 [&](const Pipe& x) { f(*x.value), f(*x.stage); },
                 [&](const Call& x) {
                   f(*x.callee);
                   for (const Argument& a : x.arguments) f(*a.value);
                 },
                 [&](const Range& x) { maybe(x.from), maybe(x.to); },
                 [&](const Index& x) { f(*x.base), all(x.items); },
                 [&](const Member& x) { f(*x.base); },
                 [&](const IndexReduction& x) { f(*x.body); },
                 [&](const List& x) { all(x.elements); },
                 [&](const Tuple& x) { all(x.elements); },
                 [&](const Paren& x) { f(*x.inner); },
                 [&](const AllBut& x) { f(*x.axes); },
                 [&](const If& x) {
                   for (const IfArm& a : x.arms) f(*a.condition);
                 },
                 [&](const Scan& x) {
                   for (const ScanInput& i : x.inputs) f(*i.sequence);
                   if (x.axis) f(*x.axis);
                   if (x.recompute && x.recompute->every) f(*x.recompute->every);
                   for (const ScanCarry& c : x.carries) f(*c.initial);
                 },
             },
             e.node);
}

// The blocks that belong to an expression itself.
template <class F>
void for_each_block(const Expr& e, F&& f) {
  if (const If* x = e.as<If>()) {
    for (const IfArm& a : x->arms) f(a.body);
    if (x->otherwise) f(*x->otherwise);
  } else if (const Scan* s = e.as<Scan>()) {
    f(s->body);
  }
}

}  // namespace gradc::ast
