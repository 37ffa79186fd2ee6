#pragma once

#include <map>
#include <string>
#include <vector>

#include "compiler/eval/eval.h"
#include "compiler/graph/graph.h"
#include "compiler/ops/expr.h"

namespace gradc::test {

// The same numbers in every run.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed * 2 + 1) {}
  double uniform(double low, double high) { return low + (high - low) * (static_cast<double>(next() >> 11) * 0x1p-53); }
  int64_t below(int64_t n) { return static_cast<int64_t>(next() % static_cast<uint64_t>(n)); }

 private:
  uint64_t next() {
    state_ += 0x9E3779B97F4A7C15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  uint64_t state_;
};

Tensor tensor(const Type& type, const std::vector<double>& values);
std::vector<double> values(const Tensor& t);

// Builds a graph, feeds its inputs and reads nodes.
struct Fixture {
  Graph graph;
  GraphBuilder builder{graph};
  std::map<Symbol, Tensor> inputs;

  Fixture() = default;
  Fixture(const Fixture&) = delete;
  // An input called x0, x1, ... in order of calls.
  Expr input(const Type& type, const std::vector<double>& values);
  // Values of a node after gradients are expanded; throws where they can't be.
  std::vector<double> eval(Expr e);
};

// Samples for operand `i` of an operation: drawn from its domain and away from kinks (with `smooth`), or its special
// values.
const SampleDomain& domain(const Op& op, size_t i);
double draw(const SampleDomain& d, Element element, Numbers& numbers, bool smooth);

// Point-wise signatures that an operation accepts, as operand elements and attributes: all operands alike, or its
// examples.
std::vector<OpExample> signatures(const Op& op);
std::string describe(const Op& op, const OpExample& e);

}  // namespace gradc::test
