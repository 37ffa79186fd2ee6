#pragma once

#include <string>

#include "compiler/graph/graph.h"

namespace gradc {

// The graph for Graphviz: inputs on top, operations below, outputs at the bottom; source lines as tooltips. Scalar and
// splat constants are written into the boxes that use them.
std::string to_dot(const Graph& g, const SourceManager& sources);

}  // namespace gradc
