#pragma once

#include "compiler/graph/graph.h"

namespace gradc::test {

// The graph with every scan written out step by step. Requests for derivatives stay; those inside a body are of one step.
Graph unrolled(const Graph& g);

}  // namespace gradc::test
