#include "runtime/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

namespace gradc {
namespace {

using Clock = std::chrono::steady_clock;

// Steps count from 1 and stay far below: what an evaluation draws is not what any training step drew.
constexpr int64_t evaluation_steps = int64_t{1} << 31;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Adds the metrics of one step to the sums in `at`; gives the index of the first that is no finite number.
std::optional<size_t> add_metrics(Position& at, const std::vector<std::string>& names, const StepRunner& step, int64_t rows) {
  std::optional<size_t> broken;
  at.sums.resize(names.size(), 0.0);
  for (size_t i = 0; i < names.size(); ++i) {
    double v = step.scalar(names[i]);
    if (!std::isfinite(v) && !broken) broken = i;
    at.sums[i] += v * static_cast<double>(rows);
  }
  at.rows += static_cast<double>(rows);
  return broken;
}

Metrics means(const Position& at, const std::vector<std::string>& names) {
  Metrics m;
  for (size_t i = 0; i < names.size(); ++i) m.emplace_back(names[i], at.sums[i] / at.rows);
  return m;
}

class Training {
 public:
  Training(const Feed& data, const Feed& test, const TrainOptions& options, const StepFactory& steps, const TrainHooks& hooks)
      : data_(data), test_(test), options_(options), steps_(steps), hooks_(hooks), rows_(data.data.rows),
        batch_(options.batch > 0 ? std::min(options.batch, std::max<int64_t>(rows_, 1)) : std::max<int64_t>(rows_, 1)),
        per_epoch_(gradc::steps_per_epoch(rows_, batch_, options.keep_remainder)) {
    result_.at = options.start;
  }

  TrainResult run() {
    while (result_.end == TrainEnd::Done && !finished()) epoch();
    return result_;
  }

 private:
  bool finished() const {
    const Position& at = result_.at;
    return (options_.epochs && at.epoch >= *options_.epochs) || (options_.steps && at.step >= *options_.steps) ||
           (!options_.epochs && !options_.steps && at.epoch >= 1);
  }

  bool due() const {
    const Position& at = result_.at;
    if (finished()) return true;
    if (options_.every) return at.step % *options_.every == 0;
    if (options_.epochs || !options_.steps) return at.in_epoch == 0;
    return at.step % std::max<int64_t>(1, *options_.steps / 50) == 0;
  }

  void epoch() {
    Position& at = result_.at;
    const auto number = static_cast<uint32_t>(at.epoch + 1);
    std::vector<int64_t> order = permutation(rows_, options_.seed, number);
    const int64_t shift = window_shift(data_.data.slack, options_.seed, number);
    for (int64_t b = at.in_epoch; b < per_epoch_ && !(options_.steps && at.step >= *options_.steps); ++b) {
      if (hooks_.stop && hooks_.stop()) {
        result_.end = TrainEnd::Interrupted;
        return;
      }
      const int64_t begin = b * batch_, size = rows_ == 0 ? 1 : std::min(batch_, rows_ - begin);
      if (!step({rows_ == 0 ? nullptr : order.data() + begin, size, shift, at.step + 1, options_.seed})) return;
      at.in_epoch = b + 1;
      if (at.in_epoch == per_epoch_) ++at.epoch, at.in_epoch = 0;
      show_progress(size);
      if (due()) report();
    }
    if (at.in_epoch >= per_epoch_) ++at.epoch, at.in_epoch = 0;  // resumed with larger batches: the epoch is over
  }

  // False where training diverged.
  bool step(const Batch& batch) {
    StepRunner& runner = steps_(true, batch.count);
    load_batch(data_, batch, runner);
    runner.run(batch.step, options_.seed);
    result_.at.step = batch.step;
    auto broken = add_metrics(result_.at, options_.metrics, runner, batch.count);
    if (!broken) return true;
    result_.end = TrainEnd::Diverged;
    result_.diverged_metric = options_.metrics[*broken];
    return false;
  }

  void show_progress(int64_t size) {
    rows_done_ += size;
    if (!hooks_.progress) return;
    const Position& at = result_.at;
    const bool counts_steps = options_.steps && !options_.epochs;
    const bool ended = at.in_epoch == 0;
    hooks_.progress({at.epoch + (ended ? 0 : 1), options_.epochs.value_or(0), counts_steps ? at.step : ended ? per_epoch_ : at.in_epoch,
                     counts_steps ? *options_.steps : per_epoch_, at.sums.empty() ? 0 : at.sums[0] / at.rows,
                     static_cast<double>(rows_done_) / seconds_since(start_)});
  }

  void report() {
    Position& at = result_.at;
    EpochReport& r = result_.last;
    r.epoch = at.epoch + (at.in_epoch > 0);
    r.step = at.step;
    r.train = means(at, options_.metrics);
    at.rows = 0;
    at.sums.clear();
    if (test_.data.rows > 0 || test_.transform) r.test = evaluate(test_, evaluation_batch(test_.data.rows, batch_), options_.metrics, options_.seed, steps_);
    r.seconds = seconds_since(start_);
    if (hooks_.report) hooks_.report(r, at);
  }

  const Feed &data_, &test_;
  const TrainOptions& options_;
  const StepFactory& steps_;
  const TrainHooks& hooks_;
  const int64_t rows_, batch_, per_epoch_;
  int64_t rows_done_ = 0;
  Clock::time_point start_ = Clock::now();
  TrainResult result_;
};

}  // namespace

int64_t steps_per_epoch(int64_t rows, int64_t batch, bool keep_remainder) {
  if (rows == 0) return 1;
  return rows / batch + (keep_remainder && rows % batch != 0);
}

int64_t evaluation_batch(int64_t rows, int64_t batch) {
  constexpr int64_t least = 64;  // smaller ones cost more in calls than in work
  const int64_t wanted = std::max(batch, least);
  if (rows <= wanted) return std::max<int64_t>(rows, 1);
  for (int64_t distance = 0; distance <= wanted / 2; ++distance) {
    for (int64_t candidate : {wanted - distance, wanted + distance}) {
      if (rows % candidate == 0) return candidate;
    }
  }
  return wanted;
}

TrainResult train(const Feed& data, const Feed& test, const TrainOptions& options, const StepFactory& steps, const TrainHooks& hooks) {
  return Training(data, test, options, steps, hooks).run();
}

Metrics evaluate(const Feed& feed, int64_t batch, const std::vector<std::string>& metrics, uint64_t seed, const StepFactory& steps) {
  const int64_t rows = feed.data.rows;
  std::vector<int64_t> order(static_cast<size_t>(rows));
  std::iota(order.begin(), order.end(), 0);
  Position sum;
  auto run = [&](const Batch& b) {
    StepRunner& runner = steps(false, b.count);
    load_batch(feed, b, runner);
    runner.run(b.step, seed);
    add_metrics(sum, metrics, runner, b.count);
  };
  if (rows == 0) run({nullptr, 1, 0, evaluation_steps, seed});
  for (int64_t begin = 0, n = 0; begin < rows; begin += batch, ++n) {
    run({order.data() + begin, std::min(batch, rows - begin), 0, evaluation_steps + n, seed});
  }
  return means(sum, metrics);
}

}  // namespace gradc
