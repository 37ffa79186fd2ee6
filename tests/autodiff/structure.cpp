#include <catch2/catch.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

#include "compiler/autodiff/autodiff.h"
#include "tests/support/fixture.h"

using namespace gradc;
using namespace gradc::test;

namespace {

// Gives every node made from here on an origin of its own, as the language does for its lines.
void next_line(Fixture& f) {
  auto line = static_cast<uint32_t>(f.graph.provenance.origin_count());
  f.b.provenance = f.graph.provenance.from(f.graph.provenance.add(Origin{{FileId(0), line, line + 1}, {}, {}}));
}

NodeId find(const Graph& g, const std::string& name) {
  for (size_t i = 0; i < g.size(); ++i) {
    if (g[NodeId(i)].name == Symbol(name)) return NodeId(i);
  }
  return {};
}

bool derived_by(const Graph& g, NodeId id, const std::string& primal, const std::string& rule) {
  const auto& list = g.provenance.get(g[id].provenance).derivations;
  return std::find(list.begin(), list.end(), Derivation{primal, rule}) != list.end();
}

double seconds(const std::function<void()>& work) {
  auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// h <- tanh(w[i] * h + b[i]), with gradients for every parameter.
Fixture deep_network(int layers) {
  Fixture f;
  Expr h = f.in("x", {2}, {0.5, -0.3});
  std::vector<Expr> parameters;
  for (int i = 0; i < layers; ++i) {
    Expr w = f.in(("w" + std::to_string(i)).c_str(), {2}, {0.9, 1.1});
    Expr b = f.in(("b" + std::to_string(i)).c_str(), {2}, {0.1, -0.1});
    h = tanh(w * h + b);
    parameters.push_back(w);
    parameters.push_back(b);
  }
  Expr loss = named(sum(h), "loss");
  f.out("loss", loss);
  for (Expr p : parameters) f.out(("d" + f.graph[p.id].name.str()).c_str(), grad(loss, p));
  return f;
}

}  // namespace

TEST_CASE("adjoints have names, origins and the rule that made them") {
  Fixture f;
  next_line(f);
  Expr x = f.in("x", {2}, {1, 2}), w = f.in("w", {2}, {3, 4});
  next_line(f);
  ProvenanceId line_of_h = f.b.provenance;
  Expr h = named(w * x, "h");
  next_line(f);
  Expr loss = named(sum(h * h), "loss");
  next_line(f);
  ProvenanceId line_of_grad = f.b.provenance;
  f.out("g", grad(loss, w));
  AutodiffResult r = expand_gradients(f.graph);
  REQUIRE(r.problems.empty());
  CHECK(verify(r.graph, true).empty());
  NodeId dh = find(r.graph, "d(loss)/d(h)"), dw = find(r.graph, "d(loss)/d(w)");
  REQUIRE(dh);
  REQUIRE(dw);
  CHECK(r.graph.outputs[0].node == dw);
  CHECK(r.graph[dh].op->name == std::string("add"));
  CHECK(derived_by(r.graph, dh, "h", "sum of adjoints"));
  CHECK(derived_by(r.graph, dw, "h", "vjp of mul"));
  auto origins = [&](ProvenanceId id) { return r.graph.provenance.get(id).origins; };
  auto of_dw = origins(r.graph[dw].provenance), of_h = origins(line_of_h), of_grad = origins(line_of_grad);
  CHECK(std::includes(of_dw.begin(), of_dw.end(), of_h.begin(), of_h.end()));
  CHECK(std::includes(of_dw.begin(), of_dw.end(), of_grad.begin(), of_grad.end()));
  CHECK_FALSE(find(r.graph, "d(loss)/d(x)"));  // nobody asked
}

TEST_CASE("primal nodes keep their order and names, and no Grad is left") {
  Fixture f;
  Expr x = f.in("x", {}, {1}), a = named(sin(x), "a"), da = grad(a, x), c = named(exp(a) + da, "c");
  f.out("c", c);
  f.out("dc", grad(c, x));
  AutodiffResult r = expand_gradients(f.graph);
  REQUIRE(r.problems.empty());
  CHECK(find(r.graph, "x") < find(r.graph, "a"));
  CHECK(find(r.graph, "a") < find(r.graph, "c"));
  for (size_t i = 0; i < r.graph.size(); ++i) CHECK(r.graph[NodeId(i)].op->kind != OpKind::Grad);
  CHECK(r.graph.outputs.size() == 2);
}

TEST_CASE("a gradient takes the name that the user gave it") {
  Fixture f;
  Expr x = f.in("x", {2}, {1, 2}), u = named(sin(x), "u");
  f.out("u_x", named(grad(sum(u), x), "u_x"));
  f.out("plain", grad(sum(u), u));
  AutodiffResult r = expand_gradients(f.graph);
  REQUIRE(r.problems.empty());
  CHECK(r.graph[r.graph.outputs[0].node].name == Symbol("u_x"));
  CHECK(r.graph[r.graph.outputs[1].node].name == Symbol("d(reduce_sum(u))/d(u)"));
}

TEST_CASE("all parameters share one backward pass") {
  Fixture one = deep_network(40), all = deep_network(40);
  one.graph.outputs.resize(2);  // the loss and the gradient that needs the longest path
  size_t primal = one.graph.compacted().size();
  size_t with_one = expand_gradients(one.graph.compacted()).graph.size();
  size_t with_all = expand_gradients(all.graph).graph.size();
  // Each further parameter costs its own product (w) or nothing (b).
  CHECK(with_all - with_one <= 40 * 2);
  CHECK(with_one > primal);
}

TEST_CASE("gradients of one scalar are found wherever they stand") {
  Fixture f;
  Expr x = f.in("x", {}, {2}), w = f.in("w", {}, {3}), y = x * w, dx = grad(y, x), later = exp(dx), dw = grad(y, w);
  f.out("later", later);
  f.out("dw", dw);
  f.out("dlater", grad(later, w));
  AutodiffResult r = expand_gradients(f.graph);
  REQUIRE(r.problems.empty());
  auto v = evaluate(r.graph, f.inputs);
  CHECK(v.at("dw").at(0) == 2);
  CHECK(v.at("dlater").at(0) == Approx(std::exp(3.0)));
}

TEST_CASE("a thousand layers are quick, and depth costs no stack") {
  AutodiffResult r;
  Fixture f = deep_network(1000);
  CHECK(seconds([&] { r = expand_gradients(f.graph); }) < 2);
  REQUIRE(r.problems.empty());
  CHECK(r.graph.size() < 20 * 1000);
  CHECK(std::isfinite(evaluate(r.graph, f.inputs).at("dw0").at(0)));

  Fixture chain;
  Expr x = chain.in("x", {}, {1}), h = x;
  for (int i = 0; i < 100000; ++i) h = h + x;
  chain.out("d", grad(h, x));
  CHECK(seconds([&] { r = expand_gradients(chain.graph); }) < 10);
  REQUIRE(r.problems.empty());
  CHECK(evaluate(r.graph, chain.inputs).at("d").at(0) == 100001);
}
