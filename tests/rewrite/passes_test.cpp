#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "compiler/autodiff/autodiff.h"
#include "compiler/ops/ops.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/support/random_graph.h"

using namespace gradc;
using namespace gradc::test;

namespace {

// GRADC_FUZZ_SCALE=0.1 runs a tenth, =10 ten times as many.
uint64_t scaled(int count) {
  const char* scale = std::getenv("GRADC_FUZZ_SCALE");
  return static_cast<uint64_t>(std::max(1.0, count * (scale ? std::atof(scale) : 1.0)));
}

// A rounding difference may not become a jump: these are left out where a pass rounds differently.
bool jumps(const Op& o) {
  static const std::vector<const Op*> list{&op<ops::Floor>(), &op<ops::Ceil>(), &op<ops::Round>(), &op<ops::Rem>(), &op<ops::Sign>(), &op<ops::Lt>(),
                                           &op<ops::Le>(), &op<ops::Gt>(), &op<ops::Ge>(), &op<ops::Eq>(), &op<ops::Ne>(), &op<ops::ArgMax>(),
                                           &op<ops::ArgMin>(), &op<ops::Cast>(), &op<ops::Abs>(), &op<ops::Min>(), &op<ops::Max>(),
                                           &op<ops::ReduceMax>(), &op<ops::ReduceMin>()};
  return std::find(list.begin(), list.end(), &o) != list.end();
}

RandomGraph graph_for(uint64_t seed, bool exact, bool gradients) {
  RandomGraphOptions options{.seed = seed, .operations = 14, .gradients = gradients, .scans = seed % 3 == 1 ? 2 : 0};
  options.element = exact && seed % 3 == 0 ? Element::F32 : Element::F64;
  if (!exact) options.allow = [](const Op& o) { return !jumps(o); };
  RandomGraph g = random_graph(options);
  if (gradients) {
    AutodiffResult expanded = expand_gradients(g.graph);
    if (expanded.problems.empty()) g.graph = std::move(expanded.graph);
  }
  return g;
}

bool has_grad(const Graph& g) {
  for (size_t i = 0; i < g.size(); ++i) {
    if (g[NodeId(i)].op->kind == OpKind::Grad) return true;
  }
  return false;
}

// Largest difference of two tensors as a share of the largest element; infinity where NaN or bits of another kind differ.
double difference(const Tensor& a, const Tensor& b) {
  double largest = 0, worst = 0;
  for (int64_t i = 0; i < a.type.count(); ++i) {
    double x = a.at(i), y = b.at(i);
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    if (!std::isfinite(x) || !std::isfinite(y)) return std::isfinite(y) ? 0 : INFINITY;  // stable forms may be finite where the original is not
    largest = std::max({largest, std::abs(x), std::abs(y)});
    worst = std::max(worst, std::abs(x - y));
  }
  return worst == 0 ? 0 : worst / std::max(largest, 1e-3);
}

void same_outputs(const RandomGraph& g, const Graph& after, bool exact, const char* pass) {
  REQUIRE(after.outputs.size() == g.graph.outputs.size());
  Interpreter was(g.graph, g.inputs), is(after, g.inputs);
  for (size_t i = 0; i < after.outputs.size(); ++i) {
    REQUIRE(after.outputs[i].name == g.graph.outputs[i].name);
    REQUIRE(after.outputs[i].kind == g.graph.outputs[i].kind);
    const Tensor &a = was.value(g.graph.outputs[i].node), &b = is.value(after.outputs[i].node);
    REQUIRE(a.type == b.type);
    bool equal = exact ? a.bytes == b.bytes : difference(a, b) <= 1e-7;
    if (!equal) {
      FAIL(pass << " changed output " << after.outputs[i].name.str() << " of seed " << g.seed << ", by " << difference(a, b) << "\n" << show(g) << print(after, g.sources));
    }
  }
}

size_t named_outputs(const Graph& g) {
  size_t n = 0;
  for (const Output& o : g.outputs) n += bool(g[o.node].name);
  return n;
}

// With those of bodies.
size_t all_nodes(const Graph& g) {
  size_t n = g.size();
  for (size_t i = 0; i < g.size(); ++i) n += g[NodeId(i)].body ? all_nodes(*g[NodeId(i)].body) : 0;
  return n;
}

bool pass_is_exact(const std::string& name) { return name == "cse" || name == "dead-code"; }

void run_passes(uint64_t first, uint64_t count, bool exact) {
  for (uint64_t seed = first; seed < first + count; ++seed) {
    RandomGraph g = graph_for(seed, exact, seed % 4 == 0);
    if (has_grad(g.graph)) continue;
    for (const RewritePass& pass : rewrite_passes()) {
      if (exact && !pass_is_exact(pass.name)) continue;
      Graph after = pass.run(g.graph);
      std::vector<std::string> problems = verify(after, true);
      if (!problems.empty()) FAIL(pass.name << ", seed " << seed << ": " << problems[0]);
      same_outputs(g, after, pass_is_exact(pass.name), pass.name);
    }
  }
}

}  // namespace

TEST_CASE("each pass keeps the values of 10,000 random graphs") { run_passes(0, scaled(10000), false); }

TEST_CASE("merging and dropping keep every bit, also of f32, comparisons and steps") { run_passes(10000, scaled(2500), true); }

TEST_CASE("optimising keeps values and names, and is idempotent") {
  for (uint64_t seed = 20000; seed < 20000 + scaled(2500); ++seed) {
    RandomGraph g = graph_for(seed, false, seed % 2 == 0);
    if (has_grad(g.graph)) continue;
    INFO(show(g));
    Graph once = optimize(g.graph), twice = optimize(once);
    std::vector<std::string> problems = verify(once, true);
    if (!problems.empty()) FAIL("seed " << seed << ": " << problems[0]);
    same_outputs(g, once, false, "optimize");
    REQUIRE(named_outputs(once) >= named_outputs(g.graph));
    REQUIRE(all_nodes(once) <= 2 * all_nodes(g.graph) + 8);
    if (print(once, g.sources) != print(twice, g.sources)) FAIL("seed " << seed << "\n" << print(once, g.sources) << print(twice, g.sources));
  }
}

TEST_CASE("optimising is deterministic, and every limit gives a graph of the same value") {
  for (uint64_t seed = 30000; seed < 30000 + scaled(60); ++seed) {
    RandomGraph g = graph_for(seed, false, true);
    if (has_grad(g.graph)) continue;
    RewriteStats stats;
    Graph full = optimize(g.graph, {}, &stats);
    int total = 0;
    for (const RewriteStats::Entry& e : stats.applied) total += e.count;
    for (int limit = 0; limit <= total; limit += 1 + total / 12) {
      RewriteStats some;
      Graph partly = optimize(g.graph, {.disabled = {}, .limit = limit}, &some);
      int applied = 0;
      for (const RewriteStats::Entry& e : some.applied) applied += e.count;
      REQUIRE(applied == limit);
      same_outputs(g, partly, false, "a limit");
    }
    REQUIRE(print(optimize(g.graph, {.disabled = {}, .limit = total}), g.sources) == print(full, g.sources));
  }
}
