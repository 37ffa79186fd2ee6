#pragma once

#include <cstdint>
#include <vector>

namespace gradc {

// Uniform in [0, 1) with 53 bits, a function of (seed, index): the draw for the index-th symbol of a sample.
double sample_uniform(uint64_t seed, uint64_t index);

// The index that `uniform` picks from the probabilities softmax(logits / temperature) over the `top_k` largest logits (0: all;
// of equal ones the first), by inverting their distribution function in the order of the indices. Temperature 0 picks the largest.
int64_t sample(const std::vector<double>& logits, double temperature, int64_t top_k, double uniform);

}  // namespace gradc
