#pragma once

#include "tests/support/random_graph.h"

namespace gradc::test {

// A random network over the rows of a batch with its loss, gradients, updates and outputs: what is cut into strips. Unlike graphs that are
// random throughout, nearly all of it works on rows; but batches are normalised, tables are read and weights are shared now and then.
RandomGraph random_batch(uint64_t seed);

}  // namespace gradc::test
