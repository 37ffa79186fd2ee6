#pragma once

#include <optional>
#include <set>

#include "compiler/eval/eval.h"
#include "compiler/rewrite/rule.h"
#include "tests/support/random_graph.h"

// Graphs grown from rules' patterns, so that every rule is tested by values without anyone writing the test.
namespace gradc::test {

struct Instance {
  Graph graph;                    // one output, "y": the pattern's root
  std::set<OriginId> of_pattern;  // origins of the nodes that the pattern's operations became
  SourceManager sources;
};

// Grows a graph that looks like the pattern: wildcards become inputs or something a condition may ask for (a broadcast, a
// constant, a value that is never negative), attributes and shapes are drawn. It need not meet the rule's condition; nothing where
// the drawn types do not fit together.
std::optional<Instance> grow(const rewrite::Rule& rule, Element element, Rng& rng);

// The graph after this rule alone, and how often it was applied.
struct Applied {
  Graph graph;
  int64_t times = 0;
};
Applied apply_alone(const rewrite::Rule& rule, const Graph& graph);

// Values for every input of a graph.
std::map<Symbol, Tensor> draw_inputs(const Graph& graph, const std::function<double()>& sample);

// A bound for every intermediate sum of magnitudes of the output: the graph with |inputs|, |constants|, and + for -.
Tensor magnitudes(const Graph& graph, const std::map<Symbol, Tensor>& inputs);

}  // namespace gradc::test
