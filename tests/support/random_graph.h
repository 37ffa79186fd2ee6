#pragma once

#include <functional>
#include <map>
#include <string>

#include "compiler/eval/eval.h"
#include "compiler/graph/graph.h"

// Random well-typed graphs for property tests. A graph is grown together with its inputs: each new node is evaluated at
// once, so that operands can be kept inside their operation's domain and values stay finite.
namespace gradc::test {

// Splitmix64: the same numbers on every platform.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 0x632BE59BD9B4E019ull) {}
  uint64_t next();
  int64_t below(int64_t n) { return static_cast<int64_t>(next() % static_cast<uint64_t>(n)); }
  int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }  // both included
  double uniform(double low, double high);
  bool chance(double p) { return uniform(0, 1) < p; }
  template <class T>
  const T& pick(const std::vector<T>& list) { return list[static_cast<size_t>(below(static_cast<int64_t>(list.size())))]; }

 private:
  uint64_t state_;
};

struct RandomGraphOptions {
  uint64_t seed = 0;
  int operations = 16;             // drawn; sources and the nodes that keep operands in their domain come on top
  Element element = Element::F64;  // of the floats
  bool gradients = false;          // adds Grad outputs for inputs the loss depends on, and updates of parameters
  // Leaves out what central differences disagree with: stop_gradient, steps such as floor, and casts to float.
  bool smooth = false;
  bool wide = false;               // reduced axes and products up to a few hundred long, for code generators' main loops
  int scans = 0;                   // scans in scans: 0 for none, 1 for plain ones, 2 for scans with scans in their bodies, ...
  std::function<bool(const Op&)> allow;  // operations that may be drawn; all where empty
};

struct RandomGraph {
  Graph graph;  // outputs: "loss" (a scalar), values "out0".., "grad(loss, x0)".. and updates of parameters
  std::map<Symbol, Tensor> inputs;
  SourceManager sources;  // each node has an origin in it
  uint64_t seed = 0;
};

RandomGraph random_graph(const RandomGraphOptions& options);

// The text form of the graph, with all inputs as comments: enough to reproduce a failure.
std::string show(const RandomGraph& g);

// A smaller graph for which `fails` still holds: outputs dropped, nodes bypassed or turned into inputs.
RandomGraph shrink(RandomGraph g, const std::function<bool(const RandomGraph&)>& fails);

}  // namespace gradc::test
