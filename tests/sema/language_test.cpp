// Rules of the language: paths, sharing, loops, weak numbers, broadcasting, derivatives, notation, optimisers.
#include <cmath>

#include <catch2/catch.hpp>

#include "compiler/ops/ops.h"
#include "tests/sema/elaborated.h"

using namespace gradc;
using namespace gradc::test;

namespace {

Elaborated compiled(const std::string& text, ElaborateRequest request = f64_request({{"N", 2}})) {
  Elaborated e(text, std::move(request));
  INFO(e.messages());
  REQUIRE(e.result);
  CHECK(verify(e.graph(), true) == std::vector<std::string>{});
  return e;
}

std::vector<double> values(const std::map<Symbol, Tensor>& all, const char* name) {
  std::vector<double> out;
  for (int64_t i = 0; i < all.at(name).type.count(); ++i) out.push_back(all.at(name).at(i));
  return out;
}

// One model of a fixed input x = [[1, 2, 3], [4, 5, 6]] and what it calls `out`.
std::vector<double> out_of(const std::string& body, const std::string& pre = "") {
  ElaborateRequest r = f64_request({{"N", 2}});
  r.outputs = {"out"};
  Elaborated e = compiled("use nn\n" + pre + "\nmodel m(x: [N, 3]) {\n" + body + "\n}\n", r);
  return values(e.evaluate({{"x", tensor_of(Element::F64, {2, 3}, {1, 2, 3, 4, 5, 6})}}), "out");
}

using List = std::vector<double>;

}  // namespace

TEST_CASE("paths of layers: binding, further layers, loops, layers inside layers") {
  Elaborated e = compiled(R"(
use nn
layer Block(width)(x: [..., n]) {
    a = x |> Dense(width) |> relu |> Dense(width, bias = false)
    return x + (a |> Dense(n))
}
model m(x: [N, 3]) {
    y = x |> Dense(4) |> LayerNorm()
    for i in 0..2 {
        for j in 0..1 { y = y |> Block(2) }
    }
    net = Sequential(Dense(2), tanh, Dense(1))
    loss = mean(net(y))
}
)");
  std::vector<std::string> paths;
  for (const ParameterInfo& p : e.result->parameters) paths.push_back(p.path.str());
  CHECK(paths == std::vector<std::string>{"y.W", "y.b", "y.1.gamma", "y.1.beta", "y[0][0].a.W", "y[0][0].a.b", "y[0][0].a.1.W", "y[0][0].out.W", "y[0][0].out.b",
                                          "y[1][0].a.W", "y[1][0].a.b", "y[1][0].a.1.W", "y[1][0].out.W", "y[1][0].out.b", "net.0.W", "net.0.b", "net.2.W", "net.2.b"});
  CHECK(e.has_node("y[1][0].a"));
}

TEST_CASE("a bound layer shares its parameters; an unbound one does not") {
  Elaborated shared = compiled("use nn\nmodel m(x: [N, 3]) {\n enc = Dense(3)\n loss = mean(enc(enc(x)))\n}\n");
  CHECK(shared.parameters() == std::vector<std::string>{"enc.W f64[n=3, units=3]", "enc.b f64[units=3]"});
  Elaborated twice = compiled("use nn\nmodel m(x: [N, 3]) {\n loss = mean(x |> Dense(3) |> Dense(3))\n}\n");
  CHECK(twice.parameters().size() == 4);
}

TEST_CASE("numbers are weak: computed in f64, rounded where they meet a tensor") {
  ElaborateRequest f32;
  f32.update = true;
  f32.dims = {{"N", 2}};
  Elaborated e = compiled("model m(x: [N]) {\n param w: [] = 2\n loss = mean(w * x)\n}\ntrain m {\n optimizer = adam(lr = 0.5)\n}\n", f32);
  CHECK(e.output("loss").type.element == Element::F32);
  Tensor x = tensor_of(Element::F32, {2}, {1, 3});
  auto after = e.evaluate({{"x", x}}, 1, 1000);
  float m = static_cast<float>(0.1f * 2.0f), v = static_cast<float>(0.001f * 2.0f * 2.0f);
  double c1 = 1 - std::pow(0.9, 1000), c2 = 1 - std::pow(0.999, 1000);
  float expected = 2.0f - float(0.5 / c1) * m / (std::sqrt(v) / float(std::sqrt(c2)) + 1e-8f);
  CHECK(after.at("w").at(0) == Approx(expected).epsilon(3e-7));
  CHECK(after.at("w.adam.m").type.element == Element::F32);
  // 1 - beta ** t stays in f64 up to its cast.
  bool weak_pow = false;
  for (size_t i = 0; i < e.graph().size(); ++i) weak_pow = weak_pow || (e.graph()[NodeId(i)].op == &op<ops::Pow>() && e.graph()[NodeId(i)].type.element == Element::F64);
  CHECK(weak_pow);
}

TEST_CASE("arithmetic, reductions and shapes") {
  CHECK(out_of("out = x * [1, 10, 100] + [[1], [2]]") == List{2, 21, 301, 6, 52, 602});
  CHECK(out_of("out = mean(x, axis = N)") == List{2.5, 3.5, 4.5});
  CHECK(out_of("out = sum(x, all but -1)") == List{5, 7, 9});
  CHECK(out_of("out = max(x, axis = 1) - min(x)") == List{2, 5});
  CHECK(out_of("out = max(x, 3)") == List{3, 3, 3, 4, 5, 6});
  CHECK(out_of("out = variance(x, axis = -1)") == List{2.0 / 3, 2.0 / 3});
  CHECK(out_of("out = mean(argmax(x) == 2)") == List{1});
  CHECK(out_of("out = transpose(x)[1..]") == List{2, 5, 3, 6});
  CHECK(out_of("out = x[-1, 0..2]") == List{4, 5});
  CHECK(out_of("a, b, c = unstack(x, axis = 1)\n out = concat(c, a, axis = 0)") == List{3, 6, 1, 4});
  CHECK(out_of("out = pick(x, int([2, 0]))") == List{3, 4});
  CHECK(out_of("out = gather(x, int([1, 1]))[0]") == List{4, 5, 6});
  CHECK(out_of("out = one_hot(int([0, 2]), 3)") == List{1, 0, 0, 0, 0, 1});
  CHECK(out_of("out = where(x > 3, x, 0)") == List{0, 0, 0, 4, 5, 6});
  CHECK(out_of("out = 1.0 * int(x / 2)") == List{0, 1, 1, 2, 2, 3});
  CHECK(out_of("out = float(causal(2))") == List{1, 0, 1, 1});
  CHECK(out_of("out = x |> flatten |> reshape([-1]) |> sum") == List{21});
  CHECK(out_of("out = pad(x[0], [1], [0])") == List{0, 1, 2, 3});
}

TEST_CASE("products: matrices, vectors, batches") {
  CHECK(out_of("out = x @ [1, 0, -1]") == List{-2, -2});
  CHECK(out_of("out = x @ transpose(x)") == List{14, 32, 32, 77});
  CHECK(out_of("a = reshape(x, [2, 1, 3])\n out = a @ reshape(x, [2, 3, 1])") == List{14, 77});
}

TEST_CASE("index notation") {
  CHECK(out_of("out[j, i] = x[i, j]") == List{1, 4, 2, 5, 3, 6});
  CHECK(out_of("out[i, k] = sum[j](x[i, j] * x[k, j])") == List{14, 32, 32, 77});
  CHECK(out_of("out[j] = max[i](x[i, j] * 2) + 1") == List{9, 11, 13});
  CHECK(out_of("b = [10, 20]\n out[j] = sum[i](x[i, j] * b[i]) / 10") == List{9, 12, 15});
}

TEST_CASE("static choices and loops; functions and schedules") {
  CHECK(out_of("out = if N == 2 and 3 > 2 { sum(x) } else { x @ x }") == List{21});
  CHECK(out_of("y = x\n for i in 1..3 { y = y * i }\n out = y[0]") == List{2, 4, 6});
  CHECK(out_of("fn scaled(a, by = 2) = a * by\n out = x[0] |> scaled(by = 3) |> scaled") == List{6, 12, 18});
  CHECK(out_of("out = 0 * sum(x) + rate(3)", "fn rate(t) = 10 ** -t") == List{1e-3});
}

TEST_CASE("derivatives nest, and are by anything in scope") {
  ElaborateRequest r = f64_request({{"N", 2}});
  r.outputs = {"third", "grad(loss, h)", "grad(loss, net.W)"};
  Elaborated e = compiled(R"(
use nn
model m(x: [N, 1]) {
    cube   = sum(x ** 3)
    first  = grad(cube, x)
    second = grad(sum(first), x)
    third  = grad(sum(second), x)
    net    = Dense(1)
    h      = net(x)
    loss   = sum(h * h)
}
)",
                          r);
  std::map<Symbol, Tensor> in = {{"x", tensor_of(Element::F64, {2, 1}, {1, 2})}, {"net.W", tensor_of(Element::F64, {1, 1}, {3})}};
  auto v = e.evaluate(in);
  CHECK(values(v, "third") == List{6, 6});
  CHECK(values(v, "grad(loss, h)") == List{6, 12});
  CHECK(values(v, "grad(loss, net.W)") == List{30});
}

TEST_CASE("where: no NaN from the branch not taken, also through a named value") {
  ElaborateRequest r = f64_request({{"N", 2}});
  r.outputs = {"grad(loss, x)", "grad(loss, root)"};
  Elaborated e = compiled("model m(x: [N]) {\n root = sqrt(x)\n loss = sum(where(x > 0, log(root), x))\n}\n", r);
  auto v = e.evaluate({{"x", tensor_of(Element::F64, {2}, {0, 4})}});
  CHECK(values(v, "grad(loss, x)") == List{1, 0.125});
  CHECK(values(v, "grad(loss, root)") == List{0, 0.5});
}

TEST_CASE("batch normalisation: statistics in training, running ones otherwise") {
  std::string text = "use nn\nmodel m(x: [N, 1]) {\n y = x |> BatchNorm(momentum = 0.5, eps = 0)\n loss = sum(y)\n}\n";
  std::map<Symbol, Tensor> in = {{"x", tensor_of(Element::F64, {2, 1}, {1, 5})}};
  ElaborateRequest training = f64_request({{"N", 2}});
  training.update = true;
  training.outputs = {"y"};
  auto v = compiled(text, training).evaluate(in);
  CHECK(values(v, "y") == List{-1, 1});
  CHECK(values(v, "y.running_mean") == List{1.5});
  CHECK(values(v, "y.running_var") == List{0.5 + 0.5 * 8});
  ElaborateRequest evaluation = f64_request({{"N", 2}});
  evaluation.training = false;
  evaluation.outputs = {"y"};
  CHECK(values(compiled(text, evaluation).evaluate(in), "y") == List{1, 5});
}

TEST_CASE("random sites: two dropouts differ, other code does not move them") {
  auto sites = [](const std::string& extra) {
    Elaborated e = compiled("use nn\nmodel m(x: [N, 64]) {\n" + extra + " a = x |> Dropout(0.5)\n b = x |> Dropout(0.5) |> Dropout(0.5)\n loss = mean(a + b)\n}\n");
    std::vector<int64_t> out;
    for (size_t i = 0; i < e.graph().size(); ++i) {
      const Node& n = e.graph()[NodeId(i)];
      if (n.op->kind == OpKind::Random) out.push_back(n.attrs.integer("site"));
    }
    return out;
  };
  std::vector<int64_t> plain = sites("");
  REQUIRE(plain.size() == 3);
  CHECK(plain[0] != plain[1]);
  CHECK(plain[1] != plain[2]);
  std::vector<int64_t> more = sites(" c = x |> Dropout(0.1)\n");
  REQUIRE(more.size() == 4);
  CHECK(std::vector<int64_t>(more.begin() + 1, more.end()) == plain);
}

TEST_CASE("initial values: fans, lists, spread of normals") {
  Elaborated e = compiled(R"(
model m(x: [N, 50]) {
    param u: [50, 30] = glorot_uniform()
    param n: [50, 40] = he_normal()
    param k: [2, 2]   = [[1, 2], [3, 4]]
    loss = mean(x @ u) + mean(x @ n) + sum(k)
}
)");
  std::map<Symbol, Tensor> seed = {{"seed", tensor_of(Element::Int, {}, {7})}};
  auto init = evaluate(e.result->init, seed);
  CHECK(values(init, "k") == List{1, 2, 3, 4});
  double limit = std::sqrt(6.0 / 80), low = 1, high = -1, square = 0;
  for (double v : values(init, "u")) low = std::min(low, v), high = std::max(high, v);
  CHECK(low >= -limit);
  CHECK(high <= limit);
  CHECK(high - low > 1.9 * limit);
  for (double v : values(init, "n")) square += v * v / 2000;
  CHECK(square == Approx(2.0 / 50).epsilon(0.15));
}

TEST_CASE("optimisers follow their definitions") {
  auto step = [](const std::string& optimizer, double t = 1) {
    ElaborateRequest r = f64_request({{"N", 1}});
    r.update = true;
    Elaborated e = compiled("model m(x: [N]) {\n param w: [] = 2\n param v: [] = 1\n loss = sum(w * x) + 4 * v\n}\ntrain m {\n steps = 10\n optimizer = " + optimizer + "\n}\n", r);
    return e.evaluate({{"x", tensor_of(Element::F64, {1}, {3})}}, 1, t).at("w").at(0);  // the gradient by w is 3, by v 4
  };
  CHECK(step("gradient_descent(lr = 0.1)") == Approx(2 - 0.3));
  CHECK(step("sgd(lr = 0.1, momentum = 0.9, weight_decay = 0.5)") == Approx(2 - 0.1 * (3 + 1)));
  CHECK(step("sgd(lr = 0.1, weight_decay = 0.5, except = [\"w\"])") == Approx(2 - 0.3));
  CHECK(step("nesterov(lr = 0.1, momentum = 0.9)") == Approx(2 - 0.1 * (3 + 0.9 * 3)));
  CHECK(step("adam(lr = 0.1)") == Approx(2 - 0.1 * 3 / (3 + 1e-8)));
  CHECK(step("adamw(lr = 0.1, weight_decay = 0.5)") == Approx(2 * (1 - 0.05) - 0.1));
  CHECK(step("rmsprop(lr = 0.1, alpha = 0.75)") == Approx(2 - 0.1 * 3 / (0.5 * 3)));
  CHECK(step("adagrad(lr = 0.1)") == Approx(2 - 0.1));
  CHECK(step("lion(lr = 0.1)") == Approx(2 - 0.1));
  CHECK(step("clip_global_norm(1.0) |> gradient_descent(lr = 1)") == Approx(2 - 3.0 / (5 + 1e-6)));
  CHECK(step("clip_value(0.5) |> gradient_descent(lr = 1)") == Approx(1.5));
  CHECK(step("gradient_descent(lr = cosine(1))", 6) == Approx(2 - 3 * 0.5));
  CHECK(step("gradient_descent(lr = warmup_cosine(1, warmup = 4))", 2) == Approx(2 - 3 * 0.5));
  CHECK(step("gradient_descent(lr = step_decay(1, every = 2))", 3) == Approx(2 - 0.3));
}

TEST_CASE("several losses, each with its parameters") {
  ElaborateRequest r = f64_request({{"N", 2}});
  r.update = true;
  Elaborated e = compiled(R"(
model m(x: [N]) {
    param a: [] = 1
    param b: [] = 1
    first  = sum(a * x) + b
    second = sum(b * x) + a
}
train m {
    minimize first  over "a" with gradient_descent(lr = 1)
    minimize second over "b" with gradient_descent(lr = 1) every 2
}
)",
                          r);
  std::map<Symbol, Tensor> in = {{"x", tensor_of(Element::F64, {2}, {1, 2})}};
  CHECK(e.result->metrics == std::vector<Symbol>{"first", "second"});
  CHECK(e.evaluate(in, 1, 1).at("a").at(0) == -2);
  CHECK(e.evaluate(in, 1, 1).at("b").at(0) == 1);
  CHECK(e.evaluate(in, 1, 2).at("b").at(0) == -2);
}

TEST_CASE("settings override the train block and dimensions") {
  std::string text = "dim K = 3\nmodel m(x: [N, K]) {\n loss = mean(x)\n}\ntrain m {\n batch = 4\n}\n";
  Elaborated e(text, f64_request({{"N", 2}}), {{"train.batch", "8"}, {"train.steps", "2 * 5"}, {"K", "7"}});
  INFO(e.messages());
  REQUIRE(e.result);
  CHECK(e.program->train()->batch == 8);
  CHECK(e.program->train()->steps == 10);
  CHECK(to_string(e.result->inputs[0].type) == "f64[N=2, K=7]");
  Diagnostics d;
  CHECK(e.program->signature("m", d)[0].type.sizes() == std::vector<int64_t>{0, 7});
}

TEST_CASE("provenance leads from the library's line to the user's") {
  Elaborated e = compiled("use nn\nmodel m(x: [N, 3]) {\n h = x |> Dense(2) |> relu\n loss = mean(h)\n}\n");
  for (size_t i = 0; i < e.graph().size(); ++i) {
    const Node& n = e.graph()[NodeId(i)];
    if (n.name != Symbol("h")) continue;
    OriginId id = e.graph().provenance.get(n.provenance).origins.at(0);
    CHECK(e.sources.file(e.graph().provenance.origin(id).span.file).library);
    CHECK(e.sources.text(e.graph().provenance.user_span(id, e.sources)) == "relu");
  }
}

TEST_CASE("no model overflows the stack or grows without end") {
  std::string deep, wide = "fn w0(x) = x + x\n";
  for (int i = 0; i < 60; ++i) deep += fmt::format("fn f{}(x) = {}f{}(x){}\n", i, std::string(200, '('), i + 1, std::string(200, ')'));
  Elaborated a(deep + "fn f60(x) = x\nmodel m(x: [N]) {\n loss = mean(f0(x))\n}\n", f64_request({{"N", 2}}));
  CHECK(a.messages().find("error: calls are nested too deeply at") != std::string::npos);
  for (int i = 1; i < 60; ++i) wide += fmt::format("fn w{}(x) = w{}(x) + w{}(x)\n", i, i - 1, i - 1);
  Elaborated b(wide + "model m(x: [N]) {\n loss = mean(w50(x))\n}\n", f64_request({{"N", 2}}));
  CHECK(b.messages().find("error: the model is too large") != std::string::npos);
}
