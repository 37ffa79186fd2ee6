#include <catch2/catch.hpp>

#include "frontend/syntax/children.h"
#include "tests/syntax/parsed.h"

using namespace gradc;

namespace {

struct Lone {
  explicit Lone(const std::string& text) : expr(parse_expression(sources.add("option", text), sources, diagnostics)) {}
  SourceManager sources;
  Diagnostics diagnostics;
  ast::ExprPtr expr;
};

// The tree with a bracket round every operation: what binds to what.
std::string grouped(const ast::Expr& e) {
  if (const auto* b = e.as<ast::Binary>())
    return "{" + grouped(*b->lhs) + ast::spelling(b->op) + grouped(*b->rhs) + "}";
  if (const auto* u = e.as<ast::Unary>())
    return "{" + std::string(ast::spelling(u->op)) + " " + grouped(*u->operand) + "}";
  if (const auto* p = e.as<ast::Pipe>()) return "{" + grouped(*p->value) + "|>" + grouped(*p->stage) + "}";
  if (const auto* r = e.as<ast::Range>()) return "{" + grouped(*r->from) + ".." + grouped(*r->to) + "}";
  if (const auto* p = e.as<ast::Paren>()) return grouped(*p->inner);
  return ast::inline_text(e);
}

std::string grouped(const std::string& text) {
  Lone l(text);
  INFO(text << "\n" << render_all(l.diagnostics, l.sources, false));
  REQUIRE(l.expr);
  return grouped(*l.expr);
}

}  // namespace

TEST_CASE("operators bind in the documented order") {
  auto [text, tree] = GENERATE(table<std::string, std::string>({
      {"a + b * c", "{a+{b*c}}"},
      {"a - b - c", "{{a-b}-c}"},
      {"a / b % c @ d", "{{{a/b}%c}@d}"},
      {"-x ** 2", "{- {x**2}}"},
      {"2 ** -x ** 3", "{2**{- {x**3}}}"},
      {"a ** b ** c", "{a**{b**c}}"},
      {"-a * b", "{{- a}*b}"},
      {"a * -b", "{a*{- b}}"},
      {"(a + b) * c", "{{a+b}*c}"},
      {"a + b |> f", "{{a+b}|>f}"},
      {"x |> f |> g(1)", "{{x|>f}|>g(1)}"},
      {"not a == b and c or d", "{{{not {a==b}}and c}or d}"},
      {"not not a", "{not {not a}}"},
      {"0..2 * n - 1", "{0..{{2*n}-1}}"},
      {"a < b + 1", "{a<{b+1}}"},
      {"x |> f == y", "{x|>{f==y}}"},
      {"f(x)[0].a ** 2", "{f(x)[0].a**2}"},
      {"mean(y) - -1", "{mean(y)-{- 1}}"},
  }));
  std::string actual = grouped(text);
  // The words keep a blank of their own.
  for (const char* word : {"and", "or"}) {
    for (size_t at = 0; (at = tree.find(std::string(word) + " ", at)) != std::string::npos; at += 2)
      tree.erase(at + std::string(word).size(), 1);
  }
  CHECK(actual == tree);
}

TEST_CASE("literals keep their values") {
  auto number = [](const char* text) {
    Lone l(text);
    REQUIRE(l.expr);
    REQUIRE(l.expr->as<ast::Number>());
    return *l.expr->as<ast::Number>();
  };
  CHECK(number("1e-3").value == 1e-3);
  CHECK_FALSE(number("1e-3").integer);
  CHECK(number("64").integer == 64);
  CHECK(number("0.1").value == 0.1);
  CHECK_FALSE(number("2.0").integer);
  CHECK(number("9223372036854775807").integer == INT64_MAX);
  CHECK_FALSE(number("9223372036854775808").integer);
  CHECK(number("9223372036854775808").value == 9223372036854775808.0);
  CHECK(number("5e-324").value == 5e-324);

  Lone text(R"("a\t\"b\"\\\n")");
  REQUIRE(text.expr);
  CHECK(text.expr->as<ast::String>()->value == "a\t\"b\"\\\n");
  CHECK(Lone("true").expr->as<ast::Bool>()->value);
}

TEST_CASE("parameter paths read back as they are printed") {
  for (const char* path : {"h1.W", "x.1.gamma", "x[0][1].a.1.W", "logits"}) {
    Lone l(path);
    REQUIRE(l.expr);
    CHECK(ast::path_of(*l.expr) == std::string(path));
  }
  for (const char* other : {"f(x).W", "x[i].W", "x[1, 2]", "1"}) {
    Lone l(other);
    REQUIRE(l.expr);
    CHECK_FALSE(ast::path_of(*l.expr));
  }
}

TEST_CASE("an expression of the command line") {
  Lone ok("grad(loss, h1.W)");
  REQUIRE(ok.expr);
  CHECK(ast::inline_text(*ok.expr) == "grad(loss, h1.W)");
  CHECK(ok.sources.text(ok.expr->span) == "grad(loss, h1.W)");

  Lone lines("a +\n b\n * c");
  REQUIRE(lines.expr);
  CHECK(grouped(*lines.expr) == "{a+{b*c}}");

  for (const char* bad : {"", "grad(loss,", "a b", "a = 3", "1 +", "x ]", "$", "# only a comment"}) {
    Lone l(bad);
    INFO(bad);
    CHECK_FALSE(l.expr);
    CHECK(l.diagnostics.error_count() == 1);
  }
}

TEST_CASE("a reduction in index notation is told from an indexed layer") {
  Lone reduction("sum[i, j](x[i, j])");
  REQUIRE(reduction.expr);
  const auto* r = reduction.expr->as<ast::IndexReduction>();
  REQUIRE(r);
  CHECK(r->reducer.name == Symbol("sum"));
  REQUIRE(r->indices.size() == 2);
  CHECK(r->indices[1].name == Symbol("j"));

  Lone layer("blocks[i](x)");
  REQUIRE(layer.expr);
  REQUIRE(layer.expr->as<ast::Call>());
  CHECK(layer.expr->as<ast::Call>()->callee->as<ast::Index>());
  CHECK(Lone("sum[0](x)").expr->as<ast::Call>());
}

TEST_CASE("arguments, tuples, lists and slices") {
  Lone call("f(a, b + 1, lr = 1e-3, betas = (0, 0.9),)");
  REQUIRE(call.expr);
  const auto& arguments = call.expr->as<ast::Call>()->arguments;
  REQUIRE(arguments.size() == 4);
  CHECK_FALSE(arguments[1].name);
  CHECK(arguments[3].name->name == Symbol("betas"));
  CHECK(arguments[3].value->as<ast::Tuple>()->elements.size() == 2);

  CHECK(Lone("(a)").expr->as<ast::Paren>());
  CHECK(Lone("(a,)").expr->as<ast::Tuple>()->elements.size() == 1);
  CHECK(Lone("[]").expr->as<ast::List>()->elements.empty());

  Lone slice("x[1.., ..3, .., -1]");
  REQUIRE(slice.expr);
  const auto& items = slice.expr->as<ast::Index>()->items;
  REQUIRE(items.size() == 4);
  CHECK((items[0]->as<ast::Range>()->from && !items[0]->as<ast::Range>()->to));
  CHECK((!items[1]->as<ast::Range>()->from && items[1]->as<ast::Range>()->to));
  CHECK((!items[2]->as<ast::Range>()->from && !items[2]->as<ast::Range>()->to));
  CHECK_FALSE(Lone("x[f(1..)]").expr);
}

TEST_CASE("the height of the tree is limited, however it is built") {
  auto repeat = [](size_t n, const std::string& s) {
    std::string out;
    for (size_t i = 0; i < n; ++i) out += s;
    return out;
  };
  size_t many = 20000;
  const std::string deep[] = {repeat(many, "(") + "x" + repeat(many, ")"),
                              repeat(many, "("),
                              "x" + repeat(many, " + x"),
                              "x" + repeat(many, " |> f"),
                              repeat(many, "-") + "x",
                              "x" + repeat(many, ".a"),
                              "x" + repeat(many, "[0]"),
                              "x" + repeat(many, " ** x"),
                              repeat(many, "not ") + "x",
                              repeat(many, "if a { 1 } else { ") + "1" + repeat(many, "}"),
                              repeat(many, "f([")};
  for (const std::string& text : deep) {
    INFO(text.substr(0, 40));
    Lone l(text);
    CHECK_FALSE(l.expr);
    REQUIRE(l.diagnostics.error_count() == 1);
  }
  Lone fine("x" + repeat(ast::max_height - 1, " + x"));
  REQUIRE(fine.expr);
  CHECK(fine.expr->height == ast::max_height);
}
