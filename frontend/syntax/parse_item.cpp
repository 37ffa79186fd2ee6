#include "frontend/syntax/parser_impl.h"

namespace gradc::syntax {

using enum DiagnosticKind;
using ast::ExprPtr;

ast::Item Parser::item() {
  size_t first = at_;
  ast::Item::Node node = item_node();
  return {since(first), std::move(node)};
}

ast::Item::Node Parser::item_node() {
  const std::string& word = peek().text;
  if (at(Tok::Word) && (word == "fn" || (peek(1).kind == Tok::Word && !peek(1).newline_before))) {
    if (word == "use") {
      take();
      return ast::Use{expect_name("a library's name after 'use'")};
    }
    if (word == "dim") return dim();
    if (word == "fn") return fn();
    if (word == "layer") return layer();
    if (word == "model") return model();
    if (word == "train") return train();
    if (word == "optimizer") return optimizer();
    if (word == "derivative") return derivative();
  }
  fail_item();
}

// fn f(x, y: [N] = 0) -> [N] = e, or with a block
ast::Fn Parser::fn() {
  take();
  ast::Fn out;
  out.name = expect_name("the function's name after 'fn'");
  out.parameters = parameters("the function's parameters");
  out.results = results();
  out.body = body("the function's body", Place::Fn);
  return out;
}

ast::Body Parser::body(std::string_view owner, Place place) {
  if (accept(Tok::Assign)) return expression("after '='");
  if (!at(Tok::LBrace)) fail_expected(fmt::format("'=' or '{{' and {}", owner));
  return block(owner, BlockUse::Statements, place);
}

ast::Layer Parser::layer() {
  take();
  ast::Layer out;
  out.name = expect_name("the layer's name after 'layer'");
  out.configuration = parameters("the layer's configuration");
  second_list("layer", out.name, "(units)(x: [..., n])");
  out.tensors = parameters("the layer's tensors");
  out.results = results();
  out.body = block("the layer's body", BlockUse::Statements, Place::Layer);
  return out;
}

ast::Optimizer Parser::optimizer() {
  take();
  ast::Optimizer out;
  out.name = expect_name("the optimizer's name after 'optimizer'");
  out.configuration = parameters("the optimizer's configuration");
  second_list("optimizer", out.name, "(lr = 1e-3)(theta, g, t)");
  out.arguments = parameters("the optimizer's arguments");
  out.body = block("the optimizer's body", BlockUse::Statements, Place::Optimizer);
  return out;
}

void Parser::second_list(std::string_view kind, const ast::Ident& name, std::string_view example) {
  if (at(Tok::LParen)) return;
  check_invalid();
  report(MissingSecondList, name.span, kind, name.name)
      .note(fmt::format("the first list is configuration, the second tensors: {} {}{}", kind, name.name, example));
  throw SyntaxError{};
}

ast::Model Parser::model() {
  take();
  ast::Model out;
  out.name = expect_name("the model's name after 'model'");
  out.inputs = parameters("the model's inputs");
  out.body = block("the model's body", BlockUse::Statements, Place::Model);
  return out;
}

// derivative f(x; y, ct) = e
ast::Derivative Parser::derivative() {
  take();
  ast::Derivative out;
  out.function = expect_name("the function's name after 'derivative'");
  {
    size_t opening = open(Tok::LParen, "'(' and the function's inputs");
    Inside inside(*this);
    do out.inputs.push_back(expect_name("the name of an input"));
    while (accept(Tok::Comma));
    expect(Tok::Semicolon, "';' and the names of the value and its cotangent, as in '(x; y, ct)'");
    out.value = expect_name("a name for the function's value");
    expect(Tok::Comma, "',' and a name for the cotangent");
    out.cotangent = expect_name("a name for the cotangent");
    close(opening, "cotangent");
  }
  out.body = body("the derivative's body", Place::Derivative);
  return out;
}

std::vector<ast::Parameter> Parser::parameters(std::string_view owner) {
  size_t opening = open(Tok::LParen, fmt::format("'(' and {}", owner));
  Inside inside(*this);
  std::vector<ast::Parameter> out;
  elements(opening, "parameter", [&] {
    size_t first = at_;
    ast::Parameter p;
    p.name = expect_name("a name");
    if (accept(Tok::Colon)) p.type = shape_type();
    if (accept(Tok::Assign)) p.fallback = expression("after '='");
    p.span = since(first);
    out.push_back(std::move(p));
  });
  return out;
}

// -> [N, 2], or -> ([N], [N, 2])
std::vector<ast::ShapeType> Parser::results() {
  std::vector<ast::ShapeType> out;
  if (fresh_line() || !accept(Tok::Arrow)) return out;
  if (!at(Tok::LParen)) {
    out.push_back(shape_type());
    return out;
  }
  size_t opening = open(Tok::LParen, "'('");
  Inside inside(*this);
  elements(opening, "shape", [&] { out.push_back(shape_type()); });
  return out;
}

// int[N, 4 * k], [..., n], []
ast::ShapeType Parser::shape_type() {
  size_t first = at_;
  ast::ShapeType out;
  if (at_name()) out.element = expect_name("a shape");
  size_t opening =
      open(Tok::LBracket, out.element ? "'[' and dimensions ('[]' for a number)" : "a shape, as in [N, 4]");
  Inside inside(*this);
  elements(opening, "dimension", [&] {
    ast::ShapeDim d;
    d.span = peek().span;
    if (!accept(Tok::Ellipsis)) {
      d.size = expression("for the dimension");
      d.span = d.size->span;
    }
    out.dims.push_back(std::move(d));
  });
  out.span = since(first);
  return out;
}

ast::Train Parser::train() {
  take();
  ast::Train out;
  out.model = expect_name("the model's name after 'train'");
  size_t opening = open(Tok::LBrace, "'{' and how to train");
  entries(opening, [&] { train_entry(out); });
  out.block = since(opening);
  return out;
}

void Parser::train_entry(ast::Train& into) {
  if (at_word("minimize") && at_name(1) && !peek(1).newline_before) {
    into.minimize.push_back(minimize());
    return;
  }
  size_t first = at_;
  bool lone_words = at_name() && peek(1).kind == Tok::Word && !peek(1).newline_before;
  ast::TrainEntry entry;
  entry.key = first_name("a setting, as in 'epochs = 10'");
  if (lone_words) {
    --at_;
    Restore<size_t> same_line(nest_, 1);
    fail_expected("'=' after a setting", {"minimize"});
  }
  expect(Tok::Assign, fmt::format("'=' after '{}'", entry.key.name));
  size_t value = at_;
  entry.value = expression("after '='");
  bool source = entry.key.name == "data" || entry.key.name == "test";
  if (at(Tok::LBrace) && !fresh_line()) {
    if (!entry.value->as<ast::Name>() && !entry.value->as<ast::Call>()) fail_statement_end(nullptr);
    entry.reader = reader(std::move(entry.value), value);
  } else if (source && entry.value->as<ast::Call>() && entry.value->as<ast::Call>()->callee->as<ast::Name>()) {
    entry.reader = reader(std::move(entry.value), value);
  }
  entry.span = since(first);
  into.entries.push_back(std::move(entry));
}

// csv("digits.csv") { image = columns(0..64) / 16; label = int(column(64)) }, from the value that stands before the
// block
std::unique_ptr<ast::DataReader> Parser::reader(ExprPtr value, size_t first) {
  auto out = std::make_unique<ast::DataReader>();
  auto* call = std::get_if<ast::Call>(&value->node);
  const ast::Expr& name = call ? *call->callee : *value;
  if (!name.as<ast::Name>()) fail_statement_end(nullptr);
  out->reader = {name.as<ast::Name>()->name, name.span};
  if (call) out->arguments = std::move(call->arguments);
  if (at(Tok::LBrace) && !fresh_line()) {
    size_t opening = open(Tok::LBrace, "'{'");
    entries(opening, [&] {
      size_t begin = at_;
      ast::DataBinding b;
      b.name = first_name("the name of a model's input");
      expect(Tok::Assign, fmt::format("'=' after '{}'", b.name.name));
      b.value = expression("after '='");
      b.span = since(begin);
      out->bindings.push_back(std::move(b));
    });
    out->block = since(opening);
  }
  out->span = since(first);
  return out;
}

// minimize loss over "critic.*" with adam(lr = 1e-4) every 5
ast::Minimize Parser::minimize() {
  size_t first = at_;
  take();
  ast::Minimize out;
  out.loss = expect_name("the name of a loss after 'minimize'");
  if (accept_word("over")) out.over = expression("after 'over'");
  if (accept_word("with")) out.optimizer = expression("after 'with'");
  if (accept_word("every")) out.every = expression("after 'every'");
  if (!statement_ends()) fail_expected("'over', 'with', 'every' or the end of the line", {"over", "with", "every"});
  out.span = since(first);
  return out;
}

}  // namespace gradc::syntax
