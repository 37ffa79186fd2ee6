#pragma once

#include <memory>

#include "compiler/pipeline/pipeline.h"
#include "frontend/cli/options.h"
#include "frontend/cli/tune.h"
#include "frontend/sema/program.h"
#include "runtime/step.h"

namespace gradc::cli {

// One compiled purpose of a model (a training step, an evaluation, the initial values) with memory to run it in.
struct Step {
  Elaboration meaning;
  Compiled compiled;
  std::unique_ptr<StepRunner> runner;
};

// What went wrong and where. Printed to stderr when it goes, so that no way out of a verb loses a message.
class Messages {
 public:
  ~Messages();
  SourceManager sources;
  Diagnostics diagnostics;
};

// A model file on its way through the stages, with what all verbs share: sources, diagnostics, target, threads, variables.
class Session : public Messages {
 public:
  // Reads, parses and analyses the file. Throws Stop where that fails.
  explicit Session(const ModelOptions& options);

  std::unique_ptr<ast::File> syntax;
  std::optional<Program> program;
  Element element;
  uint64_t seed = 0;
  Symbol model;                      // what the verbs work on
  CompileOptions compile_options;

  const std::string& file() const { return options_.file; }
  // Where data files are looked for first (--data).
  const std::vector<std::string>& data_folders() const { return options_.data; }
  ThreadPool& pool();
  Variables& variables() { return variables_; }

  // Stops with user_error where errors have been reported.
  void stop_on_errors();
  ElaborateRequest request(bool training, bool update) const;
  Elaboration elaborate(const ElaborateRequest& request);
  // The stages up to machine code; gradients that can't be had become diagnostics.
  Compiled compile(Graph graph);
  Step build(Elaboration meaning);
  // Computes the initial value of every variable in `meaning` that is not in `given`.
  void initialize(const Elaboration& meaning, const std::vector<std::string>& given = {});
  // Milliseconds of the stages before the graph ("parse", "analyse", "elaborate").
  std::vector<std::pair<std::string, double>> frontend_ms;
  // Bytes of the largest step built so far, machine code apart.
  int64_t memory_bytes = 0;

 private:
  void report(const AutodiffProblem& problem, const Graph& graph);
  void check_memory(const StepPlan& plan);
  void tune(const Graph& graph);

  const ModelOptions& options_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Tuner> tuner_;  // with --tune
  Variables variables_;
};

// For load_checkpoint: the model's own parameters and states, which this part of it may do without, and, where the model is only
// used and not trained, the states of its optimisers ("h1.W.adam.m" of h1.W).
std::function<bool(const std::string&)> own_variables(const Elaboration& meaning, bool with_optimizer);

StepPlan make_plan(const KernelProgram& kernels, const CompiledStep& step);
// The processor that --cpu names; reports UnknownCpu and throws Stop where there is none.
Target chosen_target(const ModelOptions& options, Diagnostics& diagnostics);
// Threads to run on: --threads, or one per processor that this process may use.
int chosen_threads(const ModelOptions& options);
int64_t available_memory();
// Runs f and gives the milliseconds it took.
double milliseconds(const std::function<void()>& f);
// SHA-256 of all parameters and states: for each in order of name, the name, a zero byte, and its bytes in canonical layout.
std::string digest(const Variables& variables);

}  // namespace gradc::cli
