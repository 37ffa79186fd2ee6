#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/abi/step_abi.h"

namespace gradc::cli {

// Collects the time of every kernel through the step's trace hook: of all its trips in a step, in milliseconds. Of kernels whose trips are
// shared out it is the time of all threads, divided by their number.
class KernelClock {
 public:
  KernelClock(size_t kernels, int threads) : times_(kernels), threads_(threads), caller_{std::vector<double>(kernels, 0)} {}
  void attach(GradcFrame& frame) {
    caller_id_ = std::this_thread::get_id();
    frame.trace = [](GradcFrame* f, int64_t next) { static_cast<KernelClock*>(f->trace_data)->tick(next); };
    frame.trace_data = this;
  }
  static void detach(GradcFrame& frame) { frame.trace = nullptr; }
  // Of a kernel, by step.
  const std::vector<double>& times(size_t kernel) const { return times_[kernel]; }

 private:
  using Clock = std::chrono::steady_clock;
  // What one thread has spent in this step so far.
  struct Watch {
    std::vector<double> sums;
    int64_t running = -1;
    Clock::time_point last{};
  };

  Watch& mine() {
    if (std::this_thread::get_id() == caller_id_) return caller_;
    std::lock_guard lock(mutex_);
    Watch& w = others_[std::this_thread::get_id()];
    w.sums.resize(times_.size(), 0);
    return w;
  }

  void tick(int64_t next) {
    const auto now = Clock::now();
    Watch& w = mine();
    if (w.running >= 0) w.sums[static_cast<size_t>(w.running)] += std::chrono::duration<double, std::milli>(now - w.last).count();
    w.running = next < static_cast<int64_t>(times_.size()) ? next : -1;
    if (next == static_cast<int64_t>(times_.size())) finish();
    w.last = Clock::now();
  }

  // Only the caller works now. A kernel that other threads have made too was shared out.
  void finish() {
    for (size_t k = 0; k < times_.size(); ++k) {
      double others = 0;
      for (auto& [_, w] : others_) others += std::exchange(w.sums[k], 0);
      const double own = std::exchange(caller_.sums[k], 0);
      times_[k].push_back(others > 0 ? (own + others) / threads_ : own);
    }
  }

  std::vector<std::vector<double>> times_;
  int threads_;
  std::thread::id caller_id_{};
  Watch caller_;
  std::mutex mutex_;
  std::map<std::thread::id, Watch> others_;
};

}  // namespace gradc::cli
