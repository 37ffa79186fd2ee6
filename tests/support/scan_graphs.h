#pragma once

#include <string>
#include <vector>

#include "compiler/graph/graph.h"

namespace gradc::test {

struct NamedGraph {
  std::string name;
  Graph graph;
};

// Scans of every kind that the scheduler tells apart: forwards and in reverse, carries with and without emissions of them, carries that
// change places, sequences and constants seen through views, scans in scans, results that leave the step.
std::vector<NamedGraph> scan_graphs();
// One of them by its name.
Graph scan_graph(const std::string& name);

}  // namespace gradc::test
