#pragma once

#include <string>

#include "compiler/graph/graph.h"

namespace gradc::cli {

// A graph for people: one line a value under the user's names, operators spelt as in the language, intermediate values that
// are used once written into the expression that uses them, then the source line and, for derived values, the rule that made
// them. Every value of the graph is there; `--format ir` gives the form that parses back.
std::string listing(const Graph& graph, const SourceManager& sources);

}  // namespace gradc::cli
