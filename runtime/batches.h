#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/array.h"
#include "runtime/step.h"

namespace gradc {

// The rows that a model is trained or tested on: arrays whose first axis is the row, and arrays that every batch sees whole.
struct Dataset {
  std::map<std::string, Array> rowwise, whole;
  int64_t rows = 0;
};

// 0..n-1 in an order that is a function of (seed, epoch) alone: Fisher-Yates with Philox draws.
std::vector<int64_t> permutation(int64_t n, uint64_t seed, uint32_t epoch);

// Splits the rows at random (a function of the seed) into training and held-out rows; `share` of them, rounded, are held out.
std::pair<Dataset, Dataset> split(const Dataset& data, double share, uint64_t seed);

// Copies the rows order[begin, begin + count) into the step's inputs.
void load_batch(const Dataset& data, const std::vector<int64_t>& order, int64_t begin, int64_t count, StepRunner& step);
// Copies the arrays that every batch sees whole.
void load_whole(const Dataset& data, StepRunner& step);

}  // namespace gradc
