#include "runtime/threads.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gradc {
namespace {

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

void ThreadPool::Free::operator()(void* p) const { std::free(p); }

ThreadPool::ThreadPool(int threads) : scratch_(static_cast<size_t>(std::max(1, threads))) {
  // With more threads than processors, spinning steals the time of those that work.
  bool room = static_cast<unsigned>(threads) <= std::max(1u, std::thread::hardware_concurrency());
  spins_ = room ? 20000 : 0;
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  generation_.fetch_add(1);
  generation_.notify_all();
  for (std::thread& t : workers_) t.join();
}

void ThreadPool::reserve_scratch(size_t bytes) {
  if (bytes <= scratch_bytes_) return;
  scratch_bytes_ = (bytes + 63) / 64 * 64;
  for (auto& s : scratch_) {
    s.reset(std::aligned_alloc(64, scratch_bytes_));
    if (!s) throw std::bad_alloc();
  }
}

void ThreadPool::drain(int index) {
  for (;;) {
    int64_t begin = next_.fetch_add(chunk_, std::memory_order_relaxed);
    if (begin >= blocks_) return;
    kernel_(buffers_, begin, std::min(begin + chunk_, blocks_), scratch_[static_cast<size_t>(index)].get());
  }
}

void ThreadPool::run(GradcKernelFn kernel, void* const* buffers, int64_t blocks) {
  if (workers_.empty() || blocks <= 1) return kernel(buffers, 0, blocks, scratch());
  kernel_ = kernel;
  buffers_ = buffers;
  blocks_ = blocks;
  // A few chunks a thread, so that a thread that is held up by another program does not hold up the rest.
  chunk_ = std::max<int64_t>(1, blocks / (4 * threads()));
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  drain(0);
  for (int i = 0; busy_.load(std::memory_order_acquire) != 0; ++i) {
    i < spins_ ? pause() : std::this_thread::yield();
  }
}

void ThreadPool::run_frame(GradcFrame* frame, GradcKernelFn kernel, void* const* buffers, int64_t blocks) {
  static_cast<ThreadPool*>(frame->pool)->run(kernel, buffers, blocks);
}

void ThreadPool::work(int index) {
  uint32_t seen = 0;
  for (;;) {
    for (int i = 0; i < spins_ && generation_.load(std::memory_order_acquire) == seen; ++i) pause();
    generation_.wait(seen, std::memory_order_acquire);
    seen = generation_.load(std::memory_order_acquire);
    if (stop_) return;
    drain(index);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace gradc
