#include <filesystem>

#include <catch2/catch.hpp>

#include "tests/support/nest_program.h"

// Loops of calls: slots that move, carries that change places, loops in loops; by the compiled step, the kernel interpreter, and
// arithmetic written out here.
using namespace gradc;
namespace fs = std::filesystem;

namespace {

constexpr int64_t width = 8;

// h = 0.5 * h + x[t] over all t, y[t] = h; `cells` of these one after the other in each trip, over `blocks` blocks.
struct Recurrence {
  int64_t trips = 5;
  int cells = 1;
  int blocks = 1;
  bool reverse = false;

  std::string bodies() const {
    return fmt::format(R"(
body 0 "copy" nest (s0: f32, s1: out f32)
  dim i0 = 8
  vector i0
  for i0 vector
    section
      v0: f32 = load s0[i0]
      store f32 s1[i0] = v0
body 1 "cell" nest (s0: f32, s1: f32, s2: out f32, s3: out f32)
  dim i0 = 8
  vector i0
  parallel for i0 step {}
  for i0 vector
    section
      v0: f32 = load s0[i0]
      v1: f32 = load s1[i0]
      v2: f32 = const 0.5
      v3: f32 = fma v1 v2 v0
      store f32 s2[i0] = v3
      store f32 s3[i0] = v3
)", width / blocks);
  }

  std::string text() const {
    std::string t = fmt::format(R"(
arena {0} lower_bound {0}
buffer b0 input "x" f32[{1}, 8]
buffer b1 input "h0" f32[8]
buffer b2 output "y" f32[{1}, 8]
buffer b3 output "h" f32[8]
)", 64 * cells, trips);
    for (int c = 0; c < cells; ++c) t += fmt::format("buffer b{} temporary \"h{}.places\" f32[2, 8] at {}\n", 4 + c, c, 64 * c);
    t += bodies();
    for (int c = 0; c < cells; ++c) t += fmt::format("call \"begin{0}\" body 0 (b1, b{1})\n", c, 4 + c);
    t += fmt::format("loop l0 \"cells\" trips {}\n", trips);
    const std::string at = reverse ? fmt::format(" + {} - 32*l0", 32 * (trips - 1)) : " + 32*l0";
    for (int c = 0; c < cells; ++c) {
      t += fmt::format("  call \"cell{0}\" body 1 (b0{1}, b{2} + 32*(l0 + 0 mod 2), b{2} + 32*(l0 + 1 mod 2), b2{1})\n", c, at, 4 + c);
    }
    t += fmt::format("end\ncall \"last\" body 0 (b4 + {}, b3)\n", 32 * (trips % 2));
    return t;
  }

  // What y and h are, in the same arithmetic.
  std::pair<std::vector<double>, std::vector<double>> expected(const Tensor& x, const Tensor& h0) const {
    std::vector<double> y(static_cast<size_t>(trips * width)), h;
    for (int64_t i = 0; i < width; ++i) h.push_back(h0.at(i));
    for (int64_t n = 0; n < trips; ++n) {
      const int64_t t = reverse ? trips - 1 - n : n;
      for (int64_t i = 0; i < width; ++i) {
        auto& value = h[static_cast<size_t>(i)];
        value = std::fma(static_cast<float>(value), 0.5f, static_cast<float>(x.at(t * width + i)));
        y[static_cast<size_t>(t * width + i)] = value;
      }
    }
    return {y, h};
  }
};

const std::vector<Recurrence> recurrences{{5, 1, 1, false}, {5, 1, 1, true}, {1, 1, 1, false}, {6, 3, 2, true}, {7, 30, 1, false}, {4, 1, 2, false}};

}  // namespace

TEST_CASE("loops of calls: a recurrence forwards and backwards, as straight code and by a table") {
  for (const Recurrence& r : recurrences) {
    INFO(r.text());
    const KernelProgram program = test::parse_program(r.text());
    const auto inputs = test::some_inputs(program);
    const auto [y, h] = r.expected(inputs.at("x"), inputs.at("h0"));
    const test::StepResult interpreted = test::run_kernels(program, inputs);
    const test::RunResult compiled = test::run_program(program, *compile(program, {}), inputs);
    for (size_t i = 0; i < y.size(); ++i) {
      CHECK(interpreted.outputs.at("y").at(static_cast<int64_t>(i)) == y[i]);
      CHECK(compiled.outputs.at("y").at(static_cast<int64_t>(i)) == y[i]);
    }
    for (size_t i = 0; i < h.size(); ++i) CHECK(compiled.outputs.at("h").at(static_cast<int64_t>(i)) == h[i]);
    test::check_program(program, inputs, 0);
  }
}

TEST_CASE("loops of calls within loops of calls, with slots that move with both") {
  // out[a, b] = sum of x[0..a, 0..b], by rows: each row begins anew.
  for (int copies : {1, 20}) {
    std::string text = R"(
arena 64 lower_bound 64
buffer b0 input "x" f64[3, 4, 2]
buffer b1 output "sums" f64[3, 4, 2]
buffer b2 temporary "row" f64[2] at 0
body 0 "zero" nest (s0: out f64)
  dim i0 = 2
  for i0
    section
      v0: f64 = const 0
      store f64 s0[i0] = v0
body 1 "add" nest (s0: f64, s1: out f64)
  dim i0 = 2
  for i0
    section
      v0: f64 = load s0[i0]
      v1: f64 = load s1[i0]
      v2: f64 = add v0 v1
      store f64 s1[i0] = v2
body 2 "keep" nest (s0: f64, s1: out f64)
  dim i0 = 2
  for i0
    section
      v0: f64 = load s0[i0]
      store f64 s1[i0] = v0
loop l0 "rows" trips 3
  call "begin" body 0 (b2)
  loop l1 "columns" trips 4
)";
    text += "    call \"add\" body 1 (b0 + 64*l0 + 16*l1, b2)\n";
    for (int i = 0; i < copies; ++i) text += fmt::format("    call \"keep{}\" body 2 (b2, b1 + 64*l0 + 16*l1)\n", i);
    text += "  end\nend\n";
    const KernelProgram program = test::parse_program(text);
    const auto inputs = test::some_inputs(program);
    const test::RunResult got = test::run_program(program, *compile(program, {}), inputs);
    for (int64_t a = 0; a < 3; ++a) {
      for (int64_t c = 0; c < 2; ++c) {
        double sum = 0;
        for (int64_t b = 0; b < 4; ++b) {
          sum += inputs.at("x").at((a * 4 + b) * 2 + c);
          CHECK(got.outputs.at("sums").at((a * 4 + b) * 2 + c) == sum);
        }
      }
    }
    test::check_program(program, inputs, 0);
  }
}

TEST_CASE("a trace sees each kernel on each trip, and the pool gets the kernels of several blocks") {
  struct Seen {
    std::vector<int64_t> kernels, blocks;
  };
  for (int blocks : {1, 2}) {
    const KernelProgram program = test::parse_program(Recurrence{3, 2, blocks, false}.text());
    const auto step = compile(program, {});
    float x[3][8] = {}, h0[8] = {}, y[3][8] = {}, h[8] = {}, places[2][2][8] = {};
    void* buffers[] = {x, h0, y, h, places[0], places[1]};
    alignas(64) char scratch[64];
    REQUIRE(step->scratch_bytes() <= 64);
    Seen seen;
    GradcFrame frame{};
    frame.buffers = buffers;
    frame.scratch = scratch;
    frame.trace_data = &seen;
    frame.trace = [](GradcFrame* f, int64_t kernel) { static_cast<Seen*>(f->trace_data)->kernels.push_back(kernel); };
    frame.parallel = [](GradcFrame* f, GradcKernelFn kernel, void* const* arguments, int64_t count) {
      static_cast<Seen*>(f->trace_data)->blocks.push_back(count);
      kernel(arguments, 0, count, f->scratch);
    };
    step->entry()(&frame);
    CHECK(seen.kernels == std::vector<int64_t>{0, 1, 2, 3, 2, 3, 2, 3, 4, 5});
    CHECK(seen.blocks == std::vector<int64_t>(blocks > 1 ? 6 : 0, blocks));
  }
}

TEST_CASE("steps with loops repeat, and are never one straight function") {
  const KernelProgram program = test::parse_program(R"(
buffer b0 input "step" f64[]
buffer b1 parameter "w" f64[4]
body 0 "bump" nest (s0: f64, s1: out f64)
  section
    v0: f64 = load s0[0]
    v1: f64 = load s1[0]
    v2: f64 = add v0 v1
    store f64 s1[0] = v2
loop l0 "all" trips 4
  call "bump" body 0 (b0, b1 + 8*l0)
end
)");
  CHECK_FALSE(worth_fusing(program));
  const auto step = compile(program, {});
  double counter = 3, w[4] = {0, 1, 2, 3};
  void* buffers[] = {&counter, w};
  alignas(64) char scratch[64];
  GradcFrame frame{};
  frame.buffers = buffers;
  frame.scratch = scratch;
  frame.further = 2;
  step->entry()(&frame);
  for (int i = 0; i < 4; ++i) CHECK(w[i] == i + 3 + 4 + 5);
}

TEST_CASE("code does not grow with trips") {
  auto code_bytes = [](int64_t trips, int cells) {
    std::string pattern = (fs::temp_directory_path() / "gradc-test-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()));
    compile(test::parse_program(Recurrence{trips, cells, 1, false}.text()), {.compile_threads = 1, .cache_dir = pattern});
    uintmax_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(pattern)) bytes += fs::file_size(entry);
    fs::remove_all(pattern);
    return static_cast<int64_t>(bytes);
  };
  for (int cells : {1, 30}) CHECK(std::abs(code_bytes(3, cells) - code_bytes(3000, cells)) < 64);
}
