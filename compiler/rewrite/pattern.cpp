#include "compiler/rewrite/pattern.h"

#include "compiler/support/error.h"

namespace gradc::rewrite {

Term::Term(double number) : Term(Body{.kind = Kind::Number, .number = number}) {}

Term apply(const Op& op, std::vector<Term> operands) {
  GRADC_ASSERT(op.arity == static_cast<int>(operands.size()), "pattern of {}", op.name);
  return Term({.kind = Term::Kind::Apply, .op = &op, .operands = std::move(operands)});
}

Term apply_any(const Op& op) { return Term({.kind = Term::Kind::Apply, .op = &op, .any_operands = true}); }

Term of_kind(OpKind kind) { return Term({.kind = Term::Kind::OfKind, .of_kind = kind, .any_operands = true}); }
Term of_kind(OpKind kind, std::vector<Term> operands) {
  return Term({.kind = Term::Kind::OfKind, .of_kind = kind, .operands = std::move(operands)});
}

Term Var::is(const Term& term) const {
  Term::Body body = *term;
  GRADC_ASSERT(body.slot < 0, "the term is bound already");
  body.slot = slot;
  return Term(std::move(body));
}

}  // namespace gradc::rewrite
