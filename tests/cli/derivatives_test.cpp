// Derivatives that the library builds from grad, against the same by hand.
#include <catch2/catch.hpp>

#include <cmath>

#include <nlohmann/json.hpp>

#include "tests/support/process.h"

using namespace gradc::test;
using nlohmann::json;

namespace {

// jvp of sin(x @ w) is cos(x @ w) * (v @ w); the Hessian of sum(x^3) is diagonal, 6 x; the one of (sum x)^4 is full.
const char* model = R"(
model m(x: [3], v: [3]) {
    param w: [3, 2] = [[1, 2], [3, 4], [5, 6]]
    y      = sin(x @ w)
    moved  = sum((jvp(y, x, v) - cos(x @ w) * (v @ w)) ** 2)
    size   = sum(jvp(y, x, v) ** 2)
    bent   = sum((hvp(sum(x ** 3), x, v) - 6 * x * v) ** 2)
    full   = sum((hvp(sum(x) ** 4, x, v) - 12 * sum(x) ** 2 * sum(v)) ** 2)
    loss   = size + sum(hvp(sum(y), x, v))
}

train m {
    data      = rows { x = [0.1, 0.2, 0.3]; v = [1, -2, 0.5] }
    optimizer = gradient_descent()
    steps     = 1
}
)";

}  // namespace

TEST_CASE("jvp and hvp agree with derivatives by hand, and can be differentiated again") {
  Workplace place;
  place.write("m.grad", model);
  auto r = place.gradc({"run", "m.grad", "--dtype", "f64", "--json", "--output", "moved", "--output", "size", "--output", "bent", "--output", "full"});
  INFO(r.err);
  REQUIRE(r.code == 0);
  json values = json::parse(r.out);
  CHECK(values["size"].get<double>() > 1);
  for (const char* name : {"moved", "bent", "full"}) {
    INFO(name);
    CHECK(values[name].get<double>() < 1e-20);
  }
  auto check = place.gradc({"check", "m.grad", "--json"});
  INFO(check.out << check.err);
  CHECK(check.code == 0);
}

TEST_CASE("check passes nothing that is no finite number") {
  Workplace place;
  place.write("nan_loss.grad", R"(
model m(x: [N]) {
    param w: [] = 1
    loss = mean(log(w * x - 2))
}
)");
  auto nan_loss = place.gradc({"check", "nan_loss.grad"});
  CHECK(nan_loss.code == 1);
  CHECK(nan_loss.err.find("'loss' is nan at the values it is checked at") != std::string::npos);
  CHECK(nan_loss.err.find("its inputs are drawn from [-1, 1)") != std::string::npos);

  // The loss is 1, but the slope of the root at 0 is infinite, and infinity times the 0 of the branch that is not taken is NaN.
  place.write("nan_gradient.grad", R"(
model m(x: [N]) {
    param w: [] = 0
    loss = mean(if w > 1 { sqrt(w) } else { 1 + 0 * w })
}
)");
  auto nan_gradient = place.gradc({"check", "nan_gradient.grad"});
  INFO(nan_gradient.out << nan_gradient.err);
  CHECK(nan_gradient.code == 1);
}
