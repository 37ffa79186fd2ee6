// Derivatives of the user's own: values, orders, and how gradc check judges them.
#include <catch2/catch.hpp>

#include <cmath>

#include <nlohmann/json.hpp>

#include "tests/cli/checked_model.h"

using namespace gradc::test;
using nlohmann::json;

namespace {

json check(const std::string& items, const std::string& body, int code) { return check_model(items, "[0.5, -0.4, 1.2]", body, code); }

}  // namespace

TEST_CASE("a right rule passes, through its second derivative too") {
  std::string rule = "fn cube(x) = x * x * x\nderivative cube(x; y, ct) = 3 * ct * x ** 2\n";
  json j = check(rule, "e = sum(cube(w * x))\n loss = e + sum(grad(e, w) ** 2)", 0);
  REQUIRE(j["derivatives"].size() >= 1);
  CHECK(j["derivatives"][0]["max_rel_err"] < 1e-8);
  CHECK(j["derivatives"][0]["compared"] == 6);
  // By the value instead of the input: differentiating the rule uses the rule again.
  rule = "fn grown(x) = exp(x)\nderivative grown(x; y, ct) = ct * y\n";
  check(rule, "e = sum(grown(w))\n loss = sum(x) + sum(grad(sum(grad(e, w) * w), w))", 0);
  // Two inputs, one of them a row.
  rule = "fn scaled(x, k) = x * k\nderivative scaled(x, k; y, ct) = (ct * k, sum(ct * x, axis = 0))\n";
  check(rule, "v = stack(x, 2 * x)\n loss = sum(scaled(v * w, w) ** 2)", 0);
}

TEST_CASE("a wrong rule fails, and is named") {
  for (const char* wrong : {"2 * ct * x ** 2", "3 * ct * x", "3 * ct * y", "-3 * ct * x ** 2"}) {
    INFO(wrong);
    json j = check("fn cube(x) = x * x * x\nderivative cube(x; y, ct) = " + std::string(wrong) + "\n", "h = w * x\n loss = sum(cube(h))", 1);
    CHECK(j["ok"] == false);
    CHECK(j["derivatives"][0]["name"] == "derivative cube by h");
    CHECK(j["derivatives"][0]["max_rel_err"] > 1e-3);
  }
}

TEST_CASE("rules that are no derivatives do what they say") {
  Workplace place;
  place.write("m.grad",
              "fn reversed(x) = x\nderivative reversed(x; y, ct) = -ct\n"
              "fn rounded(x) = floor(x + 0.5)\nderivative rounded(x; y, ct) = ct\n"
              "fn bounded(x) = x\nderivative bounded(x; y, ct) = clip(ct, -1, 1)\n"
              "model m(x: [3]) {\n param w: [3] = [0.4, 1.6, -2.2]\n loss = sum(reversed(w) * [1, 2, 3])\n a = sum(rounded(w) ** 2)\n b = sum(bounded(w) ** 2)\n}\n"
              "train m {\n data = rows { x = [1, 1, 1] }\n optimizer = gradient_descent()\n steps = 1\n}\n");
  std::vector<std::string> args = {"run", "m.grad", "--dtype", "f64", "--json"};
  for (const char* output : {"sum(abs(grad(loss, w) + [1, 2, 3]))", "sum(abs(grad(a, w) - 2 * [0, 2, -2]))", "sum(abs(grad(b, w) - [0.8, 1, -1]))", "a"}) {
    args.push_back("--output");
    args.push_back(output);
  }
  auto r = place.gradc(args);
  INFO(r.err);
  REQUIRE(r.code == 0);
  json v = json::parse(r.out);
  CHECK(v["sum(abs(grad(loss, w) + [1, 2, 3]))"].get<double>() < 1e-14);
  CHECK(v["sum(abs(grad(a, w) - 2 * [0, 2, -2]))"].get<double>() < 1e-14);
  CHECK(v["sum(abs(grad(b, w) - [0.8, 1, -1]))"].get<double>() < 1e-14);
  CHECK(v["a"] == 8);
}
