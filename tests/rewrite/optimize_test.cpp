#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "compiler/autodiff/autodiff.h"
#include "compiler/ops/ops.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/support/fixture.h"

using namespace gradc;
using namespace gradc::test;

namespace {

int count(const Graph& g, const Op& o) {
  int n = 0;
  for (size_t i = 0; i < g.size(); ++i) n += g[NodeId(i)].op == &o;
  return n;
}
int applied(const RewriteStats& stats) {
  int n = 0;
  for (const RewriteStats::Entry& e : stats.applied) n += e.count;
  return n;
}
bool fired(const RewriteStats& stats, const std::string& pass, const std::string& rule) {
  for (const RewriteStats::Entry& e : stats.applied) {
    if (e.pass == pass && e.rule == rule) return true;
  }
  return false;
}
const Node& result(const Graph& g, size_t i = 0) { return g[g.outputs[i].node]; }

// relu(x @ W + b), `layers` times, and the gradient of the sum by every parameter.
Graph dense_chain(int layers) {
  Graph g;
  GraphBuilder b(g);
  SourceSpan span{FileId(0), 0, 1};
  b.provenance = g.provenance.from(g.provenance.add(Origin{span, {}, {}}));
  Expr x = input(b, "x", role::data, type_of(Element::F32, {4, 8}));
  std::vector<Expr> parameters;
  for (int i = 0; i < layers; ++i) {
    Expr w = input(b, "W" + std::to_string(i), role::parameter, type_of(Element::F32, {8, 8}));
    Expr bias = input(b, "b" + std::to_string(i), role::parameter, type_of(Element::F32, {8}));
    x = max(contract(x, w, {0, 1}, {1, 2}, {0, 2}) + broadcast(bias, {1}, {4, 8}), 0);
    parameters.push_back(w);
    parameters.push_back(bias);
  }
  Expr loss = sum(x) * 0.25;
  g.outputs.push_back({"loss", OutputKind::Value, loss.id});
  for (Expr p : parameters) g.outputs.push_back({"d" + b[p.id].name.str(), OutputKind::Value, grad(loss, p).id});
  return expand_gradients(g).graph;
}

}  // namespace

TEST_CASE("stop_gradient goes first and leaves its name") {
  Fixture f;
  Expr x = f.in("x", {3}, {1, 2, 3});
  f.out("y", exp(named(stop_gradient(x * 2), "frozen")));
  Graph g = optimize(f.graph);
  CHECK(count(g, op<ops::StopGradient>()) == 0);
  CHECK(g[result(g).operands[0]].name == Symbol("frozen"));
}

TEST_CASE("names of values, outputs and axes survive") {
  Fixture f;
  Expr x = f.in("x", {2, 3}, {1, 2, 3, 4, 5, 6});
  f.graph.edit(x.id).type.dims[0].name = "N";
  Expr p = exp(x) / unreduce(reduce_sum(exp(x), {1}), {1}, {2, 3});
  f.out("logp", named(log(p), "log_softmax"));
  f.out("twice", named(-(-x) * 1, "same"));
  Graph g = optimize(f.graph);
  REQUIRE(g.outputs.size() == 2);
  CHECK(g.outputs[0].name == Symbol("logp"));
  CHECK(result(g).name == Symbol("log_softmax"));
  CHECK(result(g).type.dims[0].name == Symbol("N"));
  CHECK(result(g, 1).name == Symbol("x"));  // an input keeps its own name
}

TEST_CASE("log of softmax, written naively, takes one shifted sum") {
  Fixture f;
  Expr x = f.in("x", {2, 3}, {1000, 1001, 999, -1000, -1001, -999});
  Expr e = exp(x);
  f.out("y", log(e / unreduce(reduce_sum(e, {1}), {1}, {2, 3})));
  Graph g = optimize(f.graph);
  CHECK(count(g, op<ops::Exp>()) == 1);
  CHECK(count(g, op<ops::Div>()) == 0);
  CHECK(count(g, op<ops::ReduceMax>()) == 1);
  std::vector<double> y = values_of(evaluate(g, f.inputs).at("y"));
  double lse = std::log(1 + std::exp(1.0) + std::exp(-1.0));
  CHECK(y[0] == Approx(-lse).epsilon(1e-14));
  CHECK(y[5] == Approx(1 - lse).epsilon(1e-14));
}

TEST_CASE("merging keeps both origins and leaves constants apart") {
  Fixture f;
  Expr x = f.in("x", {3}, {1, 2, 3});
  auto at = [&](uint32_t line) { f.b.provenance = f.graph.provenance.from(f.graph.provenance.add(Origin{{FileId(0), line, line + 1}, {}, {}})); };
  at(1);
  Expr a = sin(x * 3);
  at(2);
  Expr b = sin(3 * x);
  at(3);
  f.out("y", a / (b + 2));
  f.out("z", cos(x) / 3);
  Graph g = optimize(f.graph);
  CHECK(count(g, op<ops::Sin>()) == 1);
  CHECK(count(g, op<ops::Mul>()) == 1);
  for (size_t i = 0; i < g.size(); ++i) {
    const Provenance& p = g.provenance.get(g[NodeId(i)].provenance.index >= 0 ? g[NodeId(i)].provenance : ProvenanceId(0));
    if (g[NodeId(i)].op == &op<ops::Sin>()) CHECK(p.origins.size() == 2);
    if (g[NodeId(i)].op == &op<ops::Constant>()) CHECK(p.origins.size() == 1);
  }
}

TEST_CASE("passes and rules are switched off by name, and the limit counts applications") {
  Fixture f;
  Expr x = f.in("x", {3}, {1, 2, 3});
  f.out("y", -(-x) + log(1 + exp(x)) * (x / 4));
  RewriteStats all, less;
  optimize(f.graph, {}, &all);
  CHECK(fired(all, "algebra", "neg-neg"));
  CHECK(fired(all, "algebra", "div-power-of-two"));
  CHECK(fired(all, "stability", "log-one-plus-exp"));
  CHECK(fired(all, "fma", "fma-add"));
  optimize(f.graph, {.disabled = {"stability", "neg-neg", "fma"}}, &less);
  CHECK_FALSE(fired(less, "stability", "log-one-plus-exp"));
  CHECK_FALSE(fired(less, "algebra", "neg-neg"));
  CHECK_FALSE(fired(less, "fma", "fma-add"));
  CHECK(fired(less, "algebra", "div-power-of-two"));
  for (int limit = 0; limit <= applied(all); ++limit) {
    RewriteStats some;
    optimize(f.graph, {.disabled = {}, .limit = limit}, &some);
    CHECK(applied(some) == limit);
  }
}

TEST_CASE("a product read twice stays a product") {
  Fixture f;
  Expr x = f.in("x", {3}, {1, 2, 3}), y = f.in("y", {3}, {4, 5, 6});
  Expr p = x * y;
  f.out("a", p + sin(x));
  Graph fused = optimize(f.graph);
  CHECK(count(fused, op<ops::Fma>()) == 1);
  f.out("b", p);
  Graph kept = optimize(f.graph);
  CHECK(count(kept, op<ops::Fma>()) == 0);
  CHECK(count(kept, op<ops::Mul>()) == 1);
}

TEST_CASE("transposes and broadcasts vanish into contractions") {
  Fixture f;
  Expr x = f.in("x", {2, 3}, {1, 2, 3, 4, 5, 6}), w = f.in("w", {4, 3}, std::vector<double>(12, 0.5));
  f.out("y", transpose(contract(x, transpose(w, {1, 0}), {0, 1}, {1, 2}, {0, 2}), {1, 0}));
  f.out("dw", contract(x, constant(f.b, 1, type_of(Element::F64, {2, 4})), {0, 1}, {0, 2}, {1, 2}));
  Graph g = optimize(f.graph);
  CHECK(count(g, op<ops::Transpose>()) == 0);
  CHECK(count(g, op<ops::Contraction>()) == 1);  // the second is a sum over rows, repeated
  CHECK(count(g, op<ops::ReduceSum>()) == 1);
  auto before = evaluate(f.graph, f.inputs), after = evaluate(g, f.inputs);
  CHECK(values_of(before.at("y")) == values_of(after.at("y")));
  CHECK(values_of(before.at("dw")) == values_of(after.at("dw")));
}

TEST_CASE("work grows with the graph, not faster") {
  RewriteStats small, large;
  Graph at_100 = optimize(dense_chain(100), {}, &small);
  Graph at_1000 = optimize(dense_chain(1000), {}, &large);
  CHECK(applied(large) < 11 * applied(small));
  CHECK(at_1000.size() < 11 * at_100.size());
  CHECK(large.visits < 11 * small.visits);
  CHECK(small.visits < 40 * static_cast<int64_t>(dense_chain(100).size()));

  // 50,000 nodes that fold, merge, cancel and move.
  Fixture f;
  Expr x = f.in("x", {8}, std::vector<double>(8, 0.5)), y = x;
  for (int i = 0; i < 8000; ++i) y = reshape(reshape(-(-(y * 1)) + sin(x) / (constant(f.b, 1, x.type()) + 3), {2, 4}), {8});
  f.out("y", y);
  REQUIRE(f.graph.size() > 50000);
  RewriteStats stats;
  Graph g = optimize(f.graph, {}, &stats);
  CHECK(stats.visits < 40 * static_cast<int64_t>(f.graph.size()));
  CHECK(g.size() < 16100);
}

TEST_CASE("a long chain collapses in few rounds and keeps all its origins") {
  Graph g;
  GraphBuilder b(g);
  Expr x = input(b, "x", role::data, type_of(Element::F64, {4}));
  Expr y = x;
  for (uint32_t i = 0; i < 5000; ++i) {
    b.provenance = g.provenance.from(g.provenance.add(Origin{{FileId(0), i, i + 1}, {}, {}}));
    y = y * 2;
  }
  g.outputs.push_back({"y", OutputKind::Value, y.id});
  Graph after = optimize(g);
  const Node& n = after[after.outputs[0].node];
  // 2^5000 is out of range: factors combine as long as they stay in it.
  CHECK(after.size() < 16);
  std::set<OriginId> origins;
  for (size_t i = 0; i < after.size(); ++i) {
    if (ProvenanceId p = after[NodeId(i)].provenance) origins.insert(after.provenance.get(p).origins.begin(), after.provenance.get(p).origins.end());
  }
  CHECK(origins.size() == 5000);
  CHECK(n.op == &op<ops::Mul>());
}
