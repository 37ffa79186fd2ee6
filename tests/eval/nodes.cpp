#include <catch2/catch.hpp>

#include <cmath>

#include "compiler/support/error.h"
#include "tests/support/fixture.h"

using namespace gradc;
using namespace gradc::test;
using V = std::vector<double>;

TEST_CASE("sources") {
  Fixture f;
  CHECK(f.value(constant(f.b, 2.5, type_of(Element::F32, {2}))) == V{2.5, 2.5});
  CHECK(f.value(iota(f.b, 0, type_of(Element::Int, {2, 3}))) == V{0, 0, 0, 1, 1, 1});
  CHECK(f.value(iota(f.b, 1, type_of(Element::F64, {2, 3}))) == V{0, 1, 2, 0, 1, 2});
}

TEST_CASE("views") {
  Fixture f;
  Expr x = f.in("x", {2, 3}, {1, 2, 3, 4, 5, 6});
  CHECK(f.value(transpose(x, {1, 0})) == V{1, 4, 2, 5, 3, 6});
  CHECK(f.value(broadcast(x, {1, 2}, {2, 2, 3})) == V{1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6});
  CHECK(f.value(broadcast(x, {1, 0}, {3, 2})) == V{1, 4, 2, 5, 3, 6});
  CHECK(f.value(slice(x, {0, 1}, {2, 3})) == V{2, 3, 5, 6});
  CHECK(f.value(slice(x, {1, 0}, {2, 3}, {1, 2})) == V{4, 6});
  CHECK(f.value(reverse(x, {1})) == V{3, 2, 1, 6, 5, 4});
  CHECK(f.value(reverse(x, {0, 1})) == V{6, 5, 4, 3, 2, 1});
  CHECK(f.value(reshape(x, {3, 2})) == V{1, 2, 3, 4, 5, 6});
  CHECK(f.value(stop_gradient(x)) == V{1, 2, 3, 4, 5, 6});
}

TEST_CASE("pad and concatenate") {
  Fixture f;
  Expr x = f.in("x", {2, 2}, {1, 2, 3, 4}), y = f.in("y", {2, 1}, {5, 6});
  CHECK(f.value(pad(x, {0, 1}, {1, 0}, 9)) == V{9, 1, 2, 9, 3, 4, 9, 9, 9});
  CHECK(f.value(pad(x, {0, 0}, {0, 1}, 0, {1, 1})) == V{1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4, 0});
  CHECK(f.value(concatenate({x, y}, 1)) == V{1, 2, 5, 3, 4, 6});
  CHECK(f.value(concatenate({y, y}, 0)) == V{5, 6, 5, 6});
}

TEST_CASE("reductions") {
  Fixture f;
  Expr x = f.in("x", {2, 3}, {1, -2, 3, 4, 5, -6}), n = f.in("n", {3}, {1, NAN, 2}), z = f.in("z", {2}, {-0.0, 0.0});
  CHECK(f.value(reduce_sum(x, {0})) == V{5, 3, -3});
  CHECK(f.value(reduce_sum(x, {1})) == V{2, 3});
  CHECK(f.value(reduce_prod(x, {1})) == V{-6, -120});
  CHECK(f.value(reduce_max(x, {0, 1})) == V{5});
  CHECK(f.value(reduce_min(x, {0})) == V{1, -2, -6});
  CHECK(std::isnan(f.value(reduce_max(n, {0}))[0]));
  CHECK(std::isnan(f.value(reduce_min(n, {0}))[0]));
  CHECK(!std::signbit(f.value(reduce_max(z, {0}))[0]));
  CHECK(std::signbit(f.value(reduce_min(z, {0}))[0]));
  Expr i = f.in("i", {3}, {-4, 2, 7}, Element::Int);
  CHECK(f.value(reduce_max(i, {0})) == V{7});
  CHECK(f.value(reduce_sum(i, {0})) == V{5});
}

TEST_CASE("sums of f32 accumulate in double") {
  Fixture f;
  Expr x = f.in("x", {3}, {1e8, 1, -1e8}, Element::F32), y = f.in("y", {3}, {1, 1, 1}, Element::F32);
  CHECK(f.value(sum(x)) == V{1});
  CHECK(f.value(contract(x, y, {0}, {0}, {})) == V{1});
  Expr i = f.in("i", {3}, {0, 0, 0}, Element::Int);
  CHECK(f.value(scatter_add(i, x, 0, 1)) == V{1});
}

TEST_CASE("arg-reductions give the first extreme, NaN before all") {
  Fixture f;
  Expr x = f.in("x", {2, 3}, {1, 5, 5, -2, -2, 7}), n = f.in("n", {4}, {1, NAN, 9, NAN}), z = f.in("z", {2}, {-0.0, 0.0});
  CHECK(f.value(argmax(x, 1)) == V{1, 2});
  CHECK(f.value(argmin(x, 1)) == V{0, 0});
  CHECK(f.value(argmax(x, 0)) == V{0, 0, 1});
  CHECK(f.value(argmax(n, 0)) == V{1});
  CHECK(f.value(argmin(n, 0)) == V{1});
  CHECK(f.value(argmax(z, 0)) == V{0});
}

TEST_CASE("contractions") {
  Fixture f;
  Expr a = f.in("a", {2, 3}, {1, 2, 3, 4, 5, 6}), b = f.in("b", {3, 2}, {1, 0, 2, 1, 0, 3});
  CHECK(f.value(contract(a, b, {0, 1}, {1, 2}, {0, 2})) == V{5, 11, 14, 23});
  CHECK(f.value(contract(a, b, {0, 1}, {1, 2}, {2, 0})) == V{5, 14, 11, 23});
  CHECK(f.value(contract(a, a, {0, 1}, {0, 1}, {0})) == V{14, 77});
  CHECK(f.value(contract(a, a, {0, 1}, {0, 1}, {0, 1})) == V{1, 4, 9, 16, 25, 36});
  Expr u = f.in("u", {2}, {1, 10}), v = f.in("v", {2}, {3, 4});
  CHECK(f.value(contract(u, v, {4}, {7}, {4, 7})) == V{3, 4, 30, 40});
  Expr s = f.in("s", {}, {2});
  CHECK(f.value(contract(s, v, {}, {0}, {0})) == V{6, 8});
}

TEST_CASE("gather and scatter-add clamp indices outside") {
  Fixture f;
  Expr x = f.in("x", {3, 2}, {1, 2, 3, 4, 5, 6}), i = f.in("i", {4}, {2, -5, 0, 99}, Element::Int);
  CHECK(f.value(gather(x, i, 0)) == V{5, 6, 1, 2, 1, 2, 5, 6});
  Expr j = f.in("j", {}, {1}, Element::Int);
  CHECK(f.value(gather(x, j, 1)) == V{2, 4, 6});
  Expr u = f.in("u", {4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(f.value(scatter_add(i, u, 0, 3)) == V{8, 10, 0, 0, 8, 10});
  CHECK(f.value(scatter_add(j, f.in("w", {2}, {7, 8}), 1, 3)) == V{0, 7, 0, 0, 8, 0});
}

TEST_CASE("missing and ill-typed inputs are told") {
  Fixture f;
  Expr x = f.in("x", {2}, {1, 2});
  f.inputs.clear();
  CHECK_THROWS_AS(f.value(x), InternalError);
  f.inputs["x"] = tensor(type_of(Element::F64, {3}), {1, 2, 3});
  CHECK_THROWS_AS(f.value(x), InternalError);
}

TEST_CASE("only what is needed is evaluated") {
  Fixture f;
  Expr x = f.in("x", {2}, {1, 2}), y = f.in("y", {2}, {3, 4});
  f.inputs.erase("y");
  CHECK(f.value(x + x) == V{2, 4});
  CHECK_THROWS_AS(f.value(x + y), InternalError);
}

TEST_CASE("evaluate gives every output under its name") {
  Fixture f;
  Expr x = f.in("x", {2}, {1, 2});
  f.out("twice", x + x);
  f.out("square", x * x);
  auto results = evaluate(f.graph, f.inputs);
  CHECK(values_of(results.at("twice")) == V{2, 4});
  CHECK(values_of(results.at("square")) == V{1, 4});
}
