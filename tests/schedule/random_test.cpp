#include <catch2/catch.hpp>
#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "tests/schedule/support.h"
#include "tests/support/random_batch.h"

using namespace gradc;
using namespace gradc::test;

namespace {

double fuzz_scale() {
  const char* s = std::getenv("GRADC_FUZZ_SCALE");
  return s ? std::atof(s) : 1;
}

Graph prepared(const RandomGraph& g, bool optimized) {
  const AutodiffResult expanded = expand_gradients(g.graph);
  if (!expanded.problems.empty()) throw std::runtime_error(expanded.problems[0].reason);
  return optimized ? optimize(expanded.graph) : expanded.graph;
}

void check_graph(RandomGraph g, uint64_t seed, bool fuse, int64_t strips) {
  Target target;
  if (seed % 3 == 0) target.vector_bytes = 64, target.vector_registers = 32;
  auto fails = [&](const RandomGraph& r) {
    try {
      return !disagreements(prepared(r, seed % 4 != 0), r.inputs, target, fuse, strips).empty();
    } catch (const std::exception&) {
      return true;
    }
  };
  bool agrees = !fails(g);
  CHECK(agrees);
  if (agrees) return;
  RandomGraph small = shrink(g, fails);
  INFO("seed " << seed << "\n" << show(small));
  std::vector<std::string> problems;
  try {
    problems = disagreements(prepared(small, seed % 4 != 0), small.inputs, target, fuse, strips);
  } catch (const std::exception& e) {
    problems = {e.what()};
  }
  std::string all;
  for (const std::string& p : problems) all += p + "\n";
  FAIL(all);
}

void check_random(uint64_t seed, RandomGraphOptions options, bool fuse) {
  options.seed = seed;
  options.element = seed % 2 ? Element::F32 : Element::F64;
  options.smooth = options.gradients;
  check_graph(random_graph(options), seed, fuse, 0);
}

}  // namespace

TEST_CASE("random graphs mean the same as kernels, fused") {
  auto count = static_cast<uint64_t>(400 * fuzz_scale()) + 1;
  for (uint64_t seed = 1; seed <= count; ++seed) check_random(seed, {}, true);
}

TEST_CASE("random graphs mean the same with one kernel a node") {
  auto count = static_cast<uint64_t>(150 * fuzz_scale()) + 1;
  for (uint64_t seed = 1; seed <= count; ++seed) check_random(seed, {}, false);
}

TEST_CASE("random graphs with gradients and updates mean the same as kernels") {
  auto count = static_cast<uint64_t>(200 * fuzz_scale()) + 1;
  for (uint64_t seed = 1; seed <= count; ++seed) check_random(seed, {.operations = 10, .gradients = true}, true);
}

TEST_CASE("random graphs with long axes mean the same as kernels") {
  auto count = static_cast<uint64_t>(100 * fuzz_scale()) + 1;
  for (uint64_t seed = 1; seed <= count; ++seed) check_random(seed, {.operations = 8, .wide = true}, true);
}

TEST_CASE("random networks whose rows are cut into strips mean the same") {
  auto count = static_cast<uint64_t>(400 * fuzz_scale()) + 1;
  uint64_t cut = 0, calls = 0, shared = 0;
  for (uint64_t seed = 1; seed <= count; ++seed) {
    const int64_t strips = seed % 2 == 0 ? 2 : 4;
    check_graph(random_batch(seed), seed, true, strips);
    const KernelProgram p = schedule(prepared(random_batch(seed), seed % 4 != 0), Target{}, {.strips = strips});
    calls += p.instances.size();
    cut += p.loops.empty() ? 0 : 1;
    for (const CallLoop& l : p.loops) shared += static_cast<uint64_t>(l.end - l.begin);
  }
  // Else little was tested.
  CHECK(cut * 3 >= count);
  CHECK(shared * 8 >= calls);
}
