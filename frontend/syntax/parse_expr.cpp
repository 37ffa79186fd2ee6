#include "frontend/syntax/children.h"
#include "frontend/syntax/parser_impl.h"

// Precedence, loosest first: |>  or  and  not  comparison  a..b  + -  * / % @  unary -  ** (right)  call, index,
// member.
namespace gradc::syntax {

using enum DiagnosticKind;
using ast::BinaryOp;
using ast::ExprPtr;

namespace {

enum Level { or_level = 1, and_level, not_level, comparison_level, range_level, sum_level, product_level };

struct Infix {
  int level;
  BinaryOp op;
};

std::optional<Infix> infix(const Token& t) {
  switch (t.kind) {
    case Tok::Plus: return Infix{sum_level, BinaryOp::Add};
    case Tok::Minus: return Infix{sum_level, BinaryOp::Sub};
    case Tok::Star: return Infix{product_level, BinaryOp::Mul};
    case Tok::Slash: return Infix{product_level, BinaryOp::Div};
    case Tok::Percent: return Infix{product_level, BinaryOp::Mod};
    case Tok::At: return Infix{product_level, BinaryOp::MatMul};
    case Tok::Less: return Infix{comparison_level, BinaryOp::Less};
    case Tok::LessEqual: return Infix{comparison_level, BinaryOp::LessEqual};
    case Tok::Greater: return Infix{comparison_level, BinaryOp::Greater};
    case Tok::GreaterEqual: return Infix{comparison_level, BinaryOp::GreaterEqual};
    case Tok::EqualEqual: return Infix{comparison_level, BinaryOp::Equal};
    case Tok::NotEqual: return Infix{comparison_level, BinaryOp::NotEqual};
    case Tok::Word:
      if (t.text == "and") return Infix{and_level, BinaryOp::And};
      if (t.text == "or") return Infix{or_level, BinaryOp::Or};
      return std::nullopt;
    default: return std::nullopt;
  }
}

}  // namespace

ExprPtr Parser::make(SourceSpan span, ast::Expr::Node node) {
  auto e = std::make_unique<ast::Expr>();
  e->span = span;
  e->node = std::move(node);
  uint32_t below = 0;
  for_each_child(*e, [&](const ast::Expr& child) { below = std::max(below, child.height); });
  for_each_block(*e, [&](const ast::Block& b) { below = std::max(below, b.height); });
  e->height = below + 1;
  peak_ = std::max(peak_, e->height);
  if (e->height > ast::max_height) fail_too_deep(span);
  return e;
}

// `where` completes "expected a value ..." if there is none: "after '='".
ExprPtr Parser::expression(std::string_view where) {
  size_t first = at_;
  ExprPtr value = binary(or_level, where);
  while (at(Tok::Pipe)) {
    SourceSpan op = take().span;
    ExprPtr stage = binary(or_level, "after '|>'");
    value = make(since(first), ast::Pipe{op, std::move(value), std::move(stage)});
  }
  return value;
}

ExprPtr Parser::binary(int level, std::string_view where) {
  size_t first = at_;
  ExprPtr lhs = unary(where);
  BinaryOp chain = BinaryOp::Add;
  while (!fresh_line()) {
    if (at(Tok::DotDot) && level <= range_level) {
      lhs = range_end(std::move(lhs), first);
      continue;
    }
    std::optional<Infix> op = infix(peek());
    if (!op || op->level < level) break;
    if (op->level == comparison_level && std::exchange(chain, op->op) != BinaryOp::Add) {
      const ast::Binary& before = std::get<ast::Binary>(lhs->node);
      report(ChainedOperator, peek().span, ast::spelling(before.op), ast::spelling(op->op))
          .note(fmt::format("for both comparisons write '{0} {1} {2} and {2} {3} ...'", text(before.lhs->span),
                            ast::spelling(before.op), text(before.rhs->span), ast::spelling(op->op)));
      throw SyntaxError{};
    }
    SourceSpan op_span = take().span;
    ExprPtr rhs = binary(op->level + 1, fmt::format("after '{}'", ast::spelling(op->op)));
    lhs = make(since(first), ast::Binary{op->op, op_span, std::move(lhs), std::move(rhs)});
  }
  return lhs;
}

ExprPtr Parser::range_end(ExprPtr from, size_t first) {
  if (from->as<ast::Range>()) {
    report(ChainedOperator, peek().span, "..", "..");
    throw SyntaxError{};
  }
  take();
  ExprPtr to;
  if (!slice_ || !(at(Tok::RBracket) || at(Tok::Comma))) to = binary(sum_level, "after '..'");
  return make(since(first), ast::Range{std::move(from), std::move(to)});
}

ExprPtr Parser::unary(std::string_view where) {
  Nested nested(*this);
  if (at(Tok::Minus)) return prefixed(ast::UnaryOp::Negate, 0);
  if (at_word("not")) return prefixed(ast::UnaryOp::Not, not_level + 1);
  size_t first = at_;
  ExprPtr base = postfix(where);
  if (fresh_line() || !at(Tok::StarStar)) return base;
  SourceSpan op = take().span;
  ExprPtr exponent = unary("after '**'");
  return make(since(first), ast::Binary{BinaryOp::Pow, op, std::move(base), std::move(exponent)});
}

ExprPtr Parser::prefixed(ast::UnaryOp op, int level) {
  size_t first = at_;
  SourceSpan span = take().span;
  std::string where = fmt::format("after '{}'", ast::spelling(op));
  ExprPtr operand = level == 0 ? unary(where) : at_word("not") ? unary(where) : binary(level, where);
  return make(since(first), ast::Unary{op, span, std::move(operand)});
}

ExprPtr Parser::postfix(std::string_view where) {
  size_t first = at_;
  ExprPtr e = primary(where);
  while (!fresh_line()) {
    if (at(Tok::LParen)) {
      e = call(std::move(e), first);
    } else if (at(Tok::LBracket)) {
      e = index(std::move(e), first);
    } else if (at(Tok::Dot)) {
      e = member(std::move(e), first);
    } else {
      break;
    }
  }
  return e;
}

ExprPtr Parser::call(ExprPtr callee, size_t first) {
  auto list = arguments();
  return make(since(first), ast::Call{std::move(callee), std::move(list)});
}

std::vector<ast::Argument> Parser::arguments() {
  size_t opening = open(Tok::LParen, "'('");
  Inside inside(*this);
  std::vector<ast::Argument> out;
  elements(opening, "argument", [&] {
    size_t first = at_;
    ast::Argument a;
    if (at_name() && peek(1).kind == Tok::Assign) {
      a.name = expect_name("an argument");
      take();
    }
    a.value = expression(a.name ? "after '='" : out.empty() ? "after '('" : "after ','");
    a.span = since(first);
    if (!a.name && !out.empty() && out.back().name) {
      report(PositionalAfterNamed, a.span).note(out.back().span, "the one with a name");
    }
    out.push_back(std::move(a));
  });
  return out;
}

ExprPtr Parser::index(ExprPtr base, size_t first) {
  size_t opening = open(Tok::LBracket, "'['");
  std::vector<ExprPtr> items;
  {
    Inside inside(*this, true);
    if (at(Tok::RBracket)) fail_value("between '[' and ']'");
    elements(opening, "index", [&] { items.push_back(index_item()); });
  }
  ExprPtr indexed = make(since(first), ast::Index{std::move(base), std::move(items)});
  return !fresh_line() && at(Tok::LParen) ? reduction(std::move(indexed), first) : std::move(indexed);
}

ExprPtr Parser::index_item() {
  size_t first = at_;
  if (!at(Tok::DotDot)) return expression("as an index");
  take();
  ExprPtr to;
  if (!at(Tok::RBracket) && !at(Tok::Comma)) to = binary(sum_level, "after '..'");
  return make(since(first), ast::Range{nullptr, std::move(to)});
}

// sum[k](body): an indexed reducer that is called. Anything else is left as it is.
ExprPtr Parser::reduction(ExprPtr indexed, size_t first) {
  const ast::Index& x = *indexed->as<ast::Index>();
  const ast::Name* reducer = x.base->as<ast::Name>();
  bool names = std::all_of(x.items.begin(), x.items.end(), [](auto& i) { return i->template as<ast::Name>(); });
  if (!reducer || !names || !ast::is_reducer(reducer->name)) return indexed;
  ast::IndexReduction out{{reducer->name, x.base->span}, {}, nullptr};
  for (const ExprPtr& i : x.items) out.indices.push_back({i->as<ast::Name>()->name, i->span});
  size_t opening = open(Tok::LParen, "'('");
  Inside inside(*this);
  out.body = expression("after '('");
  close(opening, "body of the reduction");
  return make(since(first), std::move(out));
}

ExprPtr Parser::member(ExprPtr base, size_t first) {
  take();
  const Token& t = peek();
  bool step = t.kind == Tok::Number && t.integer;
  if ((!step && !at(Tok::Word)) || fresh_line()) fail_expected("a name after '.'");
  take();
  return make(since(first), ast::Member{std::move(base), {text(t.span), t.span}});
}

ExprPtr Parser::primary(std::string_view where) {
  size_t first = at_;
  switch (peek().kind) {
    case Tok::Number: {
      const Token& t = take();
      return make(since(first), ast::Number{t.number, t.integer});
    }
    case Tok::String: {
      const Token& t = take();
      return make(t.span, ast::String{t.text});
    }
    case Tok::Word: return word_expression(where);
    case Tok::LParen: return parenthesised();
    case Tok::LBracket: return list();
    case Tok::RParen:
    case Tok::RBracket:
      // A stray one; one that belongs to us is a missing value.
      if (peek().match == Token::no_match) {
        report(UnexpectedClosing, peek().span, spelling(peek().kind));
        throw SyntaxError{};
      }
      fail_value(where);
    default: fail_value(where);
  }
}

ExprPtr Parser::word_expression(std::string_view where) {
  const Token& t = peek();
  if (t.text == "true" || t.text == "false") return make(t.span, ast::Bool{take().text == "true"});
  if (t.text == "if") return if_value();
  if (t.text == "scan") return scan();
  if (t.text == "all" && peek(1).kind == Tok::Word && peek(1).text == "but") return all_but();
  if (!at_name()) fail_value(where);
  take();
  return make(t.span, ast::Name{t.text});
}

// (e), (a, b), (a,)
ExprPtr Parser::parenthesised() {
  size_t first = at_;
  size_t opening = open(Tok::LParen, "'('");
  Inside inside(*this);
  std::vector<ExprPtr> values;
  bool comma = false;
  if (at(Tok::RParen)) fail_value("between '(' and ')'");
  elements(opening, "value", [&] {
    values.push_back(expression(values.empty() ? "after '('" : "after ','"));
    comma = at(Tok::Comma);
  });
  if (values.size() == 1 && !comma) return make(since(first), ast::Paren{std::move(values[0])});
  return make(since(first), ast::Tuple{std::move(values)});
}

ExprPtr Parser::list() {
  size_t first = at_;
  size_t opening = open(Tok::LBracket, "'['");
  Inside inside(*this);
  std::vector<ExprPtr> values;
  elements(opening, "value", [&] { values.push_back(expression(values.empty() ? "after '['" : "after ','")); });
  return make(since(first), ast::List{std::move(values)});
}

ExprPtr Parser::all_but() {
  size_t first = at_;
  take(), take();
  ExprPtr axes = unary("after 'all but'");
  return make(since(first), ast::AllBut{std::move(axes)});
}

ExprPtr Parser::if_value() {
  size_t first = at_, errors = errors_;
  Restore<BlockUse> used(use_, BlockUse::Value);
  ast::If chain = if_chain();
  // What is missing beside an error is no second error.
  if (errors != errors_) throw SyntaxError{};
  return finish_if(std::move(chain), since(first));
}

// scan x_t in x along T reversed recompute every n with h = e, c = e { ... }: all after the sequences may be left out.
ExprPtr Parser::scan() {
  size_t first = at_;
  take();
  ast::Scan out;
  do {
    ast::Ident item = expect_name("a name after 'scan'");
    expect_word("in", "'in' and the sequence");
    out.inputs.push_back({item, expression("after 'in'")});
  } while (accept(Tok::Comma));
  if (accept_word("along")) out.axis = expression("after 'along'");
  out.reversed = accept_word("reversed");
  if (size_t word = at_; accept_word("recompute")) {
    out.recompute.emplace();
    if (accept_word("every")) out.recompute->every = expression("after 'every'");
    out.recompute->span = since(word);
  }
  if (accept_word("with")) {
    do {
      ast::Ident name = expect_name("the name of a carried value");
      expect(Tok::Assign, "'=' and the carry's first value");
      out.carries.push_back({name, expression("after '='")});
    } while (accept(Tok::Comma));
  }
  if (at(Tok::Word) && !fresh_line()) fail_scan_head();
  out.head = since(first);
  out.body = block("the scan's body", BlockUse::Statements, Place::Scan);
  return make(since(first), std::move(out));
}

// `a, b` without parentheses, after return and emit.
ExprPtr Parser::tuple_or_value(std::string_view where) {
  size_t first = at_;
  ExprPtr value = expression(where);
  if (!at(Tok::Comma)) return value;
  std::vector<ExprPtr> values;
  values.push_back(std::move(value));
  while (accept(Tok::Comma)) values.push_back(expression("after ','"));
  return make(since(first), ast::Tuple{std::move(values)});
}

}  // namespace gradc::syntax
