#include "frontend/cli/tune.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "compiler/support/error.h"
#include "frontend/cli/distribution.h"
#include "frontend/cli/kernel_clock.h"
#include "frontend/cli/machine.h"
#include "frontend/cli/session.h"
#include "runtime/files.h"
#include "runtime/step.h"
#include "runtime/terminal.h"

namespace gradc::cli {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr double worth_it = 0.97;  // of the time in the scheduler's own tiles: less than noise is no choice
constexpr double patience = 8;     // seconds, about, for one comparison of all versions
constexpr int fewest_rounds = 3, most_rounds = 15;
constexpr double long_step = 0.05;   // seconds: such a step is timed once where others are timed twice
constexpr double least_flops = 1e6;  // what takes a few microseconds is not worth the search

// Versions of a step that differ in the tiles of their contractions, timed kernel by kernel as a step runs them: what a kernel finds in
// which cache, and what it leaves there, is half of what tiles are about. All contractions are tried at once, each with its first
// version, then with its second, and so on.
class Race {
 public:
  Race(const KernelProgram& program, ThreadPool& pool, StatusLine& status) : program_(program), pool_(pool), status_(status) {
    StepPlan plan = make_plan(program, *compiled(program));
    runner_ = std::make_unique<StepRunner>(std::move(plan), variables_, pool_);
    fill();
  }

  // The programs' forms by body, of which the first is the one to beat; gives for each body the fastest, and the part of the first one's
  // time that it takes, both the first's where none beats it clearly.
  struct Winner {
    size_t version = 0;
    double ratio = 1;
  };
  std::map<size_t, Winner> run(const std::map<size_t, std::vector<Contraction>>& versions, const char* what) {
    size_t count = 0;
    for (const auto& [body, forms] : versions) count = std::max(count, forms.size());
    std::vector<std::unique_ptr<CompiledStep>> steps;
    for (size_t v = 0; v < count; ++v) {
      KernelProgram p = program_;
      for (const auto& [body, forms] : versions) p.bodies[body].form = forms[v < forms.size() ? v : 0];
      steps.push_back(compiled(p));
    }
    const double once = time_of(*steps[0], nullptr);
    const int times_each = once > long_step ? 1 : 2;
    const int rounds = std::clamp(static_cast<int>(patience / std::max(times_each * once * static_cast<double>(count), 1e-9)), fewest_rounds, most_rounds);
    std::vector<std::map<size_t, std::vector<double>>> times(count);  // by version, body, round
    for (int round = 0; round < rounds; ++round) {
      for (size_t v = 0; v < count; ++v) {
        times_of_bodies(*steps[v], times_each, times[v]);
        const auto done = static_cast<double>(static_cast<size_t>(round) * count + v + 1), all = static_cast<double>(rounds) * static_cast<double>(count);
        status_.draw([&](int columns) { return task_line(fmt::format("tuning {}", what), done, all, fmt::format("{:.0f} %", 100 * done / all), columns); });
      }
    }
    std::map<size_t, Winner> winners;
    for (const auto& [body, forms] : versions) {
      Winner best{0, worth_it};
      for (size_t v = 1; v < forms.size(); ++v) {
        std::vector<double> ratios;
        for (size_t r = 0; r < static_cast<size_t>(rounds); ++r) ratios.push_back(times[v][body][r] / times[0][body][r]);
        if (const double ratio = distribution(ratios).median; ratio < best.ratio) best = {v, ratio};
      }
      winners[body] = best.version == 0 ? Winner{} : best;
    }
    return winners;
  }

 private:
  std::unique_ptr<CompiledStep> compiled(const KernelProgram& program) {
    JitOptions options;
    options.debug_info = false;
    options.compile_threads = pool_.threads();
    options.fuse = false;  // kernels are timed one by one
    auto step = compile(program, options);
    pool_.reserve_scratch(static_cast<size_t>(std::max<int64_t>(64, step->scratch_bytes())));
    return step;
  }

  // Numbers that no operation makes infinite or slow at once: positive, also where a root is drawn.
  void fill() {
    for (const StepBuffer& b : runner_->plan().buffers) {
      if (b.kind == StepBuffer::Temporary || b.kind == StepBuffer::Local || b.kind == StepBuffer::Shadow || !is_float(b.element)) continue;
      std::byte* data = runner_->data(b.name);
      int64_t count = 1;
      for (int64_t s : b.shape) count *= s;
      for (int64_t i = 0; i < count; ++i) {
        const double x = 0.01 + 0.05 * static_cast<double>(i * 7919 % 1009) / 1009;
        if (b.element == Element::F32) reinterpret_cast<float*>(data)[i] = static_cast<float>(x);
        else reinterpret_cast<double*>(data)[i] = x;
      }
    }
  }

  double time_of(const CompiledStep& step, KernelClock* clock) {
    GradcFrame frame = runner_->frame();
    frame.scratch = pool_.scratch();
    frame.further = 0;
    if (clock) clock->attach(frame);
    const auto start = Clock::now();
    step.entry()(&frame);
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  // Of several steps the fastest: what else runs for a moment counts in one of them.
  void times_of_bodies(const CompiledStep& step, int times_each, std::map<size_t, std::vector<double>>& times) {
    KernelClock clock(program_.instances.size(), pool_.threads());
    for (int i = 0; i < times_each; ++i) time_of(step, &clock);
    std::map<size_t, double> sums;
    for (size_t k = 0; k < program_.instances.size(); ++k) {
      const std::vector<double>& all = clock.times(k);
      sums[program_.instances[k].body.at()] += *std::min_element(all.begin(), all.end());
    }
    for (const auto& [body, sum] : sums) times[body].push_back(std::max(sum, 1e-9));
  }

  const KernelProgram& program_;
  ThreadPool& pool_;
  StatusLine& status_;
  Variables variables_;  // not the model's
  std::unique_ptr<StepRunner> runner_;
};

using Versions = std::map<size_t, std::vector<Contraction>>;

// Others for the first of the forms.
void add(std::vector<Contraction>& forms, const std::vector<Tiling>& tilings, const Target& target) {
  const Contraction from = forms[0];
  for (const Tiling& t : tilings) {
    if (auto form = retiled(from, t, target)) forms.push_back(std::move(*form));
  }
}

void keep(const TileChoices& choices, const Target& target, int threads) {
  const std::string path = measured_file("tiles", target, threads);
  if (path.empty()) return;
  ordered_json tiles = ordered_json::object();
  for (const auto& [key, t] : choices) tiles[key] = {{"mr", t.mr}, {"nr", t.nr}, {"block_m", t.block_m}, {"block_n", t.block_n}};
  try {
    write_file_atomically(path, ordered_json{{"version", 1}, {"cpu", target.cpu}, {"threads", threads}, {"tiles", tiles}}.dump(1) + "\n");
  } catch (const EnvironmentError&) {
    // What can't be kept is used by this run alone.
  }
}

}  // namespace

TileChoices kept_tiles(const Target& target, int threads, Diagnostics& diagnostics) {
  const std::string path = measured_file("tiles", target, threads);
  std::ifstream in(path, std::ios::binary);
  if (path.empty() || !in) return {};
  try {
    TileChoices choices;
    const ordered_json kept = ordered_json::parse(in);
    for (const auto& [key, t] : kept.at("tiles").items()) choices[key] = {t.at("mr"), t.at("nr"), t.at("block_m"), t.at("block_n")};
    return choices;
  } catch (const ordered_json::exception&) {
    diagnostics.report_at(DiagnosticKind::TilesDamaged, path).note("--tune measures again");
    return {};
  }
}

// Register tiles first, then blocks of the best; then what has won against the scheduler's own once more, all together, since the best of
// many is often the luckiest.
void Tuner::tune(const KernelProgram& program, TileChoices& choices) {
  const Target& target = program.target;
  std::map<size_t, std::string> keys;  // by body
  Versions versions;
  for (size_t b = 0; b < program.bodies.size(); ++b) {
    const auto* form = std::get_if<Contraction>(&program.bodies[b].form);
    if (!form || flops(program.bodies[b]) < least_flops || !sum_order(*form, target)) continue;
    const std::string key = tile_key(program.bodies[b]);
    if (timed_.insert(key).second) keys[b] = key, versions[b] = {*form};
  }
  if (keys.empty()) return;
  const auto start = Clock::now();
  StatusLine status(!quiet_);
  Race race(program, pool_, status);
  const Versions own = versions;
  for (const char* what : {"register tiles", "blocks"}) {
    for (auto& [body, forms] : versions) add(forms, what[0] == 'r' ? register_tilings(forms[0], target) : block_tilings(forms[0], target), target);
    const auto winners = race.run(versions, what);
    for (auto& [body, forms] : versions) forms = {forms[winners.at(body).version]};
  }
  for (auto& [body, forms] : versions) {
    if (tiling_of(forms[0]) == tiling_of(own.at(body)[0])) forms.clear();
    forms.insert(forms.begin(), own.at(body)[0]);
  }
  const auto winners = race.run(versions, "once more");
  status.clear();
  std::string which;
  int faster = 0;
  for (const auto& [body, winner] : winners) {
    if (winner.version == 0) {
      choices.erase(keys.at(body));
      continue;
    }
    choices[keys.at(body)] = tiling_of(versions.at(body)[winner.version]);
    which += fmt::format("{} {} {:.2f}x", faster++ == 0 ? ":" : ",", program.bodies[body].name, 1 / winner.ratio);
  }
  if (keeps_) keep(choices, target, pool_.threads());
  if (quiet_) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  fmt::print(stderr, "{}\n", folded(fmt::format("tuned {} kernels in {:.1f} s, {} of them faster{}", keys.size(), seconds, faster, which), line_limit(STDERR_FILENO), 2));
}

}  // namespace gradc::cli
