#include <catch2/catch.hpp>

#include "tests/schedule/support.h"
#include "tests/support/random_graph.h"

using namespace gradc;
using namespace gradc::test;

namespace {

void check_round_trip(const KernelProgram& p) {
  std::string once = text(p);
  SourceManager sources;
  KernelParseResult parsed = parse_kernels(once, sources);
  INFO(once);
  INFO(parsed.error);
  REQUIRE(parsed.program);
  // Comments name values and lines; labels of the calls bring the names back.
  auto without_comments = [](const std::string& t) {
    std::string out;
    for (size_t i = 0; i < t.size(); ++i) {
      if (t[i] == '#') {
        while (i < t.size() && t[i] != '\n') ++i;
        while (!out.empty() && out.back() == ' ') out.pop_back();
      }
      if (i < t.size()) out += t[i];
    }
    return out;
  };
  CHECK(without_comments(print(*parsed.program, sources)) == without_comments(once));
  CHECK(verify(*parsed.program).empty());
  REQUIRE(parsed.program->bodies.size() == p.bodies.size());
  for (size_t i = 0; i < p.bodies.size(); ++i) CHECK(parsed.program->bodies[i] == p.bodies[i]);
}

std::string error_of(const std::string& t) {
  SourceManager sources;
  return parse_kernels(t, sources).error;
}

// s1 = tanh(s0) over 8 elements, with one line replaced.
std::vector<std::string> problems_with(const std::string& line, const std::string& instead) {
  std::string t = R"(kernels "k"
target "x86-64-v3" "" vector_bytes 32 registers 16 l1 32768 l2 524288
arena 64 lower_bound 64
buffer b0 input "x" f32[8]
buffer b1 output "y" f32[8]
buffer b2 temporary "t" f32[8] at 0
body 0 "tanh" nest (s0: f32, s1: out f32)
  dim i0 = 8
  vector i0
  for i0
  section
    v0: f32 = load s0[i0]
    v1: f32 = tanh v0
    store f32 s1[i0] = v1
call "a" body 0 (b0, b2)
call "b" body 0 (b2, b1)
)";
  size_t at = t.find(line);
  REQUIRE(at != std::string::npos);
  t.replace(at, line.size(), instead);
  SourceManager sources;
  KernelParseResult r = parse_kernels(t, sources);
  INFO(r.error);
  REQUIRE(r.program);
  return verify(*r.program);
}

}  // namespace

TEST_CASE("kernels print and parse back") {
  check_round_trip(schedule(mlp({30, 20, 10}, 8), Target{}));
  check_round_trip(schedule(mlp({784, 512, 512, 10}, 128), Target{}));
  for (uint64_t seed = 1; seed < 60; ++seed) {
    RandomGraphOptions o;
    o.seed = seed;
    Graph g = expand_gradients(random_graph(o).graph).graph;
    check_round_trip(schedule(g, Target{}));
  }
}

TEST_CASE("statements are described by name and place") {
  Model m;
  Expr x = m.named(m.data("x", {4}), "x");
  m.output("y", m.named(tanh(x), "y"));
  SourceManager sources;
  sources.add("model.grad", "y = tanh(x)\n");
  std::string t = print(schedule(m.finished(), Target{}), sources);
  INFO(t);
  CHECK(t.find("tanh v0") != std::string::npos);
  CHECK(t.find("# y, model.grad:1:1") != std::string::npos);
}

TEST_CASE("malformed text is refused with its line") {
  CHECK(error_of("kernels \"a\"\nbuffer b1 input \"x\" f32[]\n") == "line 2: buffers are numbered from b0 in order");
  CHECK(error_of("buffer b0 inptu \"x\" f32[]\n") == "line 1: no kind of buffer is called 'inptu'");
  CHECK(error_of("body 0 \"a\" nest (s0: f32)\n  v0: f32 = load s0[0]\n") == "line 2: a statement outside of a section");
  CHECK(error_of("body 0 \"a\" nest (s0: f32)\n  section\n    v0: f32 = load s0[i3]\n") == "line 3: the kernel has no dim i3");
  CHECK(error_of("call \"a\" body 0 ()\n") == "line 1: there is no body 0");
  CHECK(error_of("body 0 \"a\" nest (s0: f32)\n  section\n    v0: f32 = frobnicate v1\n") ==
        "line 3: no statement or scalar operation is called 'frobnicate'");
}

TEST_CASE("the verifier accepts a sound program and names what is broken in others") {
  using V = std::vector<std::string>;
  CHECK(problems_with("tanh v0", "tanh v0") == V{});
  CHECK(problems_with("tanh v0", "tanh v7") == V{"body 'tanh': v7 is used where it is not visible"});
  CHECK(problems_with("store f32 s1[i0] = v1", "store f32 s0[i0] = v1") == V{"body 'tanh': s0 is written but not marked so"});
  CHECK(problems_with("load s0[i0]", "load s0[i0 + 1]").at(0) == "body 'tanh': s0 is indexed from 1 to 8, but has 8 elements");
  CHECK(problems_with("  for i0\n", "").at(0) == "body 'tanh': i0 moves no loop here");
  CHECK(problems_with("(b2, b1)", "(b2)") == V{"call 'b' has 1 buffers for 2 slots"});
  CHECK(problems_with("call \"b\"", "call \"a\"") == V{"two calls are named 'a'"});
  CHECK(problems_with("f32[8] at 0", "f32[8] at 64") == V{"'t' does not lie in the arena"});
  CHECK(problems_with("body 0 (b2, b1)", "body 0 (b2, b0)") == V{"call 'b' writes the input 'x'"});
}

TEST_CASE("costs are counted") {
  KernelProgram p = schedule(mlp({784, 512, 512, 10}, 128), Target{});
  const KernelBody& forward = p[p.instances[0].body];
  double points = 128.0 * 512;
  // The product, the bias and the relu.
  CHECK(flops(forward) == 2 * points * 784 + 2 * points);
  // x, W, b; h1 and its mask.
  CHECK(bytes_touched(forward) == 4 * (128.0 * 784 + 784.0 * 512 + 512) + 5 * points);
  CHECK(block_count(forward) > 1);
}
