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
// Each thread begins with the same part of the blocks every time, so what one kernel leaves in a core's caches is there
// for the next; one that is done helps the others. A job reaches a worker in one cache line and its end comes back in
// another: kernels take a few microseconds, a line between two cores a tenth of one.
// Some systems start a thread on its parent's processor, or put two that wait for each other on one, and leave them there for tens
// of milliseconds in which a job takes one instead of microseconds: a worker that finds the caller on its processor moves.
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
  // What one thread is told of a job; written by the caller of run() before it raises `job`.
  struct alignas(64) Share {
    std::atomic<uint32_t> job{0};
    int32_t threads = 0, processor = -1;  // How many take part; where the caller runs.
    bool divided = false;  // Some shares are more than one chunk.
    GradcKernelFn kernel = nullptr;
    void* const* buffers = nullptr;
    int64_t begin = 0, end = 0, chunk = 1;
    std::atomic<int64_t> next{0};  // The first chunk is this thread's without asking; others may take what follows.
    // The last job whose blocks this thread has left to nobody; in a line that only this thread writes.
    alignas(64) std::atomic<uint32_t> done{0};
    std::atomic<int> asleep{0};
  };
  static_assert(sizeof(Share) == 128, "what is told in one line, what is answered in another");
  void work(int index);
  void drain(int index);
  void await(Share& worker);

  std::vector<std::thread> workers_;
  std::vector<Share> shares_;
  std::vector<std::unique_ptr<void, Free>> scratch_;
  size_t scratch_bytes_ = 0;
  int spins_;
  uint32_t job_ = 0;
  std::atomic<bool> stop_{false};
};

}  // namespace gradc
