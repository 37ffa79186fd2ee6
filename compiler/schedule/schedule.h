#pragma once

#include "compiler/schedule/kernel.h"

namespace gradc {

struct ScheduleOptions {
  bool fuse = true;        // off: one kernel a node, for bisecting
  // Strips of rows that work on a batch is cut into (strips.h): 0 chooses, 1 never cuts. More, for tests: so many wherever it is possible.
  int64_t strips = 0;
};

// Turns an optimised graph (no Grad, no StopGradient nodes left) into kernels: decides what is fused with what, loop order,
// tiles, and where each value lives. Outputs of kind Value become Output buffers, Updates are written in place where no later
// kernel reads the old value.
KernelProgram schedule(const Graph& graph, const Target& target, const ScheduleOptions& options = {});

}  // namespace gradc
