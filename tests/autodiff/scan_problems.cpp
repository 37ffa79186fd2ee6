#include <catch2/catch.hpp>

#include "compiler/autodiff/autodiff.h"
#include "compiler/ops/scan_builder.h"
#include "tests/support/fixture.h"

// Gradients through loops that can't be had, and what is said about them.
using namespace gradc;
using namespace gradc::test;
using Ids = std::vector<NodeId>;

namespace {

AutodiffProblem only_problem(const Fixture& f) {
  AutodiffResult r = expand_gradients(f.graph);
  REQUIRE(r.problems.size() == 1);
  return r.problems[0];
}

NodeId find(const Graph& g, const std::string& name) {
  for (size_t i = 0; i < g.size(); ++i) {
    if (g[NodeId(i)].name == Symbol(name)) return NodeId(i);
  }
  return {};
}

// h' = tanh(round(h * w)) + x, emitting v * x.
struct Rounding : Fixture {
  Expr x, h0, w, v;
  ScanResults r;
  Rounding() {
    x = in("x", {3}, {1, 2, 3}), h0 = in("h0", {}, {0.4}), w = in("w", {}, {0.9}), v = in("v", {}, {0.9});
    ScanBuilder s(b, {.length = 3});
    Expr h = s.carry(h0, "h"), xt = s.element(x, "x");
    Expr stepped = named(round(named(h * s.inside(w), "u")), "stepped");
    s.next(h, named(tanh(stepped), "t") + xt);
    s.emit(xt * s.inside(v));
    r = s.finish();
  }
};

}  // namespace

TEST_CASE("an operation without a derivative in a body is refused, with the path from the loss") {
  Rounding f;
  Expr loss = named(f.r.carries[0] * 2.0, "loss"), g = grad(loss, f.w);
  f.out("g", g);
  AutodiffProblem p = only_problem(f);
  CHECK(p.kind == AutodiffProblem::NotDifferentiable);
  CHECK(p.grad == g.id);
  CHECK(p.node == f.r.scan.id);
  CHECK(p.path == Ids{loss.id, f.r.carries[0].id, f.r.scan.id});
  CHECK(p.body == nullptr);
  REQUIRE(p.inside.size() == 1);
  const Graph& body = *p.inside[0].body;
  CHECK(p.inside[0].body == f.graph[f.r.scan.id].body);
  REQUIRE(p.inside[0].path.size() == 3);
  CHECK(p.inside[0].path[0] == body.outputs[0].node);
  CHECK(p.inside[0].path[1] == find(body, "t"));
  CHECK(p.inside[0].path[2] == find(body, "stepped"));
  CHECK(p.reason.find("round has no derivative") == 0);
}

TEST_CASE("what the operation in the body does not stand before keeps its gradient") {
  Rounding f;
  Expr emitted = sum(f.r.emissions[0]), both = emitted + f.r.carries[0];
  f.out("v", grad(emitted, f.v));
  f.out("x", grad(both, f.v));
  CHECK(expand_gradients(f.graph).problems.empty());
  f.out("h0", grad(both, f.h0));
  CHECK(only_problem(f).kind == AutodiffProblem::NotDifferentiable);
}

TEST_CASE("the path leads through nested bodies") {
  Fixture f;
  Expr x = f.in("x", {2, 3}, {1, 2, 3, 4, 5, 6}), h0 = f.in("h0", {}, {0.4});
  ScanBuilder outer(f.b, {.length = 2});
  Expr h = outer.carry(h0), row = outer.element(x);
  ScanBuilder inner(outer.body(), {.length = 3}, &outer);
  Expr k = inner.carry(h), xt = inner.element(row);
  inner.next(k, named(floor(k * xt), "stepped"));
  outer.next(h, inner.finish().carries[0]);
  f.out("g", grad(outer.finish().carries[0], h0));
  AutodiffProblem p = only_problem(f);
  CHECK(p.kind == AutodiffProblem::NotDifferentiable);
  REQUIRE(p.inside.size() == 2);
  CHECK((*p.inside[0].body)[p.inside[0].path.back()].op->kind == OpKind::Scan);
  CHECK(p.inside[1].path.back() == find(*p.inside[1].body, "stepped"));
  CHECK(p.reason.find("floor has no derivative") == 0);
}

TEST_CASE("a value that reaches the loss only where no derivative flows in a scan, or not at all") {
  Fixture f;
  Expr x = f.in("x", {3}, {1, 2, 3}), h0 = named(f.in("h0", {}, {0.4}), "h0"), other = f.in("other", {}, {1});
  ScanBuilder s(f.b, {.length = 3});
  Expr h = s.carry(h0), o = s.carry(other), xt = s.element(x);
  s.next(h, stop_gradient(h) + xt);
  s.next(o, o * xt);
  Expr loss = named(s.finish().carries[0] * 2.0, "loss");
  SECTION("stopped") {
    f.out("g", grad(loss, h0));
    AutodiffProblem p = only_problem(f);
    CHECK(p.kind == AutodiffProblem::NoPath);
    CHECK(p.reason == "loss depends on h0 only through values inside a scan that carry no derivative");
  }
  SECTION("in another carry") {
    f.out("g", grad(loss, other));
    AutodiffProblem p = only_problem(f);
    CHECK(p.kind == AutodiffProblem::NoPath);
    CHECK(p.reason == "loss does not depend on other");
  }
}

TEST_CASE("a problem of a gradient inside a body names nodes of that body") {
  Fixture f;
  Expr x = f.in("x", {3}, {1, 2, 3}), h0 = f.in("h0", {}, {0.4});
  ScanBuilder s(f.b, {.length = 3});
  Expr h = s.carry(h0, "h"), xt = s.element(x, "x");
  Expr inner = named(round(h), "stepped") * xt;
  s.next(h, h + named(grad(inner, h), "request"));
  ScanResults r = s.finish();
  f.out("last", r.carries[0]);
  f.out("g", grad(r.carries[0], h0));  // hangs on the one that is refused
  AutodiffProblem p = only_problem(f);
  CHECK(p.kind == AutodiffProblem::NotDifferentiable);
  CHECK(p.body == f.graph[r.scan.id].body);
  CHECK(p.grad == find(*p.body, "request"));
  CHECK(p.node == find(*p.body, "stepped"));
}
