// Products in the shapes of dense layers, and thin ones, in the tiles that the scheduler chooses, against the machine's own peak:
// GFLOP/s on one thread, and compile time.
//   contraction_bench [CPU [MRxNR [KC [BLOCK_N]]]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "tests/bench/our_product.h"

using namespace gradc;

namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

struct Tiles {
  int64_t mr = 0, nr = 0, kc = 0, block_n = 0;  // 0: as the scheduler chooses
};

struct Result {
  double gflops, compile_ms;
};

Result measure(const test::ProductShape& shape, const Target& target, const Tiles& tiles) {
  const double begin = cpu_seconds();
  const bench::OurProduct product(shape, target, 1, [&](Contraction& form) {
    if (tiles.mr) form.mr = tiles.mr, form.nr = tiles.nr;
    if (tiles.kc) form.kc = tiles.kc;
    if (tiles.block_n) form.block_n = tiles.block_n;
  });
  const double compiled = cpu_seconds();

  std::vector<float> lhs(static_cast<size_t>(shape.m * shape.k), 0.5f), rhs(static_cast<size_t>(shape.k * shape.n), 0.25f), out(static_cast<size_t>(shape.m * shape.n));
  void* scratch = std::aligned_alloc(4096, static_cast<size_t>((product.scratch_bytes() + 4095) / 4096 * 4096));
  const double work = 2e-9 * static_cast<double>(shape.m) * static_cast<double>(shape.n) * static_cast<double>(shape.k);
  const int repeat = std::max(1, static_cast<int>(0.1 / work));
  double best = 1e30;
  for (int round = 0; round < 30; ++round) {
    const double start = seconds();
    for (int i = 0; i < repeat; ++i) product.run(lhs.data(), rhs.data(), out.data(), scratch);
    best = std::min(best, (seconds() - start) / repeat);
  }
  std::free(scratch);
  return {work / best, (compiled - begin) * 1e3};
}

}  // namespace

int main(int argc, char** argv) {
  std::string error;
  const auto target = make_target(argc > 1 ? argv[1] : "native", error);
  if (!target) return std::fprintf(stderr, "%s\n", error.c_str()), 2;
  Tiles tiles;
  if (argc > 2) std::sscanf(argv[2], "%ldx%ld", &tiles.mr, &tiles.nr);
  if (argc > 3) tiles.kc = std::atol(argv[3]);
  if (argc > 4) tiles.block_n = std::atol(argv[4]);

  // The peak: one tile's worth of work on data in L1.
  const auto peak_shape = [&](int64_t rows) { return test::ProductShape{.m = rows, .n = 2 * target->vector_bytes / 4, .k = 240}; };
  const double peak = std::max(measure(peak_shape(target->vector_registers == 32 ? 14 : 6), *target, {}).gflops,
                               measure(peak_shape(target->vector_registers == 32 ? 12 : 5), *target, {}).gflops);
  std::printf("%s: %.1f GFLOP/s in one tile\n%22s %9s %9s %11s\n", target->cpu.c_str(), peak, "m x n x k", "GFLOP/s", "of tile", "compile ms");
  const test::ProductShape shapes[] = {
      {.m = 128, .n = 512, .k = 784}, {.m = 128, .n = 784, .k = 512, .transposed_rhs = true}, {.m = 784, .n = 512, .k = 128, .transposed_lhs = true},
      {.m = 128, .n = 512, .k = 512}, {.m = 128, .n = 10, .k = 512}, {.m = 128, .n = 512, .k = 10, .transposed_rhs = true},
      {.m = 512, .n = 10, .k = 128, .transposed_lhs = true}, {.m = 512, .n = 512, .k = 512}, {.m = 256, .n = 1024, .k = 1024},
      {.m = 256, .n = 4096, .k = 1024}, {.m = 1, .n = 512, .k = 784}, {.m = 1, .n = 784, .k = 512, .transposed_rhs = true}, {.m = 2, .n = 512, .k = 784},
      {.m = 128, .n = 1, .k = 512}, {.m = 128, .n = 2, .k = 512}, {.m = 128, .n = 4, .k = 512}, {.m = 512, .n = 1, .k = 128, .transposed_lhs = true},
      {.m = 4096, .n = 1, .k = 64}, {.m = 128, .n = 512, .k = 1}, {.m = 4, .n = 256, .k = 256}, {.m = 64, .n = 64, .k = 64},
  };
  for (const auto& shape : shapes) {
    const Result r = measure(shape, *target, tiles);
    std::printf("%5ld x %4ld x %4ld %s%s %9.1f %8.0f%% %11.1f\n", shape.m, shape.n, shape.k, shape.transposed_lhs ? "T" : "-",
                shape.transposed_rhs ? "T" : "-", r.gflops, 100 * r.gflops / peak, r.compile_ms);
  }
}
