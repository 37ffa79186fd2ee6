#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/abi/step_abi.h"

namespace gradc {

// A fixed set of threads (the caller is one of them) that run the blocks of one kernel after another. Which thread runs a
// block never changes what the block computes, so results do not depend on the number of threads.
// Workers spin for about a millisecond after a job, because waking a sleeping thread costs more than a small kernel.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  // Every thread, the caller's included, has at least so many bytes of private scratch afterwards.
  void reserve_scratch(size_t bytes);
  void* scratch() const { return scratch_[0].get(); }
  void run(GradcKernelFn kernel, void* const* buffers, int64_t blocks);

  // For GradcFrame::parallel; frame->pool is the pool.
  static void run_frame(GradcFrame* frame, GradcKernelFn kernel, void* const* buffers, int64_t blocks);

 private:
  struct Free {
    void operator()(void* p) const;
  };
  void work(int index);
  void drain(int index);

  std::vector<std::thread> workers_;
  std::vector<std::unique_ptr<void, Free>> scratch_;
  size_t scratch_bytes_ = 0;
  int spins_;

  // The current job, published by raising generation_.
  GradcKernelFn kernel_ = nullptr;
  void* const* buffers_ = nullptr;
  int64_t blocks_ = 0, chunk_ = 1;
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int> busy_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace gradc
