#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/batches.h"

namespace gradc {

// Values by name in the order of the model file, loss first.
using Metrics = std::vector<std::pair<std::string, double>>;

// Where a run stands, between two steps. With the seed, everything that comes is a function of it, so a run that goes on from here
// does what one that never stopped does.
struct Position {
  int64_t epoch = 0;         // whole epochs done
  int64_t step = 0;          // steps done, in all
  int64_t in_epoch = 0;      // of them in the epoch that has begun
  double rows = 0;           // since the last report: how many rows, and for each metric the sum over them
  std::vector<double> sums;
};

struct TrainOptions {
  int64_t batch = 0;                       // rows of a step; 0: all of them
  std::optional<int64_t> epochs, steps;    // whichever ends first
  std::optional<int64_t> every;            // steps between reports; unset: an epoch where epochs are given, else a fiftieth of the steps
  bool keep_remainder = false;             // the last, smaller batch of an epoch is used as well
  uint64_t seed = 0;
  Position start;
  std::vector<std::string> metrics;
};

// Steps of one pass over so many rows: all full batches, and the remainder where it is wanted or there is nothing else.
// One where there are no rows (points are drawn, or every step sees everything).
int64_t steps_per_epoch(int64_t rows, int64_t batch, bool keep_remainder);

// Evaluation sees every row. Batches near `batch` that leave no remainder, where there are such, save compiling another step for it.
int64_t evaluation_batch(int64_t rows, int64_t batch);

struct EpochReport {
  int64_t epoch = 0, step = 0;  // done so far, from 1; within an epoch, the one that has begun
  Metrics train, test;          // means over the rows since the last report, and over all test rows (empty without any)
  double seconds = 0;           // since training began
};

struct Progress {
  int64_t epoch = 0, epochs = 0;           // epochs: 0 where the number of steps is what ends training
  int64_t step = 0, steps = 0;             // within the epoch; of the whole run where that is counted in steps
  double loss = 0;                         // mean since the last report
  double rows_per_second = 0;
};

enum class TrainEnd { Done, Interrupted, Diverged };

struct TrainResult {
  TrainEnd end = TrainEnd::Done;
  Position at;
  EpochReport last;             // the last that was reported
  std::string diverged_metric;  // Diverged: what stopped being a finite number, in step at.step
};

// The compiled step for so many rows; made when first asked for.
using StepFactory = std::function<StepRunner&(bool training, int64_t rows)>;

struct TrainHooks {
  std::function<void(const Progress&)> progress;
  std::function<void(const EpochReport&, const Position&)> report;
  std::function<bool()> stop;  // asked between steps
};

// Runs epochs of shuffled batches and evaluates at every report. Everything random is a function of (seed, epoch, step): the order
// of the rows and the shift of windows of (seed, epoch), draws and dropout of (seed, step).
TrainResult train(const Feed& data, const Feed& test, const TrainOptions& options, const StepFactory& steps, const TrainHooks& hooks);

// Mean of each metric over all rows, weighted by rows: batches of `batch` rows in the order of the data and one smaller one. Where
// nothing is read by rows, one step. Random numbers are the same at every evaluation and differ from those of training.
Metrics evaluate(const Feed& data, int64_t batch, const std::vector<std::string>& metrics, uint64_t seed, const StepFactory& steps);

}  // namespace gradc
