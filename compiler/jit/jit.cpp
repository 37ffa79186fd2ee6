#include "compiler/jit/jit.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "compiler/codegen/codegen.h"
#include "compiler/jit/fused_step.h"
#include "compiler/jit/linker.h"
#include "compiler/jit/machine.h"
#include "compiler/jit/object_cache.h"
#include "compiler/jit/step.h"
#include "compiler/support/error.h"

namespace gradc {
namespace {

class Stopwatch {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double ms = std::chrono::duration<double, std::milli>(now - last_).count();
    last_ = now;
    return ms;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// One object to make: some bodies, or the step itself.
struct Unit {
  std::string name;
  std::string key;  // in the cache; empty without one
  std::function<void(llvm::Module&, Machine&)> emit;
  int bodies = 0;
  size_t weight = 1;
  ObjectCode object;
  bool cached = false;
  double ir_ms = 0, machine_code_ms = 0;
};

// Each thread has its own LLVM context; a unit's code depends on nothing but the unit.
class Workshop {
 public:
  Workshop(const Target& target, const ObjectCache& cache) : target_(target), cache_(cache) {}

  void make(std::vector<Unit>& units, int threads) {
    std::vector<Unit*> missing;
    for (Unit& unit : units)
      if (!load(unit)) missing.push_back(&unit);
    // The longest first: no thread begins a long one when the others are done.
    std::stable_sort(missing.begin(), missing.end(), [](const Unit* a, const Unit* b) { return a->weight > b->weight; });
    std::atomic<size_t> next{0};
    std::exception_ptr failure;
    std::mutex failure_mutex;
    auto work = [&] {
      try {
        Machine machine(target_);
        for (size_t i; (i = next++) < missing.size();) compile(*missing[i], machine);
      } catch (...) {
        std::lock_guard lock(failure_mutex);
        if (!failure) failure = std::current_exception();
      }
    };
    const size_t helpers = std::min<size_t>(static_cast<size_t>(std::max(threads, 1)), missing.size());
    std::vector<std::thread> pool;
    for (size_t i = 1; i < helpers; ++i) pool.emplace_back(work);
    if (!missing.empty()) work();
    for (std::thread& thread : pool) thread.join();
    if (failure) std::rethrow_exception(failure);
  }

  void compile(Unit& unit, Machine& machine) const {
    Stopwatch watch;
    llvm::LLVMContext context;
    auto module = machine.new_module(context, unit.name);
    unit.emit(*module, machine);
    unit.ir_ms = watch.lap();
    unit.object = machine.object(*module);
    unit.machine_code_ms = watch.lap();
    unit.cached = false;
    if (!unit.key.empty()) cache_.store(unit.key, unit.object);
  }

 private:
  bool load(Unit& unit) const {
    if (unit.key.empty()) return false;
    auto object = cache_.load(unit.key);
    if (!object) return false;
    unit.object = std::move(*object);
    return unit.cached = true;
  }

  const Target& target_;
  const ObjectCache& cache_;
};

class Step final : public CompiledStep {
 public:
  GradcStepFn entry() const override { return entry_; }
  int64_t scratch_bytes() const override { return scratch_bytes_; }
  const JitTimes& times() const override { return times_; }

  Linker linker_;
  GradcStepFn entry_ = nullptr;
  int64_t scratch_bytes_ = 64;
  JitTimes times_;
};

std::string printed_without_name(KernelBody body) {
  body.name = {};
  return print(body);
}

// What compiling a body costs, roughly, in units of a short nest.
size_t weight(const KernelBody& body) {
  const size_t size = 1 + statements(body).size() / 16;
  return std::holds_alternative<Contraction>(body.form) ? 4 + size : size;
}
// A module costs as much before its first instruction as a short nest, so bodies share them; but not so many that threads run
// out of modules, or that a change of one body recompiles the whole model.
constexpr size_t module_weight = 24;

// Symbols by body, and the modules of those that differ from the ones before. Independent of the number of threads.
std::vector<std::string> body_units(const KernelProgram& program, const JitOptions& options, std::vector<Unit>& units) {
  const bool cached = !options.cache_dir.empty();
  std::vector<std::string> symbols(program.bodies.size());
  std::unordered_map<std::string, size_t> known;  // by text
  std::vector<size_t> group;
  std::string text;
  size_t load = 0;
  auto close_group = [&] {
    if (group.empty()) return;
    Unit unit{.name = fmt::format("m{}", units.size()), .key = {}, .emit = {}, .bodies = static_cast<int>(group.size()), .weight = load, .object = {}};
    if (cached) unit.key = ObjectCache::key(text, program.target, options.debug_info ? "debug" : "");
    // With a cache the symbols name the contents: an object may come from another model.
    for (size_t i = 0; i < group.size(); ++i) symbols[group[i]] = cached ? fmt::format("k{}.{}", unit.key, i) : fmt::format("k{}", group[i]);
    std::vector<std::string> names;
    for (size_t i : group) names.push_back(symbols[i]);
    unit.emit = [&program, &options, group, names](llvm::Module& module, Machine&) {
      for (size_t i = 0; i < group.size(); ++i) emit_body(program.bodies[group[i]], program.target, module, names[i], options.debug_info);
    };
    units.push_back(std::move(unit));
    group.clear(), text.clear(), load = 0;
  };
  std::vector<std::pair<size_t, size_t>> repeated;
  for (size_t i = 0; i < program.bodies.size(); ++i) {
    if (cached) {
      const std::string body = printed_without_name(program.bodies[i]);
      const auto [first, fresh] = known.emplace(body, i);
      if (!fresh) {
        repeated.emplace_back(i, first->second);
        continue;
      }
      text += body;
    }
    group.push_back(i);
    if ((load += weight(program.bodies[i])) >= module_weight) close_group();
  }
  close_group();
  for (auto [again, first] : repeated) symbols[again] = symbols[first];
  return symbols;
}

// What the code of a fused step depends on.
std::string fused_text(const KernelProgram& program, const CallList& plan) {
  std::string text = to_string(plan);
  for (const KernelBody& body : program.bodies) text += printed_without_name(body);
  for (const Buffer& buffer : program.buffers) text += fmt::format("{} {}\n", static_cast<int>(buffer.kind), to_string(buffer.type));
  return text;
}

}  // namespace

std::unique_ptr<CompiledStep> compile(const KernelProgram& program, const JitOptions& options) {
  auto step = std::make_unique<Step>();
  const ObjectCache cache(options.cache_dir);
  std::vector<Unit> units;
  CallList plan;
  if (options.fuse && worth_fusing(program)) {
    plan = list_fused_calls(program);
    Unit& all = units.emplace_back();
    all.name = step_symbol;
    all.bodies = static_cast<int>(program.bodies.size());
    if (!options.cache_dir.empty()) all.key = ObjectCache::key(fused_text(program, plan), program.target, "fused");
    all.emit = [&](llvm::Module& module, Machine& machine) {
      const FusedStep fused = fuse_step(program, plan, module, machine);
      emit_step(plan, module, &fused);
    };
  } else {
    plan = list_calls(program, body_units(program, options, units));
    Unit& entry = units.emplace_back();
    entry.name = step_symbol;
    if (!options.cache_dir.empty()) entry.key = ObjectCache::key(to_string(plan), program.target, "step");
    entry.emit = [&plan](llvm::Module& module, Machine&) { emit_step(plan, module); };
  }

  Workshop workshop(program.target, cache);
  workshop.make(units, options.compile_threads);

  Stopwatch watch;
  for (Unit& unit : units) {
    if (!step->linker_.add(unit.object)) {
      GRADC_ASSERT(unit.cached, "the object of {} is not one", unit.name);
      Machine machine(program.target);
      workshop.compile(unit, machine);
      GRADC_ASSERT(step->linker_.add(unit.object), "the object of {} is not one", unit.name);
    }
    (unit.cached ? step->times_.cached : step->times_.compiled) += unit.bodies;
    step->times_.ir_ms += unit.ir_ms;
    step->times_.machine_code_ms += unit.machine_code_ms;
  }
  step->linker_.finish();
  step->entry_ = reinterpret_cast<GradcStepFn>(step->linker_.address(step_symbol));
  GRADC_ASSERT(step->entry_, "the step has no entry");
  for (const KernelBody& body : program.bodies) step->scratch_bytes_ = std::max(step->scratch_bytes_, scratch_bytes(body, program.target));
  step->scratch_bytes_ += plan.local_bytes;
  step->times_.link_ms = watch.lap();
  return step;
}

}  // namespace gradc
