#pragma once

#include <map>

#include "compiler/eval/eval.h"
#include "compiler/jit/jit.h"

namespace gradc::test {

struct RunResult {
  std::map<Symbol, Tensor> outputs;  // buffers of kind Output
  std::map<Symbol, Tensor> stored;   // parameters and states after the step
  bool operator==(const RunResult& o) const;  // bit by bit
};

// Runs a compiled step on this thread. Memory that the step may not touch cannot be touched: every buffer lies between pages without
// access. It runs twice and both runs must agree bit for bit: once each buffer (temporaries too) ends at a page's end, once it
// begins at a page's start and the temporaries share the arena. What nobody has written is NaN.
// `blocks_backwards`: each kernel's blocks run one by one, last first, as a pool of threads might.
RunResult run_program(const KernelProgram& program, const CompiledStep& step, const std::map<Symbol, Tensor>& inputs,
                      bool blocks_backwards = false);

}  // namespace gradc::test
