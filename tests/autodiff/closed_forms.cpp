#include <catch2/catch.hpp>

#include <cmath>
#include <functional>

#include "compiler/autodiff/autodiff.h"
#include "compiler/ops/expr.h"
#include "tests/support/fixture.h"

using namespace gradc;
using namespace gradc::test;
using V = std::vector<double>;

namespace {

// The values of expressions that may hold grads.
std::vector<V> evaluate_expanded(Fixture& f, const std::vector<Expr>& results) {
  for (size_t i = 0; i < results.size(); ++i) f.out(("r" + std::to_string(i)).c_str(), results[i]);
  AutodiffResult r = expand_gradients(f.graph);
  for (const AutodiffProblem& p : r.problems) FAIL(p.reason);
  REQUIRE(verify(r.graph, false).empty());
  auto values = evaluate(r.graph, f.inputs);
  std::vector<V> out;
  for (size_t i = 0; i < results.size(); ++i) out.push_back(values_of(values.at("r" + std::to_string(i))));
  return out;
}

void check_close(const V& a, const V& b, double tolerance = 1e-12) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    INFO("element " << i << ": " << a[i] << " and " << b[i]);
    CHECK(std::abs(a[i] - b[i]) <= tolerance * std::max(1.0, std::abs(b[i])));
  }
}

using Real = std::function<double(double)>;
struct Case {
  const char* name;
  std::function<Expr(Expr)> f;
  Real first, second, third;
  V points;
};

double sig(double x) { return 1 / (1 + std::exp(-x)); }
const double two_over_root_pi = 2 / std::sqrt(std::acos(-1.0));

const Case cases[] = {
    {"sin", [](Expr x) { return sin(x); }, [](double x) { return std::cos(x); }, [](double x) { return -std::sin(x); },
     [](double x) { return -std::cos(x); }, {-2, -0.3, 0, 1.1}},
    {"exp", [](Expr x) { return exp(x); }, [](double x) { return std::exp(x); }, [](double x) { return std::exp(x); },
     [](double x) { return std::exp(x); }, {-2, 0, 1.5}},
    {"exp by a rule in terms of its value", [](Expr x) {
       Expr y = exp(x), value = stop_gradient(y), cotangent = stop_gradient(x.literal(0));
       return with_derivative("exp", y, value, cotangent, {{x, cotangent * value}});
     }, [](double x) { return std::exp(x); }, [](double x) { return std::exp(x); }, [](double x) { return std::exp(x); }, {-2, 0, 1.5}},
    {"the identity with the derivative of the sine", [](Expr x) {
       Expr cotangent = stop_gradient(x.literal(0));
       return with_derivative("f", x, stop_gradient(x), cotangent, {{x, cotangent * cos(x)}});
     }, [](double x) { return std::cos(x); }, [](double x) { return -std::sin(x); }, [](double x) { return -std::cos(x); }, {-2, 0, 1.5}},
    {"log", [](Expr x) { return log(x); }, [](double x) { return 1 / x; }, [](double x) { return -1 / (x * x); },
     [](double x) { return 2 / (x * x * x); }, {0.3, 1, 4}},
    {"sqrt", [](Expr x) { return sqrt(x); }, [](double x) { return 0.5 / std::sqrt(x); },
     [](double x) { return -0.25 * std::pow(x, -1.5); }, [](double x) { return 0.375 * std::pow(x, -2.5); }, {0.3, 1, 4}},
    {"tanh", [](Expr x) { return tanh(x); }, [](double x) { return 1 - std::tanh(x) * std::tanh(x); },
     [](double x) { return -2 * std::tanh(x) * (1 - std::tanh(x) * std::tanh(x)); },
     [](double x) { double t = std::tanh(x); return (1 - t * t) * (6 * t * t - 2); }, {-1, 0, 0.4}},
    {"sigmoid", [](Expr x) { return sigmoid(x); }, [](double x) { return sig(x) * (1 - sig(x)); },
     [](double x) { double s = sig(x); return s * (1 - s) * (1 - 2 * s); },
     [](double x) { double s = sig(x); return s * (1 - s) * (1 - 6 * s + 6 * s * s); }, {-3, 0, 0.7}},
    {"erf", [](Expr x) { return erf(x); }, [](double x) { return two_over_root_pi * std::exp(-x * x); },
     [](double x) { return -2 * x * two_over_root_pi * std::exp(-x * x); },
     [](double x) { return (4 * x * x - 2) * two_over_root_pi * std::exp(-x * x); }, {-1, 0, 0.7}},
    {"x^5 by products", [](Expr x) { return x * x * x * x * x; }, [](double x) { return 5 * std::pow(x, 4); },
     [](double x) { return 20 * std::pow(x, 3); }, [](double x) { return 60 * x * x; }, {-1.5, 0, 2}},
    {"exp(sin x)", [](Expr x) { return exp(sin(x)); }, [](double x) { return std::cos(x) * std::exp(std::sin(x)); },
     [](double x) { return (std::cos(x) * std::cos(x) - std::sin(x)) * std::exp(std::sin(x)); },
     [](double x) {
       double s = std::sin(x), c = std::cos(x);
       return (c * c * c - 3 * s * c - c) * std::exp(s);
     },
     {-1, 0, 0.7}},
    {"1 / (1 + x^2)", [](Expr x) { return 1 / (1 + x * x); }, [](double x) { double d = 1 + x * x; return -2 * x / (d * d); },
     [](double x) { double d = 1 + x * x; return (6 * x * x - 2) / (d * d * d); },
     [](double x) { double d = 1 + x * x; return 24 * x * (1 - x * x) / (d * d * d * d); }, {-1, 0, 0.7}},
};

}  // namespace

TEST_CASE("first, second and third derivatives equal their closed forms") {
  for (const Case& c : cases) {
    INFO(c.name);
    Fixture f;
    Expr x = f.in("x", {static_cast<int64_t>(c.points.size())}, c.points);
    Expr d1 = grad(sum(c.f(x)), x), d2 = grad(sum(d1), x), d3 = grad(sum(d2), x);
    std::vector<V> got = evaluate_expanded(f, {d1, d2, d3});
    V first, second, third;
    for (double p : c.points) {
      first.push_back(c.first(p));
      second.push_back(c.second(p));
      third.push_back(c.third(p));
    }
    check_close(got[0], first, 1e-12);
    check_close(got[1], second, 1e-12);
    check_close(got[2], third, 1e-11);
  }
}

TEST_CASE("mixed third derivative in three variables") {
  Fixture f;
  Expr x = f.in("x", {}, {1.2}), y = f.in("y", {}, {-0.7}), z = f.in("z", {}, {0.4});
  Expr u = x * x * y * sin(z) + pow(x, 3.0) * z;
  Expr xyz = grad(grad(grad(u, x), y), z), zzx = grad(grad(grad(u, z), z), x);
  std::vector<V> got = evaluate_expanded(f, {xyz, zzx});
  check_close(got[0], {2 * 1.2 * std::cos(0.4)});
  check_close(got[1], {-2 * 1.2 * -0.7 * std::sin(0.4)});
}

TEST_CASE("gradients of a matrix product and of its gradient") {
  Fixture f;
  V w = {0.5, -1, 2, 0.25, 1, -0.5}, x = {1, 2, -1};
  Expr W = f.in("W", {2, 3}, w), X = f.in("X", {3}, x);
  Expr z = contract(W, X, {0, 1}, {1}, {0});
  Expr loss = 0.5 * sum(z * z);
  Expr dW = grad(loss, W), dX = grad(loss, X);
  Expr hessian_row = grad(sum(dX * X), X);  // d(x' W'W x)/dx = 2 W'W x
  std::vector<V> got = evaluate_expanded(f, {dW, dX, hessian_row});
  V zv = {w[0] + 2 * w[1] - w[2], w[3] + 2 * w[4] - w[5]}, dw, dx;
  for (double a : zv) {
    for (double b : x) dw.push_back(a * b);
  }
  for (size_t j = 0; j < 3; ++j) dx.push_back(zv[0] * w[j] + zv[1] * w[3 + j]);
  check_close(got[0], dw);
  check_close(got[1], dx);
  check_close(got[2], {2 * dx[0], 2 * dx[1], 2 * dx[2]});
}

TEST_CASE("products over axes differentiate at zeros, to second order") {
  Fixture f;
  Expr x = f.in("x", {3}, {2, 0, 5});
  Expr d1 = grad(reduce_prod(x, {0}), x), d2 = grad(sum(d1 * f.in("v", {3}, {1, 10, 100})), x);
  std::vector<V> got = evaluate_expanded(f, {d1, d2});
  check_close(got[0], {0, 10, 0});
  // Hessian [[0, 5, 0], [5, 0, 2], [0, 2, 0]] times v.
  check_close(got[1], {50, 205, 20});
}

TEST_CASE("shared values collect every contribution") {
  Fixture f;
  Expr x = f.in("x", {}, {0.8});
  Expr h = sin(x), y = h * h + h + h * x;
  double s = std::sin(0.8), c = std::cos(0.8);
  check_close(evaluate_expanded(f, {grad(y, x)})[0], {2 * s * c + c + c * 0.8 + s});
}

TEST_CASE("an intermediate value is the variable") {
  Fixture f;
  Expr x = f.in("x", {}, {3}), h = x * 2.0, y = x * h * h;
  std::vector<V> got = evaluate_expanded(f, {grad(y, h), grad(y, x), grad(y, y)});
  check_close(got[0], {2 * 3 * 6});
  check_close(got[1], {3 * 4 * 9});  // d(4x^3)/dx
  check_close(got[2], {1});
}

TEST_CASE("the second derivative goes through an intermediate gradient") {
  Fixture f;
  Expr x = f.in("x", {}, {0.5}), h = exp(x), dh = grad(h * h * h, h);  // 3 h^2
  check_close(evaluate_expanded(f, {grad(dh, x)})[0], {6 * std::exp(1.0)});
}

TEST_CASE("stop_gradient holds its operand constant") {
  Fixture f;
  Expr x = f.in("x", {}, {3});
  std::vector<V> got = evaluate_expanded(f, {grad(x * stop_gradient(x), x), grad(stop_gradient(x) * x * x, x)});
  check_close(got[0], {3});
  check_close(got[1], {18});
}

TEST_CASE("the gradient of a gradient in a relu network") {
  Fixture f;
  Expr W = f.in("W", {2, 3}, {0.5, -1, 2, 0.25, 1, -0.5}), x = f.in("x", {3}, {1, 2, -1}), v = f.in("v", {2}, {3, -2});
  // z = (-3.5, 2.75): the first unit is off.
  Expr y = sum(v * max(contract(W, x, {0, 1}, {1}, {0}), 0.0));
  Expr dx = grad(y, x), penalty = sum(dx * dx);
  std::vector<V> got = evaluate_expanded(f, {dx, grad(penalty, W), grad(penalty, v)});
  check_close(got[0], {-0.5, -2, 1});
  check_close(got[1], {0, 0, 0, 8 * 0.25, 8 * 1, 8 * -0.5});  // d(v2^2 |w2|^2)/dw2 = 2 v2^2 w2
  check_close(got[2], {0, 2 * -2 * (0.0625 + 1 + 0.25)});
}

// The tables of two articles that teach backpropagation by hand.
TEST_CASE("one hidden neuron, worked by hand") {
  Fixture f;
  Expr x = f.in("x", {}, {2}), w1 = f.in("w1", {}, {0.5}), b1 = f.in("b1", {}, {0}), w2 = f.in("w2", {}, {0.8}),
       b2 = f.in("b2", {}, {0}), y = f.in("y", {}, {1});
  Expr z1 = w1 * x + b1, a1 = sigmoid(z1), yhat = w2 * a1 + b2, loss = 0.5 * ((yhat - y) * (yhat - y));
  std::vector<V> got = evaluate_expanded(f, {loss, grad(loss, yhat), grad(loss, w2), grad(loss, b2), grad(loss, z1), grad(loss, w1),
                                             grad(loss, b1)});
  const double expected[] = {0.08617606362032347, -0.4151531370959961, -0.30350126231918645, -0.4151531370959961,
                             -0.0652992487005678, -0.1305984974011356, -0.0652992487005678};
  for (size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i][0] - expected[i]) < 1e-15);
}

TEST_CASE("two inputs and a sigmoid layer, worked by hand") {
  Fixture f;
  Expr X = f.in("X", {2, 2}, {0.2, 0.7, 1.0, -0.5}), y = f.in("y", {2, 1}, {1, 0});
  Expr W1 = f.in("W1", {2, 2}, {0.1, 0.4, -0.3, 0.2}), b1 = f.in("b1", {2}, {0.05, -0.1});
  Expr W2 = f.in("W2", {2, 1}, {0.6, -0.5}), b2 = f.in("b2", {1}, {0.15});
  auto dense = [](Expr in, Expr w, Expr bias) {
    Expr z = contract(in, w, {0, 1}, {1, 2}, {0, 2});
    return sigmoid(z + broadcast(bias, {1}, z.sizes()));
  };
  Expr yhat = dense(dense(X, W1, b1), W2, b2), J = 0.5 * sum((y - yhat) * (y - yhat));
  std::vector<V> got = evaluate_expanded(f, {yhat, J, grad(J, W2), grad(J, b2), grad(J, W1), grad(J, b1)});
  check_close(got[0], {0.5409213161822868, 0.5547171167674628});
  check_close(got[1], {0.2592321587853055});
  check_close(got[2], {0.025692307058136174, 0.014921027912227366});
  check_close(got[3], {0.023017557888470014});
  check_close(got[4], {0.016693859274758003, -0.014117384418027104, -0.021960225726061013, 0.018417842059854146});
  check_close(got[5], {0.003080563186075993, -0.002758234567186508});
}
