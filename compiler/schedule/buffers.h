#pragma once

#include "compiler/schedule/emit.h"

// Memory of a step: which values can take the place of others, and where the rest lies in the arena. In a finished program the
// slots of a call never overlap.
namespace gradc::scheduling {

// Turns shadows of parameters and states into updates in place wherever no kernel looks at an old element after it was replaced.
void update_in_place(const Memory& memory, std::vector<RawKernel>& kernels);
// The same for the next value of a carry, written and read by the kernels from `first` on. False where an old element is still wanted.
bool carry_in_place(const Memory& memory, std::vector<RawKernel>& kernels, size_t first, BufferId current, BufferId next);
// Lets a kernel write its result over a temporary that it is the last to read, element by element. Windows of the result go with it.
void reuse_operands(Memory& memory, std::vector<RawKernel>& kernels, const std::vector<CallLoop>& loops);
// Replaces windows by the buffers that they are parts of, and places in them.
void settle_windows(const Memory& memory, std::vector<RawKernel>& kernels);

struct Arena {
  int64_t bytes = 0, lower_bound = 0;
};
// Gives every buffer of the kind, Temporary or Local, its offset in the memory that these share.
Arena plan_arena(std::vector<Buffer>& buffers, const std::vector<RawKernel>& kernels, const std::vector<CallLoop>& loops, BufferKind kind);
// Drops buffers that no kernel names, keeping those of the step's interface.
void drop_unused(std::vector<Buffer>& buffers, std::vector<RawKernel>& kernels);

}  // namespace gradc::scheduling
