#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/column.h"
#include "runtime/step.h"

namespace gradc {

// Where the rows of one name lie in a column: row i begins at element `first` + i * `stride`. Rows may overlap (text in windows).
struct RowField {
  std::shared_ptr<const Column> column;
  int64_t first = 0, stride = 0;
  std::vector<int64_t> shape;      // of one row
  Element element = Element::F32;  // as it is handed on
};

// The rows that a model is trained or tested on, as the files hold them.
struct Dataset {
  std::map<std::string, RowField> inputs;  // of the model, as they are
  std::map<std::string, RowField> raw;     // of the transformation that gives other inputs
  std::map<std::string, Array> whole;      // inputs that every batch sees whole
  int64_t rows = 0;
  int64_t slack = 0;                       // windows may begin up to so many elements later: each epoch draws how many
  std::vector<int64_t> picked;             // which rows of the files these are; empty: all, in their order
};

// An array whose first axis is the row.
RowField rows_of(Array array);

// The windows of `length` elements of elements [begin, end) of a text, side by side: raw fields "bytes" and, one element later,
// "shifted", both [length] a row. With `sliding` the windows leave room to begin up to length - 1 elements later.
// No rows where the text is too short.
Dataset windows(std::shared_ptr<const Column> text, int64_t begin, int64_t end, int64_t length, bool sliding);

// 0..n-1 in an order that is a function of (seed, epoch) alone: Fisher-Yates with Philox draws.
std::vector<int64_t> permutation(int64_t n, uint64_t seed, uint32_t epoch);
// By how many elements the windows of an epoch are moved: uniform in 0..slack, a function of (seed, epoch) alone.
int64_t window_shift(int64_t slack, uint64_t seed, uint32_t epoch);

// Splits the rows at random (a function of the seed) into training and held-out rows; `share` of them, rounded, are held out.
std::pair<Dataset, Dataset> split(const Dataset& data, double share, uint64_t seed);

// The rows of one batch, and what its random numbers are a function of.
struct Batch {
  const int64_t* rows = nullptr;  // `count` of them; null where nothing is read by rows
  int64_t count = 0;
  int64_t shift = 0;
  int64_t step = 1;
  uint64_t seed = 0;
};

// Rows on their way into a step's inputs.
struct Feed {
  Dataset data;
  // The compiled transformation for so many rows: inputs are the raw fields, outputs the model's inputs. Null: there is none.
  std::function<StepRunner*(int64_t rows)> transform;
};

// Fills the inputs of `step` with one batch: copies fields, runs the transformation, copies what it gives.
void load_batch(const Feed& feed, const Batch& batch, StepRunner& step);

}  // namespace gradc
