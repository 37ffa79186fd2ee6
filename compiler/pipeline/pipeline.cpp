#include "compiler/pipeline/pipeline.h"

#include <chrono>

#include "compiler/support/error.h"

namespace gradc {
namespace {

class Pipeline {
 public:
  Pipeline(Graph typed, const CompileOptions& options) : options_(options) { result_.typed = std::move(typed); }

  // The list of stages.
  Compiled run() {
    check("graph", result_.typed);
    stage("autodiff", [&] { differentiate(); });
    if (!result_.problems.empty()) return std::move(result_);
    check("backward", result_.backward);
    stage("rewrite", [&] { result_.optimized = optimize(result_.backward, options_.rewrite); });
    check("optimized", result_.optimized);
    stage("schedule", [&] {
      result_.kernels = schedule(result_.optimized, options_.target, options_.schedule);
      if (options_.threads > 0) suit_threads(result_.kernels, options_.threads);
      use_tiles(result_.kernels, options_.tiles);
    });
    check("kernels", result_.kernels);
    if (options_.jit_code) stage("codegen", [&] { result_.step = compile(result_.kernels, options_.jit); });
    return std::move(result_);
  }

 private:
  void differentiate() {
    AutodiffResult expanded = expand_gradients(result_.typed);
    result_.problems = std::move(expanded.problems);
    if (result_.problems.empty()) result_.backward = std::move(expanded.graph);
  }

  template <class F>
  void stage(const char* name, F work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    result_.stage_ms.emplace_back(name, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }

  static std::vector<std::string> problems_of(const Graph& graph) { return verify(graph, /*demand_provenance=*/true); }
  static std::vector<std::string> problems_of(const KernelProgram& program) { return verify(program); }

  template <class Form>
  void check(const char* form, const Form& value) const {
    if (!options_.verify) return;
    const std::vector<std::string> problems = problems_of(value);
    GRADC_ASSERT(problems.empty(), "{} form of {}: {}", form, value.name, problems.front());
  }

  const CompileOptions& options_;
  Compiled result_;
};

}  // namespace

Compiled compile(Graph typed, const CompileOptions& options) { return Pipeline(std::move(typed), options).run(); }

const std::vector<std::string>& stage_names() {
  static const std::vector<std::string> names{"graph", "backward", "optimized", "kernels", "llvm", "asm"};
  return names;
}

}  // namespace gradc
