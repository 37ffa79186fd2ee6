// Scans of the language against the same models with their loop unrolled by `for`: values, gradients, and what becomes of names,
// parameters, states and random numbers.
#include <cmath>
#include <set>

#include <catch2/catch.hpp>

#include "compiler/graph/scan.h"
#include "tests/sema/elaborated.h"

using namespace gradc;
using namespace gradc::test;

namespace {

using List = std::vector<double>;
using Tensors = std::map<Symbol, Tensor>;

Tensor wave(const std::vector<int64_t>& sizes, double phase) {
  int64_t count = 1;
  for (int64_t s : sizes) count *= s;
  List v;
  for (int64_t i = 0; i < count; ++i) v.push_back(0.8 * std::sin(1.7 * static_cast<double>(i * i % 101) + phase));
  return tensor_of(Element::F64, sizes, v);
}

List values(const Tensor& t) {
  List v;
  for (int64_t i = 0; i < t.type.count(); ++i) v.push_back(t.at(i));
  return v;
}

ElaborateRequest sized(std::vector<std::string> outputs, std::map<Symbol, int64_t> dims = {{"N", 2}, {"T", 5}}) {
  ElaborateRequest r = f64_request(std::move(dims));
  r.outputs = std::move(outputs);
  return r;
}

// A model that is well-formed, with nothing of its scans left outside of them.
Elaborated elaborated(const std::string& text, const ElaborateRequest& request) {
  Elaborated e(text, request);
  INFO(text << e.messages());
  REQUIRE(e.result);
  CHECK(e.messages() == "");
  CHECK(verify(e.graph(), true) == std::vector<std::string>{});
  CHECK(verify(e.result->init, true) == std::vector<std::string>{});
  return e;
}

Tensors outputs(const std::string& text, const ElaborateRequest& request, const Tensors& in) { return elaborated(text, request).evaluate(in); }

void check_near(const Tensor& a, const Tensor& b) {
  CHECK(a.type.sizes() == b.type.sizes());
  CHECK(a.type.element == b.type.element);
  REQUIRE(a.type.count() == b.type.count());
  for (int64_t i = 0; i < a.type.count(); ++i) CHECK(a.at(i) == Approx(b.at(i)).epsilon(1e-12).margin(1e-12));
}

// Two bodies of one model over the same inputs give the same outputs.
void check_same(const std::string& signature, const std::string& scanned, const std::string& unrolled, const std::vector<std::string>& names, const Tensors& in) {
  auto model = [&](const std::string& body) { return "use nn\nmodel m(" + signature + ") {\n" + body + "\n}\n"; };
  Tensors a = outputs(model(scanned), sized(names), in), b = outputs(model(unrolled), sized(names), in);
  for (const std::string& name : names) {
    INFO(scanned << "\n" << name);
    check_near(a.at(name), b.at(name));
  }
}

std::vector<const Node*> scans(const Graph& g) {
  std::vector<const Node*> out;
  for (size_t i = 0; i < g.size(); ++i) {
    const Node& n = g[NodeId(i)];
    if (n.op->kind != OpKind::Scan) continue;
    out.push_back(&n);
    std::vector<const Node*> inner = scans(*n.body);
    out.insert(out.end(), inner.begin(), inner.end());
  }
  return out;
}

const Tensors sequence = {{"x", wave({2, 5, 3}, 0.1)}, {"w", wave({3, 3}, 1.1)}, {"h0", wave({2, 3}, 0.4)}, {"m", wave({2, 5}, 0.8)}};
const std::string all_of_it = "x: [N, T, 3], w: [3, 3], h0: [N, 3], m: [N, T]";
const std::vector<std::string> with_gradients = {"loss", "grad(loss, x)", "grad(loss, w)", "grad(loss, h0)"};

}  // namespace

TEST_CASE("a scan has the values and gradients of its loop unrolled") {
  check_same(all_of_it, "hs, h = scan x_t in x along T with h = h0 { h = tanh(x_t + h @ w); emit h }\n loss = sum(hs[.., ..4] * hs[.., 1..]) + sum(h * h)",
             "h = h0\n e = 0\n for t in 0..5 { before = h; h = tanh(x[.., t] + h @ w); if t > 0 { e = e + sum(before * h) } }\n loss = e + sum(h * h)",
             with_gradients, sequence);
}

TEST_CASE("reversed: from the last element to the first, each emission at its own place") {
  check_same(all_of_it, "hs, h = scan x_t in x along T reversed with h = h0 { h = tanh(x_t + h @ w); emit h }\n loss = sum(hs * x) + sum(h)",
             "h = h0\n e = 0\n for t in 0..5 { h = tanh(x[.., 4 - t] + h @ w); e = e + sum(x[.., 4 - t] * h) }\n loss = e + sum(h)", with_gradients,
             sequence);
}

TEST_CASE("several sequences: tensors, ranges and lists") {
  check_same(all_of_it,
             "hs, h = scan k in 0..T, x_t in x, m_t in m, c in [1, 0.5, 2, 3, -1] along T with h = h0 { h = tanh(x_t * expand(m_t, 1) + c * h @ w) + k; emit h }\n"
             " loss = sum(hs * hs)",
             "h = h0\n c = [1, 0.5, 2, 3, -1]\n loss = 0\n for t in 0..5 { h = tanh(x[.., t] * expand(m[.., t], 1) + c[t] * h @ w) + t; loss = loss + sum(h * h) }",
             with_gradients, sequence);
  check_same(all_of_it, "h = scan k in 2..6 with h = h0 { h = sin(h * k + x[.., 0] @ w) }\n loss = sum(h)",
             "h = h0\n for k in 2..6 { h = sin(h * k + x[.., 0] @ w) }\n loss = sum(h)", with_gradients, sequence);
}

TEST_CASE("time is where it was, in what is emitted") {
  auto shape = [](const std::string& body) {
    Elaborated e = elaborated("model m(x: [N, T, 3], y: [4, 3, T]) {\n r = " + body + "\n loss = mean(r)\n}\n", sized({"r"}));
    return to_string(e.output("r").type);
  };
  CHECK(shape("scan u in x along T { emit u }") == "f64[N=2, T=5, 3]");
  CHECK(shape("scan u in x along 1 { emit u @ ones([3, 7]) }") == "f64[N=2, T=5, 7]");
  CHECK(shape("scan u in x along N { emit u }") == "f64[N=2, T=5, 3]");
  CHECK(shape("scan u in x along -1 { emit u }") == "f64[N=2, T=5, 3]");
  CHECK(shape("scan u in y along T { emit u }") == "f64[4, 3, T=5]");
  CHECK(shape("scan u in y along T { emit sum(u, axis = 1) }") == "f64[4, T=5]");
  CHECK(shape("scan u in y along T { emit sum(u) }") == "f64[T=5]");
  CHECK(shape("scan k in 0..T, u in x along 1 { emit u * k }") == "f64[N=2, T=5, 3]");
  CHECK(shape("scan k in 0..T { emit x[.., 0] * k }") == "f64[T=5, N=2, 3]");
}

TEST_CASE("what a scan gives: emissions, carries or both") {
  Tensors v = outputs(
      "model m(x: [N, T, 3]) {\n (a, b), (s, n) = scan u in x along T with s = zeros([N, 3]), n = int(zeros([])) { s = s + u; n = n + 1; emit s, u * 2 }\n"
      " only = scan u in x along T with s = zeros([N, 3]) { s = s + u; emit s }\n last = scan u in x along T with s = zeros([N, 3]) { s = s + u }\n"
      " c, d = scan u in x along T { emit u, -u }\n positive = scan u in x along T with any = false { any = any or max(u) > 0.79; emit any }\n}\n",
      sized({"a", "b", "s", "n", "only", "last", "c", "d", "positive"}), sequence);
  CHECK(values(v.at("a")) == values(v.at("only")));
  CHECK(values(v.at("s")) == values(v.at("last")));
  CHECK(values(v.at("n")) == List{5});
  CHECK(v.at("n").type.element == Element::Int);
  CHECK(values(v.at("c")) == values(sequence.at("x")));
  CHECK(v.at("d").at(7) == -sequence.at("x").at(7));
  CHECK(v.at("b").at(7) == 2 * sequence.at("x").at(7));
  CHECK(v.at("positive").type.element == Element::Bool);
  CHECK(v.at("positive").type.sizes() == std::vector<int64_t>{5});
}

TEST_CASE("no element, no emission, no carry: each may be missing") {
  check_same(all_of_it, "h = scan x_t in x along T with h = h0 { h = tanh(x_t + h @ w) }\n loss = sum(h * h)",
             "h = h0\n for t in 0..5 { h = tanh(x[.., t] + h @ w) }\n loss = sum(h * h)", with_gradients, sequence);
  check_same(all_of_it, "y = scan x_t in x along T { emit tanh(x_t @ w) * h0 }\n loss = sum(y * y)",
             "y = tanh(x @ w) * expand(h0, 1)\n loss = sum(y * y)", with_gradients, sequence);
}

TEST_CASE("second derivatives through a scan") {
  std::vector<std::string> second{"loss", "grad(loss, x)", "grad(loss, w)", "grad(loss, h0)"};
  check_same(all_of_it,
             "hs, h = scan x_t in x along T with h = h0 { h = tanh(x_t + h @ w); emit h }\n e = sum(hs * hs)\n loss = sum(grad(e, x) ** 2) + sum(grad(e, w) ** 2)",
             "h = h0\n e = 0\n for t in 0..5 { h = tanh(x[.., t] + h @ w); e = e + sum(h * h) }\n loss = sum(grad(e, x) ** 2) + sum(grad(e, w) ** 2)", second, sequence);
}

TEST_CASE("grad inside a body: descent in a loop, differentiated through") {
  check_same(all_of_it, "v = scan k in 0..4 with v = w { v = v - 0.1 * grad(sum((x[.., 0] @ v - h0) ** 2), v) }\n loss = sum(v ** 3)",
             "v = w\n for k in 0..4 { v = v - 0.1 * grad(sum((x[.., 0] @ v - h0) ** 2), v) }\n loss = sum(v ** 3)", with_gradients, sequence);
  check_same(all_of_it, "y = scan x_t in x along T { emit grad(sum(tanh(x_t @ w) * h0), x_t) }\n loss = sum(y * y)",
             "loss = 0\n for t in 0..5 { u = x[.., t]; loss = loss + sum(grad(sum(tanh(u @ w) * h0), u) ** 2) }", with_gradients, sequence);
}

TEST_CASE("grad inside a body sees what lies between, be it computed before the scan, in this scan or in one around it") {
  check_same(all_of_it, "u = sin(w)\n y = scan x_t in x along T { emit grad(sum(tanh(x_t @ u) * h0), w) }\n loss = sum(y * y)",
             "u = sin(w)\n loss = 0\n for t in 0..5 { loss = loss + sum(grad(sum(tanh(x[.., t] @ u) * h0), w) ** 2) }", with_gradients, sequence);
  check_same(all_of_it,
             "u = sin(w)\n loss = scan x_t in x along T with s = 0 {\n v = u * u\n s = scan k in 1..3 with s = s { s = s + sum(grad(sum(tanh(x_t @ v) * k), w) ** 2) }\n }",
             "u = sin(w)\n loss = 0\n for t in 0..5 { v = u * u; for k in 1..3 { loss = loss + sum(grad(sum(tanh(x[.., t] @ v) * k), w) ** 2) } }",
             {"loss", "grad(loss, x)", "grad(loss, w)"}, sequence);
}

TEST_CASE("a scan in a scan") {
  check_same(all_of_it,
             "hs, h = scan x_t in x along T with h = h0 {\n r, q = scan e in x_t, m_k in h0 along 1 with q = zeros([N]) { q = sin(q + e) * m_k; emit q * e }\n"
             " h = tanh(r + h @ w) + expand(q, 1)\n emit h\n }\n loss = sum(hs * hs)",
             "h = h0\n loss = 0\n for t in 0..5 {\n q = zeros([N])\n r = zeros([N, 1])\n for k in 0..3 { q = sin(q + x[.., t, k]) * h0[.., k]; r = concat(r, expand(q * x[.., t, k], 1)) }\n r = r[.., 1..]\n"
             " h = tanh(r + h @ w) + expand(q, 1)\n loss = loss + sum(h * h)\n }",
             with_gradients, {{"x", sequence.at("x")}, {"w", sequence.at("w")}, {"h0", sequence.at("h0")}, {"m", wave({2, 5}, 0.8)}});
}

TEST_CASE("recomputation changes no value and no derivative, and keeps fewer steps") {
  std::string front = "hs, h = scan x_t in x along T ", back = " with h = h0 { h = tanh(x_t + h @ w); emit h }\n loss = sum(hs * x) + sum(h * h)";
  for (const char* how : {"recompute", "recompute every 1", "recompute every 2", "recompute every 3", "recompute every 5", "recompute every 7", "reversed recompute every 2", "reversed recompute every 3"}) {
    std::string direction = std::string(how).rfind("reversed", 0) == 0 ? "reversed" : "";
    check_same(all_of_it, front + how + back, front + direction + back, with_gradients, sequence);
  }
  auto lengths = [&](const std::string& how) {
    Elaborated e = elaborated("model m(" + all_of_it + ") {\n" + front + how + back + "\n}\n", sized({"loss"}));
    std::vector<std::string> out;
    for (const Node* n : scans(e.graph())) out.push_back(fmt::format("{}{}", ScanLayout(*n).length, ScanLayout(*n).recompute ? " recompute" : ""));
    return out;
  };
  CHECK(lengths("recompute") == std::vector<std::string>{"5 recompute"});
  CHECK(lengths("recompute every 2") == std::vector<std::string>{"2 recompute", "2", "1"});
  CHECK(lengths("recompute every 5") == std::vector<std::string>{"5"});
}

TEST_CASE("layers in a body: parameters are made once, outside, under natural paths") {
  std::string text =
      "use nn\nlayer Cell(units)(x: [N, d], h: [N, k]) -> [N, units] {\n mixed = concat(x, h) |> Dense(units)\n return tanh(mixed)\n}\n"
      "layer Stack(units)(x: [N, T, d]) {\n hs, h = scan x_t in x along T with h = zeros([N, units]) { h = Cell(units)(x_t, h); emit h |> Dense(2) }\n return hs\n}\n"
      "model m(x: [N, T, 3]) {\n start = x[.., 0] |> Dense(4)\n y = x |> Stack(4)\n z, h = scan y_t in y along T with h = start |> Dense(4, bias = false) {\n"
      " a = y_t |> Dense(4)\n b = h |> Dense(4) |> tanh |> Dense(4)\n h = a + b\n emit h\n }\n"
      " for i in 0..2 { z = z |> Stack(3) }\n loss = sum(z * z)\n}\n";
  ElaborateRequest request = sized({});
  Elaborated e = elaborated(text, request);
  std::vector<std::string> expected = {"start.W f64[n=3, units=4]",   "start.b f64[units=4]",       "y.h.mixed.W f64[n=7, units=4]", "y.h.mixed.b f64[units=4]",
                                       "y.hs.W f64[n=4, units=2]",    "y.hs.b f64[units=2]",        "h.W f64[n=4, units=4]",         "a.W f64[n=2, units=4]",
                                       "a.b f64[units=4]",            "b.W f64[n=4, units=4]",      "b.b f64[units=4]",              "b.1.W f64[n=4, units=4]",
                                       "b.1.b f64[units=4]",          "z[0].h.mixed.W f64[n=7, units=3]", "z[0].h.mixed.b f64[units=3]", "z[0].hs.W f64[n=3, units=2]",
                                       "z[0].hs.b f64[units=2]",      "z[1].h.mixed.W f64[n=5, units=3]", "z[1].h.mixed.b f64[units=3]", "z[1].hs.W f64[n=3, units=2]",
                                       "z[1].hs.b f64[units=2]"};
  CHECK(e.parameters() == expected);
  for (const ParameterInfo& p : e.result->parameters) CHECK(p.used);
  // Captured where they are used: each is an operand of a scan.
  std::set<Symbol> captured;
  for (const Node* n : scans(e.graph())) {
    for (size_t i = 0; i < n->body->size(); ++i) captured.insert((*n->body)[NodeId(i)].name);
  }
  for (const char* path : {"a.W", "b.1.b", "y.h.mixed.W", "z[1].hs.b"}) CHECK(captured.count(path) == 1);
}

TEST_CASE("axes are found by the names of a layer's signature, whatever the caller calls them") {
  std::string layer = "layer Sum()(x: [N, T, d]) -> [N, T, d] {\n hs, s = scan u in x along T with s = zeros([N, d]) { s = s + u; emit s }\n return hs\n}\n";
  auto shape = [&](const std::string& model) {
    Elaborated e = elaborated(layer + model, sized({"y"}, {{"A", 4}, {"N", 2}, {"S", 2}}));
    return to_string(e.output("y").type);
  };
  CHECK(shape("model m(x: [A, 6, 3]) {\n y = x |> Sum()\n}\n") == "f64[A=4, T=6, d=3]");
  CHECK(shape("model m(x: [S, N, 3]) {\n y = x |> Sum()\n}\n") == "f64[S=2, N=2, d=3]");
  CHECK(shape("model m(x: [A, 24]) {\n y = reshape(x, [A, 8, 3]) |> Sum() |> Sum()\n}\n") == "f64[A=4, T=8, d=3]");
  CHECK(shape("dim T = 6\nmodel m(x: [A, 6, 3]) {\n y = x |> Sum()\n}\n") == "f64[A=4, T=6, d=3]");
}

TEST_CASE("random numbers in a body are drawn for all steps at once: other bits each step, the same in every run") {
  std::string text = "use nn\nmodel m(x: [N, T, 8]) {\n y = scan u in x along T { emit u |> Dropout(0.5) }\n"
                     " z = scan u in x along T { emit scan v in u along N { emit uniform(0, 1, shape = [8]) + 0 * v } }\n}\n";
  Tensors in = {{"x", tensor_of(Element::F64, {3, 4, 8}, List(96, 1.0))}};
  ElaborateRequest request = sized({"y", "z"}, {{"N", 3}, {"T", 4}});
  Elaborated e = elaborated(text, request);
  Tensors a = e.evaluate(in), b = e.evaluate(in), other = e.evaluate(in, 1, 2);
  CHECK(values(a.at("y")) == values(b.at("y")));
  CHECK(values(a.at("y")) != values(other.at("y")));
  std::set<List> steps;
  for (int64_t t = 0; t < 4; ++t) {
    List step;
    for (int64_t n = 0; n < 3; ++n)
      for (int64_t i = 0; i < 8; ++i) step.push_back(a.at("y").at((n * 4 + t) * 8 + i));
    for (double v : step) CHECK((v == 0 || v == 2));
    steps.insert(step);
  }
  CHECK(steps.size() == 4);
  List z = values(a.at("z"));
  CHECK(std::set<double>(z.begin(), z.end()).size() == 96);
  for (double v : z) CHECK((v >= 0 && v < 1));
  // Nothing in a body is random by itself.
  for (const Node* n : scans(e.graph())) {
    for (size_t i = 0; i < n->body->size(); ++i) CHECK((*n->body)[NodeId(i)].op->kind != OpKind::Random);
  }
  request.training = false;
  CHECK(values(elaborated(text, request).evaluate(in).at("y")) == values(in.at("x")));
}

TEST_CASE("a layer's state is carried from step to step, and out of the scan") {
  std::string text =
      "layer Count()(x) {\n state seen: [] = zeros()\n state latest: [N, 3] = ones()\n if training { update seen = seen + 1\n update latest = 0.5 * latest + x }\n return latest + seen\n}\n"
      "model m(x: [N, T, 3]) {\n dim N = 2\n count = Count()\n before = count(x[.., 0])\n"
      " hs, h = scan u in x along T with h = zeros([N, 3]) { inner = scan k in 0..2 { emit count(u) }; h = h + inner[1]; emit inner[0] }\n"
      " loss = mean(hs) + mean(h) + mean(before)\n}\n";
  size_t dim = text.find(" dim N = 2\n");
  text.erase(dim, 11);
  text = "dim N = 2\n" + text;
  std::string unrolled = text;
  size_t begin = unrolled.find(" hs, h = scan"), end = unrolled.find(" loss =");
  unrolled.replace(begin, end - begin, " h = zeros([N, 3])\n trace = zeros([N, 1, 3])\n for t in 0..5 { a = count(x[.., t]); b = count(x[.., t]); h = h + b; trace = concat(trace, expand(a, 1), axis = 1) }\n hs = trace[.., 1..]\n");
  ElaborateRequest request = sized({"hs", "h", "count.seen", "count.latest"});
  Tensors a = outputs(text, request, {{"x", sequence.at("x")}}), b = outputs(unrolled, request, {{"x", sequence.at("x")}});
  for (const std::string& name : request.outputs) {
    INFO(name);
    check_near(a.at(name), b.at(name));
  }
  CHECK(values(a.at("count.seen")) == List{11});
  // Not training, the states are constants of the body.
  request.training = false;
  Elaborated e = elaborated(text, request);
  for (const Node* n : scans(e.graph())) CHECK(ScanLayout(*n).carries == (n->body->outputs.size() == 2 ? 1 : 0));
  CHECK(values(e.evaluate({{"x", sequence.at("x")}}).at("count.seen")) == List{0});
}

TEST_CASE("indices that a body reads are limited like others") {
  Elaborated e = elaborated("use nn\nmodel m(token: int[N, T]) {\n hs, h = scan k in token along T with h = zeros([N, 4]) { h = tanh(h + (k |> Embedding(9, 4))); emit h }\n loss = sum(hs)\n}\n", sized({}));
  CHECK(e.result->inputs[0].index_limit == 9);
}

TEST_CASE("where in a body keeps its derivative free of NaN") {
  Tensors in = {{"x", tensor_of(Element::F64, {2, 5, 1}, {1, 0, 4, -1, 9, 0, 0, 1, 2, -3})}};
  Tensors v = outputs("model m(x: [N, T, 1]) {\n s = scan u in x along T with s = zeros([N, 1]) { s = s + where(u > 0, sqrt(u), 0) }\n loss = sum(s)\n}\n",
                      sized({"loss", "grad(loss, x)"}), in);
  CHECK(v.at("loss").at(0) == Approx(7 + std::sqrt(2.0)));
  List expected;
  for (double x : values(in.at("x"))) expected.push_back(x > 0 ? 0.5 / std::sqrt(x) : 0);
  CHECK(values(v.at("grad(loss, x)")) == expected);
}

TEST_CASE("scans in initial values and in optimisers") {
  std::string text =
      "layer Powers()(x) {\n param p: [5] = scan k in 0..5 with s = 0.5 { s = s * 2; emit s + 0 * k }\n return sum(p * x)\n}\n"
      "optimizer newton(lr = 1)(theta, g, t) {\n root = scan k in 0..30 with r = ones_like(g) { r = r - (r * r - g * g) / (2 * r) }\n return theta - lr(t) * root\n}\n"
      "model m(x: [N, 5]) {\n y = x |> Powers()\n loss = y\n}\ntrain m {\n optimizer = newton(lr = 1)\n steps = 1\n}\n";
  ElaborateRequest request = f64_request({{"N", 1}});
  request.update = true;
  Elaborated e = elaborated(text, request);
  Tensors in = {{"x", tensor_of(Element::F64, {1, 5}, {1, -1, 0.5, 2, -3})}};
  CHECK(e.evaluate(in).at("loss").at(0) == Approx(1 - 2 + 2 + 16 - 48));
  Tensors after = e.evaluate(in);
  List g = {1, 1, 0.5, 2, 3};
  for (int64_t i = 0; i < 5; ++i) CHECK(after.at("y.p").at(i) == Approx(std::pow(2, i) - g[static_cast<size_t>(i)]));
}
