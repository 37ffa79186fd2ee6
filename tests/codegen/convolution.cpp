// Convolutions and their derivatives through all stages: the compiled step against the interpreter, and what is kept in memory.
#include <cmath>
#include <sstream>

#include <catch2/catch.hpp>

#include "compiler/codegen/codegen.h"
#include "compiler/pipeline/pipeline.h"
#include "compiler/schedule/windows.h"
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

Compiled compiled(const Graph& graph, const char* cpu = "native") {
  std::string error;
  auto target = make_target(cpu, error);
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

namespace {

int64_t index_of(const Contraction& c, DimRole role, size_t which) {
  for (size_t d = 0; d < c.dims.size(); ++d)
    if (c.roles[d] == role && which-- == 0) return static_cast<int64_t>(d);
  return -1;
}

std::vector<const KernelBody*> contractions(const KernelProgram& program) {
  std::vector<const KernelBody*> found;
  for (const KernelBody& b : program.bodies)
    if (std::holds_alternative<Contraction>(b.form)) found.push_back(&b);
  return found;
}

}  // namespace

// Blocks of several images and of parts of one, the rest of a block, sums in unequal pieces, panels with a rest, lines in several tiles.
TEST_CASE("convolutions in blocks, pieces and tiles compute what the interpreter does, on either width of vectors") {
  for (const char* cpu : {"native", "x86-64-v3"}) {
    for (const Shape& s : {Shape{5, 13, 72, 40, 3, 1, 1}, Shape{3, 30, 24, 48, 3, 1, 1}, Shape{9, 8, 40, 33, 3, 2, 1}, Shape{1, 20, 3, 96, 5, 1, 2}}) {
      Case c(s);
      Compiled program = compiled(c.graph, cpu);
      auto expected = evaluate(program.backward, c.inputs);
      RunResult got = run_program(program.kernels, *program.step, c.inputs);
      CHECK(got == run_program(program.kernels, *program.step, c.inputs, true));
      for (const auto& [name, value] : expected) {
        INFO(name.str() << " of " << s.size << "x" << s.size << "x" << s.channels << " by " << s.kernel << " stride " << s.stride << " on " << cpu);
        std::vector<double> want = values_of(value), have = values_of(got.outputs.at(name));
        for (size_t i = 0; i < want.size(); ++i) REQUIRE(have[i] == Approx(want[i]).epsilon(1e-10).margin(1e-9));
      }
    }
  }
}

TEST_CASE("an image is evaluated once: scratch holds a box of it, never its windows") {
  Case c({4, 12, 16, 16, 3, 1, 1});
  Compiled program = compiled(c.graph);
  auto found = contractions(program.kernels);
  REQUIRE(found.size() == 3);
  int by_filter = 0;
  for (const KernelBody* body : found) {
    const auto& form = std::get<Contraction>(body->form);
    auto windows = find_windows(form);
    REQUIRE(windows);
    by_filter += windows->sums_places;
    int64_t pairs = 0;
    for (const ImageAxis& a : windows->axes) pairs += a.window();
    CHECK(pairs == 2);
    // All images with their padding, all weights, and sums of one block: less than half of the windows.
    CHECK(scratch_bytes(*body, program.kernels.target) < 4 * 12 * 12 * 16 * 9 * 8 / 2);
  }
  CHECK(by_filter == 1);
}

// Only what is asked for is summed: the rim that padding adds is not computed and cut away.
TEST_CASE("the derivative by a padded image has the image's own places as rows") {
  Case c({4, 12, 16, 8, 3, 1, 1});
  Compiled program = compiled(c.graph);
  for (const KernelBody* body : contractions(program.kernels)) {
    const auto& form = std::get<Contraction>(body->form);
    if (find_windows(form)->sums_places) continue;
    for (size_t i : {size_t{1}, size_t{2}}) CHECK(form.dims[static_cast<size_t>(index_of(form, DimRole::M, i))].extent == 12);
  }
}

TEST_CASE("sums of a convolution stay in registers while a piece is summed") {
  for (const char* cpu : {"x86-64-v3", "x86-64-v4"}) {
    std::string error;
    auto target = make_target(cpu, error);
    if (!target) continue;  // a machine without it
    Case c({8, 14, 64, 64, 3, 1, 1});
    Compiled program = compiled(c.graph, cpu);
    std::istringstream lines(assembly_text(program.kernels));
    std::string line;
    int64_t products = 0;
    bool inside = false;
    while (std::getline(lines, line)) {
      if (line.rfind("window.", 0) == 0) inside = true;
      if (line.find(".Lfunc_end") == 0) inside = false;
      if (!inside) continue;
      products += line.find("vfmadd") != std::string::npos;
      INFO(line);
      CHECK((line.find("vmov") == std::string::npos || line.find("(%rsp)") == std::string::npos));
    }
    CHECK(products > 0);
  }
}
