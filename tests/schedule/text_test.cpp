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

namespace {

// Two running sums over rows of x, each in one of two places, with one line replaced.
std::string loops_with(const std::string& line = "", const std::string& instead = "") {
  std::string t = R"(kernels "k"
target "x86-64-v3" "" vector_bytes 32 registers 16 l1 32768 l2 524288
arena 192 lower_bound 128

buffer b0 input "x" f32[6, 4]
buffer b1 output "y" f32[6, 4]
buffer b2 temporary "places" f32[2, 4] at 0
buffer b3 temporary "inner" f32[4] at 64
buffer b4 temporary "before" f32[4] at 128

body 0 "copy" nest (s0: f32, s1: out f32)
  dim i0 = 4
  for i0
    section
      v0: f32 = load s0[i0]
      store f32 s1[i0] = v0

call "first" body 0 (b0, b4)
call "begin" body 0 (b4, b2)
loop l0 "outer" trips 2
  loop l1 "inner" trips 3
    call "in" body 0 (b0 + 48*l0 + 16*l1, b3)
    call "change" body 0 (b3, b2 + 16*(l1 + 1 mod 2))
    call "out" body 0 (b3, b1 + 80 - 48*l0 - 16*l1)
  end
end
)";
  if (!line.empty()) {
    size_t at = t.find(line);
    REQUIRE(at != std::string::npos);
    t.replace(at, line.size(), instead);
  }
  return t;
}

std::vector<std::string> problems_of(const std::string& t) {
  SourceManager sources;
  KernelParseResult r = parse_kernels(t, sources);
  INFO(r.error);
  REQUIRE(r.program);
  return verify(*r.program);
}

}  // namespace

TEST_CASE("loops and slots that move print and parse back") {
  SourceManager sources;
  KernelParseResult r = parse_kernels(loops_with(), sources);
  INFO(r.error);
  REQUIRE(r.program);
  check_round_trip(*r.program);
  const std::string once = print(*r.program, sources);
  CHECK(once.substr(once.find("call")) == loops_with().substr(loops_with().find("call")));
  REQUIRE(r.program->loops.size() == 2);
  CHECK(r.program->loops[0] == CallLoop{"outer", 2, 5, 2});
  CHECK(r.program->loops[1] == CallLoop{"inner", 2, 5, 3});
  CHECK(trips(r.program->loops, 0) == 1);
  CHECK(trips(r.program->loops, 4) == 6);
  CHECK(reach(r.program->instances[4].places[1], r.program->loops) == std::pair<int64_t, int64_t>{0, 80});
  CHECK(reach(r.program->instances[3].places[1], r.program->loops) == std::pair<int64_t, int64_t>{0, 16});
}

TEST_CASE("loops that are not sound are refused") {
  using V = std::vector<std::string>;
  CHECK(problems_of(loops_with()) == V{});
  CHECK(error_of(loops_with("    call \"in\" body 0 (b0 + 48*l0", "    call \"in\" body 0 (b0 + 48*l7")).find("no loop l7 is open here") != std::string::npos);
  CHECK(error_of(loops_with("  end\nend\n", "  end\n")).find("loop l0 has no end") != std::string::npos);
  CHECK(error_of(loops_with("  end\nend\n", "  end\nend\nend\n")).find("no loop is open here") != std::string::npos);
  CHECK(error_of(loops_with("loop l1", "loop l2")).find("loops are numbered from l0 in order") != std::string::npos);
  CHECK(problems_of(loops_with("trips 3", "trips 0")) == V{"loop l1 makes 0 trips"});
  CHECK(problems_of(loops_with("trips 3", "trips 4")).at(0) == "body 'copy': s0 is indexed from 0 to 27, but has 24 elements");
  CHECK(problems_of(loops_with("b1 + 80", "b1 + 64")).at(0) == "body 'copy': s1 is indexed from -4 to 19, but has 24 elements");
  CHECK(problems_of(loops_with("b1 + 80", "b1 + 78")).at(0) == "call 'out': s1 begins within an element");
  CHECK(problems_of(loops_with("mod 2", "mod 3")).at(0) == "call 'change': s1 moves by phase 1 of 3");
  CHECK(problems_of(loops_with("f32[2, 4] at 0", "f32[2, 4] at 64")).at(0) == "'inner' and 'places' overlap");
}

TEST_CASE("what a loop carries from trip to trip lives as long as the loop") {
  using V = std::vector<std::string>;
  // `before` is read before the loop only, `inner` within each trip: they may share memory; not if the loop reads `before`.
  CHECK(problems_of(loops_with("f32[4] at 128", "f32[4] at 64")) == V{});
  std::string t = loops_with("f32[4] at 128", "f32[4] at 64");
  t.replace(t.find("body 0 (b3, b1"), 14, "body 0 (b4, b1");
  CHECK(problems_of(t) == V{"'before' and 'inner' overlap"});
  // Read before it is written in a trip: from the trip before.
  t = loops_with("    call \"in\" body 0 (b0 + 48*l0 + 16*l1, b3)\n    call \"change\" body 0 (b3, b2 + 16*(l1 + 1 mod 2))\n",
                 "    call \"change\" body 0 (b3, b4)\n    call \"in\" body 0 (b0 + 48*l0 + 16*l1, b3)\n");
  t.replace(t.find("body 0 (b3, b1"), 14, "body 0 (b4, b1");
  t.replace(t.find("f32[4] at 128"), 13, "f32[4] at 64");
  CHECK(problems_of(t) == V{"'before' and 'inner' overlap"});
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
