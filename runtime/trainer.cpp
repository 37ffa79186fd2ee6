#include "runtime/trainer.h"

#include <chrono>
#include <cmath>
#include <numeric>

namespace gradc {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Means weighted by rows.
class Mean {
 public:
  explicit Mean(const std::vector<std::string>& names) : names_(names), sums_(names.size(), 0.0) {}

  // Adds the metrics of one step; gives the index of the first that is no finite number.
  std::optional<size_t> add(const StepRunner& step, int64_t rows) {
    std::optional<size_t> broken;
    for (size_t i = 0; i < names_.size(); ++i) {
      double v = step.scalar(names_[i]);
      if (!std::isfinite(v) && !broken) broken = i;
      sums_[i] += v * static_cast<double>(rows);
    }
    rows_ += static_cast<double>(rows);
    return broken;
  }
  double first() const { return sums_.empty() ? 0 : sums_[0] / rows_; }
  Metrics values() const {
    Metrics m;
    for (size_t i = 0; i < names_.size(); ++i) m.emplace_back(names_[i], sums_[i] / rows_);
    return m;
  }

 private:
  const std::vector<std::string>& names_;
  std::vector<double> sums_;
  double rows_ = 0;
};

class Training {
 public:
  Training(const Dataset& data, const Dataset& test, const TrainOptions& options, const StepFactory& steps, const TrainHooks& hooks)
      : data_(data), test_(test), options_(options), steps_(steps), hooks_(hooks),
        batch_(options.batch > 0 ? std::min(options.batch, std::max<int64_t>(data.rows, 1)) : std::max<int64_t>(data.rows, 1)) {
    result_.last.epoch = options.first_epoch;
    result_.last.step = options.first_step;
  }

  TrainResult run() {
    while (result_.end == TrainEnd::Done && !finished()) epoch();
    return result_;
  }

 private:
  bool finished() const {
    const EpochReport& at = result_.last;
    return (options_.epochs && at.epoch >= *options_.epochs) || (options_.steps && at.step >= *options_.steps) ||
           (!options_.epochs && !options_.steps && at.epoch >= 1);
  }

  // Batches of one pass: all full ones, and the remainder where it is wanted or there is nothing else.
  int64_t batches() const {
    if (data_.rows == 0) return 1;  // a model without data by rows
    int64_t full = data_.rows / batch_;
    return full + (options_.keep_remainder && data_.rows % batch_ != 0);
  }

  void epoch() {
    EpochReport& at = result_.last;
    ++at.epoch;
    std::vector<int64_t> order = permutation(data_.rows, options_.seed, static_cast<uint32_t>(at.epoch));
    Mean mean(options_.metrics);
    Clock::time_point epoch_start = Clock::now();
    int64_t count = batches(), rows = 0;
    if (options_.steps) count = std::min(count, *options_.steps - at.step);
    for (int64_t b = 0; b < count; ++b) {
      if (hooks_.stop && hooks_.stop()) {
        result_.end = TrainEnd::Interrupted;
        break;
      }
      int64_t begin = b * batch_, size = data_.rows == 0 ? 1 : std::min(batch_, data_.rows - begin);
      if (!step(order, begin, size, mean)) return;
      rows += size;
      if (hooks_.progress) {
        hooks_.progress({at.epoch, options_.epochs.value_or(0), b + 1, count, mean.first(), static_cast<double>(rows) / seconds_since(epoch_start)});
      }
    }
    // An interrupted epoch is not reported: what has been reported and saved is always a whole epoch, so that resuming from it
    // repeats exactly what an uninterrupted run does.
    if (result_.end == TrainEnd::Interrupted || !worth_reporting()) return;
    at.train = mean.values();
    if (test_.rows > 0) at.test = evaluate(test_, batch_, options_.metrics, options_.seed, steps_);
    at.seconds = seconds_since(start_);
    if (hooks_.epoch) hooks_.epoch(at);
  }

  // Where training is counted in steps, epochs can be as short as one step: then some fifty of them are evaluated and reported.
  bool worth_reporting() {
    if (options_.epochs || !options_.steps || finished()) return true;
    if (result_.last.step < next_report_) return false;
    next_report_ = result_.last.step + std::max<int64_t>(1, *options_.steps / 50);
    return true;
  }

  // False where training diverged.
  bool step(const std::vector<int64_t>& order, int64_t begin, int64_t size, Mean& mean) {
    StepRunner& runner = steps_(true, size);
    load_batch(data_, order, begin, size, runner);
    load_whole(data_, runner);
    runner.run(++result_.last.step, options_.seed);
    auto broken = mean.add(runner, size);
    if (!broken) return true;
    result_.end = TrainEnd::Diverged;
    result_.diverged_metric = options_.metrics[*broken];
    result_.last.seconds = seconds_since(start_);
    return false;
  }

  const Dataset &data_, &test_;
  const TrainOptions& options_;
  const StepFactory& steps_;
  const TrainHooks& hooks_;
  int64_t batch_, next_report_ = 0;
  Clock::time_point start_ = Clock::now();
  TrainResult result_;
};

}  // namespace

TrainResult train(const Dataset& data, const Dataset& test, const TrainOptions& options, const StepFactory& steps, const TrainHooks& hooks) {
  return Training(data, test, options, steps, hooks).run();
}

Metrics evaluate(const Dataset& data, int64_t batch, const std::vector<std::string>& metrics, uint64_t seed, const StepFactory& steps) {
  std::vector<int64_t> order(static_cast<size_t>(data.rows));
  std::iota(order.begin(), order.end(), 0);
  Mean mean(metrics);
  for (int64_t begin = 0; begin < data.rows; begin += batch) {
    int64_t size = std::min(batch, data.rows - begin);
    StepRunner& runner = steps(false, size);
    load_batch(data, order, begin, size, runner);
    load_whole(data, runner);
    runner.run(1, seed);
    mean.add(runner, size);
  }
  return mean.values();
}

}  // namespace gradc
