#include "tests/support/scan_graphs.h"

#include <stdexcept>

#include "compiler/ops/scan_builder.h"

namespace gradc::test {
namespace {

// A graph under construction. Sizes are small and odd, so that wrong strides show.
struct Draft {
  Graph graph;
  GraphBuilder b{graph};

  Draft() { b.provenance = graph.provenance.from(graph.provenance.add(Origin{{FileId(0), 0, 5}, {}, {}})); }
  Expr in(const char* name, const std::vector<int64_t>& sizes, Element e = Element::F64, const char* role = role::data) {
    Type t{e, {}};
    for (int64_t s : sizes) t.dims.push_back({s, {}});
    return input(b, name, role, t);
  }
  Expr zeros(const std::vector<int64_t>& sizes, Element e = Element::F64) { return broadcast(constant(b, 0, {e, {}}), {}, sizes); }
  void out(const char* name, Expr x) { graph.outputs.push_back({name, OutputKind::Value, x.id}); }
  void update(const char* name, Expr x) { graph.outputs.push_back({name, OutputKind::Update, x.id}); }
};

Expr matmul(Expr x, Expr w) { return contract(x, w, {0, 1}, {1, 2}, {0, 2}); }

// h = tanh(x + h W), with what is asked for emitted.
void recurrent(Draft& d, bool reverse, bool before, bool after, bool last, bool as_output) {
  Expr x = d.in("x", {5, 3, 7}, Element::F32), w = d.in("w", {7, 7}, Element::F32, role::parameter);
  ScanBuilder s(d.b, {.length = 5, .reverse = reverse});
  Expr h = s.carry(d.zeros({3, 7}, Element::F32), "h"), x_t = s.element(x, "x_t");
  Expr next = tanh(x_t + matmul(h, s.inside(w)));
  s.next(h, next);
  if (before) s.emit(h, "h_before");
  if (after) s.emit(next, "h_after");
  ScanResults r = s.finish();
  auto give = [&](const char* name, Expr v) { d.out(name, as_output ? v : v * 2.0 + 1.0); };
  size_t e = 0;
  if (before) give("before", r.emissions[e++]);
  if (after) give("after", r.emissions[e++]);
  if (last) give("last", r.carries[0]);
}

// An LSTM's cell, large enough for register tiles; sequences come as [batch, time, features].
void lstm(Draft& d) {
  const int64_t batch = 9, steps = 6, n = 24;
  Expr x = transpose(d.in("x", {batch, steps, 4 * n}, Element::F32), {1, 0, 2}), w = d.in("w", {n, 4 * n}, Element::F32, role::parameter);
  Expr h0 = d.in("h0", {batch, n}, Element::F32);
  ScanBuilder s(d.b, {.length = steps});
  Expr h = s.carry(h0 * 0.5, "h"), c = s.carry(d.zeros({batch, n}, Element::F32), "c");
  Expr z = s.element(x, "z") + matmul(h, s.inside(w));
  auto gate = [&](int64_t k) { return slice(z, {0, k * n}, {batch, (k + 1) * n}); };
  Expr c2 = sigmoid(gate(1)) * c + sigmoid(gate(0)) * tanh(gate(2));
  Expr h2 = sigmoid(gate(3)) * tanh(c2);
  s.next(h, h2);
  s.next(c, c2);
  s.emit(h2, "hs");
  s.emit(z, "zs");
  ScanResults r = s.finish();
  d.out("loss", reduce_sum(r.emissions[0] * r.emissions[0], {0, 1, 2}));
  d.out("dw", contract(r.emissions[0], r.emissions[1], {0, 1, 2}, {0, 1, 3}, {2, 3}));
  d.out("c", r.carries[1]);
}

// Weights that are used as they are and transposed, with columns that fill no whole number of panels: each is brought into panels once.
void weights(Draft& d) {
  const int64_t m = 6, n = 52;
  Expr x = d.in("x", {5, m, n}, Element::F32), w = d.in("w", {n, n}, Element::F32, role::parameter);
  ScanBuilder s(d.b, {.length = 5});
  Expr h = s.carry(d.zeros({m, n}, Element::F32), "h"), u = s.inside(w);
  Expr up = matmul(h, u) * 0.01 + s.element(x);
  Expr next = contract(tanh(up), u, {0, 1}, {2, 1}, {0, 2}) * 0.01 + matmul(up, u) * 0.01;
  s.next(h, next);
  s.emit(next);
  ScanResults r = s.finish();
  d.out("hs", r.emissions[0]);
}

// Running sums: each element is added where it lies, so one place does. The initial value is an input.
void running_sum(Draft& d) {
  Expr x = d.in("x", {4, 6}), start = d.in("start", {6});
  ScanBuilder s(d.b, {.length = 4});
  Expr sum = s.carry(start, "sum"), x_t = s.element(x);
  s.next(sum, sum + x_t);
  s.emit(sum * x_t);
  ScanResults r = s.finish();
  d.out("sum", r.carries[0]);
  d.out("products", r.emissions[0]);
}

// Carries that trade places, one that stays, one that counts.
void trading(Draft& d) {
  Expr a0 = d.in("a", {5}), b0 = d.in("b", {5}), x = d.in("x", {3, 5});
  ScanBuilder s(d.b, {.length = 3});
  Expr a = s.carry(a0, "a"), b = s.carry(b0, "b"), still = s.carry(a0 + b0, "still"), count = s.carry(d.zeros({}), "count");
  Expr x_t = s.element(x);
  s.next(a, b);
  s.next(b, a);
  s.next(still, still);
  s.next(count, count + 1.0);
  s.emit(a + broadcast(count, {}, {5}) * still);
  s.emit(x_t);
  s.emit(a);
  ScanResults r = s.finish();
  for (size_t i = 0; i < 4; ++i) d.out(("carry" + std::to_string(i)).c_str(), r.carries[i]);
  for (size_t i = 0; i < 3; ++i) d.out(("emission" + std::to_string(i)).c_str(), r.emissions[i]);
}

// Sequences and constants seen through views: reversed, strided, time in the middle and innermost, repeated rows, parts of others.
void views(Draft& d, bool reverse_scan) {
  Expr x = d.in("x", {6, 4, 5}), y = d.in("y", {5, 4}), v = d.in("v", {4}), table = d.in("table", {3, 4, 5});
  ScanBuilder s(d.b, {.length = 4, .reverse = reverse_scan});
  Expr sum = s.carry(d.zeros({5}), "sum");
  Expr middle = s.element(transpose(slice(x, {1, 0, 0}, {4, 4, 5}), {1, 0, 2}), "middle");  // [4, 3, 5]
  Expr backwards = s.element(reverse(slice(x, {0, 0, 0}, {4, 1, 5}), {0}), "backwards");    // [4, 1, 5]
  Expr innermost = s.element(transpose(y, {1, 0}), "innermost");                              // [4, 5]
  Expr scalar = s.element(v, "scalar");
  Expr strided = s.element(slice(transpose(x, {1, 0, 2}), {0, 0, 0}, {4, 6, 5}, {1, 3, 2}), "strided");  // [4, 2, 3]
  Expr same = s.element(broadcast(v, {1}, {4, 4}), "same");
  Expr part = s.inside(slice(table, {1, 0, 0}, {2, 4, 5}));
  Expr turned = s.inside(transpose(y, {1, 0}));
  Expr row = reduce_sum(middle, {0}) + reshape(backwards, {5}) * innermost + broadcast(scalar * reduce_sum(same, {0}), {}, {5});
  Expr next = sum * 0.5 + row + reduce_sum(reshape(part, {4, 5}) * turned, {0});
  s.next(sum, next);
  s.emit(next);
  s.emit(strided * broadcast(scalar, {}, {2, 3}));
  ScanResults r = s.finish();
  d.out("sums", r.emissions[0] + 1.0);
  d.out("strided", r.emissions[1]);
}

// For each row a loop over its columns, which starts from what the row before left; the inner one takes parts of what the outer one reads.
void nested(Draft& d, bool reverse) {
  Expr x = d.in("x", {3, 4, 6}), w = d.in("w", {6, 6}, Element::F64, role::parameter);
  ScanBuilder outer(d.b, {.length = 3, .reverse = reverse});
  Expr h = outer.carry(d.zeros({6}), "h"), row = outer.element(x, "row");
  Expr shift = tanh(h);
  ScanBuilder inner(outer.body(), {.length = 4, .reverse = !reverse}, &outer);
  Expr g = inner.carry(h * 0.5, "g"), cell = inner.element(row, "cell");
  Expr product = reduce_sum(inner.inside(w) * broadcast(g, {1}, {6, 6}), {1});
  Expr next = sin(product * 0.1 + cell + inner.inside(shift));  // weak coupling: rounding stays small
  inner.next(g, next);
  inner.emit(next, "gs");
  inner.emit(g, "gs_before");
  ScanResults r = inner.finish();
  outer.next(h, r.carries[0] + reduce_sum(r.emissions[1], {0}));
  outer.emit(r.emissions[0], "rows");
  outer.emit(h, "hs");
  ScanResults o = outer.finish();
  d.out("rows", o.emissions[0]);
  d.out("hs", o.emissions[1] * 2.0);
  d.out("last", o.carries[0]);
}

// The whole of what an inner scan emits is carried on; what it reads is a view of what the outer one reads.
void nested_views(Draft& d) {
  Expr x = d.in("x", {4, 3, 5});
  ScanBuilder outer(d.b, {.length = 3});
  Expr history = outer.carry(d.zeros({4, 5}), "history"), plane = outer.element(transpose(x, {1, 0, 2}), "plane");  // [4, 5], rows apart
  ScanBuilder inner(outer.body(), {.length = 4}, &outer);
  Expr sum = inner.carry(broadcast(constant(outer.body(), 0, {Element::F64, {}}), {}, {5}), "sum");
  Expr line = inner.element(plane, "line"), old = inner.element(reverse(history, {0}), "old");
  inner.next(sum, sum + line);
  inner.emit(sum * 0.5 + old);
  ScanResults r = inner.finish();
  outer.next(history, r.emissions[0]);
  outer.emit(r.carries[0]);
  ScanResults o = outer.finish();
  d.out("history", o.carries[0]);
  d.out("sums", o.emissions[0]);
}

// An initial value that others read, one that two carries begin with, and one that is computed for the scan alone; then a second scan
// from where the first ends.
void initial_values(Draft& d) {
  Expr a = d.in("a", {8}), x = d.in("x", {4, 8});
  Expr shared = exp(a) * 0.1, own = tanh(a * a);
  auto run = [&](Expr first, Expr second, Expr third, bool keep) {
    ScanBuilder s(d.b, {.length = 4});
    Expr u = s.carry(first, "u"), v = s.carry(second, "v"), w = s.carry(third, "w"), x_t = s.element(x);
    s.next(u, v + x_t);
    s.next(v, u * 0.5);
    s.next(w, w * x_t + u);
    if (keep) s.emit(u);
    s.emit(w * u);
    return s.finish();
  };
  ScanResults one = run(shared, shared, own, true);
  ScanResults two = run(one.carries[0], one.carries[1], one.carries[2], false);
  d.out("shared", shared + 1.0);
  d.out("us", one.emissions[0] + 1.0);
  d.out("first", one.emissions[1]);
  d.out("second", two.emissions[0]);
  d.out("end", two.carries[2]);
}

// States are updated by where the scan ends, and with what it has read them for.
void states(Draft& d) {
  Expr h = d.in("h", {2, 5}, Element::F64, role::state), w = d.in("w", {5}, Element::F64, role::parameter), x = d.in("x", {6, 2, 5});
  ScanBuilder s(d.b, {.length = 6});
  Expr c = s.carry(h, "c"), x_t = s.element(x);
  Expr next = tanh(c * broadcast(s.inside(w), {1}, {2, 5}) + x_t);
  s.next(c, next);
  s.emit(next);
  ScanResults r = s.finish();
  d.update("h", r.carries[0]);
  d.update("w", w - reduce_sum(r.emissions[0], {0, 1}) * 0.01);
  d.out("all", r.emissions[0]);
}

// What is neither a product nor point-wise: rows by index, sums of blocks, arg-maxima, integers and truth values carried.
void mixed(Draft& d) {
  Expr table = d.in("table", {7, 4}), picks = d.in("picks", {5, 3}, Element::Int);
  ScanBuilder s(d.b, {.length = 5});
  Expr best = s.carry(d.zeros({3}, Element::Int), "best"), seen = s.carry(broadcast(constant(d.b, 0, {Element::Bool, {}}), {}, {3}), "seen");
  Expr total = s.carry(d.zeros({7, 4}), "total"), pick = s.element(picks, "pick");
  Expr rows = gather(s.inside(table), pick, 0);
  Expr top = argmax(rows, 1);
  s.next(best, max(best, top));
  s.next(seen, logical_or(seen, eq(top, best)));
  s.next(total, total + scatter_add(pick, rows, 0, 7));
  s.emit(top);
  s.emit(seen);
  ScanResults r = s.finish();
  d.out("best", r.carries[0]);
  d.out("seen", r.emissions[1]);
  d.out("total", r.carries[2]);
  d.out("tops", r.emissions[0]);
}

// Sums so large that blocks leave partial results, and rows wide enough for several blocks: what each trip needs for itself.
void large(Draft& d) {
  Expr x = d.in("x", {3, 40000}, Element::F32), m = d.in("m", {600, 300}, Element::F32);
  ScanBuilder s(d.b, {.length = 3});
  Expr scale = s.carry(d.zeros({}, Element::F32), "scale"), x_t = s.element(x), inside = s.inside(m);
  Expr mean = reduce_sum(x_t, {0}) * 2.5e-5;
  Expr columns = reduce_sum(inside * broadcast(scale, {}, {600, 300}), {0});
  s.next(scale, tanh(scale + mean));
  s.emit(columns);
  s.emit(x_t * broadcast(mean, {}, {40000}));
  ScanResults r = s.finish();
  d.out("columns", r.emissions[0]);
  d.out("scaled", reduce_max(r.emissions[1], {1}));
}

// One step only, and a scan that only reads.
void short_ones(Draft& d) {
  Expr x = d.in("x", {1, 5}), y = d.in("y", {3, 5});
  ScanBuilder one(d.b, {.length = 1});
  Expr h = one.carry(d.zeros({5}), "h");
  Expr next = h + one.element(x);
  one.next(h, next);
  one.emit(next);
  ScanResults a = one.finish();
  ScanBuilder map(d.b, {.length = 3});
  map.emit(reduce_sum(map.element(y), {0}));
  ScanResults b = map.finish();
  d.out("one", a.carries[0]);
  d.out("all", a.emissions[0] * 3.0);
  d.out("sums", b.emissions[0]);
}

template <class Build>
void add(std::vector<NamedGraph>& out, const std::string& name, Build build) {
  Draft d;
  d.graph.name = name;
  build(d);
  out.push_back({name, std::move(d.graph)});
}

}  // namespace

std::vector<NamedGraph> scan_graphs() {
  std::vector<NamedGraph> out;
  for (bool reverse : {false, true}) {
    const std::string direction = reverse ? ", in reverse" : "";
    add(out, "emits after" + direction, [&](Draft& d) { recurrent(d, reverse, false, true, false, false); });
    add(out, "emits before" + direction, [&](Draft& d) { recurrent(d, reverse, true, false, true, false); });
    add(out, "emits both" + direction, [&](Draft& d) { recurrent(d, reverse, true, true, true, false); });
    add(out, "gives all" + direction, [&](Draft& d) { recurrent(d, reverse, true, true, true, true); });
    add(out, "last only" + direction, [&](Draft& d) { recurrent(d, reverse, false, false, true, true); });
    add(out, "views" + direction, [&](Draft& d) { views(d, reverse); });
    add(out, "nested" + direction, [&](Draft& d) { nested(d, reverse); });
  }
  add(out, "lstm", lstm);
  add(out, "weights", weights);
  add(out, "running sum", running_sum);
  add(out, "trading places", trading);
  add(out, "nested views", nested_views);
  add(out, "initial values", initial_values);
  add(out, "states", states);
  add(out, "mixed", mixed);
  add(out, "large", large);
  add(out, "short", short_ones);
  return out;
}

Graph scan_graph(const std::string& name) {
  for (NamedGraph& g : scan_graphs()) {
    if (g.name == name) return std::move(g.graph);
  }
  throw std::runtime_error("no scan graph is called " + name);
}

}  // namespace gradc::test
