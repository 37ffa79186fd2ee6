#include <catch2/catch.hpp>

#include "compiler/autodiff/autodiff.h"
#include "tests/support/fixture.h"

using namespace gradc;
using namespace gradc::test;
using Ids = std::vector<NodeId>;

namespace {

AutodiffProblem only_problem(Fixture& f, Expr g) {
  f.out("g", g);
  AutodiffResult r = expand_gradients(f.graph);
  REQUIRE(r.problems.size() == 1);
  CHECK(r.problems[0].grad == g.id);
  return r.problems[0];
}

bool mentions(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("an operation without a derivative is refused with its path") {
  Fixture f;
  Expr x = f.in("x", {2}, {1, 2}), h = named(x * 2.0, "h"), step = floor(h), s = exp(step), loss = named(sum(s), "loss");
  AutodiffProblem p = only_problem(f, grad(loss, x));
  CHECK(p.kind == AutodiffProblem::NotDifferentiable);
  CHECK(p.node == step.id);
  CHECK(p.path == Ids{loss.id, s.id, step.id});
  CHECK(mentions(p.reason, "floor"));
}

TEST_CASE("a step on one path of two is refused as well") {
  Fixture f;
  Expr x = f.in("x", {}, {1}), step = round(x), loss = x * x + step;
  AutodiffProblem p = only_problem(f, grad(loss, x));
  CHECK(p.kind == AutodiffProblem::NotDifferentiable);
  CHECK(p.path == Ids{loss.id, step.id});
}

TEST_CASE("only gradients behind the step are refused") {
  Fixture f;
  Expr x = f.in("x", {}, {1}), w = f.in("w", {}, {2}), loss = floor(x) * w;
  f.out("dw", grad(loss, w));
  f.out("dx", grad(loss, x));
  AutodiffResult r = expand_gradients(f.graph);
  REQUIRE(r.problems.size() == 1);
  CHECK(r.problems[0].grad == f.graph.outputs[1].node);
}

TEST_CASE("accuracy has no gradient, and the message names what stands in the way") {
  Fixture f;
  Expr logits = f.in("logits", {2, 3}, {1, 2, 3, 4, 5, 6}), label = f.in("label", {2}, {0, 1}, Element::Int);
  Expr picked = argmax(logits, 1), hit = eq(picked, label), number = cast(hit, Element::F64), accuracy = sum(number);
  AutodiffProblem p = only_problem(f, grad(accuracy, logits));
  CHECK(p.kind == AutodiffProblem::NotDifferentiable);
  CHECK(p.node == hit.id);
  CHECK(p.path == Ids{accuracy.id, number.id, hit.id});
  CHECK(mentions(p.reason, "comparison"));
}

TEST_CASE("a value that the scalar does not depend on") {
  Fixture f;
  Expr x = f.in("x", {}, {1}), w = f.in("w", {}, {1}), loss = named(x * x, "loss");
  AutodiffProblem p = only_problem(f, grad(loss, w));
  CHECK(p.kind == AutodiffProblem::NoPath);
  CHECK(p.reason == "loss does not depend on w");
  CHECK(p.path.empty());
}

TEST_CASE("a value computed from the scalar, or after it") {
  Fixture f;
  Expr x = f.in("x", {}, {1}), loss = named(x * x, "loss"), later = named(exp(loss), "later");
  CHECK(only_problem(f, grad(loss, later)).reason == "loss does not depend on later");
}

TEST_CASE("stop_gradient in the only path is told") {
  Fixture f;
  Expr x = f.in("x", {}, {1}), h = named(x * x, "h"), stop = stop_gradient(h), loss = named(exp(stop), "loss");
  AutodiffProblem p = only_problem(f, grad(loss, x));
  CHECK(p.kind == AutodiffProblem::NoPath);
  CHECK(p.node == stop.id);
  CHECK(p.path == Ids{loss.id, stop.id});
  CHECK(mentions(p.reason, "stop_gradient"));
}

TEST_CASE("a condition or an index carries no derivative") {
  Fixture f;
  Expr x = f.in("x", {}, {1}), y = f.in("y", {}, {1}), t = f.in("step", {}, {1}), seed = f.in("seed", {}, {1}, Element::Int);
  Expr loss = random(seed, t, 0, type_of(Element::F64, {})) * y;
  AutodiffProblem p = only_problem(f, grad(loss, t));
  CHECK(p.kind == AutodiffProblem::NoPath);
  CHECK(mentions(p.reason, "random"));
  Fixture g;
  x = g.in("x", {}, {1});
  y = g.in("y", {}, {1});
  p = only_problem(g, grad(select(gt(x, 0), y, 0), x));
  CHECK(p.kind == AutodiffProblem::NoPath);
  CHECK(mentions(p.reason, "select"));
}

TEST_CASE("scalars and floats only") {
  Fixture f;
  Expr x = f.in("x", {2}, {1, 2});
  AutodiffProblem p = only_problem(f, grad(named(x * x, "y"), x));
  CHECK(p.kind == AutodiffProblem::NotScalar);
  CHECK(mentions(p.reason, "y is f64[2]"));
  Fixture g;
  Expr i = g.in("i", {}, {1}, Element::Int), z = cast(i, Element::F64);
  p = only_problem(g, grad(z, i));
  CHECK(p.kind == AutodiffProblem::NotFloat);
  CHECK(p.node == i.id);
  Fixture h;
  Expr j = h.in("j", {}, {1}, Element::Int), u = h.in("u", {}, {1});
  p = only_problem(h, grad(j, u));
  CHECK(p.kind == AutodiffProblem::NotFloat);
  CHECK(p.node == j.id);
}

TEST_CASE("every bad gradient is reported once, and what hangs on it not at all") {
  Fixture f;
  Expr x = f.in("x", {}, {1}), w = f.in("w", {}, {1}), loss = exp(x);
  Expr bad = grad(loss, w), worse = grad(floor(x), x), outer = grad(bad * x, x);
  f.out("a", bad);
  f.out("b", worse);
  f.out("c", outer);
  AutodiffResult r = expand_gradients(f.graph);
  REQUIRE(r.problems.size() == 2);
  CHECK(r.problems[0].grad == bad.id);
  CHECK(r.problems[1].grad == worse.id);
}

TEST_CASE("a step inside an inner gradient is told at the place of that gradient") {
  Fixture f;
  Expr x = f.in("x", {}, {1.5}), y = stop_gradient(floor(x)) * x * x, dx = grad(y, x), outer = floor(dx) * x;
  AutodiffProblem p = only_problem(f, grad(outer, x));
  CHECK(p.kind == AutodiffProblem::NotDifferentiable);
  for (NodeId id : p.path) CHECK(id.at() < f.graph.size());
}
