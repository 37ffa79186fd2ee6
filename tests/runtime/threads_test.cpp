#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <pthread.h>
#include <sched.h>
#include <thread>
#include <vector>

#include "runtime/processors.h"
#include "runtime/threads.h"

using namespace gradc;

namespace {

// A stand-in for compiled code: buffers[0] counts visits of each block.
void count_blocks(void* const* buffers, int64_t begin, int64_t end, void* scratch) {
  auto* visits = static_cast<std::atomic<int>*>(buffers[0]);
  for (int64_t b = begin; b < end; ++b) visits[b]++;
  static_cast<char*>(scratch)[0] = 1;  // private memory: a race here would show under the thread sanitizer
}

}  // namespace

TEST_CASE("the pool runs every block once, whatever the number of threads") {
  for (int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    pool.reserve_scratch(64);
    for (int64_t blocks : {0, 1, 2, 3, 64, 1000}) {
      std::vector<std::atomic<int>> visits(1000);
      void* buffers[] = {visits.data()};
      for (int round = 0; round < 20; ++round) pool.run(count_blocks, buffers, blocks);
      for (int64_t b = 0; b < 1000; ++b) REQUIRE(visits[static_cast<size_t>(b)] == (b < blocks ? 20 : 0));
    }
  }
}

TEST_CASE("threads that slept or wait for one another finish every job") {
  // More threads than processors, so that none spins; and a pause in which those that do fall asleep.
  for (int threads : {2, 2 * usable_processors() + 1}) {
    ThreadPool pool(threads);
    pool.reserve_scratch(64);
    std::vector<std::atomic<int>> visits(64);
    void* buffers[] = {visits.data()};
    for (int round = 0; round < 60; ++round) {
      if (round % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      pool.run(count_blocks, buffers, round % 3 == 0 ? 2 : 64);
    }
    for (size_t b = 0; b < 64; ++b) REQUIRE(visits[b] == (b < 2 ? 60 : 40));
  }
}

TEST_CASE("blocks of a thread that is held up are done by the others; its first ones wait for it") {
  struct Held {
    std::atomic<int> done{0};
    static void run(void* const* buffers, int64_t begin, int64_t end, void*) {
      auto* held = static_cast<Held*>(buffers[0]);
      held->done += static_cast<int>(end - begin);
      // Whoever has block 0 stays until nothing but it is left.
      while (begin == 0 && held->done < 64) std::this_thread::yield();
    }
  };
  ThreadPool pool(3);
  Held held;
  void* buffers[] = {&held};
  pool.run(Held::run, buffers, 64);
  CHECK(held.done == 64);
}

TEST_CASE("a thread leaves a processor for another that it may use, and may use the same ones afterwards") {
  cpu_set_t before, after;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  std::thread([&] {
    const int here = current_processor();
    CHECK(leave_processor(pthread_self(), here) == (usable_processors() > 1));
    REQUIRE(sched_getaffinity(0, sizeof after, &after) == 0);
    CHECK(CPU_EQUAL(&before, &after));
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(here, &one);
    REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
    CHECK(usable_processors() == 1);
    CHECK(current_processor() == here);
    CHECK_FALSE(leave_processor(pthread_self(), here));
    CHECK_FALSE(leave_processor(pthread_self(), -1));
  }).join();
}
