#pragma once

#include <cstdint>
#include <string>

#include "compiler/schedule/kernel.h"

namespace llvm {
class Function;
class Module;
}  // namespace llvm

namespace gradc {

// Adds one function with the signature of GradcKernelFn (runtime/abi/step_abi.h) to the module: blocks [begin, end) of the body's
// grid. The IR is final: no IR pass is expected to run over it. With `debug_info` each instruction's location is in a
// subprogram of its own whose line is the statement's index in statements(body) + 1; 0 for loop control.
llvm::Function* emit_body(const KernelBody& body, const Target& target, llvm::Module& module, const std::string& symbol,
                          bool debug_info = true);

// Bytes of scratch memory one call of emit_body's function needs.
int64_t scratch_bytes(const KernelBody& body, const Target& target);

}  // namespace gradc
