#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compiler/autodiff/autodiff.h"
#include "compiler/jit/jit.h"
#include "compiler/jit/tiles.h"
#include "compiler/rewrite/rewrite.h"
#include "compiler/schedule/schedule.h"

namespace gradc {

#ifdef NDEBUG
inline constexpr bool verify_by_default = false;
#else
inline constexpr bool verify_by_default = true;
#endif

struct CompileOptions {
  Target target;
  RewriteOptions rewrite;
  ScheduleOptions schedule;
  int threads = 0;                   // that will run the step, 0: not known. Blocks suit them; no bit depends on it
  TileChoices tiles;                 // measured on this machine; never change a bit
  JitOptions jit;
  bool jit_code = true;              // off: stop at kernels
  bool verify = verify_by_default;   // what each stage hands on; throws InternalError
};

// Every form the model went through. Where there are problems, everything after `typed` is empty.
struct Compiled {
  Graph typed, backward, optimized;
  KernelProgram kernels;
  std::unique_ptr<CompiledStep> step;
  std::vector<std::pair<std::string, double>> stage_ms;  // by stage, in order
  std::vector<AutodiffProblem> problems;
};

// From a typed graph to a step.
Compiled compile(Graph typed, const CompileOptions& options);

// The forms that can be looked at, in the order in which they are made: what `--stage` accepts after "ast".
const std::vector<std::string>& stage_names();

}  // namespace gradc
