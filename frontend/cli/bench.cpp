#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <sstream>
#include <utility>
#include <sys/resource.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "frontend/cli/arrays.h"
#include "frontend/cli/distribution.h"
#include "frontend/cli/kernel_clock.h"
#include "frontend/cli/machine.h"
#include "frontend/cli/starts.h"
#include "compiler/support/text.h"
#include "runtime/terminal.h"

namespace gradc::cli {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

// Milliseconds since the kernel created this process: its start time counts clock ticks (10 ms) since boot.
double process_age_ms() {
  std::ifstream stat("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  // The start time is field 22; the second field, in parentheses, may itself hold spaces.
  std::istringstream fields(text.substr(std::min(text.rfind(')') + 2, text.size())));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  double start = std::atof(field.c_str());
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (static_cast<double>(now.tv_sec) - start / static_cast<double>(sysconf(_SC_CLK_TCK))) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

// Times blocks of steps long enough for the clock, for about `seconds`. The batch stays, so a block is one call.
Distribution time_steps(StepRunner& runner, int64_t& step, uint64_t seed, double seconds, StatusLine& status) {
  auto block = [&](int64_t count) {
    const double ms = milliseconds([&] { runner.run(step + 1, seed, count); });
    step += count;
    return ms / static_cast<double>(count);
  };
  double estimate = block(3);
  auto count = static_cast<int64_t>(std::clamp(20.0 / std::max(estimate, 1e-6), 1.0, 1e6));
  std::vector<double> times;
  const auto start = Clock::now();
  auto spent = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  while (times.size() < 3 || spent() < seconds) {
    times.push_back(block(count));
    status.draw([&](int columns) { return task_line("timing steps", spent(), seconds, fmt::format("{:.1f}/{:.1f} s", spent(), seconds), columns); });
  }
  return distribution(std::move(times));
}

struct KernelRow {
  std::string name;
  double ms, fastest_ms, flops, bytes;
};

std::vector<KernelRow> time_kernels(Step& step, int threads, int64_t& counter, uint64_t seed, double step_ms, StatusLine& status) {
  const KernelProgram& program = step.compiled.kernels;
  KernelClock clock(program.instances.size(), threads);
  clock.attach(step.runner->frame());
  auto count = static_cast<int>(std::clamp(300.0 / std::max(step_ms, 1e-3), 3.0, 1000.0));
  for (int i = 0; i < count; ++i) {
    step.runner->run(++counter, seed);
    status.draw([&](int columns) { return task_line("timing kernels", i + 1, count, fmt::format("{}/{}", i + 1, count), columns); });
  }
  KernelClock::detach(step.runner->frame());
  std::vector<KernelRow> rows;
  for (size_t k = 0; k < program.instances.size(); ++k) {
    const KernelBody& body = program[program.instances[k].body];
    const auto calls = static_cast<double>(trips(program.loops, k));
    const Distribution time = clock.times(k).empty() ? Distribution{} : distribution(clock.times(k));
    rows.push_back({program.instances[k].name.str(), time.median, time.min, calls * flops(body), calls * bytes_touched(body)});
  }
  return rows;
}

double peak_rss_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

struct Report {
  std::vector<std::pair<std::string, double>> compile_ms;
  double compile_total = 0, first_step_ms = 0, rss_mb = 0;
  Distribution step{};
  std::vector<double> losses;
  std::string digest;
  std::vector<KernelRow> kernels;
  int64_t arena = 0, arena_lower_bound = 0, local = 0;  // local: of each thread
  double step_bytes = 0;  // all the memory that a step works on
  Element element = Element::F32;
  std::optional<Machine> machine;
  std::optional<Starts> starts;
};

void print_json(const Report& r) {
  ordered_json compile = ordered_json::object(), kernels = ordered_json::array();
  for (const auto& [stage, ms] : r.compile_ms) compile[stage] = ms;
  compile["total"] = r.compile_total;
  for (const KernelRow& k : r.kernels) kernels.push_back({{"name", k.name}, {"ms", k.ms}, {"min_ms", k.fastest_ms}, {"flops", k.flops}, {"bytes", k.bytes}});
  ordered_json out = {{"compile_ms", compile},
                      {"first_step_ms", r.first_step_ms},
                      {"step_ms", {{"median", r.step.median}, {"min", r.step.min}, {"p90", r.step.p90}}},
                      {"peak_rss_mb", r.rss_mb},
                      {"arena_bytes", r.arena},
                      {"arena_lower_bound", r.arena_lower_bound},
                      {"local_bytes", r.local},
                      {"losses", r.losses},
                      {"digest", r.digest},
                      {"kernels", kernels}};
  if (r.machine) out["machine"] = to_json(*r.machine);
  fmt::print("{}\n", out.dump());
}

std::string duration(double ms) {
  if (ms < 1e-3) return fmt::format("{:.1f} ns", ms * 1e6);
  if (ms < 1) return fmt::format("{:.2f} us", ms * 1e3);
  return fmt::format("{:.2f} ms", ms);
}

void print_folded(const std::string& text, int indent, int elsewhere = 0) {
  const int limit = line_limit(STDOUT_FILENO);
  fmt::print("{}\n", folded(text, limit > 0 ? limit : elsewhere, indent));
}

// The table of kernels. A terminal too narrow for all of it gets short names and not the fastest times, which --json has.
class KernelTable {
 public:
  KernelTable(const std::vector<KernelRow>& rows, int limit) : wide_(limit == 0 || limit >= widest + most_name) {
    for (const KernelRow& k : rows) name_ = std::max(name_, k.name.size());
    const int room = limit == 0 ? most_name : limit - (wide_ ? widest : narrowest);
    name_ = std::min(name_, static_cast<size_t>(std::max(room, least_name)));
    if (limit == 0) name_ = most_name;
  }

  void head() const {
    fmt::print("{:<{}} {:>9}{} {:>6} {:>7} {:>5} {:>6} {:>5}  {}\n", "kernel", name_, "time", wide_ ? fmt::format(" {:>9}", "fastest") : "", "share", "GFLOP/s", "peak", "GB/s",
               "peak", "bound by");
  }
  void row(const KernelRow& k, double share, double gflops, double of_gflops, double gbs, double of_gbs, const char* bound) const {
    const std::string name = k.name.size() > name_ ? k.name.substr(0, name_ - 3) + "..." : k.name;
    fmt::print("{:<{}} {:>9}{} {:>4.1f} % {:>7.1f} {:>3.0f} % {:>6.1f} {:>3.0f} %  {}\n", name, name_, duration(k.ms),
               wide_ ? fmt::format(" {:>9}", duration(k.fastest_ms)) : "", share, gflops, of_gflops, gbs, of_gbs, bound);
  }

 private:
  static constexpr int narrowest = 1 + 9 + 1 + 6 + 1 + 7 + 1 + 5 + 1 + 6 + 1 + 5 + 2 + 10, widest = narrowest + 1 + 9, most_name = 28, least_name = 8;
  bool wide_;
  size_t name_ = 6;  // "kernel"
};

// Each kernel against the machine: what it reaches of the peak of arithmetic and of reading, and which of the two would stop it
// first (the roofline).
void print_kernels(const Report& r) {
  const Machine& m = *r.machine;
  const ProbeKind level = m.level(r.step_bytes);
  const double gflops = m.gflops(r.element), gbs = m.all.rate[level];
  double total = 0;
  for (const KernelRow& k : r.kernels) total += k.ms;
  const KernelTable table(r.kernels, line_limit(STDOUT_FILENO));
  table.head();
  for (const KernelRow& k : r.kernels) {
    const double scale = k.ms > 0 ? 1e-6 / k.ms : 0, f = k.flops * scale, b = k.bytes * scale;
    table.row(k, total > 0 ? 100 * k.ms / total : 0, f, 100 * f / gflops, b, 100 * b / gbs, f / gflops >= b / gbs ? "arithmetic" : level_name(level));
  }
  print_folded(fmt::format("peaks: {:.1f} GFLOP/s, {:.1f} GB/s reading {} (a step works on {}), on {} thread{}; measured {}, again by gradc bench --machine",
                           gflops, gbs, level_name(level), human_bytes(r.step_bytes), m.threads, m.threads == 1 ? "" : "s", m.measured), 7, 100);
}

void print_text(const Report& r) {
  fmt::print("compile    {}\n", duration(r.compile_total));
  for (const auto& [stage, ms] : r.compile_ms) fmt::print("  {:<12} {:>10}\n", stage, duration(ms));
  if (r.starts) {
    print_folded(fmt::format("start      cold {}, warm {}, from the start of the process to the end of the first step", duration(r.starts->cold), duration(r.starts->warm)), 11);
  } else {
    fmt::print("first step {} after the process began\n", duration(r.first_step_ms));
  }
  fmt::print("step       median {}, fastest {}, 90 % below {}\n", duration(r.step.median), duration(r.step.min), duration(r.step.p90));
  std::string memory = fmt::format("memory     {:.1f} MB at the peak, arena {:.2f} MB (at least {:.2f} MB are live at once)", r.rss_mb,
                                   static_cast<double>(r.arena) / 1e6, static_cast<double>(r.arena_lower_bound) / 1e6);
  if (r.local > 0) memory += fmt::format(", and {:.2f} MB in each thread", static_cast<double>(r.local) / 1e6);
  print_folded(memory, 11);
  std::string losses = "losses    ";
  for (double loss : r.losses) losses += fmt::format(" {:.6g}", loss);
  print_folded(losses, 11);
  fmt::print("digest     {}\n\n", r.digest);
  print_kernels(r);
}

// Without a model: only the machine.
int bench_machine(const ModelOptions& options) {
  Diagnostics diagnostics;
  try {
    StatusLine status(!options.json);
    status.show("measuring this machine");
    Machine machine = measure_machine(chosen_target(options, diagnostics), chosen_threads(options));
    status.clear();
    options.json ? fmt::print("{}\n", to_json(machine).dump()) : print_text(machine);
    return success;
  } catch (const Stop& stop) {
    std::fputs(render_all(diagnostics, SourceManager(), wants_color(STDERR_FILENO)).c_str(), stderr);
    return stop.code;
  }
}

}  // namespace

int bench(const BenchVerb& verb) {
  if (verb.model.file.empty()) return bench_machine(verb.model);
  ModelOptions model = verb.model;
  model.tune &= !verb.until_first_step;  // a start is timed as it is once tiles are kept
  Session session(model);
  StatusLine status(!verb.model.json);
  status.show("compiling");
  Report report;
  Step step = prepare(session, session.request(true, true), verb.arrays, WithoutOptimizer::write_gradients);
  StepRunner& runner = *step.runner;
  std::string loss = step.meaning.metrics.front().str();

  int64_t counter = 0;
  // Hashing the parameters is the report's work, not the user's.
  double hashing = 0;
  if (verb.steps == 0 && !verb.until_first_step) hashing = milliseconds([&] { report.digest = digest(session.variables()); });
  runner.run(++counter, session.seed);
  if (verb.until_first_step) end_after_first_step();
  report.first_step_ms = process_age_ms() - hashing;
  auto record = [&] { report.losses.push_back(runner.scalar(loss)); };
  record();
  // The loss of step j is that of the parameters after j updates; the digest is taken after the K-th update, and the last
  // loss comes from one step more.
  for (int64_t j = 1; j <= verb.steps; ++j) {
    if (j == verb.steps) report.digest = digest(session.variables());
    runner.run(++counter, session.seed);
    record();
    status.draw([&](int columns) { return task_line("steps", static_cast<double>(j), static_cast<double>(verb.steps), fmt::format("{}/{}", j, verb.steps), columns); });
  }
  report.step = time_steps(runner, counter, session.seed, verb.seconds, status);
  report.kernels = time_kernels(step, session.pool().threads(), counter, session.seed, report.step.median, status);
  report.rss_mb = peak_rss_mb();
  report.compile_ms = session.frontend_ms;
  report.compile_ms.insert(report.compile_ms.end(), step.compiled.stage_ms.begin(), step.compiled.stage_ms.end());
  for (const auto& [stage, ms] : report.compile_ms) report.compile_total += ms;
  report.arena = step.compiled.kernels.arena_bytes;
  report.arena_lower_bound = step.compiled.kernels.arena_lower_bound;
  report.local = step.compiled.kernels.local_bytes;
  report.step_bytes = static_cast<double>(session.memory_bytes);
  report.element = session.element;
  if (!verb.model.json) {
    status.show("timing starts");
    report.starts = measure_starts();
  }
  // Last, so that no figure above waits for it or counts its memory.
  const Target& target = session.compile_options.target;
  const int threads = session.pool().threads();
  if (!verb.machine) report.machine = known_machine(target, threads);
  if (verb.machine || (!report.machine && !verb.model.json)) {
    status.show("measuring this machine");
    report.machine = measure_machine(target, threads);
  }
  status.clear();
  verb.model.json ? print_json(report) : print_text(report);
  return success;
}

}  // namespace gradc::cli
