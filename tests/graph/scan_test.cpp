#include <catch2/catch.hpp>

#include "compiler/graph/dot.h"
#include "compiler/graph/scan.h"
#include "compiler/ops/expr.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/scan_builder.h"

using namespace gradc;
using Catch::Matchers::Contains;

namespace {

const Type f64x2{Element::F64, {{2, {}}}};
const Type sequence{Element::F64, {{3, "T"}, {2, {}}}};

// h' = tanh(h * w + x), emitting h'.
struct Recurrence {
  SourceManager sources;
  Graph g;
  GraphBuilder b{g};
  Expr h0, xs, w;
  ScanResults r;

  explicit Recurrence(ScanBuilder::Options options = {.length = 3}) {
    FileId file = sources.add("rnn.grad", "hs = scan x in xs along T with h = h0 { h = tanh(h * w + x); emit h }\n");
    b.provenance = g.provenance.from(g.provenance.add({{file, 5, 9}, {}, {}}));
    h0 = input(b, "h0", role::data, f64x2);
    xs = input(b, "xs", role::data, sequence);
    w = input(b, "w", role::parameter, f64x2);
    ScanBuilder s(b, options);
    Expr h = s.carry(h0, "h");
    Expr product = h * s.inside(w);
    Expr x = s.element(xs, "x");
    s.body().provenance = g.provenance.from(g.provenance.add({{file, 44, 59}, {}, {}}));
    Expr next = tanh(product + x);
    s.next(h, next);
    s.emit(next, "hs");
    r = s.finish();
    g.outputs = {{"last", OutputKind::Value, r.carries[0].id}, {"hs", OutputKind::Value, r.emissions[0].id}};
  }
};

std::string first_problem(const Graph& g) {
  auto list = verify(g, false);
  return list.empty() ? std::string() : list.front();
}

}  // namespace

TEST_CASE("a scan prints with its body inside, and parses back") {
  Recurrence t(ScanBuilder::Options{.length = 3, .reverse = true});
  std::string text = print(t.g, t.sources);
  CHECK_THAT(text, Contains("  %3 : none[T=3] = scan %0, %1, %2 {length=3, carries=1, sequences=1, reverse=1, recompute=0} @0 {"));
  CHECK_THAT(text, Contains("    %0 h : f64[2] = input {name=carry0, role=carry, element=f64, sizes=[2]} @0"));
  CHECK_THAT(text, Contains("    %1 x : f64[2] = input {name=element1, role=element, element=f64, sizes=[2]} @0"));
  CHECK_THAT(text, Contains("    %2 w : f64[2] = input {name=constant2, role=constant, element=f64, sizes=[2]} @0"));
  CHECK_THAT(text, Contains("    %5 : f64[2] = tanh %4 @1"));
  CHECK_THAT(text, Contains("    output next0 = %5\n    output emission0 = %5\n  }\n"));
  CHECK_THAT(text, Contains("  %4 : f64[2] = result %3 {index=0} @0"));
  CHECK_THAT(text, Contains("  %5 hs : f64[T=3, 2] = result %3 {index=1} @0"));
  CHECK(verify(t.g, true).empty());

  GraphParseResult parsed = parse_graph(text, op_registry(), t.sources);
  INFO(parsed.error);
  REQUIRE(parsed.graph);
  CHECK(print(*parsed.graph, t.sources) == text);
  CHECK(verify(*parsed.graph, true).empty());
  CHECK(same_computation(*parsed.graph, t.g));
  CHECK(computation_hash(*parsed.graph) == computation_hash(t.g));
}

TEST_CASE("a scan within a scan captures through both") {
  Graph g;
  GraphBuilder b(g);
  Expr xs = input(b, "xs", role::data, sequence), w = input(b, "w", role::data, {Element::F64, {}});
  ScanBuilder outer(b, {.length = 3});
  Expr row = outer.element(xs), total = outer.carry(constant(b, 0, {Element::F64, {}}));
  ScanBuilder inner(outer.body(), {.length = 2}, &outer);
  Expr x = inner.element(row), sum = inner.carry(total);
  inner.next(sum, sum + x * inner.inside(w) + inner.inside(constant(b, 1, {Element::F64, {}})));
  ScanResults nested = inner.finish();
  outer.next(total, nested.carries[0]);
  ScanResults r = outer.finish();
  g.outputs = {{"y", OutputKind::Value, r.carries[0].id}};
  CHECK(first_problem(g).empty());
  // w is handed in once at each level; the constant is written inside.
  CHECK(g[r.scan.id].operands.size() == 3);
  SourceManager sources;
  std::string text = print(g, sources);
  GraphParseResult parsed = parse_graph(text, op_registry(), sources);
  INFO(text << parsed.error);
  REQUIRE(parsed.graph);
  CHECK(print(*parsed.graph, sources) == text);
}

TEST_CASE("inputs of a body stay where nothing reads them") {
  Recurrence t;
  Graph body = *t.g[t.r.scan.id].body;
  body.outputs[1].node = body.outputs[0].node = NodeId(size_t{1});  // h' = x
  Graph smaller = body.compacted();
  CHECK(smaller.size() == 3);
  CHECK(smaller[NodeId(size_t{2})].attrs.text("role") == Symbol(role::constant));
}

TEST_CASE("bodies are compared by what they compute") {
  Recurrence a, b;
  Graph other = *b.g[b.r.scan.id].body;
  CHECK(same_computation(*a.g[a.r.scan.id].body, other));
  CHECK(computation_hash(*a.g[a.r.scan.id].body) == computation_hash(other));
  other.edit(NodeId(size_t{0})).name = "another name";
  CHECK(same_computation(*a.g[a.r.scan.id].body, other));
  other.outputs[1].node = NodeId(size_t{1});
  CHECK_FALSE(same_computation(*a.g[a.r.scan.id].body, other));
}

TEST_CASE("the type rule names what does not fit in a scan") {
  Recurrence t;
  const Node& n = t.g[t.r.scan.id];
  std::vector<Type> types{f64x2, sequence, f64x2};
  auto error = [&](const std::vector<Type>& operands, const Attrs& attrs, const Graph* body) { return n.op->infer(operands, attrs, body).error; };
  auto with = [&](const char* key, int64_t value) {
    auto entries = n.attrs.entries();
    for (auto& e : entries) {
      if (e.key == Symbol(key)) e.value = value;
    }
    return Attrs(entries);
  };
  Graph body = *n.body;
  CHECK(error(types, n.attrs, &body).empty());
  CHECK(error(types, n.attrs, nullptr) == "has no body");
  CHECK(error(types, with("length", 4), &body) == "operand 1 is f64[T=3, 2], not a sequence of 4 elements");
  CHECK(error(types, with("length", 0), &body) == "makes at least 1 step, not 0");
  CHECK(error(types, with("carries", 4), &body) == "4 carries and 1 sequences are not in 3 operands");
  CHECK(error(types, with("reverse", 2), &body) == "'reverse' is 0 or 1, not 2");
  CHECK(error({f64x2, sequence}, n.attrs, &body) == "node 2 of the body is an input without an operand");
  CHECK(error({f64x2, sequence, sequence}, n.attrs, &body) == "input 2 of the body is f64[2], not f64[T=3, 2]");
  CHECK(error({f64x2, sequence, f64x2, f64x2}, n.attrs, &body) == "node 3 of the body is not its input of role constant");
  SECTION("a carry that changes its type") {
    GraphBuilder inside(body);
    body.outputs[0].node = cast(Expr(inside, body.outputs[0].node), Element::F32).id;
    CHECK(error(types, n.attrs, &body) == "carry 0 is f64[2], but its next value f32[2]");
  }
  SECTION("an impure body") {
    body.outputs[0].kind = OutputKind::Update;
    CHECK(error(types, n.attrs, &body) == "the body updates 'next0', but a body is pure");
  }
  SECTION("fewer next values than carries") {
    body.outputs.clear();
    CHECK(error(types, n.attrs, &body) == "1 carries have 0 next values");
  }
  SECTION("results") {
    const Op& result = op<ops::Result>();
    Type loop{Element::None, {{3, "T"}}};
    CHECK(to_string(*result.infer({loop}, {{"index", int64_t{1}}}, &body).type) == "f64[T=3, 2]");
    CHECK(result.infer({loop}, {{"index", int64_t{2}}}, &body).error == "the scan has 2 results, so none is 2");
    CHECK(result.infer({f64x2}, {{"index", int64_t{0}}}, nullptr).error == "picks from a scan, not from f64[2]");
  }
}

TEST_CASE("the verifier looks into bodies") {
  Recurrence t;
  NodeId scan = t.r.scan.id;
  auto edited = std::make_shared<Graph>(*t.g[scan].body);
  SECTION("a wrong type inside") {
    edited->edit(NodeId(size_t{3})).type.element = Element::F32;
    t.g.edit(scan).body = edited;
    CHECK(first_problem(t.g) == "%3 (scan), body: %3 (mul) is f64[2], not f32[2]");
  }
  SECTION("provenance inside is that of the graph around") {
    edited->edit(NodeId(size_t{3})).provenance = ProvenanceId(size_t{99});
    t.g.edit(scan).body = edited;
    CHECK(first_problem(t.g) == "%3 (scan), body: %3 (mul) has an unknown provenance");
    edited = std::make_shared<Graph>(*edited);
    edited->edit(NodeId(size_t{3})).provenance = {};
    t.g.edit(scan).body = edited;
    CHECK(verify(t.g, true).front() == "%3 (scan), body: %3 (mul) comes from nowhere: its origin set is empty");
  }
  SECTION("a table of its own") {
    edited->provenance.from(edited->provenance.add(Origin{}));
    t.g.edit(scan).body = edited;
    CHECK(first_problem(t.g) == "%3 (scan): the body has a provenance table of its own");
  }
  SECTION("a body elsewhere") {
    t.g.edit(t.w.id).body = edited;
    CHECK(first_problem(t.g) == "%2 (input) has a body");
  }
  SECTION("roles of bodies outside") {
    Graph g;
    GraphBuilder b(g);
    input(b, "h", role::carry, f64x2);
    CHECK(first_problem(g) == "%0 (input) has the role carry outside a scan");
  }
  SECTION("a scan as an output") {
    t.g.outputs.push_back({"loop", OutputKind::Value, scan});
    CHECK(first_problem(t.g) == "output 'loop' is a scan, which is no value");
  }
  SECTION("a scan as an operand") {
    t.g.add({&op<ops::Reshape>(), {scan}, {{"sizes", std::vector<int64_t>{3}}}, {Element::None, {{3, {}}}}, {}, {}});
    CHECK(first_problem(t.g) == "%6 (reshape): operand 0 is a scan, whose values only result picks");
  }
}

TEST_CASE("mistakes in the text of a scan are told with their line") {
  SourceManager sources;
  auto error = [&](const std::string& text) {
    GraphParseResult r = parse_graph(text, op_registry(), sources);
    CHECK_FALSE(r.graph);
    return r.error;
  };
  const std::string head = "graph g {\n  %0 : f64[2] = input {name=x, role=data, element=f64, sizes=[2]}\n"
                           "  %1 : none[2] = scan %0 {length=2, carries=0, sequences=1, reverse=0, recompute=0}";
  CHECK(error(head + "\n}\n") == "line 3: scan: has no body");
  CHECK(error(head + " {\n") == "line 3: the closing '}' is missing");
  CHECK(error(head + " {\n    output emission0 = %0\n  }\n}\n") == "line 4: %0 is not defined above");
  CHECK(error(head + " {\n    %0 : f32[] = input {name=e, role=element, element=f32, sizes=[]}\n  }\n}\n") ==
        "line 5: scan: input 0 of the body is f32[], not f64[]");
  std::string deep = "graph g {\n";
  for (int i = 0; i < 100; ++i) deep += "%0 : none[1] = scan {length=1, carries=0, sequences=0, reverse=0, recompute=0} {\n";
  CHECK_THAT(error(deep), Contains("scans are nested more than 64 deep"));
}

TEST_CASE("a scan is drawn as a box of boxes") {
  Recurrence t;
  std::string dot = to_dot(t.g, t.sources);
  CHECK_THAT(dot, Contains("subgraph \"cluster_n3\" {\n  label=\"scan, 3 steps\";"));
  CHECK_THAT(dot, Contains("n3_5 [label=\"tanh\\nf64[2]\""));
  CHECK_THAT(dot, Contains("n1 -> n3_1;"));
  CHECK_THAT(dot, Contains("n3_5 -> n3_0 [style=dashed, constraint=false];"));
  CHECK_THAT(dot, Contains("n3_5 -> n5;"));
}
