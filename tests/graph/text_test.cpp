#include <bit>
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "compiler/graph/dot.h"
#include "compiler/graph/graph.h"
#include "compiler/ops/expr.h"
#include "compiler/ops/ops.h"

using namespace gradc;

namespace {

using Catch::Matchers::Contains;

std::string reprint(const std::string& text, SourceManager& sources) {
  GraphParseResult r = parse_graph(text, op_registry(), sources);
  INFO(text);
  INFO(r.error);
  REQUIRE(r.graph);
  return print(*r.graph, sources);
}

std::string parse_error(std::string_view text) {
  SourceManager sources;
  GraphParseResult r = parse_graph(text, op_registry(), sources);
  CHECK_FALSE(r.graph);
  return r.error;
}

// relu(x W) with names, provenance through a library call, and an update.
struct Sample {
  SourceManager sources;
  Graph g;
  NodeId hidden, loss;

  Sample() {
    FileId user = sources.add("my model.grad", "model m {\n  h1 = x |> Dense(2)\n  loss = mean(h1)\n}\n");
    FileId library = sources.add("nn.grad", "layer Dense {\n  return x @ W\n}\n", true);
    OriginId call = g.provenance.add({{user, 17, 30}, {}, {}});
    OriginId body = g.provenance.add({{library, 23, 28}, call, "Dense"});
    g.provenance.from(g.provenance.add({{user, 38, 45}, {}, {}}));
    GraphBuilder b(g);
    g.name = "m";
    b.provenance = g.provenance.from(call);
    Expr x = input(b, "x", role::data, {Element::F32, {{3, "N"}, {4, {}}}});
    b.provenance = g.provenance.from(body);
    Expr w = input(b, "h1.W", role::parameter, {Element::F32, {{4, {}}, {2, {}}}});
    Expr h = max(contract(x, w, {0, 1}, {1, 2}, {0, 2}), 0);
    hidden = h.id;
    g.edit(h.id).name = "h1";
    b.provenance = g.provenance.rewritten(g.provenance.derived(b.provenance, {"h1", "vjp of mul"}), "x + 0 -> x");
    Expr l = reduce_sum(h, {0, 1});
    loss = l.id;
    g.outputs = {{"loss", OutputKind::Value, l.id}, {"h1.W", OutputKind::Update, (w * 0.5).id}};
  }
};

}  // namespace

TEST_CASE("a graph reads as its lines say") {
  Sample s;
  std::string text = print(s.g, s.sources);
  CHECK_THAT(text, Contains("graph m {"));
  CHECK_THAT(text, Contains("%0 x : f32[N=3, 4] = input {name=x, role=data, element=f32, sizes=[3, 4]} @0"));
  CHECK_THAT(text, Contains("%4 h1 : f32[N=3, 2] = max %2, %3 @1"));
  CHECK_THAT(text, Contains("; my model.grad:2:8; vjp of mul (h1); rewritten: x + 0 -> x"));
  CHECK_THAT(text, Contains("update h1.W = %7"));
  CHECK_THAT(text, Contains("origin 1 = file 1 2:10 to 2:15 in Dense from 0"));
  // What no node uses isn't listed.
  CHECK_THAT(text, !Contains("origin 2"));
}

TEST_CASE("printing what was parsed gives the same text") {
  Sample s;
  std::string text = print(s.g, s.sources);
  SECTION("with the sources at hand") {
    CHECK(reprint(text, s.sources) == text);
  }
  SECTION("without them") {
    SourceManager empty;
    CHECK(reprint(text, empty) == text);
    CHECK(empty.file(*empty.find("nn.grad")).library);
  }
  SECTION("provenance survives") {
    GraphParseResult r = parse_graph(text, op_registry(), s.sources);
    const Provenance& p = r.graph->provenance.get((*r.graph)[s.loss].provenance);
    REQUIRE(p.origins.size() == 1);
    const Origin& o = r.graph->provenance.origin(p.origins[0]);
    CHECK(s.sources.text(o.span) == "x @ W");
    CHECK(s.sources.text(r.graph->provenance.origin(o.caller).span) == "x |> Dense(2)");
    CHECK(p.derivations == std::vector<Derivation>{{"h1", "vjp of mul"}});
    CHECK(p.rewrites == std::vector<Symbol>{"x + 0 -> x"});
  }
}

TEST_CASE("every operation's examples print and parse back") {
  SourceManager sources;
  for (const Op* op : op_registry().all()) {
    if (!op->examples) continue;
    if (op->kind == OpKind::Result) continue;  // reads the scan of another example
    for (const OpExample& e : op->examples()) {
      Graph g;
      GraphBuilder b(g);
      g.name = op->name;
      std::vector<NodeId> operands;
      for (const Type& t : e.operands)
        operands.push_back(input(b, Symbol("x" + std::to_string(operands.size())), role::data, t).id);
      NodeId y = b.add(*op, operands, e.attrs, e.body);
      g.outputs.push_back({"y", OutputKind::Value, e.body ? b.add(gradc::op<ops::Result>(), {y}, {{"index", int64_t{0}}}) : y});
      std::string text = print(g, sources);
      CHECK(reprint(text, sources) == text);
      CHECK(verify(g, false).empty());
    }
  }
}

TEST_CASE("numbers keep every bit") {
  SourceManager sources;
  double odd_nan = std::bit_cast<double>(0xFFF8000000000123ull);
  for (double v : {0.0, -0.0, 1.0, -1.0, 0.1, 1e300, 5e-324, 1e16, 123456789.0, 0x1p53, -1e-5, double(INFINITY),
                   -double(INFINITY), std::numeric_limits<double>::quiet_NaN(), odd_nan}) {
    Graph g;
    GraphBuilder b(g);
    g.outputs.push_back({"c", OutputKind::Value, constant(b, v, {Element::F64, {}}).id});
    GraphParseResult r = parse_graph(print(g, sources), op_registry(), sources);
    INFO(print(g, sources));
    REQUIRE(r.graph);
    CHECK(std::bit_cast<uint64_t>((*r.graph)[NodeId(size_t{0})].attrs.number("value")) == std::bit_cast<uint64_t>(v));
  }
}

TEST_CASE("names that are no words are quoted") {
  SourceManager sources;
  for (std::string name : {"h1", "h1.W", "blocks[0].W", "d(loss)/d(h1)", "two words", "\"quoted\\\"", "a\nb; c", "inf",
                           "nan", "0x", "größe", "%3", "a\tb"}) {
    Graph g;
    GraphBuilder b(g);
    g.name = Symbol(name);
    Expr x = input(b, Symbol(name), role::data, {Element::Int, {{2, Symbol(name)}}});
    g.outputs.push_back({Symbol(name), OutputKind::Value, x.id});
    std::string text = print(g, sources);
    INFO(text);
    GraphParseResult r = parse_graph(text, op_registry(), sources);
    INFO(r.error);
    REQUIRE(r.graph);
    CHECK(print(*r.graph, sources) == text);
    CHECK(r.graph->name == Symbol(name));
    CHECK((*r.graph)[x.id].name == Symbol(name));
    CHECK((*r.graph)[x.id].type.dims[0].name == Symbol(name));
  }
}

TEST_CASE("graphs written by hand may number nodes freely and leave out what is optional") {
  SourceManager sources;
  std::string text = reprint(
      "; a comment\ngraph g {\n\n %7 : f32[2]=input{name=x,role=data,element=f32,sizes=[2]}\n %20:f32[2] = exp %7 ; "
      "e\n output y = %20\n}\n",
      sources);
  CHECK_THAT(text, Contains("%1 : f32[2] = exp %0"));
}

TEST_CASE("what is wrong with a graph's text is said with its line") {
  CHECK_THAT(parse_error(""), Contains("line 0: expected 'graph NAME {'"));
  CHECK(parse_error("graf g {\n}") == "line 1: expected 'graph' before 'graf'");
  CHECK(parse_error("graph g {\n") == "line 1: the closing '}' is missing");
  CHECK(parse_error("graph g {\n%0 : f32[] = ad\n}") == "line 2: unknown operation 'ad', did you mean 'add'?");
  CHECK(parse_error("graph g {\n%0 : f32[] = exp %1\n}") == "line 2: %1 is not defined above");
  CHECK(parse_error("graph g {\n%0 : f16[] = iota\n}") == "line 2: there is no element type 'f16'");
  std::string x = "graph g {\n%0 : f32[2] = constant {value=1.0, element=f32, sizes=[2]}\n";
  CHECK(parse_error(x + "%0 : f32[2] = exp %0\n}") == "line 3: %0 is defined twice");
  CHECK(parse_error(x + "%1 : f32[3] = exp %0\n}") == "line 3: %1 is f32[2], not f32[3]");
  CHECK(parse_error(x + "%1 : f32[2] = add %0\n}") == "line 3: add: takes 2 operands, not 1");
  CHECK(parse_error(x + "%1 : f32[2] = exp %0 {axis=1}\n}") == "line 3: exp: takes no attribute 'axis'");
  CHECK(parse_error(x + "%1 : f32[] = reduce_sum %0 {axes=1}\n}") ==
        "line 3: reduce_sum: attribute 'axes' is of the wrong kind or too large");
  CHECK(parse_error(x + "%1 : f32[] = reduce_sum %0 {axes=[1]}\n}") ==
        "line 3: reduce_sum: axes are not ascending axes of f32[2]");
  CHECK(parse_error(x + "%1 : f32[2] = exp %0 x\n}") == "line 3: did not expect 'x'");
  CHECK(parse_error(x + "%1 : f32[2] = exp %0 @4\n}") == "line 3: there is no provenance set 4");
  CHECK(parse_error(x + "output \"y = %0\n}") == "line 3: a quoted name does not end");
  CHECK(parse_error(x + "}\nprovenance {\norigin 0 = file 0 1:1 to 1:2\n}") == "line 5: there is no file 0");
  CHECK(parse_error(x + "}\nprovenance {\nfile 0 = \"a\"\norigin 0 = file 0 4000000000:1 to 1:2\n}") ==
        "line 6: the place is out of range");
  CHECK(parse_error(x + "}\nprovenance {\nset 0 = origin 0\n}") == "line 5: there is no origin 0");
}

TEST_CASE("a file whose text has no such place is refused") {
  SourceManager sources;
  sources.add("a", "short\n");
  std::string text = "graph g {\n}\nprovenance {\nfile 0 = \"a\"\norigin 0 = file 0 1:3 to 1:9\n}\n";
  CHECK(parse_graph(text, op_registry(), sources).error == "line 5: 'a' has no such place");
}

TEST_CASE("no damage to a text makes the parser fall over") {
  Sample s;
  std::string text = print(s.g, s.sources);
  uint64_t state = 1;
  auto random = [&](size_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % n;
  };
  size_t refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string broken = text;
    for (size_t edits = 1 + random(3); edits-- > 0;) {
      size_t at = random(broken.size());
      switch (random(4)) {
        case 0: broken.erase(at, 1 + random(8)); break;
        case 1: broken.insert(at, 1, "%[]{}=,@:\"\\-0"[random(13)]); break;
        case 2: broken[at] = static_cast<char>(random(256)); break;
        default: broken.insert(at, std::to_string(random(1u << 31) * 4294967291u));
      }
    }
    SourceManager sources;
    GraphParseResult r = parse_graph(broken, op_registry(), sources);
    if (!r.graph) {
      ++refused;
      CHECK(r.error.rfind("line ", 0) == 0);
    } else {
      for (const std::string& problem : verify(*r.graph, false)) {
        // Only names can clash in a text that was accepted.
        CHECK_THAT(problem, Contains("called") || Contains("update of"));
      }
    }
  }
  CHECK(refused > 500);
}

TEST_CASE("the picture has a box a node, writes constants inside and names outputs") {
  Sample s;
  std::string dot = to_dot(s.g, s.sources);
  CHECK_THAT(dot, Contains("n4 [label=\"h1\\nmax(·, 0)\\nf32[N=3, 2]\""));
  CHECK_THAT(dot, Contains("n2 -> n4"));
  CHECK_THAT(dot, !Contains("n3 ->"));
  CHECK_THAT(dot, Contains("o1 [label=\"update h1.W\""));
  CHECK_THAT(dot, Contains("tooltip=\"my model.grad:2:8\""));
}
