#include <filesystem>
#include <fstream>
#include <functional>

#include <catch2/catch.hpp>

#include "tests/support/contraction_body.h"
#include "tests/support/nest_program.h"

using namespace gradc;
namespace fs = std::filesystem;

namespace {

// w <- w + x and s <- old w through a shadow; `count` further calls double t in place, each over two blocks where `blocks` is 2.
KernelProgram chain(int count, int blocks) {
  std::string text = R"(
buffer b0 input "x" f32[8]
buffer b1 parameter "w" f32[8]
buffer b2 state "s" f32[8]
buffer b3 shadow "s.next" f32[8] of b2
buffer b4 output "t" f32[8]
)";
  text += fmt::format(R"(
body 0 "twice" nest (s0: f32, s1: out f32)
  dim i0 = 8
  parallel for i0 step {}
  for i0
    section
      v0: f32 = load s0[i0]
      v1: f32 = add v0 v0
      store f32 s1[i0] = v1
)", 8 / blocks);
  text += R"(
body 1 "copy" nest (s0: f32, s1: out f32)
  dim i0 = 8
  for i0
    section
      v0: f32 = load s0[i0]
      store f32 s1[i0] = v0
)";
  text += R"(
body 2 "add" nest (s0: f32, s1: f32, s2: out f32)
  dim i0 = 8
  for i0
    section
      v0: f32 = load s0[i0]
      v1: f32 = load s1[i0]
      v2: f32 = add v0 v1
      store f32 s2[i0] = v2

call "shadow" body 1 (b1, b3)
call "start" body 1 (b0, b4)
)";
  for (int i = 0; i < count; ++i) text += fmt::format("call \"double{}\" body 0 (b4, b4)\n", i);
  text += "call \"update\" body 2 (b1, b0, b1)\n";
  return test::parse_program(text);
}

struct Trace {
  std::vector<int64_t> kernels;
  std::vector<int64_t> parallel_blocks;
};

void record_kernel(GradcFrame* frame, int64_t kernel) { static_cast<Trace*>(frame->trace_data)->kernels.push_back(kernel); }
void record_blocks(GradcFrame* frame, GradcKernelFn kernel, void* const* buffers, int64_t blocks) {
  static_cast<Trace*>(frame->trace_data)->parallel_blocks.push_back(blocks);
  kernel(buffers, 0, blocks, frame->scratch);
}

struct TemporaryDirectory {
  TemporaryDirectory() {
    std::string pattern = (fs::temp_directory_path() / "gradc-test-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()));
    path = pattern;
  }
  ~TemporaryDirectory() { fs::remove_all(path); }
  fs::path path;
};

std::vector<fs::path> entries(const fs::path& directory) {
  std::vector<fs::path> result;
  for (const auto& entry : fs::directory_iterator(directory)) result.push_back(entry.path());
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace

TEST_CASE("a step runs its calls in order, then copies shadows") {
  // Few single blocks (straight code), many (a table), and several blocks.
  for (auto [count, blocks] : std::vector<std::pair<int, int>>{{0, 1}, {2, 1}, {40, 1}, {2, 2}, {40, 2}}) {
    INFO(count << " calls of " << blocks << " blocks");
    const KernelProgram program = chain(count, blocks);
    const auto step = compile(program, {});
    const auto inputs = test::some_inputs(program);
    for (bool backwards : {false, true}) {
      const test::RunResult result = test::run_program(program, *step, inputs, backwards);
      for (int64_t i = 0; i < 8; ++i) {
        CHECK(result.stored.at("w").at(i) == inputs.at("w").at(i) + inputs.at("x").at(i));
        CHECK(result.stored.at("s").at(i) == inputs.at("w").at(i));
        CHECK(result.outputs.at("t").at(i) == std::ldexp(inputs.at("x").at(i), count));
      }
    }
  }
}

TEST_CASE("the trace sees each kernel, and only kernels of several blocks go to the pool") {
  for (auto [count, blocks] : std::vector<std::pair<int, int>>{{3, 1}, {3, 2}, {30, 1}}) {
    const KernelProgram program = chain(count, blocks);
    const auto step = compile(program, {});
    float memory[5][8] = {};
    void* buffers[] = {memory[0], memory[1], memory[2], memory[3], memory[4]};
    alignas(64) char scratch[64];
    REQUIRE(step->scratch_bytes() <= 64);
    Trace trace;
    GradcFrame frame{buffers, record_blocks, nullptr, scratch, record_kernel, &trace};
    step->entry()(&frame);
    std::vector<int64_t> expected;
    for (int64_t i = 0; i <= count + 3; ++i) expected.push_back(i);
    CHECK(trace.kernels == expected);
    CHECK(trace.parallel_blocks == std::vector<int64_t>(blocks > 1 ? static_cast<size_t>(count) : 0, blocks));
  }
}

TEST_CASE("several steps in one call are those steps in several calls") {
  const std::string buffers = R"(
buffer b0 input "step" f64[]
buffer b1 parameter "w" f64[5]
buffer b2 shadow "w.next" f64[5] of b1
buffer b3 output "t" f64[5]
)";
  const std::string body = R"(
body 0 "next" nest (s0: f64, s1: f64, s2: out f64, s3: out f64)
  dim i0 = 5
  vector i0
  for i0 vector
    section
      v0: f64 = load s0[0]
      v1: f64 = load s1[-1*i0 + 4]
      v2: f64 = fma v0 v1 v0
      v3: f64 = const 0.25
      v4: f64 = mul v2 v3
      store f64 s2[i0] = v4
      store f64 s3[i0] = v2

)";
  for (int calls : {1, 3, 40}) {  // one function, straight code, a table
    std::string text = buffers + body;
    for (int i = 0; i < calls; ++i) text += fmt::format("call \"next{}\" body 0 (b0, b1, b2, b3)\n", i);
    const KernelProgram program = test::parse_program(text);
    for (bool fuse : {true, false}) {
      JitOptions options;
      options.fuse = fuse;
      const auto step = compile(program, options);
      auto run = [&](int times, int64_t further) {
        double counter = 3, w[5] = {1, -2, 3, 0.5, 7}, next[5], t[5];
        void* pointers[] = {&counter, w, next, t};
        alignas(64) char scratch[64];
        for (int i = 0; i < times; ++i) {
          GradcFrame frame{pointers, nullptr, nullptr, scratch, nullptr, nullptr, further};
          step->entry()(&frame);
          counter += 1;
        }
        return std::vector<double>{counter, w[0], w[1], w[2], w[3], w[4], t[0], t[1], t[2], t[3], t[4]};
      };
      CHECK(run(1, 4) == run(5, 0));
      CHECK(run(2, 1) == run(4, 0));
      CHECK(run(1, 0) != run(2, 0));
    }
  }
}

// What lies between the last jump back and where it goes.
static std::string repeated_part(const std::string& assembly) {
  const size_t jump = assembly.rfind("\tjmp\t");
  REQUIRE(jump != std::string::npos);
  const size_t name = jump + 5;
  const std::string label = "\n" + assembly.substr(name, assembly.find('\n', name) - name) + ":";
  const size_t begin = assembly.find(label);
  REQUIRE(begin < jump);
  return assembly.substr(begin + label.size(), jump - begin - label.size());
}

TEST_CASE("a tiny step is one function without loops and gathers, a larger one is not") {
  const KernelProgram program = chain(3, 1);
  CHECK(worth_fusing(program));
  CHECK_FALSE(worth_fusing(chain(3, 2)));   // a grid for threads
  CHECK_FALSE(worth_fusing(chain(40, 1)));  // many calls
  const std::string text = assembly_text(program, "fused");
  CHECK(text.find("fused:") != std::string::npos);
  CHECK(text.find("call") == std::string::npos);
  // The only jump back is from step to step, and what is repeated is straight code.
  const std::string step = repeated_part(text);
  CHECK(step.find("\n.LBB") == std::string::npos);
  CHECK(std::count(step.begin(), step.end(), '\n') < 100);
}

TEST_CASE("a step without kernels does nothing") {
  KernelProgram program;
  program.target = test::nest_targets().front();
  GradcFrame frame{};
  compile(program, {})->entry()(&frame);
}

TEST_CASE("any number of compile threads gives the same bits") {
  const KernelProgram program = chain(3, 2);
  const auto inputs = test::some_inputs(program);
  const auto one = compile(program, {.compile_threads = 1, .cache_dir = {}});
  for (int threads : {2, 3, 16}) {
    const auto many = compile(program, {.compile_threads = threads, .cache_dir = {}});
    CHECK(many->times().compiled == 3);
    CHECK(test::run_program(program, *one, inputs) == test::run_program(program, *many, inputs));
  }
}

TEST_CASE("the object cache serves equal bodies and survives damage") {
  TemporaryDirectory directory;
  const JitOptions options{.compile_threads = 1, .cache_dir = (directory.path / "new").string()};
  KernelProgram program = chain(2, 2);
  const auto inputs = test::some_inputs(program);
  const test::RunResult expected = test::run_program(program, *compile(program, {}), inputs);

  const auto first = compile(program, options);
  CHECK(first->times().compiled == 3);
  CHECK(first->times().cached == 0);
  const auto files = entries(options.cache_dir);
  CHECK(files.size() == 2);  // the bodies and the step

  program.bodies[0].name = "renamed";  // names are for people
  const auto second = compile(program, options);
  CHECK(second->times().compiled == 0);
  CHECK(second->times().cached == 3);
  CHECK(test::run_program(program, *second, inputs) == expected);

  const std::vector<std::function<void(const fs::path&)>> damages{
      [](const fs::path& file) { std::ofstream(file, std::ios::binary) << "nonsense"; },
      [](const fs::path& file) { fs::resize_file(file, fs::file_size(file) / 2); },
      [](const fs::path& file) { fs::resize_file(file, 0); },
      [](const fs::path& file) {
        std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
        stream.seekp(200);
        stream.put('\x55');
      }};
  for (const auto& damage : damages) {
    for (const fs::path& file : files) damage(file);
    const auto third = compile(program, options);
    CHECK(third->times().cached == 0);
    CHECK(test::run_program(program, *third, inputs) == expected);
  }
  CHECK(compile(program, options)->times().cached == 3);

  program.target.l2_bytes *= 2;  // another target is another object
  CHECK(compile(program, options)->times().cached == 0);
}

TEST_CASE("a cache that cannot be written is no cache") {
  const KernelProgram program = chain(1, 1);
  TemporaryDirectory directory;
  std::ofstream(directory.path / "file") << "in the way";
  const JitOptions options{.compile_threads = 1, .cache_dir = (directory.path / "file").string()};
  for (int i = 0; i < 2; ++i) CHECK(compile(program, options)->times().compiled == 3);
}

TEST_CASE("LLVM IR and assembly of the bodies that are asked for") {
  const KernelProgram program = chain(1, 2);
  CHECK(llvm_text(program).find("define void @twice(") != std::string::npos);
  CHECK(llvm_text(program, "c*").find("@twice(") == std::string::npos);
  CHECK(llvm_text(program, "c*").find("define void @copy(") != std::string::npos);
  CHECK(llvm_text(program, "double0").find("define void @twice(") != std::string::npos);  // by a call's name
  CHECK(llvm_text(program, "nothing").empty());
  const std::string text = assembly_text(program, "twice");
  CHECK(text.find("twice:") != std::string::npos);
  CHECK(text.find("retq") != std::string::npos);
  CHECK(text.find("# statement 2") != std::string::npos);
  for (const char* junk : {".cfi", ".loc", ".file", ".debug", ".ident", ".Ltmp"}) CHECK(text.find(junk) == std::string::npos);
}
