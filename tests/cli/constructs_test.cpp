// gradc check on models that use every construct of the language: derivatives against differences, every pass and the compiled code
// against the interpreter.
#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "tests/support/process.h"

using namespace gradc::test;
using nlohmann::json;

namespace {

void check(const std::string& text) {
  Workplace place;
  place.write("m.grad", text);
  auto r = place.gradc({"check", "m.grad", "--json"});
  INFO(text << "\n" << r.out << r.err);
  REQUIRE(r.code == 0);
  json j = json::parse(r.out);
  CHECK(j["ok"] == true);
  CHECK(j["passes"].back()["name"] == "machine-code");
  for (const json& p : j["passes"]) CHECK(p["max_rel_err"].get<double>() < 1e-9);
  for (const json& p : j["parameters"]) CHECK(p["compared"].get<int>() > 0);
}

}  // namespace

TEST_CASE("constructs: index notation with windows, strides, diagonals and several factors") {
  check(R"(
model m(x: [N, 9, 3]) {
    param w: [3, 3, 4] = normal()
    param a: [4, 4] = normal()
    param b: [4, 4] = normal()
    y[n, i, o]: [N, 4, 4] = sum[u, c](x[n, 2 * i + u, c] * w[u, c, o])
    z[n, i, o]    = max[k](y[n, i, k] + a[k, o]) * b[o, o] + y[n, i + 1, o]
    q[n]          = sum[i, j, k, l](z[n, i, j] * a[j, k] * b[k, l] * z[n, 3 - i, l])
    skewed[n, k]: [N, 4] = mean[i, j](where(i + k >= j, z[n, i, j], 0) * a[i, 3 - j])
    loss = mean(tanh(q / 50)) + mean(skewed ** 2)
}
)");
}

TEST_CASE("constructs: transposed convolution, normalisation in groups") {
  check(R"(
use nn
model m(x: [N, 4, 4, 2]) {
    small = x |> Conv(4, stride = 2) |> GroupNorm(2) |> tanh
    large = small |> ConvTranspose(2, size = 4, stride = 2, groups = 2) |> tanh
    wide  = large |> ConvTranspose(2, size = 3, stride = 2, padding = 1, output_padding = 1, dilation = 1)
    loss  = mean((large - x) ** 2) + mean(wide ** 3)
}
)");
}

TEST_CASE("constructs: order, running totals, rows by index") {
  check(R"(
model m(x: [N, 6], row: int[N]) {
    param w: [6, 6] = normal()
    h        = tanh(x @ w)
    best, at = top_k(h, 2)
    totals   = cumsum(sort(h), axis = -1)
    back     = scatter_add(gather(w, row) * 2, row, 6)
    rest     = cumprod(1 + 0.1 * roll(h, 2))
    loss     = mean(best ** 2) + mean(totals * stack(h, h, axis = 0)[0]) + mean(back ** 2) + mean(rest) + mean(argsort(h) * 1.0)
}
)");
}

TEST_CASE("constructs: attention of all kinds") {
  check(R"(
use nn
model m(x: [N, 5, 4], memory: [N, 3, 4]) {
    h      = x |> TransformerBlock(2, width = 6, causal = true, rotary = true)
    looked = MultiHeadAttention(2)(h, memory = memory, mask = range(3) >= 0 * expand(range(5), 1))
    y      = looked |> Residual(Sequential(Dense(4), silu))
    loss   = mean(y ** 2)
}
)");
}

TEST_CASE("constructs: initial values that are orthogonal or cut off, through the compiled code") {
  Workplace place;
  place.write("m.grad", R"(
model m(x: [N, 4]) {
    param W: [4, 4] = orthogonal()
    param D: [4, 4] = truncated_normal(0, 0.5)
    loss     = mean((x @ W @ D) ** 2)
    residual = max(abs(transpose(W) @ W - [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    widest   = max(abs(D))
}
train m {
    data  = rows { x = [[1, 2, 3, 4]] }
    steps = 1
    optimizer = gradient_descent()
}
)");
  auto r = place.gradc({"run", "m.grad", "--dtype", "f64", "--json", "--output", "residual", "--output", "widest"});
  INFO(r.err);
  REQUIRE(r.code == 0);
  json v = json::parse(r.out);
  CHECK(v["residual"].get<double>() < 1e-9);
  CHECK(v["widest"].get<double>() <= 1.0 + 1e-9);
}

// The exponential is computed over what the first scan emitted, and its rows are what the other scans and derivatives go through.
TEST_CASE("constructs: what a scan emitted is written over, and scanned again") {
  check(R"(
model m(x: [N]) {
    param w: [3, 4] = normal()
    waves = scan e in w[0..2] along 0 { emit cos(e) }
    grown = exp(waves)
    total = scan g in grown along 0 with t = zeros([4]) { t = tanh(t + g) }
    loss  = sum(grown) + sum(total) + mean(x) * sum(w)
}
)");
}
