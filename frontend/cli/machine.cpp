#include "frontend/cli/machine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sched.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "compiler/jit/jit.h"
#include "compiler/jit/sha256.h"
#include "compiler/support/error.h"
#include "compiler/support/text.h"
#include "frontend/cli/cache.h"
#include "frontend/cli/session.h"
#include "runtime/files.h"
#include "runtime/step.h"

namespace gradc::cli {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr const char* keys[probe_kinds] = {"fma_f32_gflops", "fma_f64_gflops", "read_l1_gbs", "read_l2_gbs", "read_l3_gbs", "read_dram_gbs", "triad_dram_gbs"};

std::string processor_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

std::string today() {
  std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &local);
  return text;
}

// Half of a private cache leaves room for what else lies there. The shared one is measured well beyond the private ones, and memory
// at twice the shared one, though with no more than 128 MiB (fresh pages take time) or a quarter of what is free.
WorkingSets working_sets(const Target& target, int threads) {
  const int64_t most = std::clamp<int64_t>(available_memory() / 4, 64 << 20, 128 << 20);
  const int64_t shared = std::max<int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), 4 * target.l2_bytes);
  const int64_t dram = std::clamp<int64_t>(2 * shared, 64 << 20, most);
  return {.l1 = target.l1_bytes / 2, .l2 = target.l2_bytes / 2, .l3 = std::min({shared / 2, 4 * target.l2_bytes * threads, dram / 2}), .dram = dram};
}

// Stands in for the thread pool: when the step hands it a kernel, runs that again and again and keeps the best rate.
class Meter {
 public:
  Meter(const std::vector<Probe>& probes, ThreadPool* pool, void* scratch) : probes_(probes), pool_(pool), scratch_(scratch) {}

  void run(const CompiledStep& step, std::vector<void*>& buffers) {
    GradcFrame frame{buffers.data(), [](GradcFrame* f, GradcKernelFn k, void* const* b, int64_t n) { static_cast<Meter*>(f->pool)->measure(k, b, n); },
                     this, scratch_, nullptr, nullptr};
    next_ = 0;
    step.entry()(&frame);
  }
  const Peaks& peaks() const { return peaks_; }

 private:
  void measure(GradcKernelFn kernel, void* const* buffers, int64_t blocks) {
    const Probe& probe = probes_[next_];
    if (!pool_) blocks = probe.solo_blocks;
    double best = 1e30;
    // The first run warms the caches.
    const auto end = Clock::now() + std::chrono::milliseconds(6);
    for (int i = 0; i < 2 || Clock::now() < end; ++i) {
      const auto start = Clock::now();
      pool_ ? pool_->run(kernel, buffers, blocks) : kernel(buffers, 0, blocks, scratch_);
      if (i > 0) best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
    }
    double& rate = peaks_.rate[next_++];
    rate = std::max(rate, probe.work * static_cast<double>(blocks) / best * 1e-9);
  }

  const std::vector<Probe>& probes_;
  ThreadPool* pool_;
  void* scratch_;
  size_t next_ = 0;
  Peaks peaks_;
};

// Binds every thread of the pool to a processor of its own while it lives: on a busy machine the system likes to put a thread that
// spins and the one it waits for on the same one, and what is measured then is that.
class OneProcessorEach {
 public:
  explicit OneProcessorEach(ThreadPool& pool) {
    sched_getaffinity(0, sizeof before_, &before_);
    Meeting meeting{before_, pool.threads()};
    void* argument = &meeting;
    pool.run(bind, &argument, pool.threads());
  }
  ~OneProcessorEach() { sched_setaffinity(0, sizeof before_, &before_); }  // the caller's; the pool's own threads end with it
  OneProcessorEach(const OneProcessorEach&) = delete;
  OneProcessorEach& operator=(const OneProcessorEach&) = delete;

 private:
  struct Meeting {
    cpu_set_t usable;
    int threads;
    std::atomic<int> arrived{0};
  };

  // One block a thread: nobody leaves, to fetch another, before all have come.
  static void bind(void* const* buffers, int64_t begin, int64_t end, void*) {
    auto* meeting = static_cast<Meeting*>(buffers[0]);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(nth_processor(meeting->usable, begin % std::max(1, CPU_COUNT(&meeting->usable))), &one);
    sched_setaffinity(0, sizeof one, &one);
    meeting->arrived += static_cast<int>(end - begin);
    while (meeting->arrived < meeting->threads) std::this_thread::yield();
  }
  static int nth_processor(const cpu_set_t& set, int64_t n) {
    int cpu = 0;
    while (cpu < CPU_SETSIZE - 1 && (!CPU_ISSET(cpu, &set) || n-- > 0)) ++cpu;
    return cpu;
  }

  cpu_set_t before_;
};

template <class T>
void fill(std::byte* data, int64_t count) {
  std::fill_n(reinterpret_cast<T*>(data), count, T(0.5));
}

Peaks peaks_from(const ordered_json& j) {
  Peaks p;
  for (int k = 0; k < probe_kinds; ++k) p.rate[k] = j.at(keys[k]).get<double>();
  return p;
}
ordered_json to_json(const Peaks& p) {
  ordered_json out;
  for (int k = 0; k < probe_kinds; ++k) out[keys[k]] = p.rate[k];
  return out;
}

}  // namespace

std::string measured_file(const char* what, const Target& target, int threads) {
  std::string folder = cache_directory();
  if (folder.empty()) return {};
  Sha256 hash;
  std::string key = fmt::format("{} 1\n{}\n{}\n{}\n{}\n{}", what, processor_model(), target.cpu, target.features, target.vector_bytes, threads);
  hash.update(key.data(), key.size());
  return (std::filesystem::path(folder) / fmt::format("{}-{}.json", what, hash.hex().substr(0, 16))).string();
}

ProbeKind Machine::level(double bytes) const {
  // A working set is half of a private cache (working_sets), a quarter or less of memory.
  if (bytes <= static_cast<double>(sets.l1 * 2)) return read_l1;
  if (bytes <= static_cast<double>(sets.l2 * 2)) return read_l2;
  return bytes <= static_cast<double>(sets.dram / 2) ? read_l3 : read_dram;
}

const char* level_name(ProbeKind level) {
  switch (level) {
    case read_l1: return "L1";
    case read_l2: return "L2";
    case read_l3: return "L3";
    default: return "memory";
  }
}

std::optional<Machine> known_machine(const Target& target, int threads) {
  std::string path = measured_file("machine", target, threads);
  if (path.empty()) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  ordered_json j = ordered_json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (!j.is_object()) return std::nullopt;
  // A file that another version wrote, or that was cut short, is as good as none.
  try {
    Machine m{.model = j.at("model"), .cpu = j.at("cpu"), .vector_bytes = j.at("vector_bytes"), .threads = j.at("threads"), .measured = j.at("measured")};
    const ordered_json& sets = j.at("working_sets");
    m.sets = {.l1 = sets.at("l1"), .l2 = sets.at("l2"), .l3 = sets.at("l3"), .dram = sets.at("dram")};
    m.one = peaks_from(j.at("one_thread"));
    m.all = peaks_from(j.at("all_threads"));
    return m;
  } catch (const ordered_json::exception&) {
    return std::nullopt;
  }
}

Machine measure_machine(const Target& target, int threads) {
  Machine m{.model = processor_model(), .cpu = target.cpu, .vector_bytes = target.vector_bytes, .threads = threads, .measured = today(), .sets = working_sets(target, threads)};
  ProbeProgram program = probe_program(target, m.sets, threads);
  const auto problems = verify(program.kernels);
  GRADC_ASSERT(problems.empty(), "{}", problems.front());
  JitOptions options;
  options.compile_threads = threads;
  options.debug_info = false;
  auto step = compile(program.kernels, options);

  // The parts of the triad are thirds of the numbers that the others read.
  std::vector<AlignedBytes> owned;
  std::vector<void*> pointers;
  std::byte* third = nullptr;
  for (const Buffer& b : program.kernels.buffers) {
    const int64_t count = b.type.count();
    const auto bytes = static_cast<size_t>(count) * byte_size(b.type.element);
    const bool part = b.name == "left" || b.name == "right" || b.name == "result";
    if (!part) {
      std::byte* data = owned.emplace_back(bytes).data();
      b.type.element == Element::F64 ? fill<double>(data, count) : fill<float>(data, count);
      if (!third) third = data;
    }
    pointers.push_back(part ? third : owned.back().data());
    if (part) third += bytes;
  }
  ThreadPool pool(threads);
  pool.reserve_scratch(static_cast<size_t>(std::max<int64_t>(step->scratch_bytes(), 64)));
  OneProcessorEach bound(pool);
  Meter one(program.probes, nullptr, pool.scratch()), all(program.probes, &pool, pool.scratch());
  // In several rounds, so that what other programs do for a moment does not pass for the machine's limit.
  for (int round = 0; round < 4; ++round) {
    one.run(*step, pointers);
    if (threads > 1) all.run(*step, pointers);
  }
  m.one = one.peaks();
  m.all = threads > 1 ? all.peaks() : m.one;
  if (std::string path = measured_file("machine", target, threads); !path.empty()) {
    try {
      write_file_atomically(path, to_json(m).dump(1) + "\n");
    } catch (const EnvironmentError&) {
      // A cache that can't be written costs the next run half a second.
    }
  }
  return m;
}

ordered_json to_json(const Machine& m) {
  return {{"model", m.model},
          {"cpu", m.cpu},
          {"vector_bytes", m.vector_bytes},
          {"threads", m.threads},
          {"measured", m.measured},
          {"working_sets", {{"l1", m.sets.l1}, {"l2", m.sets.l2}, {"l3", m.sets.l3}, {"dram", m.sets.dram}}},
          {"one_thread", to_json(m.one)},
          {"all_threads", to_json(m.all)}};
}

void print_text(const Machine& m) {
  fmt::print("{}\n{}, vectors of {} bytes, measured {}\n\n", m.model, m.cpu, m.vector_bytes, m.measured);
  fmt::print("{:<40} {:>12} {:>12}\n", "", "1 thread", m.threads == 1 ? "" : fmt::format("{} threads", m.threads));
  auto row = [&](std::string what, ProbeKind kind) {
    fmt::print("{:<40} {:>12.1f} {:>12}\n", what, m.one.rate[kind], m.threads == 1 ? "" : fmt::format("{:.1f}", m.all.rate[kind]));
  };
  row("multiply-add in f32, GFLOP/s", fma_f32);
  row("multiply-add in f64, GFLOP/s", fma_f64);
  auto size = [](int64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  row(fmt::format("read L1 ({}), GB/s", size(m.sets.l1)), read_l1);
  row(fmt::format("read L2 ({}), GB/s", size(m.sets.l2)), read_l2);
  row(fmt::format("read L3 ({}), GB/s", size(m.sets.l3)), read_l3);
  row(fmt::format("read memory ({}), GB/s", size(m.sets.dram)), read_dram);
  row("triad in memory, GB/s", triad_dram);
}

}  // namespace gradc::cli
