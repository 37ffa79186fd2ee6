#include <catch2/catch.hpp>
#include <cstdlib>

#include "tests/schedule/support.h"
#include "tests/support/random_graph.h"

using namespace gradc;
using namespace gradc::test;

namespace {

double fuzz_scale() {
  const char* s = std::getenv("GRADC_FUZZ_SCALE");
  return s ? std::atof(s) : 1;
}

Graph prepared(const RandomGraph& g, bool optimized) {
  Graph expanded = expand_gradients(g.graph).graph;
  return optimized ? optimize(expanded) : expanded;
}

void check_random(uint64_t seed, RandomGraphOptions options, bool fuse) {
  options.seed = seed;
  options.element = seed % 2 ? Element::F32 : Element::F64;
  options.smooth = options.gradients;
  RandomGraph g = random_graph(options);
  Target target;
  if (seed % 3 == 0) target.vector_bytes = 64, target.vector_registers = 32;
  auto fails = [&](const RandomGraph& r) {
    try {
      return !disagreements(prepared(r, seed % 4 != 0), r.inputs, target, fuse).empty();
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
    problems = disagreements(prepared(small, seed % 4 != 0), small.inputs, target, fuse);
  } catch (const std::exception& e) {
    problems = {e.what()};
  }
  std::string all;
  for (const std::string& p : problems) all += p + "\n";
  FAIL(all);
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
