#pragma once

#include "compiler/schedule/emit.h"

// Memory of a step: which values can take the place of others, and where the rest lies in the arena. In a finished program the
// slots of a call never overlap.
namespace gradc::scheduling {

// Turns shadows of parameters and states into updates in place wherever no kernel looks at an old element after it was replaced.
void update_in_place(std::vector<Buffer>& buffers, std::vector<RawKernel>& kernels);
// Lets a kernel write its result over a temporary that it is the last to read, element by element.
void reuse_operands(const std::vector<Buffer>& buffers, std::vector<RawKernel>& kernels);

struct Arena {
  int64_t bytes = 0, lower_bound = 0;
};
// Gives every temporary its offset.
Arena plan_arena(std::vector<Buffer>& buffers, const std::vector<RawKernel>& kernels);
// Drops buffers that nothing names, keeping those of the step's interface.
void drop_unused(std::vector<Buffer>& buffers, std::vector<RawKernel>& kernels);

}  // namespace gradc::scheduling
