#pragma once

#include <optional>

#include "compiler/schedule/graph_scheduler.h"

// One kernel in equal parts along one of its dims, each of which can be computed without the others.
namespace gradc::scheduling {

// What part t of the dim touches of a slot.
enum class Share : uint8_t {
  None,   // nothing: only what combines the parts touches it, reading
  Whole,  // any of it, reading
  Part,   // the t-th of equal parts
  Block,  // the same, of what each block of the grid leaves
  Sum,    // nothing: what combines the parts' results writes it
};

// How a kernel can be cut along a dim.
struct Cut {
  int dim = 0;
  int64_t extent = 1;  // of the dim
  int64_t unit = 1;    // parts are a multiple of that long: blocks that leave results of their own stay whole
  // The dim is summed over: by a product, or by the reductions of one section of a nest. What comes after needs the whole sum.
  bool sums = false;
  std::vector<Share> slots;

  bool divides(int64_t parts) const { return extent % parts == 0 && extent / parts % unit == 0; }
};

// Nothing where a part would need more than its part of something written, or the number of the part (an index, a random number).
std::optional<Cut> cut_along(const RawKernel& kernel, const Memory& memory, int dim);

// The kernel for any one part, and what combines the parts' results. These it leaves in new buffers, a part behind the other: slots with
// Share::Part, like all that `moves` with the part. Bits depend on the number of parts: every sum of a part is finished before it goes on
// to the next, and the parts are added up in order.
struct Pieces {
  RawKernel part;
  std::vector<bool> moves;  // by slot of `part`
  std::vector<RawKernel> combine;
};
Pieces cut(const RawKernel& kernel, const Cut& how, int64_t parts, StepPlan& step);

}  // namespace gradc::scheduling
