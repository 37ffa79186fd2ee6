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

struct TrainOptions {
  int64_t batch = 0;                       // rows of a step; 0: all of them
  std::optional<int64_t> epochs, steps;    // whichever ends first
  bool keep_remainder = false;             // the last, smaller batch of an epoch is used as well
  uint64_t seed = 0;
  int64_t first_epoch = 0, first_step = 0; // what a checkpoint has done already; training goes on at the start of the next epoch
  std::vector<std::string> metrics;
};

struct EpochReport {
  int64_t epoch = 0, step = 0;  // done so far, from 1
  Metrics train, test;          // means over the rows; test is empty without held-out rows
  double seconds = 0;           // since training began
};

struct Progress {
  int64_t epoch = 0, epochs = 0;           // epochs: 0 where the number of steps is what ends training
  int64_t step = 0, steps = 0;             // within the epoch
  double loss = 0;                         // running mean of the epoch
  double rows_per_second = 0;
};

enum class TrainEnd { Done, Interrupted, Diverged };

struct TrainResult {
  TrainEnd end = TrainEnd::Done;
  EpochReport last;
  std::string diverged_metric;  // Diverged: what stopped being a finite number, in step last.step
};

// The compiled step for so many rows; made when first asked for.
using StepFactory = std::function<StepRunner&(bool training, int64_t rows)>;

struct TrainHooks {
  std::function<void(const Progress&)> progress;
  std::function<void(const EpochReport&)> epoch;
  std::function<bool()> stop;  // asked between steps
};

// Runs epochs of shuffled batches and evaluates after each. Everything random is a function of (seed, epoch, step).
TrainResult train(const Dataset& data, const Dataset& test, const TrainOptions& options, const StepFactory& steps, const TrainHooks& hooks);

// Mean of each metric over all rows: full batches of `batch` rows and one smaller one.
Metrics evaluate(const Dataset& data, int64_t batch, const std::vector<std::string>& metrics, uint64_t seed, const StepFactory& steps);

}  // namespace gradc
