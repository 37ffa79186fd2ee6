#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "compiler/ops/ops.h"
#include "tests/ops/harness.h"

// What each derivative does at ties, kinks and edges, stated as numbers.
using namespace gradc;
using namespace gradc::test;

namespace {

using V = std::vector<double>;
const double inf = INFINITY, not_a_number = std::numeric_limits<double>::quiet_NaN();

Type vector_of(size_t n, Element e = Element::F64) {
  return {e, {{static_cast<int64_t>(n), {}}}};
}

// d sum(f(x)) / dx
template <class F>
V derivative(const V& at, F f, int order = 1, Element e = Element::F64) {
  Fixture fixture;
  Expr x = fixture.input(vector_of(at.size(), e), at), y = f(x);
  for (int i = 0; i < order; ++i) y = grad(reduce_sum(y, all_axes(y)), x);
  return fixture.eval(y);
}

// The same for two operands: derivatives for the first and the second.
template <class F>
std::pair<V, V> derivatives(const V& a, const V& b, F f) {
  Fixture fixture;
  Expr x = fixture.input(vector_of(a.size()), a), z = fixture.input(vector_of(b.size()), b);
  Expr sum = reduce_sum(f(x, z), {0});
  V first = fixture.eval(grad(sum, x));
  return {first, fixture.eval(grad(sum, z))};
}

bool same(const V& a, const V& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("kinks have the derivative that the convention names") {
  CHECK(derivative({-2, -0.0, 0, 3}, [](Expr x) { return abs(x); }) == V{-1, 0, 0, 1});
  CHECK(derivative({-1, 0, 1}, [](Expr x) { return max(x, 0); }) == V{0, 0, 1});
  CHECK(derivative({-1, 0, 1}, [](Expr x) { return max(0, x); }) == V{0, 1, 1});
  CHECK(derivative({-1, 0, 1}, [](Expr x) { return min(x, 0); }) == V{1, 0, 0});
  auto ties = derivatives({1, 2}, {1, 1}, [](Expr a, Expr b) { return max(a, b); });
  CHECK(ties.first == V{0, 1});
  CHECK(ties.second == V{1, 0});
}

TEST_CASE("poles and edges of domains") {
  CHECK(derivative({0, 4, inf}, [](Expr x) { return sqrt(x); }) == V{inf, 0.25, 0});
  CHECK(derivative({0, 2, inf}, [](Expr x) { return log(x); }) == V{inf, 0.5, 0});
  CHECK(derivative({-1, 0}, [](Expr x) { return log1p(x); }) == V{inf, 1});
  CHECK(derivative({1, inf}, [](Expr x) { return rsqrt(x); }) == V{-0.5, 0});
  CHECK(same(derivative({inf, not_a_number}, [](Expr x) { return sin(x); }), {not_a_number, not_a_number}));
}

TEST_CASE("powers at zero") {
  auto power = [](double p) { return [p](Expr x) { return pow(x, p); }; };
  CHECK(derivative({0, -2}, power(2)) == V{0, -4});
  CHECK(derivative({0, -2}, power(1)) == V{1, 1});
  CHECK(derivative({0, -2}, power(0)) == V{0, 0});
  CHECK(derivative({0}, power(0.5)) == V{inf});
  CHECK(derivative({-8}, power(3)) == V{192});
  CHECK(derivative({0, 3}, power(2), 2) == V{2, 2});
  CHECK(derivative({0, 2}, power(3), 3) == V{6, 6});
  auto both = derivatives({0, 0, 2}, {2, 0, 3}, [](Expr a, Expr b) { return pow(a, b); });
  CHECK(both.first == V{0, 0, 12});
  CHECK(both.second[0] == 0);
  CHECK(both.second[1] == 0);
  CHECK(both.second[2] == Approx(8 * std::log(2)));
}

TEST_CASE("the branch that select does not take cannot spoil the derivative") {
  auto safe = [](Expr x) { return select(gt(x, 0), sqrt(select(gt(x, 0), x, 1)), 0); };
  CHECK(derivative({-1, 0, 4}, safe) == V{0, 0, 0.25});
  Fixture f;
  Expr c = f.input(vector_of(2, Element::Bool), {1, 0}), a = f.input(vector_of(2), {not_a_number, not_a_number}),
       b = f.input(vector_of(2), {5, 6});
  Expr sum = reduce_sum(select(c, b, a) * b, {0});
  CHECK(same(f.eval(grad(sum, b)), {10, not_a_number}));
  CHECK(f.eval(grad(reduce_sum(select(c, a, b), {0}), b)) == V{0, 1});
}

TEST_CASE("saturated activations keep finite derivatives in both elements") {
  for (Element e : {Element::F32, Element::F64}) {
    V edges{-1e4, -200, 200, 1e4, -inf, inf};
    CHECK(derivative(edges, [](Expr x) { return softplus(x); }, 1, e)[3] == 1);
    CHECK(derivative(edges, [](Expr x) { return softplus(x); }, 1, e)[0] == 0);
    CHECK(derivative({-1e4, 1e4, -inf, inf}, [](Expr x) { return sigmoid(x); }, 1, e) == V{0, 0, 0, 0});
    CHECK(derivative({-1e4, 1e4, -inf, inf}, [](Expr x) { return tanh(x); }, 1, e) == V{0, 0, 0, 0});
    CHECK(derivative({-1e4}, [](Expr x) { return exp(x); }, 1, e) == V{0});
  }
  // The tail of the sigmoid reaches into the subnormal numbers of f32, and so does its derivative.
  double tail = derivative({-100}, [](Expr x) { return sigmoid(x); }, 1, Element::F32)[0];
  CHECK(tail == Approx(std::exp(-100.0)).epsilon(0.05));
  CHECK(derivative({-40}, [](Expr x) { return expm1(x); })[0] == Approx(std::exp(-40.0)).epsilon(1e-14));
}

TEST_CASE("equal extremes share the derivative evenly") {
  CHECK(derivative({1, 3, 3, 2}, [](Expr x) { return reduce_max(x, {0}); }) == V{0, 0.5, 0.5, 0});
  CHECK(derivative({1, 1, 1, 2}, [](Expr x) { return reduce_min(x, {0}); })[0] == Approx(1.0 / 3));
  CHECK(derivative({2, 2}, [](Expr x) { return reduce_max(x, {0}) * reduce_max(x, {0}); }, 2) == V{1, 1});
  CHECK(std::isnan(derivative({1, not_a_number}, [](Expr x) { return reduce_max(x, {0}); })[0]));
}

TEST_CASE("products with zeros have exact derivatives of every order") {
  auto product = [](Expr x) { return reduce_prod(x, {0}); };
  CHECK(derivative({0, 3, 5}, product) == V{15, 0, 0});
  CHECK(derivative({0, 0, 5}, product) == V{0, 0, 0});
  CHECK(derivative({2, 3, 5, 7, 11}, product) == V{1155, 770, 462, 330, 210});
  // Second order, summed over rows of the Hessian: row i holds products of all but two.
  CHECK(derivative({0, 3, 5}, product, 2) == V{8, 5, 3});
  CHECK(derivative({0, 0, 5}, product, 2) == V{5, 5, 0});
  CHECK(derivative({0, 0, 0}, product, 3) == V{2, 2, 2});
}

TEST_CASE("stopped gradients are constants") {
  CHECK(derivative({3}, [](Expr x) { return x * stop_gradient(x); }) == V{3});
}

TEST_CASE("a comparison inside a formula does not hide or block the rest") {
  CHECK(derivative({-1, 2}, [](Expr x) { return select(lt(x, 0), x * x, 3 * x); }) == V{-2, 3});
  CHECK(derivative({7}, [](Expr x) { return rem(x, 3); }) == V{1});
  auto r = derivatives({7}, {3}, [](Expr a, Expr b) { return rem(a, b); });
  CHECK(r.second == V{-2});
}
