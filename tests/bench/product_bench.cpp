// The products of the workloads' layers alone, forward, by the input and by the weight: ours beside OpenBLAS and oneDNN, where these
// were there when this was built. All in one process, in turn, because machines drift; one JSON line a product, with the GFLOP/s of
// every round. tests/bench/run --kernels makes the table.
//   product_bench THREADS ROUNDS [CPU]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/step.h"
#include "runtime/threads.h"
#include "tests/bench/our_product.h"

#ifdef GRADC_BENCH_OPENBLAS
#include <cblas.h>
#endif
#ifdef GRADC_BENCH_ONEDNN
#include <dnnl.h>
#endif

using namespace gradc;

namespace {

// x [rows, inputs] @ w [inputs, units], as the workloads' dense layers keep them.
struct Layer {
  const char* workload;
  int64_t rows, inputs, units;
};
constexpr Layer layers[] = {{"mlp", 128, 784, 512},      {"mlp", 128, 512, 512},        {"mlp", 128, 512, 10},       {"mlp_wide", 256, 1024, 4096},
                            {"mlp_wide", 256, 4096, 4096}, {"mlp_wide", 256, 4096, 1000}, {"cnn", 64, 6272, 256},      {"lstm", 32, 256, 1024},
                            {"lstm", 2048, 64, 1024},    {"gpt", 2048, 128, 384},       {"gpt", 2048, 128, 512},     {"gpt", 2048, 512, 128},
                            {"pinn", 4096, 64, 64}};

// [m, k] @ [k, n]; an operand that is stored transposed lies as [k, m] or [n, k].
struct Product {
  const char *workload, *form;
  test::ProductShape shape;
};

std::vector<Product> products() {
  std::vector<Product> all;
  for (const Layer& l : layers) {
    all.push_back({l.workload, "forward", {.m = l.rows, .n = l.units, .k = l.inputs}});
    all.push_back({l.workload, "by input", {.m = l.rows, .n = l.inputs, .k = l.units, .transposed_rhs = true}});
    all.push_back({l.workload, "by weight", {.m = l.inputs, .n = l.units, .k = l.rows, .transposed_lhs = true}});
  }
  return all;
}

using Clock = std::chrono::steady_clock;
double seconds() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

// Where a step would have it. Were lines not aligned, two threads would share some in the middle of each row.
struct Numbers {
  explicit Numbers(int64_t count) : bytes(static_cast<size_t>(count) * sizeof(float)) {}
  Numbers(int64_t count, uint64_t seed) : Numbers(count) {
    for (int64_t i = 0; i < count; ++i) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      data()[i] = static_cast<float>(static_cast<double>(seed >> 40) * 0x1p-23 - 1);
    }
  }
  float* data() const { return reinterpret_cast<float*>(bytes.data()); }

  AlignedBytes bytes;
};

struct System {
  const char* name;
  std::function<void(const test::ProductShape&, const float*, const float*, float*)> multiply;
};

// Libraries' own threads spin for a while after a product; nobody is timed until they sleep.
constexpr auto pause = std::chrono::milliseconds(40);
constexpr double burst = 0.01;  // seconds
constexpr int bursts = 3;       // the best counts: what else runs on the machine for a moment is no limit of a product

class Comparison {
 public:
  Comparison(const Target& target, int threads, int rounds) : target_(target), pool_(threads), rounds_(rounds) {
#ifdef GRADC_BENCH_OPENBLAS
    openblas_set_num_threads(threads);
    systems_.push_back({"OpenBLAS", [](const test::ProductShape& s, const float* a, const float* b, float* c) {
      const auto m = static_cast<blasint>(s.m), n = static_cast<blasint>(s.n), k = static_cast<blasint>(s.k);
      cblas_sgemm(CblasRowMajor, s.transposed_lhs ? CblasTrans : CblasNoTrans, s.transposed_rhs ? CblasTrans : CblasNoTrans, m, n, k, 1, a,
                  s.transposed_lhs ? m : k, b, s.transposed_rhs ? k : n, 0, c, n);
    }});
#endif
#ifdef GRADC_BENCH_ONEDNN
    // oneDNN runs on OpenMP's threads, as many as OMP_NUM_THREADS says.
    systems_.push_back({"oneDNN", [](const test::ProductShape& s, const float* a, const float* b, float* c) {
      dnnl_sgemm(s.transposed_lhs ? 'T' : 'N', s.transposed_rhs ? 'T' : 'N', s.m, s.n, s.k, 1, a, s.transposed_lhs ? s.m : s.k, b,
                 s.transposed_rhs ? s.k : s.n, 0, c, s.n);
    }});
#endif
  }

  // The first product of a process is not worth printing: threads that have just begun share a processor for a while.
  bool warm_up(const Product& p) { return measure(p, false); }
  bool measure(const Product& p) { return measure(p, true); }

 private:
  bool measure(const Product& p, bool printed) {
    const test::ProductShape& s = p.shape;
    const Numbers a(s.m * s.k, 1), b(s.k * s.n, 2);
    const bench::OurProduct ours(s, target_, pool_.threads());
    pool_.reserve_scratch(static_cast<size_t>(std::max<int64_t>(64, ours.scratch_bytes())));
    std::vector<System> systems = systems_;
    systems.insert(systems.begin(), {"ours", [&](const test::ProductShape&, const float* x, const float* y, float* z) {
      ours.run(x, y, z, pool_.scratch(), pool_.threads() > 1 ? &ThreadPool::run_frame : nullptr, &pool_);
    }});
    std::vector<Numbers> results;
    for (size_t i = 0; i < systems.size(); ++i) results.emplace_back(s.m * s.n);
    std::vector<std::vector<double>> rates(systems.size());
    for (int round = 0; round < rounds_; ++round) {
      for (size_t i = 0; i < systems.size(); ++i) {
        std::this_thread::sleep_for(pause);
        rates[i].push_back(rate(s, [&] { systems[i].multiply(s, a.data(), b.data(), results[i].data()); }));
      }
    }
    if (printed) print(p, systems, rates);
    return agree(p, systems, results);
  }

  // GFLOP/s of the best burst, after a call that wakes threads and fills caches.
  template <class F>
  static double rate(const test::ProductShape& s, F multiply) {
    multiply();
    const double once = time([&] { multiply(); });
    const auto repeat = static_cast<int>(std::clamp(burst / std::max(once, 1e-7), 1.0, 1e5));
    double best = once;
    for (int b = 0; b < bursts; ++b) {
      best = std::min(best, time([&] {
        for (int i = 0; i < repeat; ++i) multiply();
      }) / repeat);
    }
    return 2e-9 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k) / best;
  }
  template <class F>
  static double time(F work) {
    const double start = seconds();
    work();
    return seconds() - start;
  }

  static void print(const Product& p, const std::vector<System>& systems, const std::vector<std::vector<double>>& rates) {
    std::printf("{\"workload\": \"%s\", \"form\": \"%s\", \"m\": %ld, \"n\": %ld, \"k\": %ld", p.workload, p.form, p.shape.m, p.shape.n, p.shape.k);
    for (size_t i = 0; i < systems.size(); ++i) {
      std::printf(", \"%s\": [", systems[i].name);
      for (size_t r = 0; r < rates[i].size(); ++r) std::printf("%s%.2f", r ? ", " : "", rates[i][r]);
      std::printf("]");
    }
    std::printf("}\n");
    std::fflush(stdout);
  }

  // A fast wrong product does not count.
  static bool agree(const Product& p, const std::vector<System>& systems, const std::vector<Numbers>& results) {
    const double bound = 1e-5 * std::sqrt(static_cast<double>(p.shape.k)) * 4;
    for (size_t i = 1; i < systems.size(); ++i) {
      for (int64_t e = 0; e < p.shape.m * p.shape.n; ++e) {
        const double difference = std::fabs(static_cast<double>(results[0].data()[e]) - static_cast<double>(results[i].data()[e]));
        if (difference <= bound) continue;
        std::fprintf(stderr, "%s, %s: element %ld differs from %s's by %g\n", p.workload, p.form, e, systems[i].name, difference);
        return false;
      }
    }
    return true;
  }

  const Target& target_;
  ThreadPool pool_;
  const int rounds_;
  std::vector<System> systems_;
};

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 2 ? std::atoi(argv[1]) : 0, rounds = argc > 2 ? std::atoi(argv[2]) : 0;
  if (threads < 1 || rounds < 1) return std::fprintf(stderr, "product_bench THREADS ROUNDS [CPU]\n"), 2;
  std::string error;
  const auto target = make_target(argc > 3 ? argv[3] : "native", error);
  if (!target) return std::fprintf(stderr, "%s\n", error.c_str()), 2;
  Comparison comparison(*target, threads, rounds);
  bool right = comparison.warm_up(products().front());
  for (const Product& p : products()) right &= comparison.measure(p);
  return right ? 0 : 1;
}
