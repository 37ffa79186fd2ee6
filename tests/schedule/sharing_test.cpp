#include <catch2/catch.hpp>

#include <set>

#include "tests/schedule/support.h"

using namespace gradc;
using namespace gradc::test;

// Equal work is one body, however often it is called, and scheduling grows with the model only.
namespace {

Graph deep(int64_t layers, int64_t width) {
  std::vector<int64_t> widths(static_cast<size_t>(layers) + 1, width);
  widths.push_back(10);
  return mlp(widths, 16);
}

// Random parameters as an initialiser makes them, each with a site of its own.
Graph draws(int count, std::vector<int64_t> sizes) {
  Model m;
  Expr seed = m.tensor("seed", role::seed, {}, Element::Int), step = m.tensor("step", role::step, {}, Element::F64);
  for (int i = 0; i < count; ++i) {
    Type type{Element::F32, {}};
    for (int64_t s : sizes) type.dims.push_back({s, {}});
    m.output(("w" + std::to_string(i)).c_str(), random(seed, step, 1000 + 77 * i, type) * 0.5);
  }
  return m.finished();
}

}  // namespace

TEST_CASE("equal blocks add calls, not bodies") {
  const KernelProgram few = schedule(deep(4, 128), Target{}), many = schedule(deep(64, 128), Target{});
  INFO(text(few));
  REQUIRE(verify(many).empty());
  CHECK(few.bodies.size() == many.bodies.size());
  CHECK(few.instances.size() < many.instances.size());
  CHECK((many.instances.size() - few.instances.size()) % 60 == 0);
}

TEST_CASE("a thousand layers are a thousand times the calls of one") {
  const KernelProgram one = schedule(deep(11, 128), Target{}), hundred = schedule(deep(110, 128), Target{}), thousand = schedule(deep(1100, 128), Target{});
  CHECK(hundred.bodies.size() == thousand.bodies.size());
  CHECK((thousand.instances.size() - hundred.instances.size()) == 10 * (hundred.instances.size() - one.instances.size()));
}

TEST_CASE("random numbers of different sites share a body") {
  const Graph g = draws(5, {64, 64});
  const KernelProgram p = schedule(g, Target{});
  INFO(text(p));
  REQUIRE(verify(p).empty());
  REQUIRE(p.bodies.size() == 1);
  REQUIRE(p.instances.size() == 5);
  std::set<uint32_t> sites;
  for (const KernelInstance& k : p.instances) {
    REQUIRE(k.sites.size() == 1);
    sites.insert(k.sites.front());
  }
  CHECK(sites.size() == 5);
  for (const std::string& problem : disagreements(g, random_inputs(g, 3), Target{}, true)) FAIL_CHECK(problem);
}

TEST_CASE("small kernels run as one only while a call costs more than they do") {
  // Eight numbers are drawn in less time than a call takes, 256 are not.
  CHECK(schedule(draws(40, {8}), Target{}).instances.size() < 20);
  const KernelProgram p = schedule(draws(40, {16, 16}), Target{});
  CHECK(p.instances.size() == 40);
  CHECK(p.bodies.size() == 1);
}
