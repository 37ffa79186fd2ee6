#pragma once

#include "compiler/jit/machine.h"
#include "compiler/jit/step.h"

namespace gradc {

// The calls of a step whose bodies have names within their module only.
CallList list_fused_calls(const KernelProgram& program);
// Emits the kernels of the plan and one function that is all of them in order, without loops and with temporaries in registers.
// The arithmetic is what it was: bits do not change.
FusedStep fuse_step(const KernelProgram& program, const CallList& plan, llvm::Module& module, Machine& machine);

}  // namespace gradc
