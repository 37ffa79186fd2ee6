#include <catch2/catch.hpp>

#include <cmath>
#include <set>

#include "compiler/ops/ops.h"
#include "tests/support/fixture.h"
#include "tests/support/random_graph.h"

using namespace gradc;
using namespace gradc::test;

namespace {

std::set<std::string> operations(const Graph& g) {
  std::set<std::string> names;
  for (size_t i = 0; i < g.size(); ++i) names.insert(g[NodeId(i)].op->name);
  return names;
}

}  // namespace

TEST_CASE("random graphs draw every operation, are well formed and finite") {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 600; ++seed) {
    RandomGraph g = random_graph({.seed = seed, .element = seed % 2 ? Element::F32 : Element::F64, .wide = seed % 10 == 0, .scans = seed % 3 == 0});
    INFO(show(g));
    REQUIRE(verify(g.graph, true).empty());
    for (const auto& [name, value] : evaluate(g.graph, g.inputs)) {
      for (double v : values_of(value)) REQUIRE(std::isfinite(v));
    }
    seen.merge(operations(g.graph));
  }
  for (const Op* op : op_registry().all()) {
    INFO(op->name);
    CHECK((op->kind == OpKind::Grad || seen.count(op->name)));
  }
}

TEST_CASE("a seed gives the same graph again") {
  RandomGraphOptions o{.seed = 42, .operations = 30, .gradients = true};
  CHECK(show(random_graph(o)) == show(random_graph(o)));
  o.seed = 43;
  CHECK(show(random_graph(o)) != show(random_graph({.seed = 42, .operations = 30, .gradients = true})));
}

TEST_CASE("what is shown of a random graph parses back") {
  RandomGraph g = random_graph({.seed = 9, .operations = 30, .gradients = true});
  SourceManager sources;
  GraphParseResult parsed = parse_graph(show(g), op_registry(), sources);
  INFO(parsed.error);
  REQUIRE(parsed.graph);
  CHECK(print(*parsed.graph, sources) == print(g.graph, g.sources));
}

TEST_CASE("only allowed operations are drawn") {
  RandomGraphOptions o{.seed = 5, .operations = 20, .allow = [](const Op& op) { return op.kind == OpKind::Contraction; }};
  std::set<std::string> seen = operations(random_graph(o).graph);
  CHECK(seen.count("contraction"));
  CHECK(!seen.count("exp"));
  CHECK(!seen.count("gather"));
}

TEST_CASE("shrinking keeps what fails and drops the rest") {
  auto fails = [](const RandomGraph& g) { return operations(g.graph).count("sigmoid") > 0; };
  int shrunk = 0;
  for (uint64_t seed = 0; shrunk < 5 && seed < 200; ++seed) {
    RandomGraph g = random_graph({.seed = seed, .operations = 25});
    if (!fails(g)) continue;
    RandomGraph small = shrink(g, fails);
    INFO(show(small));
    CHECK(fails(small));
    CHECK(small.graph.size() <= 4);
    CHECK(verify(small.graph, true).empty());
    CHECK_NOTHROW(evaluate(small.graph, small.inputs));
    ++shrunk;
  }
  CHECK(shrunk == 5);
}
