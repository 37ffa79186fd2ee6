#include "frontend/syntax/parser_impl.h"

namespace gradc::syntax {

using enum DiagnosticKind;
using ast::ExprPtr;

namespace {

const char* name_of(const ast::Expr& e) {
  return std::visit(ast::Overloaded{
                        [](const ast::Number&) { return "a number"; },
                        [](const ast::String&) { return "a string"; },
                        [](const ast::Bool&) { return "a truth value"; },
                        [](const ast::Call&) { return "a call"; },
                        [](const ast::List&) { return "a list"; },
                        [](const ast::Member&) { return "a path"; },
                        [](const ast::Index&) { return "an index that is not a name"; },
                        [](const auto&) { return "an expression"; },
                    },
                    e.node);
}

}  // namespace

ast::Block Parser::block(std::string_view owner, BlockUse use, Place place) {
  Nested nested(*this);
  size_t first = at_;
  if (at(Tok::Assign)) fail_assignment();
  size_t opening = open(Tok::LBrace, fmt::format("'{{' and {}", owner));
  ast::Block out;
  {
    Restore<size_t> nest(nest_, 0);
    Restore<bool> slice(slice_, false);
    Restore<Place> here(place_, place);
    Restore<BlockUse> used(use_, use);
    Restore<uint32_t> peak(peak_, 0);
    entries(opening, [&] {
      ast::Stmt s = statement();
      if (!statement_ends()) fail_statement_end(&s);
      if (use == BlockUse::Statements) check_used(s);
      out.statements.push_back(std::move(s));
    });
    out.height = peak_;
  }
  peak_ = std::max(peak_, out.height + 1);
  out.span = since(first);
  return out;
}

ast::Stmt Parser::statement() {
  size_t first = at_;
  ast::Stmt::Node node = statement_node();
  return {since(first), std::move(node)};
}

ast::Stmt::Node Parser::statement_node() {
  check_invalid();
  if (!at(Tok::Word)) return binding_or_value();
  const std::string& word = peek().text;
  bool before_name = at_name(1) && !peek(1).newline_before;
  if (is_reserved(word) && peek(1).kind == Tok::Assign) {
    report(KeywordAsName, peek().span, word);
    throw SyntaxError{};
  }
  if (word == "if") return if_chain();
  if (word == "for") return for_loop();
  if (word == "fn") return fn();
  if (word == "assert") return assertion();
  if (word == "return") {
    allow("return", {Place::Fn, Place::Layer, Place::Optimizer, Place::Derivative, Place::Model},
          "functions, layers and optimizers");
    return ast::Return{tuple_or_value("after 'return'")};
  }
  if (word == "emit") {
    allow("emit", {Place::Scan}, "the body of a scan");
    return ast::Emit{tuple_or_value("after 'emit'")};
  }
  if (before_name) {
    if (word == "dim") return dim();
    if (word == "param") return param();
    if (word == "state") return state();
    if (word == "update") return update();
    for (const char* item : {"use", "layer", "model", "train", "optimizer", "derivative"}) {
      if (word != item) continue;
      report(MisplacedDeclaration, peek().span, word);
      throw SyntaxError{};
    }
  }
  if (before_name || (peek(1).kind == Tok::Word && !peek(1).newline_before && !is_reserved(word))) check_foreign_word();
  return binding_or_value();
}

// The statement's keyword; reported, but read on, where it has no place.
void Parser::allow(std::string_view word, std::initializer_list<Place> places, std::string_view where) {
  constexpr const char* names[] = {"a function", "a layer", "a model", "an optimizer", "a derivative", "a scan"};
  SourceSpan span = take().span;
  if (std::find(places.begin(), places.end(), place_) != places.end()) return;
  report(MisplacedStatement, span, word, names[static_cast<size_t>(place_)], where);
}

// a = e, a, (b, c) = e, a: [N] = e, a[i, j] = e, or a value alone.
ast::Stmt::Node Parser::binding_or_value() {
  std::vector<ExprPtr> left;
  left.push_back(expression("or a statement"));
  while (at(Tok::Comma)) {
    take();
    left.push_back(expression("after ','"));
  }
  if (!fresh_line() && at(Tok::Colon)) {
    take();
    ast::ShapeType type = shape_type();
    if (!at(Tok::Assign)) fail_expected("'=' and a value");
    return binding(std::move(left), std::move(type));
  }
  if (!fresh_line() && at(Tok::Assign)) return binding(std::move(left), std::nullopt);
  if (left.size() > 1) fail_expected("'=' after the names");
  return ast::ExprStmt{std::move(left[0])};
}

ast::Stmt::Node Parser::binding(std::vector<ExprPtr> left, std::optional<ast::ShapeType> type) {
  auto indexed = left.size() == 1 ? index_target(*left[0]) : std::nullopt;
  std::vector<ast::Target> targets;
  if (!indexed) {
    for (const ExprPtr& e : left) targets.push_back(target(*e));
  }
  if (type && !indexed && !(targets.size() == 1 && targets[0].name)) {
    report(InvalidTarget, type->span, "a shape behind several names");
    throw SyntaxError{};
  }
  take();
  ExprPtr value = expression("after '='");
  if (indexed) {
    indexed->type = std::move(type);
    indexed->value = std::move(value);
    return std::move(*indexed);
  }
  return ast::Bind{std::move(targets), std::move(type), std::move(value)};
}

ast::Target Parser::target(const ast::Expr& e) {
  if (const auto* name = e.as<ast::Name>()) return {e.span, ast::Ident{name->name, e.span}, {}};
  ast::Target group{e.span, std::nullopt, {}};
  if (const auto* paren = e.as<ast::Paren>()) {
    group.elements.push_back(target(*paren->inner));
  } else if (const auto* tuple = e.as<ast::Tuple>()) {
    for (const ExprPtr& x : tuple->elements) group.elements.push_back(target(*x));
  } else {
    report(InvalidTarget, e.span, name_of(e));
    throw SyntaxError{};
  }
  return group;
}

std::optional<ast::IndexBind> Parser::index_target(const ast::Expr& e) {
  const auto* x = e.as<ast::Index>();
  const auto* name = x ? x->base->as<ast::Name>() : nullptr;
  if (!name) return std::nullopt;
  ast::IndexBind out{{name->name, x->base->span}, {}, std::nullopt, nullptr};
  for (const ExprPtr& item : x->items) {
    const auto* i = item->as<ast::Name>();
    if (!i) {
      report(InvalidTarget, item->span, name_of(e)).note("index notation names an index for every axis: y[n, i] = ...");
      throw SyntaxError{};
    }
    out.indices.push_back({i->name, item->span});
  }
  return out;
}

ast::Dim Parser::dim() {
  take();
  ast::Dim out{expect_name("a name after 'dim'"), nullptr};
  if (!fresh_line() && accept(Tok::Assign)) out.value = expression("after '='");
  return out;
}

ast::Param Parser::param() {
  allow("param", {Place::Layer, Place::Model}, "layers and models");
  ast::Param out;
  out.name = expect_name("a name after 'param'");
  expect(Tok::Colon, "':' and the parameter's shape");
  out.type = shape_type();
  expect(Tok::Assign, "'=' and the parameter's initial value");
  out.initial = expression("after '='");
  return out;
}

ast::State Parser::state() {
  allow("state", {Place::Layer, Place::Model, Place::Optimizer}, "layers, models and optimizers");
  ast::State out;
  out.name = expect_name("a name after 'state'");
  if (accept(Tok::Colon)) out.type = shape_type();
  expect(Tok::Assign, "'=' and the state's initial value");
  out.initial = expression("after '='");
  return out;
}

ast::Update Parser::update() {
  allow("update", {Place::Layer, Place::Model, Place::Optimizer}, "layers, models and optimizers");
  ast::Update out;
  out.name = expect_name("a name after 'update'");
  expect(Tok::Assign, "'=' and the new value");
  out.value = expression("after '='");
  return out;
}

ast::Assert Parser::assertion() {
  take();
  ast::Assert out;
  out.condition = expression("after 'assert'");
  if (!fresh_line() && accept(Tok::Comma)) {
    if (!at(Tok::String)) fail_expected("the message, a string in quotes");
    const Token& t = take();
    out.message = ast::Ident{t.text, t.span};
  }
  return out;
}

ast::If Parser::if_chain() {
  ast::If out;
  do {
    take();
    ExprPtr condition;
    {
      Restore<bool> slice(slice_, false);
      condition = expression("after 'if'");
    }
    ast::Block body = block("what to do if it holds", use_, place_);
    out.arms.push_back({std::move(condition), std::move(body)});
    if (!accept_word("else")) return out;
  } while (at_word("if"));
  out.otherwise = block("what to do otherwise", use_, place_);
  return out;
}

ast::For Parser::for_loop() {
  take();
  ast::For out;
  out.variable = expect_name("a name after 'for'");
  expect_word("in", "'in' and a range");
  out.range = expression("after 'in'");
  out.body = block("the loop's body", BlockUse::Statements, place_);
  return out;
}

// A value stands alone only at the end of a block that gives a value.
void Parser::check_used(const ast::Stmt& s) {
  const auto* alone = s.as<ast::ExprStmt>();
  if (!alone) return;
  Diagnostic& d = report(UnusedValue, s.span);
  const auto* compared = alone->value->as<ast::Binary>();
  char opening = text(s.span).front();
  if (compared && compared->op == ast::BinaryOp::Equal) {
    d.note("'=' binds a name, '==' compares");
  } else if (opening == '-' || opening == '(' || opening == '[') {
    d.note("a newline ends a statement, except after an operator or a comma and before '|>'");
  }
  if (at(Tok::RBrace) && (place_ == Place::Fn || place_ == Place::Layer)) {
    d.note(fmt::format("a {} gives its value by 'return'", place_ == Place::Fn ? "function" : "layer"));
  }
}

// Holds a block of an `if` that gives a value to its form; an `if` statement at its end becomes the value.
void Parser::finish_value(ast::Block& b) {
  if (b.statements.empty()) {
    report(BlockWithoutValue, b.span);
    return;
  }
  for (size_t i = 0; i + 1 < b.statements.size(); ++i) check_used(b.statements[i]);
  ast::Stmt& last = b.statements.back();
  if (auto* chain = std::get_if<ast::If>(&last.node)) {
    ast::If value = std::move(*chain);
    last.node = ast::ExprStmt{finish_if(std::move(value), last.span)};
  } else if (!last.as<ast::ExprStmt>()) {
    report(BlockWithoutValue, last.span);
  }
}

ExprPtr Parser::finish_if(ast::If chain, SourceSpan span) {
  if (!chain.otherwise) {
    report(MissingElse, SourceSpan{span.file, span.begin, span.begin + 2});
    throw SyntaxError{};
  }
  for (ast::IfArm& arm : chain.arms) finish_value(arm.body);
  finish_value(*chain.otherwise);
  return make(span, std::move(chain));
}

}  // namespace gradc::syntax
