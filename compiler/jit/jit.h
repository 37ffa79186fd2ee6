#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compiler/schedule/kernel.h"
#include "runtime/abi/step_abi.h"

namespace gradc {

// The machine this process runs on, or the one LLVM knows by that name ("x86-64-v3", "native").
// Nothing where LLVM does not know the name, or the host cannot run it.
std::optional<Target> make_target(const std::string& cpu, std::string& error);
std::vector<std::string> known_cpus();

struct JitOptions {
  int compile_threads = 1;
  std::string cache_dir;    // empty: no object cache
  bool debug_info = true;   // statement ids as debug locations
  bool fuse = true;         // tiny steps become one function; never changes a bit
};

struct JitTimes {
  double ir_ms = 0, machine_code_ms = 0, link_ms = 0;
  int compiled = 0, cached = 0;  // bodies
};

// A compiled step: owns the machine code.
class CompiledStep {
 public:
  virtual ~CompiledStep() = default;
  virtual GradcStepFn entry() const = 0;
  virtual int64_t scratch_bytes() const = 0;  // per worker
  virtual const JitTimes& times() const = 0;
};

// Whether the work of a step is so small that calls, loops and temporaries in memory cost as much as the work itself: then
// all of it becomes one function. Depends on the kernels alone.
bool worth_fusing(const KernelProgram& program);

std::unique_ptr<CompiledStep> compile(const KernelProgram& program, const JitOptions& options);

// The LLVM IR and the assembly of all bodies (or of those whose name matches the glob), as text; of a tiny step also the assembly of
// the one function made of them, "fused".
std::string llvm_text(const KernelProgram& program, const std::string& only = "*");
std::string assembly_text(const KernelProgram& program, const std::string& only = "*");

}  // namespace gradc
