#include <atomic>
#include <cmath>
#include <cstdlib>
#include <mutex>
#include <thread>

#include <catch2/catch.hpp>

#include "compiler/pipeline/pipeline.h"
#include "tests/support/random_batch.h"
#include "tests/support/run_program.h"

using namespace gradc;
using test::RandomGraph;

namespace {

struct Verdict {
  std::string failure{};
  bool ill_conditioned = false;  // something was left out of the comparison
};

// The inputs with every float moved by a few units in the last place: what a value changes by then, rounding may change it by.
std::map<Symbol, Tensor> jiggled(std::map<Symbol, Tensor> inputs, uint64_t seed) {
  test::Rng rng(seed);
  for (auto& [name, tensor] : inputs) {
    if (!is_float(tensor.type.element) || name == Symbol(role::step)) continue;
    const double relative = tensor.type.element == Element::F32 ? 1e-6 : 1e-14;
    for (int64_t i = 0; i < tensor.type.count(); ++i) tensor.set(i, tensor.at(i) * (1 + rng.uniform(-relative, relative)));
  }
  return inputs;
}

double largest(const Tensor& t) {
  double result = 0;
  for (int64_t i = 0; i < t.type.count(); ++i)
    if (std::isfinite(t.at(i))) result = std::max(result, std::abs(t.at(i)));
  return result;
}

// Largest difference; infinite where one is NaN or infinite and the other is something else.
double distance(const Tensor& a, const Tensor& b) {
  double result = 0;
  for (int64_t i = 0; i < a.type.count(); ++i) {
    const double x = a.at(i), y = b.at(i);
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    result = std::max(result, std::isfinite(x) && std::isfinite(y) ? std::abs(x - y) : INFINITY);
  }
  return result;
}

// Holds the compiled step against the interpreter on the graph before any rewriting. Sums differ by rounding relative to their
// largest term, so the scale is the largest value anywhere in the graph.
Verdict check(const RandomGraph& g, const Target& target, int64_t strips) {
  Compiled compiled = compile(g.graph, {.target = target, .rewrite = {}, .schedule = {.strips = strips}, .jit = {}, .jit_code = true, .verify = true});
  if (!compiled.problems.empty()) return {"a gradient cannot be had: " + compiled.problems[0].reason, false};
  const auto step_result = test::run_program(compiled.kernels, *compiled.step, g.inputs);
  // Blocks, and trips that threads share out, in any order.
  if (strips > 0 && !(step_result == test::run_program(compiled.kernels, *compiled.step, g.inputs, /*blocks_backwards=*/true))) return {"the order of strips shows", false};
  JitOptions apart;
  apart.fuse = false;
  if (g.seed % 4 == 0 && !(step_result == test::run_program(compiled.kernels, *compile(compiled.kernels, apart), g.inputs)))
    return {"kernels in one function give other bits", false};
  const auto expected = evaluate(compiled.backward, g.inputs);
  const auto near = evaluate(compiled.backward, jiggled(g.inputs, g.seed));
  Interpreter interpreter(compiled.backward, g.inputs);
  double scale = 1;
  const auto live = compiled.backward.live();
  for (size_t i = 0; i < compiled.backward.size(); ++i)
    if (live[i] && is_float(compiled.backward[NodeId(i)].type.element)) scale = std::max(scale, largest(interpreter.value(NodeId(i))));

  Verdict verdict;
  for (const Output& output : compiled.backward.outputs) {
    const auto& results = output.kind == OutputKind::Update ? step_result.stored : step_result.outputs;
    const auto result = results.find(output.name);
    if (result == results.end()) return {fmt::format("no result {}", output.name), false};
    const Tensor& want = expected.at(output.name);
    const double sensitivity = distance(want, near.at(output.name));
    const bool f64 = want.type.element == Element::F64;
    if (!(sensitivity <= (f64 ? 1e-9 : 1e-2) * scale)) {
      verdict.ill_conditioned = true;  // a branch hangs on the last digit
      continue;
    }
    const double tolerance = is_float(want.type.element) ? (f64 ? 1e-9 : 2e-5) * scale + 16 * sensitivity : 0;
    const double got = distance(want, result->second);
    if (!(got <= tolerance))
      return {fmt::format("{} is off by {} at scale {}, tolerance {}", output.name, got, scale, tolerance), false};
  }
  return verdict;
}

Verdict check_or_throw(const RandomGraph& g, const Target& target, int64_t strips) {
  try {
    return check(g, target, strips);
  } catch (const std::exception& e) {
    return {e.what(), false};
  }
}

// What fails, without the values: a graph that fails in another way is no smaller form of the same failure.
std::string kind_of(const std::string& failure) {
  if (failure.find(" is off by ") != std::string::npos) return "off";
  return failure.substr(0, failure.find(": "));  // the place of an assertion
}

// So many graphs, times GRADC_FUZZ_SCALE; a fifth of them at least.
uint64_t scaled(double graphs) {
  const char* text = std::getenv("GRADC_FUZZ_SCALE");
  return static_cast<uint64_t>(graphs * std::max(0.2, text ? std::atof(text) : 1.0));
}

// Graphs with seeds up to `count`, on all processors of interest.
void check_all(uint64_t count, int64_t strips, const std::function<RandomGraph(uint64_t)>& graph_of) {
  std::vector<Target> targets;
  std::string error;
  for (const char* cpu : {"native", "x86-64-v3", "x86-64"})
    if (auto target = make_target(cpu, error)) targets.push_back(*target);
  std::atomic<uint64_t> next{0}, ill_conditioned{0};
  std::mutex mutex;
  std::vector<std::pair<uint64_t, std::string>> failures;
  auto work = [&] {
    for (uint64_t seed; (seed = next++) < count;) {
      const Verdict verdict = check_or_throw(graph_of(seed), targets[seed % targets.size()], strips);
      ill_conditioned += verdict.ill_conditioned;
      if (verdict.failure.empty()) continue;
      std::lock_guard lock(mutex);
      failures.emplace_back(seed, verdict.failure);
    }
  };
  std::vector<std::thread> helpers;
  for (unsigned i = 1; i < std::min(4u, std::thread::hardware_concurrency()); ++i) helpers.emplace_back(work);
  work();
  for (std::thread& t : helpers) t.join();

  CHECK(ill_conditioned * 20 <= count);
  if (failures.empty()) return;
  std::sort(failures.begin(), failures.end());
  const Target& target = targets[failures[0].first % targets.size()];
  const std::string kind = kind_of(failures[0].second);
  const RandomGraph small = shrink(graph_of(failures[0].first), [&](const RandomGraph& g) { return kind_of(check_or_throw(g, target, strips).failure) == kind; });
  for (const auto& [seed, failure] : failures) UNSCOPED_INFO("seed " << seed << " on " << targets[seed % targets.size()].cpu << ": " << failure);
  FAIL(failures.size() << " of " << count << " graphs fail; seed " << failures[0].first << " on " << target.cpu << ": " << failures[0].second
                       << "\nshrunk: " << check_or_throw(small, target, strips).failure << '\n' << show(small));
}

}  // namespace

TEST_CASE("compiled steps of random graphs and their gradients agree with the interpreter") {
  check_all(scaled(1000), 0, [](uint64_t seed) {
    return test::random_graph({.seed = seed, .operations = 6 + static_cast<int>(seed % 14), .element = seed % 2 ? Element::F32 : Element::F64,
                         .gradients = true, .wide = seed % 4 == 0, .scans = seed % 3 == 1 ? 2 : 0, .allow = {}});
  });
}

TEST_CASE("compiled steps of random networks whose rows are cut into strips agree with the interpreter") {
  for (int64_t strips : {2, 4}) check_all(scaled(100), strips, test::random_batch);
}
