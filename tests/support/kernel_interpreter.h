#pragma once

#include <map>
#include <string>
#include <vector>

#include "compiler/eval/eval.h"
#include "compiler/schedule/kernel.h"

namespace gradc::test {

// What a step leaves behind.
struct StepResult {
  std::map<Symbol, Tensor> outputs;  // buffers of kind Output
  std::map<Symbol, Tensor> stored;   // parameters and states after the step
  std::vector<std::string> problems; // accesses out of bounds, races between blocks, reads of memory never written
};

// Executes a kernel program one point at a time in plain C++: the meaning of the kernel form, independent of the code generator. Sums
// run in index order in the element's own precision, the arena starts as garbage, and what blocks do to memory is watched: the bits
// must not depend on the order in which blocks run.
StepResult run_kernels(const KernelProgram& program, const std::map<Symbol, Tensor>& inputs);

}  // namespace gradc::test
