// Convolution and pooling of the language against direct loops, their derivatives against differences.
#include <cmath>

#include <catch2/catch.hpp>

#include "compiler/rewrite/rewrite.h"
#include "tests/sema/elaborated.h"

using namespace gradc;
using namespace gradc::test;

namespace {

using List = std::vector<double>;

// A convolution over two axes of an image of 2 rows of the batch.
struct Spec {
  int64_t height, width, channels, units, kernel[2], stride = 1, dilation = 1, groups = 1;
  const char* padding = "\"valid\"";
  int64_t low[2] = {0, 0}, high[2] = {0, 0};  // what the padding means

  int64_t out(int a) const {
    return ((a == 0 ? height : width) + low[a] + high[a] - dilation * (kernel[a] - 1) - 1) / stride + 1;
  }
};

const std::vector<Spec> specs = {
    {5, 4, 2, 3, {3, 3}},
    {5, 4, 2, 3, {3, 2}, 1, 1, 1, "\"same\"", {1, 0}, {1, 1}},
    {6, 7, 1, 2, {3, 3}, 2, 1, 1, "1", {1, 1}, {1, 1}},
    {6, 7, 2, 2, {3, 3}, 2, 1, 1, "\"same\"", {0, 1}, {1, 1}},
    {7, 6, 2, 4, {2, 3}, 1, 2, 2, "[0, 2]", {0, 2}, {0, 2}},
    {4, 5, 4, 4, {3, 3}, 1, 1, 4, "1", {1, 1}, {1, 1}},
    {5, 5, 3, 2, {1, 1}, 2},
    {5, 6, 4, 2, {1, 3}, 3, 1, 2, "3", {3, 3}, {3, 3}},
    {1, 1, 2, 2, {3, 3}, 1, 1, 1, "1", {1, 1}, {1, 1}},
};

List direct(const Spec& s, const List& x, const List& w) {
  List y;
  int64_t each = s.channels / s.groups;
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t i = 0; i < s.out(0); ++i)
      for (int64_t j = 0; j < s.out(1); ++j)
        for (int64_t o = 0; o < s.units; ++o) {
          double sum = 0;
          int64_t first = o / (s.units / s.groups) * each;
          for (int64_t u = 0; u < s.kernel[0]; ++u)
            for (int64_t v = 0; v < s.kernel[1]; ++v)
              for (int64_t c = 0; c < each; ++c) {
                int64_t row = i * s.stride + u * s.dilation - s.low[0], column = j * s.stride + v * s.dilation - s.low[1];
                if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
                sum += x[static_cast<size_t>(((n * s.height + row) * s.width + column) * s.channels + first + c)] *
                       w[static_cast<size_t>(((u * s.kernel[1] + v) * each + c) * s.units + o)];
              }
          y.push_back(sum);
        }
  return y;
}

List wave(int64_t count, double phase) {
  List v;
  for (int64_t i = 0; i < count; ++i) v.push_back(std::sin(1.7 * static_cast<double>(i * i % 101) + phase));
  return v;
}
List values(const Tensor& t) {
  List v;
  for (int64_t i = 0; i < t.type.count(); ++i) v.push_back(t.at(i));
  return v;
}
void check_near(const List& a, const List& b, double bound = 1e-12) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == Approx(b[i]).margin(bound));
}

struct Model {
  Elaborated e;
  std::map<Symbol, Tensor> inputs;
  Model(const std::string& text, std::vector<Symbol> outputs, std::map<Symbol, Tensor> in) : e(text, request(std::move(outputs))), inputs(std::move(in)) {
    INFO(e.messages());
    REQUIRE(e.result);
  }
  static ElaborateRequest request(std::vector<Symbol> outputs) {
    ElaborateRequest r = f64_request({{"N", 2}});
    for (Symbol s : outputs) r.outputs.push_back(s.str());
    return r;
  }
  std::map<Symbol, Tensor> run() const { return e.evaluate(inputs); }
  double at(Symbol output, Symbol input, const List& direction, double by) const {
    auto moved = inputs;
    for (size_t i = 0; i < direction.size(); ++i) {
      auto k = static_cast<int64_t>(i);
      moved.at(input).set(k, moved.at(input).at(k) + by * direction[i]);
    }
    return e.evaluate(moved).at(output).at(0);
  }
  // The gradient of a scalar along a direction against a central difference.
  void check_slope(Symbol output, Symbol input, double bound = 1e-6) const {
    List direction = wave(inputs.at(input).type.count(), 0.3), g = values(run().at("grad(" + output.str() + ", " + input.str() + ")"));
    double along = 0;
    for (size_t i = 0; i < g.size(); ++i) along += g[i] * direction[i];
    double h = 1e-5, slope = (at(output, input, direction, h) - at(output, input, direction, -h)) / (2 * h);
    CHECK(along == Approx(slope).epsilon(bound).margin(bound));
  }
};

Model convolution(const Spec& s) {
  int64_t each = s.channels / s.groups;
  std::string text = fmt::format(
      "model m(x: [N, {}, {}, {}], w: [{}, {}, {}, {}]) {{\n y = conv(x, w, stride = {}, padding = {}, dilation = {}, groups = {})\n loss = sum(y * y * y)\n"
      " second = sum(grad(loss, x) ** 2) + sum(grad(loss, w) ** 2)\n}}\n",
      s.height, s.width, s.channels, s.kernel[0], s.kernel[1], each, s.units, s.stride, s.padding, s.dilation, s.groups);
  std::vector<int64_t> image{2, s.height, s.width, s.channels}, filter{s.kernel[0], s.kernel[1], each, s.units};
  return Model(text, {"y", "loss", "second", "grad(loss, x)", "grad(loss, w)", "grad(second, x)", "grad(second, w)"},
               {{"x", tensor_of(Element::F64, image, wave(2 * s.height * s.width * s.channels, 0.1))},
                {"w", tensor_of(Element::F64, filter, wave(s.kernel[0] * s.kernel[1] * each * s.units, 1.1))}});
}

}  // namespace

TEST_CASE("convolutions have the values of direct loops") {
  for (const Spec& s : specs) {
    INFO("case " << &s - specs.data());
    Model m = convolution(s);
    Tensor y = m.run().at("y");
    CHECK(y.type.sizes() == std::vector<int64_t>{2, s.out(0), s.out(1), s.units});
    check_near(values(y), direct(s, values(m.inputs.at("x")), values(m.inputs.at("w"))));
  }
}

TEST_CASE("convolutions: first and second derivatives are those of differences") {
  for (const Spec& s : specs) {
    INFO("case " << &s - specs.data());
    Model m = convolution(s);
    for (const char* input : {"x", "w"}) {
      m.check_slope("loss", input);
      m.check_slope("second", input, 1e-5);
    }
  }
}

TEST_CASE("the derivative by the image is one product over windows, none in memory") {
  for (const Spec& s : specs) {
    if (s.kernel[1] == 1) continue;
    INFO("case " << &s - specs.data());
    Model m = convolution(s);
    AutodiffResult expanded = expand_gradients(m.e.graph());
    RewriteStats stats;
    Graph after = optimize(expanded.graph, {}, &stats);
    auto before = evaluate(expanded.graph, m.inputs), now = evaluate(after, m.inputs);
    for (const auto& [name, value] : before) check_near(values(now.at(name)), values(value), 1e-9);
    auto applied = std::find_if(stats.applied.begin(), stats.applied.end(), [](const auto& a) { return std::string(a.rule) == "sum-skewed-contraction"; });
    CHECK(applied != stats.applied.end());
  }
}

TEST_CASE("one axis: a convolution of a sequence") {
  Model m("model m(x: [N, 4, 1], w: [3, 1, 1]) {\n y = conv(x, w, padding = \"same\")\n}\n", {"y"},
          {{"x", tensor_of(Element::F64, {2, 4, 1}, {1, 2, 3, 4, 0, 0, 1, 0})}, {"w", tensor_of(Element::F64, {3, 1, 1}, {1, 10, 100})}});
  CHECK(values(m.run().at("y")) == List{210, 321, 432, 43, 0, 100, 10, 1});
}

TEST_CASE("pools: windows side by side, overlapping and padded") {
  Tensor x = tensor_of(Element::F64, {2, 5, 1}, {3, 1, 4, 1, 5, -9, -2, -6, -5, -3});
  auto pooled = [&](const std::string& call) {
    Model m("use nn\nmodel m(x: [N, 5, 1]) {\n y = x |> " + call + "\n loss = sum(y * y)\n}\n", {"y", "loss", "grad(loss, x)"}, {{"x", x}});
    m.check_slope("loss", "x");
    return values(m.run().at("y"));
  };
  CHECK(pooled("MaxPool(2)") == List{3, 4, -2, -5});
  CHECK(pooled("MaxPool(3, stride = 1)") == List{4, 4, 5, -2, -2, -3});
  CHECK(pooled("MaxPool(3, stride = 2, padding = 1)") == List{3, 4, 5, -2, -2, -3});
  CHECK(pooled("AvgPool(2)") == List{2, 2.5, -5.5, -5.5});
  CHECK(pooled("AvgPool(2, stride = 1, padding = \"same\")") == List{2, 2.5, 2.5, 3, 2.5, -5.5, -4, -5.5, -4, -1.5});
  CHECK(pooled("GlobalAvgPool()") == List{2.8, -5});
}

TEST_CASE("the derivative of a maximum goes to the largest element of each window") {
  Model m("model m(x: [N, 4, 1]) {\n y = max_pool(x, 3, stride = 1)\n loss = sum(y)\n}\n", {"grad(loss, x)"},
          {{"x", tensor_of(Element::F64, {2, 4, 1}, {1, 5, 2, 3, 7, 6, 5, 4})}});
  CHECK(values(m.run().at("grad(loss, x)")) == List{0, 2, 0, 0, 1, 1, 0, 0});
}

TEST_CASE("layers of images: shapes of parameters and values") {
  Elaborated e("use nn\nmodel m(x: [N, 9, 8, 4], s: [N, 9, 6]) {\n a = x |> Conv(6, stride = 2)\n b = x |> Conv(8, size = 5, groups = 2, bias = false)\n"
               " c = s |> Conv(3, size = 4, padding = \"valid\", dilation = 2)\n d = flatten(b |> MaxPool(2))\n loss = mean(a) + mean(c) + mean(d)\n}\n",
               f64_request({{"N", 2}}));
  INFO(e.messages());
  REQUIRE(e.result);
  CHECK(e.parameters() == std::vector<std::string>{"a.W f64[size=3, size=3, k=4, units=6]", "a.b f64[units=6]", "b.W f64[size=5, size=5, k=2, units=8]",
                                                      "c.W f64[size=4, k=6, units=3]", "c.b f64[units=3]"});
}
