// Convolutions and their derivatives through all stages: the compiled step against the interpreter, and what is kept in memory.
#include <cmath>

#include <catch2/catch.hpp>

#include "compiler/pipeline/pipeline.h"
#include "tests/support/fixture.h"
#include "tests/support/run_program.h"

using namespace gradc;
using namespace gradc::test;

namespace {

struct Shape {
  int64_t batch, size, channels, units, kernel, stride, padding;
};

std::vector<double> wave(int64_t count) {
  std::vector<double> v;
  for (int64_t i = 0; i < count; ++i) v.push_back(std::sin(0.7 * static_cast<double>(i * i % 1009)));
  return v;
}

// A square convolution as the language builds it, a point-wise function behind it, and both gradients.
struct Case : Fixture {
  explicit Case(const Shape& s) {
    Expr x = in("x", {s.batch, s.size, s.size, s.channels}, wave(s.batch * s.size * s.size * s.channels));
    Expr w = in("w", {s.kernel, s.kernel, s.channels, s.units}, wave(s.kernel * s.kernel * s.channels * s.units));
    int64_t out = (s.size + 2 * s.padding - s.kernel) / s.stride + 1, cut = (out - 1) * s.stride + 1, wide = s.size + 2 * s.padding;
    Expr image = pad(tanh(x), {0, s.padding, s.padding, 0}, {0, s.padding, s.padding, 0});
    Expr rows = broadcast(image, {0, 1, 2, 5}, {s.batch, wide, wide, s.kernel, s.kernel, s.channels});
    Expr windows = slice(skew(rows, {1, 2}, {3, 4}, {1, 1}, {0, 0}, {cut, cut}), std::vector<int64_t>(6, 0), {s.batch, cut, cut, s.kernel, s.kernel, s.channels},
                         {1, s.stride, s.stride, 1, 1, 1});
    Expr y = tanh(contract(windows, w, {0, 1, 2, 3, 4, 5}, {3, 4, 5, 6}, {0, 1, 2, 6}));
    Expr loss = sum(y * y);
    this->out("y", y);
    this->out("dx", grad(loss, x));
    this->out("dw", grad(loss, w));
  }
};

Compiled compiled(const Graph& graph) {
  std::string error;
  auto target = make_target("native", error);
  REQUIRE(target);
  return compile(graph, {.target = *target, .rewrite = {}, .schedule = {}, .jit = {}, .jit_code = true, .verify = false});  // a fixture has no source lines
}

}  // namespace

TEST_CASE("convolutions compute what the interpreter does") {
  for (const Shape& s : {Shape{2, 9, 16, 8, 3, 1, 1}, Shape{3, 8, 3, 16, 3, 2, 1}, Shape{2, 10, 1, 5, 3, 1, 0}, Shape{2, 7, 8, 24, 5, 2, 2}, Shape{4, 6, 32, 3, 2, 2, 0}}) {
    Case c(s);
    Compiled program = compiled(c.graph);
    auto expected = evaluate(program.backward, c.inputs);
    RunResult got = run_program(program.kernels, *program.step, c.inputs);
    CHECK(got == run_program(program.kernels, *program.step, c.inputs, true));
    for (const auto& [name, value] : expected) {
      INFO(name.str() << " of " << s.size << "x" << s.size << "x" << s.channels << " by " << s.kernel << " stride " << s.stride);
      std::vector<double> want = values_of(value), have = values_of(got.outputs.at(name));
      for (size_t i = 0; i < want.size(); ++i) REQUIRE(have[i] == Approx(want[i]).margin(1e-10));
    }
  }
}

// The derivative by the padded image is somewhat larger than the image; windows would be nine times as large.
TEST_CASE("windows are never in memory: forward and both derivatives are contractions over the image") {
  Case c({4, 12, 16, 16, 3, 1, 1});
  Compiled program = compiled(c.graph);
  int64_t image = 4 * 12 * 12 * 16 * 8;
  for (const Buffer& b : program.kernels.buffers) CHECK(b.type.count() * 8 < 2 * image);
  int64_t contractions = 0;
  for (const KernelInstance& k : program.kernels.instances)
    contractions += std::holds_alternative<Contraction>(program.kernels.bodies[k.body.at()].form);
  CHECK(contractions == 3);
}
