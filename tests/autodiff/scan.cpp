#include <catch2/catch.hpp>

#include <cmath>

#include "compiler/autodiff/autodiff.h"
#include "compiler/graph/scan.h"
#include "compiler/ops/scan_builder.h"
#include "tests/support/fixture.h"
#include "tests/support/unroll.h"

// Derivatives of scans, held against those of the same graph written out step by step, and against differences.
using namespace gradc;
using namespace gradc::test;

namespace {

Graph expanded(const Graph& g) {
  AutodiffResult r = expand_gradients(g);
  for (const AutodiffProblem& p : r.problems) UNSCOPED_INFO(p.reason);
  REQUIRE(r.problems.empty());
  std::vector<std::string> broken = verify(r.graph, false);
  for (const std::string& b : broken) UNSCOPED_INFO(b);
  REQUIRE(broken.empty());
  return r.graph;
}

// Every output equals that of the unrolled graph.
void check_against_unrolled(const Fixture& f, double tolerance = 1e-12) {
  SourceManager sources;
  INFO(print(f.graph, sources));
  Graph g = expanded(f.graph);
  INFO(print(g, sources));
  auto got = evaluate(g, f.inputs), expected = evaluate(expanded(unrolled(f.graph)), f.inputs);
  REQUIRE(got.size() == f.graph.outputs.size());
  for (const auto& [name, tensor] : expected) {
    INFO(name.str());
    REQUIRE(got.at(name).type == tensor.type);
    for (int64_t i = 0; i < tensor.type.count(); ++i) {
      CAPTURE(i, got.at(name).at(i), tensor.at(i));
      REQUIRE(std::abs(got.at(name).at(i) - tensor.at(i)) <= tolerance * std::max(1.0, std::abs(tensor.at(i))));
    }
  }
}

std::vector<double> some(int64_t n, double seed) {
  std::vector<double> v;
  for (int64_t i = 0; i < n; ++i) v.push_back(std::sin(seed + 1.7 * static_cast<double>(i)));
  return v;
}

Expr matmul(Expr a, Expr b) { return contract(a, b, {0, 1}, {1, 2}, {0, 2}); }
Expr slice_columns(Expr x, int64_t from, int64_t to) { return slice(x, {0, from}, {x.size(0), to}); }

// An LSTM as one writes it, with its gradients: T = 4, N = 2, I = 3, H = 2.
struct Lstm : Fixture {
  static constexpr int64_t T = 4, N = 2, I = 3, H = 2;
  Expr x, h0, c0, wx, wh, bias, loss;
  std::vector<Expr> by;

  explicit Lstm(ScanBuilder::Options options = {.length = T}) {
    x = in("x", {T, N, I}, some(T * N * I, 1));
    h0 = in("h0", {N, H}, some(N * H, 2));
    c0 = in("c0", {N, H}, some(N * H, 3));
    wx = in("wx", {I, 4 * H}, some(I * 4 * H, 4));
    wh = in("wh", {H, 4 * H}, some(H * 4 * H, 5));
    bias = in("b", {4 * H}, some(4 * H, 6));
    ScanBuilder s(b, options);
    Expr h = s.carry(h0, "h"), c = s.carry(c0, "c"), xt = s.element(x, "x_t");
    Expr z = named(matmul(xt, s.inside(wx)) + matmul(h, s.inside(wh)) + broadcast(s.inside(bias), {1}, {N, 4 * H}), "z");
    Expr i = sigmoid(slice_columns(z, 0, H)), f = sigmoid(slice_columns(z, H, 2 * H)), g = tanh(slice_columns(z, 2 * H, 3 * H)),
         o = sigmoid(slice_columns(z, 3 * H, 4 * H));
    Expr next_c = named(f * c + i * g, "c"), next_h = named(o * tanh(next_c), "h");
    s.next(h, next_h);
    s.next(c, next_c);
    s.emit(next_h, "hs");
    ScanResults r = s.finish();
    loss = named(sum(r.emissions[0] * r.emissions[0]) + sum(r.carries[1]) + 0.5 * sum(r.carries[0] * r.carries[1]), "loss");
    by = {x, h0, c0, wx, wh, bias};
    out("loss", loss);
    for (Expr w : by) out(("d" + graph[w.id].name.str()).c_str(), grad(loss, w));
  }
};

size_t count(const Graph& g, OpKind kind) {
  size_t n = 0;
  for (size_t i = 0; i < g.size(); ++i) n += g[NodeId(i)].op->kind == kind;
  return n;
}

NodeId find_scan(const Graph& g, bool reverse) {
  for (size_t i = 0; i < g.size(); ++i) {
    if (g[NodeId(i)].op->kind == OpKind::Scan && ScanLayout(g[NodeId(i)]).reverse == reverse) return NodeId(i);
  }
  return {};
}

bool has_name(const Graph& g, const std::string& name) {
  for (size_t i = 0; i < g.size(); ++i) {
    if (g[NodeId(i)].name == Symbol(name)) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("an LSTM's gradients equal those of its steps written out") {
  check_against_unrolled(Lstm());
  check_against_unrolled(Lstm(ScanBuilder::Options{.length = Lstm::T, .reverse = true}));
  check_against_unrolled(Lstm(ScanBuilder::Options{.length = Lstm::T, .recompute = true}));
}

TEST_CASE("the derivative of a scan is one scan in the other direction, and gradients of constants are products after it") {
  Graph g = expanded(Lstm().graph);
  CHECK(count(g, OpKind::Scan) == 2);
  NodeId forward = find_scan(g, false), backward = find_scan(g, true);
  REQUIRE(forward);
  REQUIRE(backward);
  CHECK(forward < backward);
  // dWx and dWh: time is a summed label of one product each; only dh and dx are products in the loop.
  CHECK(count(g, OpKind::Contraction) == 2);
  CHECK(count(*g[backward].body, OpKind::Contraction) == 2);
  CHECK(ScanLayout(g[backward]).carries == 2);
  for (size_t i = 0; i < g.size(); ++i) {
    if (g[NodeId(i)].op->kind != OpKind::Contraction) continue;
    CHECK(g[NodeId(i)].attrs.integers("lhs").size() == 3);
    CHECK(g[NodeId(i)].attrs.integers("out").size() == 2);
  }
  // Kept: the carries as they were, four gates and tanh(c).
  CHECK(ScanLayout(g[forward]).emissions == 1 + 7);
}

TEST_CASE("with recompute only the carries are kept") {
  Graph g = expanded(Lstm(ScanBuilder::Options{.length = Lstm::T, .recompute = true}).graph);
  CHECK(ScanLayout(g[find_scan(g, false)]).emissions == 1 + 2);
  CHECK(ScanLayout(g[find_scan(g, true)]).recompute);
  // The gradients of the weights are added up step by step: nothing is kept for all steps.
  CHECK(count(g, OpKind::Contraction) == 0);
  CHECK(ScanLayout(g[find_scan(g, true)]).carries == 2 + 3);
  CHECK(ScanLayout(g[find_scan(g, true)]).emissions == 1);
}

TEST_CASE("adjoints inside are named after what they belong to") {
  Graph g = expanded(Lstm().graph);
  const Graph& body = *g[find_scan(g, true)].body;
  for (const char* name : {"d(loss)/d(h)", "d(loss)/d(c)", "d(loss)/d(z)"}) CHECK(has_name(body, name));
  for (const char* name : {"d(loss)/d(wx)", "d(loss)/d(wh)", "d(loss)/d(b)", "d(loss)/d(x)", "d(loss)/d(h0)", "kept(c)"}) {
    INFO(name);
    CHECK(has_name(g, name));
  }
}

TEST_CASE("second and third derivatives of a scan equal those of its steps written out") {
  Fixture f;
  Expr x = f.in("x", {3, 2}, some(6, 1)), h0 = f.in("h0", {2}, some(2, 2)), w = f.in("w", {2, 2}, some(4, 3));
  ScanBuilder s(f.b, {.length = 3});
  Expr h = s.carry(h0, "h"), xt = s.element(x, "x");
  Expr next = tanh(contract(h, s.inside(w), {0}, {0, 1}, {1}) + xt);
  s.next(h, next);
  s.emit(next * h);
  ScanResults r = s.finish();
  Expr y = named(sum(r.carries[0]) + sum(sin(r.emissions[0])), "y");
  f.out("y", y);
  std::vector<Expr> by{x, h0, w};
  Expr first, second;
  for (Expr v : by) {
    Expr d = grad(y, v);
    f.out(("y_" + f.graph[v.id].name.str()).c_str(), d);
    first = first ? first + sum(d * sin(d)) : sum(d * sin(d));
  }
  for (Expr v : by) {
    Expr d = grad(first, v);
    f.out(("first_" + f.graph[v.id].name.str()).c_str(), d);
    second = second ? second + sum(d * d) : sum(d * d);
  }
  for (Expr v : by) f.out(("second_" + f.graph[v.id].name.str()).c_str(), grad(second, v));
  check_against_unrolled(f, 1e-11);
}

TEST_CASE("a scan in a scan is differentiated, with and without recomputing") {
  for (bool recompute_outer : {false, true}) {
    for (bool recompute_inner : {false, true}) {
      Fixture f;
      Expr x = f.in("x", {3, 2, 2}, some(12, 1)), h0 = f.in("h0", {2}, some(2, 2)), w = f.in("w", {2, 2}, some(4, 3)), v = f.in("v", {2}, some(2, 4));
      ScanBuilder outer(f.b, {.length = 3, .recompute = recompute_outer});
      Expr h = outer.carry(h0, "h"), segment = outer.element(x, "segment");
      ScanBuilder inner(outer.body(), {.length = 2, .recompute = recompute_inner}, &outer);
      Expr g = inner.carry(h, "g"), xt = inner.element(segment, "x_t");
      Expr next = tanh(contract(g, inner.inside(w), {0}, {0, 1}, {1}) + xt * inner.inside(v));
      inner.next(g, next);
      inner.emit(next * next);
      ScanResults of_segment = inner.finish();
      outer.next(h, of_segment.carries[0] * outer.inside(v));
      outer.emit(of_segment.emissions[0]);
      ScanResults r = outer.finish();
      Expr y = named(sum(r.carries[0]) + sum(r.emissions[0]), "y");
      f.out("y", y);
      Expr s;
      for (Expr by : {x, h0, w, v}) {
        Expr d = grad(y, by);
        f.out(("y_" + f.graph[by.id].name.str()).c_str(), d);
        s = s ? s + sum(d * d) : sum(d * d);
      }
      for (Expr by : {x, h0, w, v}) f.out(("s_" + f.graph[by.id].name.str()).c_str(), grad(s, by));
      check_against_unrolled(f, 1e-11);
      if (!recompute_outer) continue;
      // Only the state between segments is kept.
      Fixture first;
      (void)first;
      Graph g1 = expanded(f.graph);
      CHECK(ScanLayout(g1[find_scan(g1, false)]).emissions <= 2);
    }
  }
}

TEST_CASE("a gradient inside a body is of one step, and can be differentiated through the loop") {
  Fixture f;
  Expr x = f.in("x", {3, 2}, some(6, 1)), p0 = f.in("p0", {2}, some(2, 2)), rate = f.in("rate", {}, {0.3});
  ScanBuilder s(f.b, {.length = 3});
  Expr p = s.carry(p0, "p"), xt = s.element(x, "x");
  Expr inner_loss = named(sum(sin(p * xt) * p) + s.inside(rate) * sum(p), "inner");
  s.next(p, p - broadcast(s.inside(rate), {}, {2}) * grad(inner_loss, p));
  s.emit(grad(inner_loss, s.inside(rate)));
  ScanResults r = s.finish();
  Expr loss = named(sum(r.carries[0] * r.carries[0]) + sum(r.emissions[0]), "loss");
  f.out("loss", loss);
  for (Expr by : {x, p0, rate}) f.out(("d" + f.graph[by.id].name.str()).c_str(), grad(loss, by));
  check_against_unrolled(f);
}

TEST_CASE("embedding rows read in a loop have their gradient scattered once, after it") {
  Fixture f;
  Expr tokens = f.in("tokens", {4, 3}, {0, 1, 2, 2, 2, 1, 4, 0, 0, 3, 1, 1}, Element::Int), table = f.in("table", {5, 2}, some(10, 1)),
       h0 = f.in("h0", {3, 2}, some(6, 2));
  ScanBuilder s(f.b, {.length = 4});
  Expr h = s.carry(h0, "h"), t = s.element(tokens);
  s.next(h, tanh(h + gather(s.inside(table), t, 0)));
  Expr loss = sum(s.finish().carries[0]);
  f.out("dtable", grad(loss, table));
  f.out("dh0", grad(loss, h0));
  check_against_unrolled(f);
  Graph g = expanded(f.graph);
  CHECK(count(g, OpKind::ScatterAdd) == 1);
  CHECK(count(*g[find_scan(g, true)].body, OpKind::ScatterAdd) == 0);
}

TEST_CASE("gradients of constants by way of views, factors, sums and functions") {
  Fixture f;
  Expr x = f.in("x", {4, 2, 3}, some(24, 1)), a = f.in("a", {3}, some(3, 2)), k = f.in("k", {}, {0.7}), m = f.in("m", {3, 2}, some(6, 3)),
       h0 = f.in("h0", {2, 3}, some(6, 4));
  ScanBuilder s(f.b, {.length = 4, .reverse = true});
  Expr h = s.carry(h0), xt = s.element(x);
  Expr in_a = s.inside(a), in_k = s.inside(k), in_m = s.inside(m);
  Expr u = h * broadcast(in_a, {1}, {2, 3}) + broadcast(in_k, {}, {2, 3}) * xt;
  Expr v = transpose(in_m, {1, 0}) * u + sin(broadcast(in_a * in_a, {1}, {2, 3}));
  Expr w = matmul(v, matmul(in_m * 2.0, transpose(in_m, {1, 0})));
  s.next(h, sin(w) + reverse(slice(pad(w, {1, 0}, {0, 0}), {0, 0}, {2, 3}), {0}));
  s.emit(exp(in_k) * sum(w));
  ScanResults r = s.finish();
  Expr loss = sum(r.carries[0]) + sum(r.emissions[0] * r.emissions[0]);
  for (Expr by : {x, a, k, m, h0}) f.out(("d" + f.graph[by.id].name.str()).c_str(), grad(loss, by));
  check_against_unrolled(f, 1e-11);
}

TEST_CASE("carries and results that carry no derivative") {
  Fixture f;
  Expr x = f.in("x", {3}, some(3, 1)), n0 = f.in("n0", {}, {0}, Element::Int), h0 = f.in("h0", {}, {0.4}), unused = f.in("unused", {}, {1.5});
  ScanBuilder s(f.b, {.length = 3});
  Expr n = s.carry(n0), h = s.carry(h0), other = s.carry(unused), xt = s.element(x);
  s.next(n, n + 1);
  s.next(h, select(gt(h, 0), h * xt + cast(n, Element::F64), stop_gradient(h) * xt));
  s.next(other, other * xt);
  s.emit(cast(gt(h, xt), Element::Int));
  ScanResults r = s.finish();
  Expr loss = r.carries[1] * r.carries[1];
  f.out("dx", grad(loss, x));
  f.out("dh0", grad(loss, h0));
  f.out("other", grad(r.carries[2], unused));
  check_against_unrolled(f);
  // Cotangents are carried of h alone for the loss, and of the other carry alone for itself.
  Graph g = expanded(f.graph);
  for (size_t i = 0; i < g.size(); ++i) {
    const Node& node = g[NodeId(i)];
    if (node.op->kind == OpKind::Scan && ScanLayout(node).reverse) CHECK(ScanLayout(node).carries == 1);
  }
}

TEST_CASE("a carry handed on as it is, equal outputs, outputs that are inputs, one step") {
  for (int64_t length : {int64_t{1}, int64_t{3}}) {
    Fixture f;
    Expr x = f.in("x", {length, 2}, some(2 * length, 1)), a0 = f.in("a0", {2}, some(2, 2)), b0 = f.in("b0", {2}, some(2, 3));
    ScanBuilder s(f.b, {.length = length});
    Expr a = s.carry(a0), b = s.carry(b0), xt = s.element(x);
    s.next(a, a);
    s.next(b, a);
    s.emit(a);
    s.emit(xt);
    s.emit(b * xt);
    s.emit(b * xt);
    ScanResults r = s.finish();
    Expr loss = sum(r.carries[0] * r.carries[1]);
    for (Expr e : r.emissions) loss = loss + sum(e * e);
    for (Expr by : {x, a0, b0}) f.out(("d" + f.graph[by.id].name.str()).c_str(), grad(loss, by));
    check_against_unrolled(f);
  }
}

TEST_CASE("two losses share a scan, and what it keeps") {
  Fixture f;
  Expr x = f.in("x", {3}, some(3, 1)), h0 = f.in("h0", {}, {0.4}), w = f.in("w", {}, {0.9});
  ScanBuilder s(f.b, {.length = 3});
  Expr h = s.carry(h0), xt = s.element(x);
  s.next(h, tanh(h * s.inside(w) + xt));
  s.emit(h);
  ScanResults r = s.finish();
  Expr one = r.carries[0] * r.carries[0], two = sum(r.emissions[0]);
  f.out("a", grad(one, w));
  f.out("b", grad(two, w));
  f.out("c", grad(one * two, x));
  check_against_unrolled(f);
  Graph g = expanded(f.graph);
  CHECK(ScanLayout(g[find_scan(g, false)]).emissions == 2);  // h, which it emitted already, and tanh
}
