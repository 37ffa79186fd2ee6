#include <catch2/catch.hpp>

#include <cmath>
#include <set>

#include "compiler/autodiff/autodiff.h"
#include "compiler/graph/scan.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/scan_builder.h"
#include "compiler/rewrite/loop.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/support/fixture.h"

// Each rule about loops on a loop where it applies: what is left, and that values stay.
using namespace gradc;
using namespace gradc::test;

namespace {

std::vector<double> some(int64_t n, double seed) {
  std::vector<double> v;
  for (int64_t i = 0; i < n; ++i) v.push_back(std::sin(seed + 1.7 * static_cast<double>(i)));
  return v;
}

Expr matmul(Expr a, Expr b) { return contract(a, b, {0, 1}, {1, 2}, {0, 2}); }

struct Optimised {
  Graph graph;
  std::set<std::string> rules;
  bool fired(const char* rule) const { return rules.count(rule) > 0; }
  NodeId scan(size_t which = 0) const {
    for (size_t i = 0; i < graph.size(); ++i) {
      if (graph[NodeId(i)].op->kind == OpKind::Scan && which-- == 0) return NodeId(i);
    }
    return {};
  }
  size_t scans() const {
    size_t n = 0;
    while (scan(n)) ++n;
    return n;
  }
  ScanLayout layout(size_t which = 0) const { return ScanLayout(graph[scan(which)]); }
  static size_t count(const Graph& g, const Op& o) {
    size_t n = 0;
    for (size_t i = 0; i < g.size(); ++i) n += g[NodeId(i)].op == &o;
    return n;
  }
  size_t inside(const Op& o, size_t which = 0) const { return count(*graph[scan(which)].body, o); }
  size_t outside(const Op& o) const { return count(graph, o); }
};

// Optimises, and holds every output against the one before. With `only`, no other rule about loops is used.
Optimised optimised(const Fixture& f, const char* only = nullptr, double tolerance = 1e-13) {
  RewriteOptions options;
  for (const rewrite::LoopRuleInfo& rule : rewrite::loop_rules()) {
    if (only && std::string(rule.info.name) != only) options.disabled.push_back(rule.info.name);
  }
  RewriteStats stats;
  Optimised o{optimize(f.graph, options, &stats), {}};
  for (const RewriteStats::Entry& e : stats.applied) o.rules.insert(e.rule);
  SourceManager sources;
  INFO(print(f.graph, sources));
  INFO(print(o.graph, sources));
  std::vector<std::string> problems = verify(o.graph, false);
  for (const std::string& p : problems) UNSCOPED_INFO(p);
  REQUIRE(problems.empty());
  auto before = evaluate(f.graph, f.inputs), after = evaluate(o.graph, f.inputs);
  for (const auto& [name, want] : before) {
    INFO(name.str());
    REQUIRE(after.at(name).type == want.type);
    for (int64_t i = 0; i < want.type.count(); ++i) REQUIRE(std::abs(after.at(name).at(i) - want.at(i)) <= tolerance * std::max(1.0, std::abs(want.at(i))));
  }
  if (only && *only) CHECK(o.fired(only));
  return o;
}

}  // namespace

TEST_CASE("loop-one-step") {
  Fixture f;
  Expr h0 = f.in("h0", {2}, some(2, 1)), x = f.in("x", {1, 2}, some(2, 2)), w = f.in("w", {2}, some(2, 3));
  ScanBuilder s(f.b, {.length = 1});
  Expr h = s.carry(h0), xt = s.element(x);
  s.next(h, tanh(h * s.inside(w) + xt));
  s.emit(h * xt);
  ScanResults r = s.finish();
  f.out("last", r.carries[0]);
  f.out("all", r.emissions[0]);
  CHECK(optimised(f, "loop-one-step").scans() == 0);
}

TEST_CASE("loop-unchanged-carry") {
  Fixture f;
  Expr a0 = f.in("a0", {2}, some(2, 1)), h0 = f.in("h0", {2}, some(2, 2));
  ScanBuilder s(f.b, {.length = 3});
  Expr a = s.carry(a0), h = s.carry(h0);
  s.next(a, a);
  s.next(h, sin(h + a));
  ScanResults r = s.finish();
  f.out("a", r.carries[0]);
  f.out("h", r.carries[1]);
  Optimised o = optimised(f, "loop-unchanged-carry");
  CHECK(o.layout().carries == 1);
  CHECK(o.layout().constants == 1);
  CHECK(o.graph[o.graph.outputs[0].node].op->kind == OpKind::Input);
}

TEST_CASE("loop-equal-carries: also where they feed each other") {
  Fixture f;
  Expr h0 = f.in("h0", {2}, some(2, 1)), x = f.in("x", {3, 2}, some(6, 2));
  ScanBuilder s(f.b, {.length = 3});
  Expr a = s.carry(h0), b = s.carry(h0), c = s.carry(h0), xt = s.element(x);
  s.next(a, tanh(b * xt));
  s.next(b, tanh(a * xt));
  s.next(c, tanh(a * xt) + 1);
  ScanResults r = s.finish();
  for (size_t k = 0; k < 3; ++k) f.out(("c" + std::to_string(k)).c_str(), r.carries[k]);
  Optimised o = optimised(f, "loop-equal-carries");
  CHECK(o.layout().carries == 2);
  CHECK(o.inside(op<ops::Tanh>()) == 1);
}

TEST_CASE("carries that begin alike but go on otherwise stay apart") {
  Fixture f;
  Expr h0 = f.in("h0", {2}, some(2, 1)), x = f.in("x", {3, 2}, some(6, 2)), y = f.in("y", {3, 2}, some(6, 3));
  ScanBuilder s(f.b, {.length = 3});
  Expr a = s.carry(h0), b = s.carry(h0), xt = s.element(x), yt = s.element(y);
  s.next(a, tanh(a * xt));
  s.next(b, tanh(b * yt));
  ScanResults r = s.finish();
  f.out("a", r.carries[0]);
  f.out("b", r.carries[1]);
  Optimised o = optimised(f);
  CHECK_FALSE(o.fired("loop-equal-carries"));
  CHECK(o.layout().carries == 2);
}

TEST_CASE("loop-equal-inputs") {
  Fixture f;
  Expr h0 = f.in("h0", {2}, some(2, 1)), x = f.in("x", {3, 2}, some(6, 2));
  ScanBuilder s(f.b, {.length = 3});
  Expr h = s.carry(h0), first = s.element(x), second = s.element(x);
  s.next(h, tanh(h * first) + second);
  f.out("h", s.finish().carries[0]);
  CHECK(optimised(f, "loop-equal-inputs").layout().sequences == 1);
}

TEST_CASE("loop-constant-input") {
  Fixture f;
  Expr h0 = f.in("h0", {2}, some(2, 1)), v = f.in("v", {2}, some(2, 2));
  ScanBuilder s(f.b, {.length = 3});
  Expr h = s.carry(h0), ones = s.element(constant(f.b, 1.5, type_of(Element::F64, {3, 2}))), same = s.element(broadcast(v, {1}, {3, 2}));
  s.next(h, tanh(h * ones) + same);
  f.out("h", s.finish().carries[0]);
  Optimised o = optimised(f, "loop-constant-input");
  CHECK(o.layout().sequences == 0);
  CHECK(o.layout().constants == 1);
}

TEST_CASE("loop-plain-emission") {
  Fixture f;
  Expr h0 = f.in("h0", {2}, some(2, 1)), x = f.in("x", {3, 2}, some(6, 2)), v = f.in("v", {2}, some(2, 2));
  ScanBuilder s(f.b, {.length = 3});
  Expr h = s.carry(h0), xt = s.element(x);
  s.next(h, tanh(h * xt));
  s.emit(xt);
  s.emit(sin(s.inside(v)));
  s.emit(h);
  s.emit(h);
  ScanResults r = s.finish();
  for (size_t k = 0; k < 4; ++k) f.out(("e" + std::to_string(k)).c_str(), r.emissions[k]);
  Optimised o = optimised(f, "loop-plain-emission");
  CHECK(o.layout().emissions == 1);
  CHECK(o.outside(op<ops::Sin>()) == 1);
}

TEST_CASE("loop-hoist-invariant: work, but no views and nothing that comes from nothing") {
  Fixture f;
  Expr h0 = f.in("h0", {2, 3}, some(6, 1)), w = f.in("w", {3, 3}, some(9, 2)), k = f.in("k", {}, {0.4});
  ScanBuilder s(f.b, {.length = 3});
  Expr h = s.carry(h0), in_w = s.inside(w), in_k = s.inside(k);
  Expr square = matmul(in_w, in_w), mask = lt(iota(s.body(), 0, type_of(Element::F64, {2, 3})), 1);
  s.next(h, select(mask, tanh(matmul(h, square)) * broadcast(exp(in_k), {}, {2, 3}), h));
  f.out("h", s.finish().carries[0]);
  Optimised o = optimised(f, "loop-hoist-invariant");
  CHECK(o.outside(op<ops::Contraction>()) == 1);
  CHECK(o.inside(op<ops::Contraction>()) == 1);
  CHECK(o.outside(op<ops::Exp>()) == 1);
  CHECK(o.inside(op<ops::Broadcast>()) == 1);
  CHECK(o.inside(op<ops::Iota>()) == 1);
  CHECK(o.layout().constants == 2);
}

TEST_CASE("loop-hoist-over-time: products of elements are one product before the loop") {
  Fixture f;
  Expr x = f.in("x", {4, 2, 8}, some(64, 1)), h0 = f.in("h0", {2, 3}, some(6, 2)), wx = f.in("wx", {8, 3}, some(24, 3)), wh = f.in("wh", {3, 3}, some(9, 4)),
       table = f.in("table", {5, 8}, some(40, 5)), tokens = f.in("tokens", {4, 2}, {0, 1, 2, 3, 4, 9, 1, 0}, Element::Int);
  ScanBuilder s(f.b, {.length = 4});
  Expr h = s.carry(h0), xt = s.element(x), token = s.element(tokens);
  Expr rows = gather(s.inside(table), token, 0);
  s.next(h, tanh(matmul(rows + sin(xt), s.inside(wx)) + matmul(h, s.inside(wh))));
  s.emit(h * broadcast(reduce_sum(xt, {1}), {0}, {2, 3}));
  ScanResults r = s.finish();
  f.out("h", r.carries[0]);
  f.out("e", r.emissions[0]);
  Optimised o = optimised(f, "loop-hoist-over-time");
  CHECK(o.outside(op<ops::Contraction>()) == 1);
  CHECK(o.inside(op<ops::Contraction>()) == 1);
  CHECK(o.outside(op<ops::Gather>()) == 1);
  CHECK(o.inside(op<ops::Sin>()) == 0);
  CHECK(o.inside(op<ops::ReduceSum>()) == 0);
  CHECK(o.layout().sequences == 2);
}

TEST_CASE("a value that is used twice at every level is gone through once, not once for each path to it") {
  for (bool of_elements : {true, false}) {
    Fixture f;
    Expr x = f.in("x", {4, 2, 3}, some(24, 1)), h0 = f.in("h0", {2, 3}, some(6, 2)), w = f.in("w", {3, 3}, some(9, 3));
    ScanBuilder s(f.b, {.length = 4});
    Expr h = s.carry(h0), xt = s.element(x), y = of_elements ? xt : h + xt;
    for (int i = 0; i < 60; ++i) y = y * sin(y) + 1;
    s.next(h, tanh(h + xt));
    s.emit(matmul(y, s.inside(w)));
    f.out("e", s.finish().emissions[0]);
    Optimised o = optimised(f, of_elements ? "loop-hoist-over-time" : "loop-sink");
    CHECK(o.outside(op<ops::Contraction>()) == 1);
    CHECK(o.inside(op<ops::Contraction>()) == 0);
  }
}

TEST_CASE("what costs memory and saves nothing stays in the loop") {
  Fixture f;
  Expr x = f.in("x", {4, 2}, some(8, 1)), h0 = f.in("h0", {2, 3}, some(6, 2)), v = f.in("v", {3}, some(3, 3));
  ScanBuilder s(f.b, {.length = 4});
  Expr h = s.carry(h0), xt = s.element(x);
  Expr outer = contract(xt, s.inside(v), {0}, {1}, {0, 1});  // no sum: as good as point-wise, and three times as large
  s.next(h, tanh(h + outer + broadcast(sin(xt), {0}, {2, 3})));
  f.out("h", s.finish().carries[0]);
  Optimised o = optimised(f);
  CHECK_FALSE(o.fired("loop-hoist-over-time"));
  CHECK(o.layout().sequences == 1);
}

TEST_CASE("loop-sink: emissions that no carry needs are one product after the loop") {
  Fixture f;
  Expr x = f.in("x", {4, 2, 3}, some(24, 1)), h0 = f.in("h0", {2, 3}, some(6, 2)), w = f.in("w", {3, 8}, some(24, 4));
  ScanBuilder s(f.b, {.length = 4});
  Expr h = s.carry(h0), xt = s.element(x);
  Expr next = tanh(h * xt);
  s.next(h, next);
  s.emit(sin(matmul(next, s.inside(w))));
  f.out("e", s.finish().emissions[0]);
  Optimised o = optimised(f, "loop-sink");
  CHECK(o.outside(op<ops::Contraction>()) == 1);
  CHECK(o.inside(op<ops::Contraction>()) == 0);
  CHECK(o.inside(op<ops::Sin>()) == 0);
  CHECK(o.layout().emissions == 1);
}

TEST_CASE("an emission stays where the loop would have to emit more without it") {
  Fixture f;
  Expr x = f.in("x", {4, 2, 16}, some(128, 1)), h0 = f.in("h0", {2, 16}, some(32, 2)), w = f.in("w", {16}, some(16, 4));
  ScanBuilder s(f.b, {.length = 4});
  Expr h = s.carry(h0), xt = s.element(x);
  Expr next = tanh(h * xt);
  s.next(h, next);
  s.emit(contract(next, s.inside(w), {0, 1}, {1}, {0}));
  f.out("e", s.finish().emissions[0]);
  CHECK_FALSE(optimised(f).fired("loop-sink"));
}

TEST_CASE("with recompute nothing is kept for all steps to save work") {
  Fixture f;
  Expr x = f.in("x", {4, 2, 8}, some(64, 1)), h0 = f.in("h0", {2, 3}, some(6, 2)), wx = f.in("wx", {8, 3}, some(24, 3));
  ScanBuilder s(f.b, {.length = 4, .recompute = true});
  Expr h = s.carry(h0), xt = s.element(x);
  s.next(h, tanh(matmul(xt, s.inside(wx)) + h));
  f.out("h", s.finish().carries[0]);
  CHECK_FALSE(optimised(f).fired("loop-hoist-over-time"));
}

TEST_CASE("results, carries and inputs that nobody needs are dropped, also those that only feed each other") {
  Fixture f;
  Expr x = f.in("x", {3, 2}, some(6, 1)), y = f.in("y", {3, 2}, some(6, 2)), h0 = f.in("h0", {2}, some(2, 3)), w = f.in("w", {2}, some(2, 4));
  ScanBuilder s(f.b, {.length = 3});
  Expr a = s.carry(h0), b = s.carry(h0), c = s.carry(h0), xt = s.element(x), yt = s.element(y);
  s.next(a, tanh(a + xt));
  s.next(b, c * yt);
  s.next(c, b * s.inside(w));
  s.emit(b);
  s.emit(a);
  ScanResults r = s.finish();
  f.out("a", r.carries[0]);
  f.out("all", r.emissions[1]);
  Optimised o = optimised(f, "loop-unused");
  CHECK(o.layout().carries == 1);
  CHECK(o.layout().sequences == 1);
  CHECK(o.layout().constants == 0);
  CHECK(o.layout().emissions == 1);
}

TEST_CASE("equal loops are one; passes work inside bodies") {
  Fixture f;
  Expr x = f.in("x", {3, 2}, some(6, 1)), h0 = f.in("h0", {2}, some(2, 3));
  auto loop = [&](const char* name) {
    ScanBuilder s(f.b, {.length = 3});
    Expr h = s.carry(h0, name), xt = s.element(x);
    s.next(h, log(1 + exp(-(-h))) * xt + stop_gradient(h) * 0.25 / 0.25);
    return s.finish().carries[0];
  };
  f.out("a", loop("a"));
  f.out("b", loop("b"));
  Optimised o = optimised(f, nullptr, 1e-12);
  CHECK(o.scans() == 1);
  CHECK(o.graph.outputs[0].node == o.graph.outputs[1].node);
  CHECK(o.inside(op<ops::Softplus>()) == 1);
  CHECK(o.inside(op<ops::StopGradient>()) == 0);
}

TEST_CASE("training an LSTM: two products in the loops, the others outside") {
  constexpr int64_t T = 5, N = 3, I = 8, H = 8;
  Fixture f;
  Expr x = f.in("x", {T, N, I}, some(T * N * I, 1)), h0 = f.in("h0", {N, H}, some(N * H, 2)), c0 = f.in("c0", {N, H}, some(N * H, 3)),
       wx = f.in("wx", {I, 4 * H}, some(I * 4 * H, 4)), wh = f.in("wh", {H, 4 * H}, some(H * 4 * H, 5)), bias = f.in("b", {4 * H}, some(4 * H, 6));
  ScanBuilder s(f.b, {.length = T});
  Expr h = s.carry(h0, "h"), c = s.carry(c0, "c"), xt = s.element(x, "x_t");
  Expr z = matmul(xt, s.inside(wx)) + matmul(h, s.inside(wh)) + broadcast(s.inside(bias), {1}, {N, 4 * H});
  auto part = [&](int64_t k) { return slice(z, {0, k * H}, {N, (k + 1) * H}); };
  Expr next_c = sigmoid(part(0)) * c + sigmoid(part(1)) * tanh(part(2)), next_h = sigmoid(part(3)) * tanh(next_c);
  s.next(h, next_h);
  s.next(c, next_c);
  s.emit(next_h, "hs");
  ScanResults r = s.finish();
  Expr loss = sum(r.emissions[0] * r.emissions[0]);
  f.out("loss", loss);
  for (Expr p : {x, wx, wh, bias}) f.out(("d" + f.graph[p.id].name.str()).c_str(), grad(loss, p));
  AutodiffResult expanded = expand_gradients(f.graph);
  REQUIRE(expanded.problems.empty());
  f.graph = std::move(expanded.graph);
  Optimised o = optimised(f, nullptr, 1e-11);
  REQUIRE(o.scans() == 2);
  CHECK(o.inside(op<ops::Contraction>(), 0) == 1);   // h Wh
  CHECK(o.inside(op<ops::Contraction>(), 1) == 1);   // dz Wh^T
  CHECK(o.outside(op<ops::Contraction>()) == 4);     // x Wx, dWx, dWh, dx
  CHECK(o.layout(1).carries == 2);
  CHECK(o.layout(1).emissions == 1);                 // dz
}
