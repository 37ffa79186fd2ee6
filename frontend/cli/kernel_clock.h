#pragma once

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/abi/step_abi.h"

namespace gradc::cli {

// Collects the time of every kernel through the step's trace hook: of all its trips in a step, in milliseconds.
class KernelClock {
 public:
  explicit KernelClock(size_t kernels) : sums_(kernels, 0), times_(kernels) {}
  void attach(GradcFrame& frame) {
    frame.trace = [](GradcFrame* f, int64_t next) { static_cast<KernelClock*>(f->trace_data)->tick(static_cast<size_t>(next)); };
    frame.trace_data = this;
  }
  static void detach(GradcFrame& frame) { frame.trace = nullptr; }
  // Of a kernel, by step.
  const std::vector<double>& times(size_t kernel) const { return times_[kernel]; }

 private:
  using Clock = std::chrono::steady_clock;

  void tick(size_t next) {
    auto now = Clock::now();
    if (running_ < sums_.size()) sums_[running_] += std::chrono::duration<double, std::milli>(now - last_).count();
    running_ = next;
    if (next == sums_.size()) {
      for (size_t k = 0; k < sums_.size(); ++k) times_[k].push_back(std::exchange(sums_[k], 0));
    }
    last_ = Clock::now();
  }
  std::vector<double> sums_;  // of this step so far
  std::vector<std::vector<double>> times_;
  size_t running_ = SIZE_MAX;
  Clock::time_point last_{};
};

}  // namespace gradc::cli
