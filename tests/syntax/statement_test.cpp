#include <catch2/catch.hpp>

#include "tests/support/golden.h"
#include "tests/syntax/parsed.h"

using namespace gradc;
using gradc::test::Parsed;

namespace {

// The statements of a model's body.
struct Body {
  explicit Body(const std::string& text) : parsed("model m(x: []) {\n" + text + "\n}\n") {
    INFO(text << "\n" << parsed.errors());
    REQUIRE(parsed.ok());
    REQUIRE(parsed.file->items.size() == 1);
  }
  const std::vector<ast::Stmt>& statements() const { return parsed.file->items[0].as<ast::Model>()->body.statements; }
  std::string source(size_t i) const { return std::string(parsed.sources.text(statements()[i].span)); }
  Parsed parsed;
};

}  // namespace

TEST_CASE("a newline ends a statement, with the documented exceptions") {
  CHECK(Body("a = 1\nb = 2").statements().size() == 2);
  CHECK(Body("a = 1; b = 2;; c = 3;").statements().size() == 3);
  CHECK(Body("a = x +\n  1\nb = 2").statements().size() == 2);
  CHECK(Body("a = f(x\n, 1\n)\nb = [1\n]").statements().size() == 2);
  CHECK(Body("a = x\n  |> f\n  # between\n  |> g(1)\nb = 2").statements().size() == 2);
  CHECK(Body("a =\n 1").statements().size() == 1);
  CHECK(Body("a,\nb = f(x)").statements().size() == 1);
  CHECK(Body("a = f(if x {\n y\n} else {\n z\n})").statements().size() == 1);
  CHECK(Body("a = if x { 1 }\n    else { 2 }").statements().size() == 1);
  CHECK(Body("for i in 0..3\n{ a = i }").statements().size() == 1);
  CHECK(Body("a = x # comment\nb = 2").source(0) == "a = x");
}

TEST_CASE("words of declarations stay usable as names") {
  Body b(
      "state = 1\nupdate = state + 1\nmodel = f(update)\nparam = model\ndim = param\ntrain, test = split(dim, "
      "2)\noptimizer = layer(use)");
  CHECK(b.statements().size() == 7);
  for (const ast::Stmt& s : b.statements()) CHECK(s.as<ast::Bind>());
}

TEST_CASE("targets: names, lists, groups and indices") {
  Body b("out, (h, (c, d)) = f(x)\ns[b, q]: [N, 4] = x\ny: int[3] = x\n(a, b) = x");
  const auto* nested = b.statements()[0].as<ast::Bind>();
  REQUIRE(nested);
  REQUIRE(nested->targets.size() == 2);
  CHECK(nested->targets[0].name->name == Symbol("out"));
  REQUIRE(nested->targets[1].elements.size() == 2);
  CHECK(nested->targets[1].elements[1].elements[0].name->name == Symbol("c"));

  const auto* indexed = b.statements()[1].as<ast::IndexBind>();
  REQUIRE(indexed);
  CHECK(indexed->indices[1].name == Symbol("q"));
  CHECK(ast::inline_text(*indexed->type) == "[N, 4]");
  CHECK(ast::inline_text(*b.statements()[2].as<ast::Bind>()->type) == "int[3]");
  CHECK(b.statements()[3].as<ast::Bind>()->targets[0].elements.size() == 2);
}

TEST_CASE("an if at the end of a block that gives a value is that value") {
  Body b("a = if x { y = 1; if y { 2 } else if z { 3 } else { 4 } } else { 5 }");
  const auto& chain = *b.statements()[0].as<ast::Bind>()->value->as<ast::If>();
  const auto& body = chain.arms[0].body.statements;
  REQUIRE(body.size() == 2);
  REQUIRE(body[1].as<ast::ExprStmt>());
  const auto* inner = body[1].as<ast::ExprStmt>()->value->as<ast::If>();
  REQUIRE(inner);
  CHECK(inner->arms.size() == 2);
  CHECK(inner->otherwise);
}

TEST_CASE("scan holds its inputs, axis, carries and body") {
  Body b("ys, h = scan a in x, m in mask along T with h = zeros([N]), c = 1 { emit h, a }");
  const auto* scan = b.statements()[0].as<ast::Bind>()->value->as<ast::Scan>();
  REQUIRE(scan);
  CHECK(scan->inputs.size() == 2);
  CHECK(ast::inline_text(*scan->axis) == "T");
  REQUIRE(scan->carries.size() == 2);
  CHECK(scan->carries[1].name.name == Symbol("c"));
  CHECK(scan->body.statements[0].as<ast::Emit>()->value->as<ast::Tuple>()->elements.size() == 2);
}

TEST_CASE("scan: axis, direction, recomputation and carries may be left out") {
  Body b("a = scan k in 0..8 { emit k }\nb = scan u in x along 1 reversed recompute every 4 with h = 0 { h = u }\nc = scan u in x recompute { emit u }");
  auto scan = [&](size_t i) -> const ast::Scan& { return *b.statements()[i].as<ast::Bind>()->value->as<ast::Scan>(); };
  CHECK_FALSE(scan(0).axis);
  CHECK_FALSE(scan(0).reversed);
  CHECK_FALSE(scan(0).recompute);
  CHECK(scan(0).carries.empty());
  CHECK(ast::inline_text(*scan(1).axis) == "1");
  CHECK(scan(1).reversed);
  REQUIRE(scan(1).recompute);
  CHECK(ast::inline_text(*scan(1).recompute->every) == "4");
  CHECK(scan(1).carries.size() == 1);
  REQUIRE(scan(2).recompute);
  CHECK_FALSE(scan(2).recompute->every);
}

TEST_CASE("train: settings, readers and several losses") {
  Parsed p(
      "train m {\n data = rows { x = 2; y = 1 }\n test = csv(\"t.csv\")\n batch = 4\n share = csv(\"a\")\n"
      " minimize a over \"c.*\" with adam(lr = 1) every 5\n minimize b\n}\n");
  INFO(p.errors());
  REQUIRE(p.ok());
  const auto* train = p.file->items[0].as<ast::Train>();
  REQUIRE(train);
  REQUIRE(train->entries.size() == 4);
  REQUIRE(train->entries[0].reader);
  CHECK(train->entries[0].reader->reader.name == Symbol("rows"));
  CHECK(train->entries[0].reader->bindings.size() == 2);
  REQUIRE(train->entries[1].reader);
  CHECK_FALSE(train->entries[1].reader->block);
  CHECK(train->entries[2].value);
  CHECK(train->entries[3].value);
  REQUIRE(train->minimize.size() == 2);
  CHECK(ast::inline_text(*train->minimize[0].every) == "5");
  CHECK_FALSE(train->minimize[1].over);
}

TEST_CASE("the samples parse without a message") {
  for (const char* name : test::samples) {
    Parsed p(test::read_text("tests/syntax/data/" + std::string(name) + ".grad"), name);
    INFO(p.errors());
    CHECK(p.ok());
    CHECK_FALSE(p.file->items.empty());
  }
}

TEST_CASE("Windows line ends and a byte order mark are read over") {
  Parsed p("\xEF\xBB\xBFuse nn # c\r\nmodel m(x: []) {\r\n  a = \"s\"\r\n}\r\n");
  INFO(p.errors());
  CHECK(p.ok());
  CHECK(p.formatted() == "use nn  # c\nmodel m(x: []) {\n    a = \"s\"\n}\n");
}

TEST_CASE("every span lies in the file and names its node") {
  Body b("alpha = f(beta, gamma = delta)");
  CHECK(b.source(0) == "alpha = f(beta, gamma = delta)");
  const auto& call = *b.statements()[0].as<ast::Bind>()->value->as<ast::Call>();
  CHECK(b.parsed.sources.text(call.arguments[1].span) == "gamma = delta");
  CHECK(b.parsed.sources.text(call.arguments[1].name->span) == "gamma");
  CHECK(b.parsed.sources.text(b.parsed.file->items[0].as<ast::Model>()->inputs[0].type->span) == "[]");
}
