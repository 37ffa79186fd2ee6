// What a training step and a compilation execute, instruction by instruction, under callgrind. Counts of generated code are exact: the same
// in every step, every run and on every machine, since the processor is named. Bounds are a tenth or so above what is counted today.
#include <catch2/catch.hpp>

#include "tests/support/callgrind.h"

using namespace gradc::test;

namespace {

constexpr int64_t lanes = 8;  // f32 of x86-64-v3

Instructions trained(const Workplace& place, const std::string& file, int64_t steps) {
  return count_instructions(place, {"train", file, "--quiet", "--cpu", "x86-64-v3", "--threads", "1", "--set", "train.steps=" + std::to_string(steps)});
}

// Of one training step: what `more` further ones add. The first run fills the cache (valgrind shows another processor than the machine's,
// so it has kernels of its own there); the others differ in nothing but their steps.
Instructions of_a_step(const Workplace& place, const std::string& file, int64_t from, int64_t more) {
  trained(place, file, 1);
  const Instructions some = trained(place, file, from), others = trained(place, file, from + more), most = trained(place, file, from + 2 * more);
  CHECK(trained(place, file, from).generated == some.generated);
  CHECK(most.generated - others.generated == others.generated - some.generated);
  CHECK((others.generated - some.generated) % more == 0);
  return {(others.all - some.all) / more, (others.generated - some.generated) / more};
}

std::string dense_layers(int64_t count) {
  std::string text = "use nn\n\nmodel deep(x: [N, 64], y: [N, 64]) {\n    h = x";
  for (int64_t i = 0; i < count; ++i) text += " |> Dense(64) |> relu";
  return text + "\n    loss = mse(h, y)\n}\n\ntrain deep {\n    batch     = 32\n    optimizer = sgd(lr = 0.1)\n}\n";
}

}  // namespace

TEST_CASE("a step of a tiny network is a few hundred instructions of its own, and a few thousand of its training") {
  const Workplace place;
  const Instructions step = of_a_step(place, source("tests/bench/workloads/tiny.grad"), 100, 100);
  CHECK(step.generated > 100);
  CHECK(step.generated <= 350);
  CHECK(step.all <= 5000);
}

TEST_CASE("a step of a dense network executes fewer than three instructions for each multiply-add of its products") {
  const Workplace place;
  constexpr int64_t batch = 64, inputs = 128, hidden = 192, outputs = 64;
  place.write("data.grad", "model data() {\n    param x: [64, 128] = uniform(-1, 1)\n    param y: [64, 64] = uniform(-1, 1)\n    loss = sum(x) + sum(y)\n}\n");
  REQUIRE(place.gradc({"run", "data.grad", "--output", "x", "--output", "y", "--save", "data.npz"}).code == 0);
  place.write("net.grad",
              "use nn\n\nmodel net(x: [N, 128], y: [N, 64]) {\n    h    = x |> Dense(192) |> relu\n    yhat = h |> Dense(64)\n    loss = mse(yhat, y)\n}\n\n"
              "train net {\n    data      = npz(\"data.npz\") { x = x; y = y }\n    batch     = 64\n    optimizer = adam(lr = 1e-3)\n}\n");
  const Instructions step = of_a_step(place, "net.grad", 1, 1);
  // Forward and by the weight in both layers, by the input in the second.
  constexpr int64_t multiply_adds = (2 * batch * inputs * hidden + 3 * batch * hidden * outputs) / lanes;
  // A step of the register tile of 4 x 24 has 24 instructions for its 12 multiply-adds. The rest is Adam's, panels' and epilogues'.
  CHECK(step.generated > multiply_adds);
  CHECK(step.generated <= multiply_adds * 29 / 10);
}

TEST_CASE("point-wise functions with their derivatives take so many instructions an element") {
  const Workplace place;
  place.write("chain.grad",
              "model chain() {\n    param x: [64, 1024] = uniform(-2, 2)\n    param a: [1024] = uniform(-1, 1)\n    param b: [1024] = uniform(-1, 1)\n"
              "    loss = sum(tanh(a * x + b) * sigmoid(b * x + a) + log1p(exp(-x ** 2)))\n}\n\ntrain chain {\n    optimizer = gradient_descent(lr = 1e-3)\n}\n");
  const Instructions step = of_a_step(place, "chain.grad", 1, 1);
  constexpr int64_t vectors = 64 * 1024 / lanes;
  CHECK(step.generated > 100 * vectors);
  CHECK(step.generated <= 285 * vectors);
}

TEST_CASE("LLVM works no longer for 65 equal layers than for two, and what comes before it grows with their number") {
  const Workplace place;
  auto inspected = [&](int64_t layers, const char* stage) {
    const std::string file = "deep" + std::to_string(layers) + ".grad";
    place.write(file, dense_layers(layers));
    return count_instructions(place, {"inspect", file, "--stage", stage, "--cpu", "x86-64-v3", "--threads", "1", "--no-cache"}).all;
  };
  const int64_t two = inspected(2, "kernels"), half = inspected(33, "kernels"), all = inspected(65, "kernels");
  const int64_t llvm_two = inspected(2, "asm") - two, llvm_all = inspected(65, "asm") - all;
  INFO(two << ' ' << half << ' ' << all << "; LLVM " << llvm_two << ' ' << llvm_all);
  CHECK(llvm_two > two);
  CHECK(10 * llvm_all <= 11 * llvm_two);
  const int64_t first_layers = (half - two) / 31, last_layers = (all - half) / 32;
  CHECK(10 * last_layers <= 11 * first_layers);
  CHECK(last_layers <= 3'000'000);  // about a millisecond
}
