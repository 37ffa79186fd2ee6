#include <cmath>

#include <catch2/catch.hpp>

#include "compiler/ops/ops.h"
#include "tests/ops/harness.h"

// Operations that move, reduce, multiply and pick: known small values, and a fold over all examples for derivatives.
using namespace gradc;
using namespace gradc::test;

namespace {

using V = std::vector<double>;

Type f64(std::vector<int64_t> sizes, Element e = Element::F64) {
  Type t{e, {}};
  for (int64_t s : sizes) t.dims.push_back({s, {}});
  return t;
}

V counting(int64_t n, double from = 1) {
  V v;
  for (int64_t i = 0; i < n; ++i) v.push_back(from + static_cast<double>(i));
  return v;
}

// An operation with a derivative applied to inputs of one of its examples, and L = sum(w * y^2), which has second
// derivatives.
struct Trial : Fixture {
  std::vector<Expr> x;
  Expr y, loss;

  Trial(const Op& op, const OpExample& e, const std::vector<V>& operands) {
    for (size_t i = 0; i < operands.size(); ++i) x.push_back(input(e.operands[i], operands[i]));
    y = apply(op, x, e.attrs);
    Numbers numbers(3);
    V weights;
    for (int64_t k = 0; k < y.type().count(); ++k) weights.push_back(numbers.uniform(0.5, 1.5));
    loss = reduce_sum(input(y.type(), weights) * y * y, all_axes(y));
  }
  double value() { return eval(loss)[0]; }
  V gradient(size_t i) { return eval(grad(loss, x[i])); }
  // Derivative of sum(v * dL/dx_i) for operand j.
  V second(size_t i, size_t j) {
    Expr g = grad(loss, x[i]);
    return eval(grad(reduce_sum(g * iota_weights(g), all_axes(g)), x[j]));
  }
  Expr iota_weights(Expr like) { return reshape(1 + 0.1 * iota(builder, 0, f64({like.type().count()})), like.sizes()); }
  double weighted_gradient(size_t i) {
    V g = gradient(i);
    double sum = 0;
    for (size_t k = 0; k < g.size(); ++k) sum += g[k] * (1 + 0.1 * static_cast<double>(k));
    return sum;
  }
};

// (f(x + h) - f(x - h)) / 2h for each element of operand j.
template <class F>
V differences(std::vector<V> operands, size_t j, F f) {
  constexpr double h = 1e-5;
  V out;
  for (double& element : operands[j]) {
    double x = element;
    element = x + h;
    double above = f(operands);
    element = x - h;
    double below = f(operands);
    element = x;
    out.push_back((above - below) / (2 * h));
  }
  return out;
}

void check_all_close(const V& got, const V& expected, double tolerance) {
  REQUIRE(got.size() == expected.size());
  for (size_t k = 0; k < got.size(); ++k) {
    CAPTURE(k, got[k], expected[k]);
    CHECK(std::fabs(got[k] - expected[k]) <= tolerance * std::max(1.0, std::fabs(expected[k])));
  }
}

}  // namespace

TEST_CASE("derivatives of structural operations agree with differences to second order") {
  size_t tried = 0;
  for (const Op* op : op_registry().all()) {
    // A derivative of the user's own is whatever the user says; tests/autodiff has some that are right.
    if (op->kind == OpKind::Pointwise || op->kind == OpKind::WithDerivative || !op->vjp) continue;
    for (const OpExample& e : op->examples()) {
      Numbers numbers(11);
      std::vector<V> operands;
      for (const Type& t : e.operands) {
        V v;
        for (int64_t k = 0; k < t.count(); ++k)
          v.push_back(is_float(t.element) ? numbers.uniform(-1.5, 1.5) : double(numbers.below(3)));
        operands.push_back(v);
      }
      auto carries = [&](size_t i) { return is_float(e.operands[i].element) && !(op->index_operands >> i & 1); };
      for (size_t i = 0; i < operands.size(); ++i) {
        if (!carries(i)) continue;
        ++tried;
        INFO(describe(*op, e) << ", operand " << i);
        check_all_close(Trial(*op, e, operands).gradient(i),
                        differences(operands, i, [&](const auto& at) { return Trial(*op, e, at).value(); }), 1e-8);
        for (size_t j = 0; j < operands.size(); ++j) {
          if (!carries(j)) continue;
          check_all_close(
              Trial(*op, e, operands).second(i, j),
              differences(operands, j, [&](const auto& at) { return Trial(*op, e, at).weighted_gradient(i); }), 1e-8);
        }
      }
    }
  }
  CHECK(tried > 30);
}

TEST_CASE("views") {
  Fixture f;
  Expr x = f.input(f64({2, 3}), counting(6));
  CHECK(f.eval(transpose(x, {1, 0})) == V{1, 4, 2, 5, 3, 6});
  CHECK(f.eval(reverse(x, {0, 1})) == V{6, 5, 4, 3, 2, 1});
  CHECK(f.eval(slice(x, {0, 0}, {2, 3}, {1, 2})) == V{1, 3, 4, 6});
  CHECK(f.eval(slice(x, {1, 1}, {2, 3})) == V{5, 6});
  CHECK(f.eval(broadcast(f.input(f64({2}), {7, 8}), {1}, {3, 2})) == V{7, 8, 7, 8, 7, 8});
  CHECK(f.eval(broadcast(f.input(f64({}), {4}), {}, {3})) == V{4, 4, 4});
  CHECK(f.eval(broadcast(x, {1, 0}, {3, 2})) == V{1, 4, 2, 5, 3, 6});
  CHECK(f.eval(reshape(x, {3, 2})) == counting(6));
  CHECK(f.eval(pad(f.input(f64({2}), {1, 2}), {1}, {2}, 9, {1})) == V{9, 1, 9, 2, 9, 9});
  CHECK(f.eval(pad(x, {0, 1}, {1, 0})) == V{0, 1, 2, 3, 0, 4, 5, 6, 0, 0, 0, 0});
  CHECK(f.eval(concatenate({x, slice(x, {0, 0}, {2, 1})}, 1)) == V{1, 2, 3, 1, 4, 5, 6, 4});
}

TEST_CASE("views that change nothing add no node") {
  Fixture f;
  Expr x = f.input(f64({2, 3}), counting(6));
  CHECK(transpose(x, {0, 1}).id == x.id);
  CHECK(reshape(x, {2, 3}).id == x.id);
  CHECK(broadcast(x, {0, 1}, {2, 3}).id == x.id);
  CHECK(slice(x, {0, 0}, {2, 3}).id == x.id);
  CHECK(pad(x, {0, 0}, {0, 0}).id == x.id);
  CHECK(reverse(x, {}).id == x.id);
  CHECK(reduce_sum(x, {}).id == x.id);
  CHECK(concatenate({x}, 0).id == x.id);
  CHECK(cast(x, Element::F64).id == x.id);
}

TEST_CASE("reductions") {
  Fixture f;
  Expr x = f.input(f64({2, 3}), {3, -1, 2, 5, 5, -4});
  CHECK(f.eval(reduce_sum(x, {1})) == V{4, 6});
  CHECK(f.eval(reduce_sum(x, {1, 0})) == V{10});
  CHECK(f.eval(reduce_prod(x, {0})) == V{15, -5, -8});
  CHECK(f.eval(reduce_max(x, {1})) == V{3, 5});
  CHECK(f.eval(reduce_min(x, {0, 1})) == V{-4});
  CHECK(f.eval(argmax(x, 1)) == V{0, 0});
  CHECK(f.eval(argmin(x, 0)) == V{0, 0, 1});
  Expr odd = f.input(f64({4}), {1, NAN, 7, NAN});
  CHECK(f.eval(argmax(odd, 0)) == V{1});
  CHECK(f.eval(argmin(odd, 0)) == V{1});
  CHECK(std::isnan(f.eval(reduce_max(odd, {0}))[0]));
  CHECK(f.eval(argmax(f.input(f64({3}), {-0.0, 0.0, -1}), 0)) == V{0});
}

TEST_CASE("contractions") {
  Fixture f;
  Expr a = f.input(f64({2, 3}), counting(6)), b = f.input(f64({3, 2}), counting(6));
  CHECK(f.eval(contract(a, b, {0, 1}, {1, 2}, {0, 2})) == V{22, 28, 49, 64});
  CHECK(f.eval(contract(a, b, {0, 1}, {1, 2}, {2, 0})) == V{22, 49, 28, 64});
  CHECK(f.eval(contract(a, a, {0, 1}, {0, 1}, {})) == V{91});
  CHECK(f.eval(contract(a, a, {0, 1}, {0, 1}, {0})) == V{14, 77});
}

TEST_CASE("picked and added rows, with indices outside clamped") {
  Fixture f;
  Expr x = f.input(f64({3, 2}), counting(6));
  Expr index = f.input(f64({4}, Element::Int), {2, 0, -5, 9});
  CHECK(f.eval(gather(x, index, 0)) == V{5, 6, 1, 2, 1, 2, 5, 6});
  Expr updates = f.input(f64({4, 2}), counting(8));
  CHECK(f.eval(scatter_add(index, updates, 0, 3)) == V{8, 10, 0, 0, 8, 10});
  CHECK(f.eval(gather(x, f.input(f64({}, Element::Int), {1}), 1)) == V{2, 4, 6});
}

TEST_CASE("indices, constants and conversions") {
  Fixture f;
  CHECK(f.eval(iota(f.builder, 1, f64({2, 3}))) == V{0, 1, 2, 0, 1, 2});
  CHECK(f.eval(iota(f.builder, 0, f64({3}, Element::Int))) == V{0, 1, 2});
  CHECK(f.eval(cast(f.input(f64({6}), {1.9, -1.9, NAN, 1e300, -0.0, 0.5}), Element::Int)) ==
        V{1, -1, 0, double(INT64_MAX), 0, 0});
  CHECK(f.eval(cast(f.input(f64({3}), {0.0, NAN, 0.5}), Element::Bool)) == V{0, 1, 1});
  CHECK(f.eval(cast(f.input(f64({1}), {0.1}), Element::F32)) == V{double(0.1f)});
}

TEST_CASE("whole numbers wrap, and never trap") {
  Fixture f;
  Type t = f64({5}, Element::Int);
  Expr a = f.input(t, {7, -7, 7, 5, -0x1p63}), b = f.input(t, {2, 2, -2, 0, -1});
  CHECK(f.eval(a / b) == V{3, -3, -3, 0, -0x1p63});
  CHECK(f.eval(rem(a, b)) == V{1, -1, 1, 0, 0});
  CHECK(f.eval(sign(a)) == V{1, -1, 1, 1, -1});
  CHECK(f.eval(abs(a)) == V{7, 7, 7, 5, -0x1p63});
  CHECK(f.eval(pow(f.input(t, {2, -3, 5, 2, 0}), f.input(t, {10, 3, -1, 0, 0}))) == V{1024, -27, 0, 1, 1});
  CHECK(f.eval(cast(eq(max(a, b), a), Element::Int)) == V{1, 0, 1, 1, 0});
}

TEST_CASE("random numbers are uniform and depend on seed, step, site and index only") {
  Fixture f;
  Expr seed = f.input(f64({}, Element::Int), {42}), step = f.input(f64({}), {1});
  Type t = f64({4000});
  V u = f.eval(random(seed, step, 5, t));
  double sum = 0, squares = 0;
  for (double v : u) {
    CHECK((v >= 0 && v < 1));
    sum += v, squares += v * v;
  }
  CHECK(sum / 4000 == Approx(0.5).margin(0.02));
  CHECK(squares / 4000 == Approx(1.0 / 3).margin(0.02));
  CHECK(f.eval(random(seed, step, 5, f64({40, 100}))) == u);
  CHECK(f.eval(random(seed, step, 6, t)) != u);
  CHECK(f.eval(random(seed, step + 1, 5, t)) != u);
  CHECK(f.eval(random(seed + 1, step, 5, t)) != u);
}

TEST_CASE("names of axes follow the axes") {
  Graph g;
  GraphBuilder b(g);
  Expr x = input(b, "x", role::data, {Element::F32, {{3, "N"}, {4, "H"}, {5, {}}}});
  auto shape = [](Expr e) { return shape_to_string(e.type()); };
  CHECK(shape(transpose(x, {1, 0, 2})) == "[H=4, N=3, 5]");
  CHECK(shape(reduce_sum(x, {0})) == "[H=4, 5]");
  CHECK(shape(slice(x, {0, 0, 0}, {3, 2, 5})) == "[N=3, 2, 5]");
  CHECK(shape(reshape(x, {3, 20})) == "[N=3, 20]");
  CHECK(shape(reshape(x, {3, 2, 2, 5})) == "[N=3, 2, 2, 5]");
  CHECK(shape(argmax(x, 1)) == "[N=3, 5]");
  CHECK(shape(broadcast(x, {1, 2, 3}, {2, 3, 4, 5})) == "[2, N=3, H=4, 5]");
  CHECK(shape(contract(x, x, {0, 1, 2}, {0, 3, 2}, {0, 3, 1})) == "[N=3, H=4, H=4]");
  CHECK(shape(gather(x, input(b, "i", role::data, {Element::Int, {{7, "T"}}}), 1)) == "[N=3, T=7, 5]");
  CHECK(shape(with_dims(reshape(x, {6, 10}), {{6, "A"}, {10, {}}})) == "[A=6, 10]");
  CHECK(shape(x + with_dims(constant(b, 1, {Element::F32, {{3, {}}, {4, {}}, {5, "C"}}}), {})) == "[N=3, H=4, C=5]");
}
