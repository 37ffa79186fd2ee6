// Index notation against direct loops, its derivatives against differences, and what it lowers to.
#include <cmath>

#include <catch2/catch.hpp>

#include "compiler/ops/ops.h"
#include "tests/sema/elaborated.h"

using namespace gradc;
using namespace gradc::test;

namespace {

using List = std::vector<double>;
using Index = std::vector<int64_t>;

List wave(int64_t count, double phase) {
  List v;
  for (int64_t i = 0; i < count; ++i) v.push_back(std::sin(1.7 * static_cast<double>(i * i % 101) + phase));
  return v;
}

// A tensor that is read as the notation reads it: 0 outside.
struct Array {
  Index sizes;
  List v;
  Array(Index s, double phase) : sizes(std::move(s)) {
    int64_t n = 1;
    for (int64_t size : sizes) n *= size;
    v = wave(n, phase);
  }
  double operator()(Index at) const {
    int64_t place = 0;
    for (size_t a = 0; a < sizes.size(); ++a) {
      if (at[a] < 0 || at[a] >= sizes[a]) return 0;
      place = place * sizes[a] + at[a];
    }
    return v[static_cast<size_t>(place)];
  }
};

// Every index below the sizes, in row-major order.
void each(const Index& sizes, const std::function<void(const Index&)>& f) {
  Index at(sizes.size(), 0);
  for (;;) {
    f(at);
    size_t a = sizes.size();
    while (a > 0 && ++at[a - 1] == sizes[a - 1]) at[--a] = 0;
    if (a == 0) return;
  }
}

struct Case {
  const char* statement;  // defines y from a and b
  Index a, b, y;
  std::function<double(const Array& a, const Array& b, const Index& y)> value;
};

double over(const Index& sizes, const std::function<double(const Index&)>& f) {
  double sum = 0;
  each(sizes, [&](const Index& k) { sum += f(k); });
  return sum;
}

const std::vector<Case>& cases() {
  using A = const Array&;
  using I = const Index&;
  static const std::vector<Case> all = {
      {"y[i, j] = a[j, i]", {2, 3}, {1}, {3, 2}, [](A a, A, I y) { return a({y[1], y[0]}); }},
      {"y[i, j] = a[i] + b[j]", {3}, {2}, {3, 2}, [](A a, A b, I y) { return a({y[0]}) + b({y[1]}); }},
      {"y[i, j] = sum[k](a[i, k] * b[k, j])", {2, 3}, {3, 4}, {2, 4}, [](A a, A b, I y) { return over({3}, [&](I k) { return a({y[0], k[0]}) * b({k[0], y[1]}); }); }},
      {"y[i, j] = mean[k](2 * a[i, k] * b[k, j]) - 1", {2, 3}, {3, 4}, {2, 4},
       [](A a, A b, I y) { return over({3}, [&](I k) { return 2 * a({y[0], k[0]}) * b({k[0], y[1]}); }) / 3 - 1; }},
      {"y[i] = sum[k, l](a[i, k] * b[k, l] * a[i, l])", {2, 3}, {3, 3}, {2},
       [](A a, A b, I y) { return over({3, 3}, [&](I k) { return a({y[0], k[0]}) * b(k) * a({y[0], k[1]}); }); }},
      {"y[i] = sum[k](a[i, k]) * sum[k](b[k])", {2, 3}, {4}, {2}, [](A a, A b, I y) { return over({3}, [&](I k) { return a({y[0], k[0]}); }) * over({4}, b); }},
      {"y[i] = max[k](a[i, k] - b[k])", {2, 3}, {3}, {2},
       [](A a, A b, I y) { return std::max({a({y[0], 0}) - b({0}), a({y[0], 1}) - b({1}), a({y[0], 2}) - b({2})}); }},
      {"y[i] = min[k](a[i, k]) + product[k](b[k])", {2, 3}, {3}, {2},
       [](A a, A b, I y) { return std::min({a({y[0], 0}), a({y[0], 1}), a({y[0], 2})}) + b({0}) * b({1}) * b({2}); }},
      {"y[i] = sum[k](a[i, k] * max[j](b[k, j]))", {2, 3}, {3, 2}, {2},
       [](A a, A b, I y) { return over({3}, [&](I k) { return a({y[0], k[0]}) * std::max(b({k[0], 0}), b({k[0], 1})); }); }},
      {"y[i] = a[i + 1] - 2 * a[i] + a[i - 1]", {5}, {1}, {5}, [](A a, A, I y) { return a({y[0] + 1}) - 2 * a({y[0]}) + a({y[0] - 1}); }},
      {"y[i] = sum[u](a[i + u - 1] * b[u]) + 0 * a[i]", {6}, {3}, {6}, [](A a, A b, I y) { return over({3}, [&](I u) { return a({y[0] + u[0] - 1}) * b(u); }); }},
      {"y[i]: [3] = sum[u](a[2 * i + u] * b[u])", {7}, {3}, {3}, [](A a, A b, I y) { return over({3}, [&](I u) { return a({2 * y[0] + u[0]}) * b(u); }); }},
      {"y[i]: [5] = sum[u](a[i - 2 * u + 1] * b[u])", {4}, {3}, {5}, [](A a, A b, I y) { return over({3}, [&](I u) { return a({y[0] - 2 * u[0] + 1}) * b(u); }); }},
      {"y[i]: [4] = a[3 - i]", {4}, {1}, {4}, [](A a, A, I y) { return a({3 - y[0]}); }},
      {"y[i]: [5] = a[2 - i]", {4}, {1}, {5}, [](A a, A, I y) { return a({2 - y[0]}); }},
      {"y[i]: [3] = sum[u](a[4 - 2 * i - u] * b[u])", {5}, {2}, {3}, [](A a, A b, I y) { return over({2}, [&](I u) { return a({4 - 2 * y[0] - u[0]}) * b(u); }); }},
      {"y[i] = a[i, i]", {3, 3}, {1}, {3}, [](A a, A, I y) { return a({y[0], y[0]}); }},
      {"y[i] = a[i, i + 1]", {3, 3}, {1}, {3}, [](A a, A, I y) { return a({y[0], y[0] + 1}); }},
      {"y[i, j] = a[2 * i, i + j] + b[i, j]", {5, 4}, {3, 2}, {3, 2}, [](A a, A b, I y) { return a({2 * y[0], y[0] + y[1]}) + b(y); }},
      {"y[i]: [3] = sum[u](a[i + u, u + i] + 0 * b[u]) + b[i]", {5, 5}, {3}, {3},
       [](A a, A b, I y) { return over({3}, [&](I u) { return a({y[0] + u[0], u[0] + y[0]}); }) + b(y); }},
      {"y[i]: [4] = sum[u, v](a[i + u + 2 * v - 1] * b[u, v])", {6}, {2, 3}, {4},
       [](A a, A b, I y) { return over({2, 3}, [&](I u) { return a({y[0] + u[0] + 2 * u[1] - 1}) * b(u); }); }},
      {"y[i] = a[1, i] + a[-1, i]", {3, 4}, {1}, {4}, [](A a, A, I y) { return a({1, y[0]}) + a({2, y[0]}); }},
      {"y[i, j] = where(i >= j, a[i, j], 10 * i + j)", {3, 3}, {1}, {3, 3}, [](A a, A, I y) { return y[0] >= y[1] ? a(y) : 10.0 * double(y[0]) + double(y[1]); }},
      {"y[i] = exp(a[i]) |> log", {3}, {1}, {3}, [](A a, A, I y) { return a(y); }},
      {"y[i, j]: [3, 2] = a[i]", {3}, {1}, {3, 2}, [](A a, A, I y) { return a({y[0]}); }},
      {"y[n, i, j, o]: [2, 4, 3, 2] = sum[u, v, c](a[n, i + u - 1, j + v - 1, c] * b[u, v, c, o])", {2, 4, 3, 2}, {3, 3, 2, 2}, {2, 4, 3, 2},
       [](A a, A b, I y) { return over({3, 3, 2}, [&](I k) { return a({y[0], y[1] + k[0] - 1, y[2] + k[1] - 1, k[2]}) * b({k[0], k[1], k[2], y[3]}); }); }},
  };
  return all;
}

std::string shape(const Index& s) { return fmt::format("[{}]", fmt::join(s, ", ")); }

struct Run {
  Elaborated e;
  std::map<Symbol, Tensor> inputs;

  explicit Run(const Case& c)
      : e(fmt::format("model m(a: {}, b: {}) {{\n {}\n loss = sum(y * y * y)\n second = sum(grad(loss, a) ** 2)\n}}\n", shape(c.a), shape(c.b), c.statement), request()) {
    INFO(e.messages());
    REQUIRE(e.result);
    CHECK(verify(e.graph(), true) == std::vector<std::string>{});
    inputs = {{"a", tensor_of(Element::F64, c.a, Array(c.a, 0.1).v)}, {"b", tensor_of(Element::F64, c.b, Array(c.b, 1.1).v)}};
  }
  static ElaborateRequest request() {
    ElaborateRequest r = f64_request();
    r.outputs = {"y", "loss", "second", "grad(loss, a)", "grad(second, a)"};
    return r;
  }
  void check_slope(const char* output, double bound) const {
    List direction = wave(inputs.at("a").type.count(), 0.3);
    auto at = [&](double s) {
      auto moved = inputs;
      for (size_t i = 0; i < direction.size(); ++i) moved.at("a").set(int64_t(i), moved.at("a").at(int64_t(i)) + s * direction[i]);
      return e.evaluate(moved).at(output).at(0);
    };
    Tensor g = e.evaluate(inputs).at(fmt::format("grad({}, a)", output));
    double along = 0, h = 1e-5, slope = (at(h) - at(-h)) / (2 * h);
    for (size_t i = 0; i < direction.size(); ++i) along += g.at(int64_t(i)) * direction[i];
    CHECK(along == Approx(slope).epsilon(bound).margin(bound));
  }
};

size_t count(const Graph& g, const Op& op) {
  size_t n = 0;
  for (size_t i = 0; i < g.size(); ++i) n += g[NodeId(i)].op == &op;
  return n;
}

Elaborated of(const std::string& body) {
  ElaborateRequest r = f64_request();
  r.outputs = {"y"};
  Elaborated e("model m(x: [2, 6, 6, 3], w: [3, 3, 3, 4], a: [5, 6], b: [6, 7], c: [7, 8]) {\n " + body + "\n}\n", r);
  INFO(e.messages());
  REQUIRE(e.result);
  return e;
}

}  // namespace

TEST_CASE("index notation has the values of direct loops") {
  for (const Case& c : cases()) {
    INFO(c.statement);
    Run r(c);
    Tensor y = r.e.evaluate(r.inputs).at("y");
    CHECK(y.type.sizes() == c.y);
    Array a(c.a, 0.1), b(c.b, 1.1);
    int64_t place = 0;
    each(c.y, [&](const Index& at) {
      INFO("element " << place);
      CHECK(y.at(place++) == Approx(c.value(a, b, at)).epsilon(1e-12).margin(1e-12));
    });
  }
}

TEST_CASE("index notation: first and second derivatives are those of differences") {
  for (const Case& c : cases()) {
    INFO(c.statement);
    Run r(c);
    r.check_slope("loss", 1e-6);
    r.check_slope("second", 1e-5);
  }
}

TEST_CASE("a convolution in index notation is the graph of conv, and products are contractions") {
  Elaborated by_hand = of("y[n, i, j, o]: [2, 6, 6, 4] = sum[u, v, k](x[n, i + u - 1, j + v - 1, k] * w[u, v, k, o])");
  Elaborated library = of("y = conv(x, w, padding = \"same\")");
  for (const Op* op : op_registry().all()) {
    INFO(op->name);
    CHECK(count(by_hand.graph().compacted(), *op) == count(library.graph().compacted(), *op));
  }
  Elaborated chain = of("y[i, l] = sum[j, k](a[i, j] * b[j, k] * c[k, l])");
  CHECK(count(chain.graph().compacted(), op<ops::Contraction>()) == 2);
  CHECK(count(chain.graph().compacted(), op<ops::ReduceSum>()) == 0);
}
