#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "compiler/autodiff/autodiff.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/support/fixture.h"

// Formulas as users write them, with their derived gradients, at arguments where the written form fails in f32. The judge is a
// closed form in double that does not fail.

using namespace gradc;
using namespace gradc::test;

namespace {

const std::vector<double> points{-1000, -120, -95, -88, -30, -10, -1, -1e-3, 0, 1e-3, 1, 10, 30, 88, 95, 120, 1000};

double sigmoid_of(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double softplus_of(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

struct Outcome {
  std::vector<double> value, slope;
};

// f and its derivative in f32, after optimisation.
Outcome optimised(const std::function<Expr(Expr)>& f, const std::vector<double>& at, const RewriteOptions& options = {}) {
  Fixture fix;
  Expr x = fix.in("x", {static_cast<int64_t>(at.size())}, at, Element::F32);
  Expr y = f(x);
  fix.out("y", y);
  fix.out("dy", grad(sum(y), x));
  AutodiffResult expanded = expand_gradients(fix.graph);
  REQUIRE(expanded.problems.empty());
  auto result = evaluate(optimize(expanded.graph, options), fix.inputs);
  return {values_of(result.at("y")), values_of(result.at("dy"))};
}

bool close(double value, double reference, double tolerance) {
  if (std::abs(reference) < 1e-37) return std::abs(value - reference) < 1e-37;  // subnormal in f32
  return std::abs(value - reference) <= tolerance * std::abs(reference);
}

void expect(const char* what, const std::function<Expr(Expr)>& f, const std::function<double(double)>& value,
            const std::function<double(double)>& slope, const std::vector<double>& at = points) {
  Outcome got = optimised(f, at);
  for (size_t i = 0; i < at.size(); ++i) {
    auto x = static_cast<double>(static_cast<float>(at[i]));
    INFO(what << " at " << x << ": value " << got.value[i] << " for " << value(x) << ", slope " << got.slope[i] << " for " << slope(x));
    CHECK(close(got.value[i], value(x), 1e-5));
    CHECK(close(got.slope[i], slope(x), 1e-5));
  }
}

}  // namespace

TEST_CASE("logistic formulas and their gradients hold at every size") {
  auto s = sigmoid_of;
  expect("log(1 + exp(x))", [](Expr x) { return log(1 + exp(x)); }, softplus_of, s);
  expect("log(exp(x) + 1)", [](Expr x) { return log(exp(x) + 1); }, softplus_of, s);
  expect("1 / (1 + exp(-x))", [](Expr x) { return 1 / (1 + exp(-x)); }, s, [=](double x) { return s(x) * s(-x); });
  expect("exp(x) / (1 + exp(x))", [](Expr x) { return exp(x) / (1 + exp(x)); }, s, [=](double x) { return s(x) * s(-x); });
  expect("log(sigmoid(x))", [](Expr x) { return log(sigmoid(x)); }, [](double x) { return -softplus_of(-x); }, [=](double x) { return s(-x); });
  expect("log(1 - sigmoid(x))", [](Expr x) { return log(1 - sigmoid(x)); }, [](double x) { return -softplus_of(x); }, [=](double x) { return -s(x); });
  expect("1 - sigmoid(x)", [](Expr x) { return 1 - sigmoid(x); }, [=](double x) { return s(-x); }, [=](double x) { return -s(x) * s(-x); });
  expect("log(1 / (1 + exp(-x)))", [](Expr x) { return log(1 / (1 + exp(-x))); }, [](double x) { return -softplus_of(-x); },
         [=](double x) { return s(-x); });
}

TEST_CASE("differences near zero keep their digits") {
  const std::vector<double> small{-1, -1e-2, -1e-4, -1e-8, 1e-8, 1e-4, 1e-2, 1};
  expect("exp(x) - 1", [](Expr x) { return exp(x) - 1; }, [](double x) { return std::expm1(x); }, [](double x) { return std::exp(x); }, small);
  expect("1 - exp(x)", [](Expr x) { return 1 - exp(x); }, [](double x) { return -std::expm1(x); }, [](double x) { return -std::exp(x); }, small);
  const std::vector<double> inside{-0.9, -1e-2, -1e-4, -1e-8, 1e-8, 1e-4, 1e-2, 1};
  expect("log(1 + x)", [](Expr x) { return log(1 + x); }, [](double x) { return std::log1p(x); }, [](double x) { return 1 / (1 + x); }, inside);
  expect("1 - cos(x)", [](Expr x) { return 1 - cos(x); }, [](double x) { return 2 * std::pow(std::sin(x / 2), 2); }, [](double x) { return std::sin(x); }, small);
}

TEST_CASE("cross entropy of a naive softmax has a finite, right gradient") {
  // -log(exp(x_0) / sum exp(x)) by rows; its gradient is softmax(x) - onehot.
  const std::vector<double> logits{200, 0, -200, -150, 3, 2, 1, 2, 3, -300, -301, -302};
  for (bool sum_inside : {true, false}) {
    Fixture f;
    Expr x = f.in("x", {4, 3}, logits, Element::F32);
    Expr e = exp(x), total = reduce_sum(e, {1});
    Expr logp = sum_inside ? log(e / unreduce(total, {1}, {4, 3})) : x - unreduce(log(total), {1}, {4, 3});
    Expr hot = f.in("hot", {4, 3}, {1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0}, Element::F32);
    Expr loss = -sum(logp * hot);
    f.out("loss", loss);
    f.out("dx", grad(loss, x));
    auto got = evaluate(optimize(expand_gradients(f.graph).graph), f.inputs);
    double expected = 0;
    for (size_t row = 0; row < 4; ++row) {
      const double* r = &logits[row * 3];
      double m = std::max({r[0], r[1], r[2]}), z = 0;
      for (int k = 0; k < 3; ++k) z += std::exp(r[k] - m);
      expected += m + std::log(z) - r[0];
      for (int k = 0; k < 3; ++k) {
        double slope = std::exp(r[k] - m) / z - (k == 0);
        INFO("row " << row << ", column " << k << (sum_inside ? ", quotient" : ", difference"));
        CHECK(got.at("dx").at(static_cast<int64_t>(row) * 3 + k) == Approx(slope).margin(1e-6));
      }
    }
    CHECK(got.at("loss").at(0) == Approx(expected).epsilon(1e-5));
  }
}

TEST_CASE("x log x is 0 at 0") {
  Outcome got = optimised([](Expr x) { return x * log(x); }, {0, 0.5, 2});
  CHECK(got.value[0] == 0);
  CHECK(got.value[1] == Approx(0.5 * std::log(0.5)));
  CHECK(got.value[2] == Approx(2 * std::log(2.0)));
  Outcome naive = optimised([](Expr x) { return x * log(x); }, {0}, {.disabled = {"x-log-x"}});
  CHECK(std::isnan(naive.value[0]));
}

TEST_CASE("logarithms of sums of exponentials hold for infinities") {
  Fixture f;
  double inf = INFINITY;
  Expr x = f.in("x", {4, 2}, {-inf, -inf, -inf, 1, inf, 0, 1000, 1000});
  f.out("lse", log(reduce_sum(exp(x), {1})));
  Expr a = slice(x, {0, 0}, {4, 1}), b = slice(x, {0, 1}, {4, 2});
  f.out("lae", log(exp(a) + exp(b)));
  auto got = evaluate(optimize(f.graph), f.inputs);
  for (const char* name : {"lse", "lae"}) {
    INFO(name);
    CHECK(got.at(name).at(0) == -inf);
    CHECK(got.at(name).at(1) == Approx(1));
    CHECK(got.at(name).at(2) == inf);
    CHECK(got.at(name).at(3) == Approx(1000 + std::log(2.0)));
  }
}
