#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>

#include "compiler/autodiff/autodiff.h"
#include "compiler/ops/expr.h"
#include "compiler/ops/ops.h"
#include "tests/support/fixture.h"
#include "tests/support/random_graph.h"
#include "tests/support/unroll.h"

// Derivatives of random graphs against differences along random directions, in f64.
using namespace gradc;
using namespace gradc::test;

namespace {

using Inputs = std::map<Symbol, Tensor>;

Inputs moved(const Inputs& inputs, const Inputs& direction, double by) {
  Inputs out = inputs;
  for (const auto& [name, d] : direction) {
    for (int64_t i = 0; i < d.type.count(); ++i) out[name].set(i, out[name].at(i) + by * d.at(i));
  }
  return out;
}

// Fourth-order central difference of an output along a direction.
double slope(const Graph& g, Symbol output, const Inputs& inputs, const Inputs& direction, double h) {
  auto at = [&](double t) { return evaluate(g, moved(inputs, direction, t)).at(output).at(0); };
  return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
}

struct Comparison {
  double analytic, numeric, scale;
  bool agrees() const { return std::abs(analytic - numeric) <= 1e-6 * scale; }
};

// The graph's gradient outputs "grad(y, name)" along a random direction, and the slope of y.
Comparison compare(const Graph& g, const std::string& y, const Inputs& inputs, Rng& rng, double h) {
  Inputs direction;
  auto values = evaluate(g, inputs);
  double analytic = 0, scale = 1 + std::abs(values.at(y).at(0));
  for (const auto& [name, x] : inputs) {
    auto it = values.find("grad(" + y + ", " + name.str() + ")");
    if (it == values.end()) continue;
    Tensor d = Tensor::zeros(x.type);
    for (int64_t i = 0; i < x.type.count(); ++i) {
      d.set(i, rng.uniform(-1, 1));
      analytic += d.at(i) * it->second.at(i);
      scale += std::abs(d.at(i) * it->second.at(i));
    }
    direction.emplace(name, std::move(d));
  }
  return {analytic, slope(g, y, inputs, direction, h), scale};
}

// A kink between the points of a difference spoils it; then other directions and steps agree. A wrong rule never does.
bool some_direction_agrees(const Graph& g, const std::string& y, const Inputs& inputs, uint64_t seed) {
  Rng rng(seed);
  Comparison last{};
  for (double h : {1e-3, 1e-4, 3e-5, 1e-5, 1e-6}) {
    last = compare(g, y, inputs, rng, h);
    if (last.agrees()) return true;
  }
  UNSCOPED_INFO(y << ": derivative " << last.analytic << ", difference " << last.numeric);
  return false;
}

// Adds s, a scalar of all gradients of the loss and of the inputs themselves, and its gradients.
Graph with_second_order(Graph g) {
  GraphBuilder b(g);
  b.provenance = g[NodeId(0)].provenance;
  std::vector<Expr> inputs;
  Expr s;
  std::vector<Output> first = g.outputs;
  for (const Output& o : first) {
    if (g[o.node].op->kind != OpKind::Grad) continue;
    Expr d(b, o.node), x(b, g[o.node].operands[1]);
    inputs.push_back(x);
    Expr term = 0.1 * sum(d * sin(d)) + 0.5 * sum(x * x);
    s = s ? s + term : term;
  }
  if (!s) return g;
  g.outputs.push_back({"s", OutputKind::Value, s.id});
  for (Expr x : inputs) {
    Expr d = grad(s, x);
    g.outputs.push_back({"grad(s, " + g[x.id].name.str() + ")", OutputKind::Value, d.id});
  }
  return g;
}

Graph expanded(const Graph& g) {
  AutodiffResult r = expand_gradients(g);
  for (const AutodiffProblem& p : r.problems) UNSCOPED_INFO(p.reason);
  REQUIRE(r.problems.empty());
  std::vector<std::string> broken = verify(r.graph, true);
  for (const std::string& b : broken) UNSCOPED_INFO(b);
  REQUIRE(broken.empty());
  return r.graph;
}

// All operations, also of bodies.
std::vector<const Op*> operations(const Graph& g) {
  std::vector<const Op*> list;
  for (size_t i = 0; i < g.size(); ++i) {
    list.push_back(g[NodeId(i)].op);
    if (!g[NodeId(i)].body) continue;
    std::vector<const Op*> inner = operations(*g[NodeId(i)].body);
    list.insert(list.end(), inner.begin(), inner.end());
  }
  return list;
}

// Sums are in another order: they differ by rounding, relative to the largest value anywhere.
bool same_outputs(const Graph& a, const Graph& b, const Inputs& inputs) {
  auto x = evaluate(a, inputs), y = evaluate(b, inputs);
  double scale = 1;
  Interpreter all(a, inputs);
  for (size_t i = 0; i < a.size(); ++i) {
    const Tensor& t = all.value(NodeId(i));
    for (int64_t k = 0; is_float(t.type.element) && k < t.type.count(); ++k) scale = std::max(scale, std::abs(t.at(k)));
  }
  for (const auto& [name, want] : y) {
    for (int64_t k = 0; k < want.type.count(); ++k) {
      double got = x.at(name).at(k);
      if (std::abs(got - want.at(k)) <= 1e-12 * scale) continue;
      UNSCOPED_INFO(name.str() << "[" << k << "] = " << got << ", not " << want.at(k));
      return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("gradients of random graphs equal differences") {
  int compared = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    RandomGraph g = random_graph({.seed = seed, .operations = 12, .gradients = true, .smooth = true});
    INFO(show(g));
    Graph e = expanded(g.graph);
    if (e.outputs.size() > 3) ++compared;
    REQUIRE(some_direction_agrees(e, "loss", g.inputs, seed));
  }
  CHECK(compared > 300);
}

TEST_CASE("gradients of random graphs with scans equal differences, and those of the steps written out") {
  int compared = 0, nested = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    RandomGraph g = random_graph({.seed = seed, .operations = 14, .gradients = true, .smooth = true, .scans = 2});
    std::vector<const Op*> ops = operations(g.graph);
    if (std::find(ops.begin(), ops.end(), &op<ops::Scan>()) == ops.end()) continue;
    ++compared;
    nested += std::count(ops.begin(), ops.end(), &op<ops::Scan>()) > 1;
    INFO(show(g));
    Graph e = expanded(g.graph);
    REQUIRE(some_direction_agrees(e, "loss", g.inputs, seed));
    REQUIRE(same_outputs(e, expanded(unrolled(g.graph)), g.inputs));
  }
  CHECK(compared > 60);
  CHECK(nested > 10);
}

TEST_CASE("second derivatives of random graphs with scans equal those of the steps written out") {
  int compared = 0;
  for (uint64_t seed = 2000; seed < 2200; ++seed) {
    RandomGraph g = random_graph({.seed = seed, .operations = 9, .gradients = true, .smooth = true, .scans = 2});
    std::vector<const Op*> ops = operations(g.graph);
    if (std::find(ops.begin(), ops.end(), &op<ops::Scan>()) == ops.end()) continue;
    ++compared;
    INFO(show(g));
    Graph with_second = with_second_order(g.graph);
    REQUIRE(same_outputs(expanded(with_second), expanded(unrolled(with_second)), g.inputs));
  }
  CHECK(compared > 30);
}

TEST_CASE("second derivatives of random graphs equal differences of the first") {
  int compared = 0;
  for (uint64_t seed = 1000; seed < 1200; ++seed) {
    RandomGraph g = random_graph({.seed = seed, .operations = 8, .gradients = true, .smooth = true});
    INFO(show(g));
    Graph e = expanded(with_second_order(g.graph));
    if (e.outputs.size() < 6) continue;
    ++compared;
    REQUIRE(some_direction_agrees(e, "s", g.inputs, seed));
  }
  CHECK(compared > 100);
}

TEST_CASE("graphs with steps, stops and casts expand to well-formed graphs") {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Element element = seed % 2 ? Element::F32 : Element::F64;
    RandomGraph g = random_graph({.seed = seed, .operations = 25, .element = element, .gradients = true});
    INFO(show(g));
    CHECK_NOTHROW(evaluate(expanded(g.graph), g.inputs));
  }
}
