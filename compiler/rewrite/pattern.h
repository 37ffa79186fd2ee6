#pragma once

#include <array>
#include <memory>
#include <vector>

#include "compiler/graph/graph.h"

namespace gradc::rewrite {

// An expression over operations, wildcards and numbers. The same expression language describes what a rule looks for and
// what it puts in its place:  log(1.0 + exp(x))  ->  softplus(x).
class Term {
 public:
  enum class Kind : uint8_t {
    Any,       // a wildcard: any value; the same wildcard twice wants the same value twice
    Constant,  // any constant
    Number,    // the constant of exactly these bits, of whatever element
    Apply,     // an operation on these operands; with `any_operands`, on whatever operands
    OfKind,    // any operation of a kind
  };
  struct Body {
    Kind kind;
    int slot = -1;  // binding that the matched node goes to
    double number = 0;
    const Op* op = nullptr;
    OpKind of_kind = OpKind::Pointwise;
    bool any_operands = false;
    std::vector<Term> operands{};
  };

  Term() = default;
  Term(double number);
  explicit Term(Body body) : body_(std::make_shared<const Body>(std::move(body))) {}

  explicit operator bool() const { return body_ != nullptr; }
  const Body* operator->() const { return body_.get(); }
  const Body& operator*() const { return *body_; }

 private:
  std::shared_ptr<const Body> body_;
};

inline constexpr int max_slots = 10;

// A wildcard of a rule. `v.is(term)` matches like the term and binds the node that it matched.
class Var : public Term {
 public:
  explicit Var(int index, Term::Kind kind = Kind::Any) : Term(Body{.kind = kind, .slot = index}), slot(index) {}
  Term is(const Term& term) const;
  const int slot;
};

Term apply(const Op& op, std::vector<Term> operands);
Term apply_any(const Op& op);  // whatever the operands are
Term of_kind(OpKind kind);  // whatever the operands are
Term of_kind(OpKind kind, std::vector<Term> operands);

}  // namespace gradc::rewrite
