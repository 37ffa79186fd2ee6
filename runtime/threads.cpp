#include "runtime/threads.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "runtime/processors.h"

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

// Caches fetch ahead as far as the end of a page, also lines that another core is writing.
constexpr size_t page = 4096;

}  // namespace

void ThreadPool::Free::operator()(void* p) const { std::free(p); }

ThreadPool::ThreadPool(int threads) : shares_(static_cast<size_t>(std::max(1, threads))), scratch_(shares_.size()) {
  // With more threads than processors, spinning steals the time of those that work.
  spins_ = threads <= usable_processors() ? 20000 : 0;
  for (int i = 1; i < threads; ++i) {
    workers_.emplace_back([this, i] { work(i); });
    if (spins_ > 0) leave_processor(workers_.back().native_handle(), current_processor());
  }
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  for (Share& s : shares_) {
    s.job.fetch_add(1);
    s.job.notify_one();
  }
  for (std::thread& t : workers_) t.join();
}

void ThreadPool::reserve_scratch(size_t bytes) {
  if (bytes <= scratch_bytes_) return;
  scratch_bytes_ = (bytes + page - 1) / page * page;
  for (auto& s : scratch_) {
    s.reset(std::aligned_alloc(page, scratch_bytes_));
    if (!s) throw std::bad_alloc();
  }
}

void ThreadPool::drain(int index) {
  const Share& mine = shares_[static_cast<size_t>(index)];
  void* scratch = scratch_[static_cast<size_t>(index)].get();
  mine.kernel(mine.buffers, mine.begin, std::min(mine.begin + mine.chunk, mine.end), scratch);
  if (!mine.divided) return;
  for (int i = 0; i < mine.threads; ++i) {
    Share& from = shares_[static_cast<size_t>((index + i) % mine.threads)];
    // Looked at first: a line that is only read need not leave its owner.
    while (from.next.load(std::memory_order_relaxed) < from.end) {
      const int64_t begin = from.next.fetch_add(mine.chunk, std::memory_order_relaxed);
      if (begin < from.end) mine.kernel(mine.buffers, begin, std::min(begin + mine.chunk, from.end), scratch);
    }
  }
}

void ThreadPool::run(GradcKernelFn kernel, void* const* buffers, int64_t blocks) {
  if (workers_.empty() || blocks <= 1) return kernel(buffers, 0, blocks, scratch());
  const int active = static_cast<int>(std::min<int64_t>(threads(), blocks));
  ++job_;
  const int processor = current_processor();
  // A few chunks a thread, so that a thread that is held up by another program does not hold up the rest.
  const int64_t chunk = std::max<int64_t>(1, blocks / (4 * threads()));
  // All are written before any is published: a thread that is done reads the others'.
  for (int i = 0; i < active; ++i) {
    Share& s = shares_[static_cast<size_t>(i)];
    s.threads = active, s.processor = processor, s.divided = blocks > chunk * active, s.kernel = kernel, s.buffers = buffers, s.chunk = chunk;
    s.begin = blocks * i / active, s.end = blocks * (i + 1) / active;
    s.next.store(s.begin + chunk, std::memory_order_relaxed);
  }
  for (int i = 1; i < active; ++i) {
    Share& s = shares_[static_cast<size_t>(i)];
    s.job.store(job_, std::memory_order_release);
    // Without a fence between, which would wait for the line to come: await() looks again.
    if (s.asleep.load(std::memory_order_relaxed)) s.job.notify_one();
  }
  drain(0);
  for (int i = 1; i < active; ++i) await(shares_[static_cast<size_t>(i)]);
}

void ThreadPool::await(Share& worker) {
  for (int i = 0; worker.done.load(std::memory_order_acquire) != job_; ++i) {
    // The worker may have fallen asleep just as the job came, with neither having seen the other's word; both change this
    // one in one step, so either this sees it or the worker sees the job. Not at once, for it takes the line away.
    if (i == 64 && worker.asleep.fetch_or(0, std::memory_order_acq_rel)) worker.job.notify_one();
    i < spins_ ? pause() : std::this_thread::yield();
  }
}

void ThreadPool::run_frame(GradcFrame* frame, GradcKernelFn kernel, void* const* buffers, int64_t blocks) {
  static_cast<ThreadPool*>(frame->pool)->run(kernel, buffers, blocks);
}

void ThreadPool::work(int index) {
  Share& mine = shares_[static_cast<size_t>(index)];
  uint32_t seen = 0;
  for (;;) {
    for (int i = 0; i < spins_ && mine.job.load(std::memory_order_acquire) == seen; ++i) pause();
    if (mine.job.load(std::memory_order_acquire) == seen) {
      mine.asleep.exchange(1, std::memory_order_acq_rel);
      mine.job.wait(seen, std::memory_order_acquire);
      mine.asleep.store(0, std::memory_order_relaxed);
    }
    seen = mine.job.load(std::memory_order_acquire);
    if (stop_) return;
    if (spins_ > 0 && mine.processor == current_processor()) leave_processor(pthread_self(), mine.processor);
    drain(index);
    mine.done.store(seen, std::memory_order_release);
  }
}

}  // namespace gradc
