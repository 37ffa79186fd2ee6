#pragma once

#include <string>
#include <vector>

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "compiler/schedule/kernel.h"

namespace gradc {

// One call of a step: the function's symbol, its grid, its buffers by slot and where in them the slots begin,
// the sites of its random numbers.
struct StepCall {
  std::string symbol;
  int64_t blocks = 1;
  std::vector<int32_t> buffers;  // own_memory: in that of the thread, at the place's offset
  std::vector<SlotPlace> places;
  std::vector<uint32_t> sites;
};
inline constexpr int32_t own_memory = -1;
// A buffer copied over another when the step ends.
struct StepCopy {
  int32_t from = 0, to = 0;
  int64_t bytes = 0;
};
struct CallList {
  std::vector<StepCall> calls;
  std::vector<CallLoop> loops;
  std::vector<StepCopy> copies;
  int32_t counter = -1;  // the buffer of the input `step`, an f64
  int64_t local_bytes = 0;  // of each thread's scratch, before that of kernels; a multiple of 64
};
// All calls of a step in one function (fused_step.h): void(i64 further, ptr... buffers).
struct FusedStep {
  llvm::Function* function = nullptr;
  std::vector<int32_t> buffers;
};
// `symbols`: by body.
CallList list_calls(const KernelProgram& program, const std::vector<std::string>& symbols);
std::string to_string(const CallList& plan);

inline constexpr const char* step_symbol = "gradc_step";

// Adds the GradcStepFn that makes the calls. A short list of single blocks becomes straight code, anything else loops over a
// table: the code grows with the number of loops in the program, neither with its calls nor with trips. Where `fused` is given, it does the work unless a trace is wanted.
void emit_step(const CallList& plan, llvm::Module& module, const FusedStep* fused = nullptr);
// Counts the f64 at `counter` up by one.
void emit_count(llvm::IRBuilder<>& builder, llvm::Value* counter);

}  // namespace gradc
