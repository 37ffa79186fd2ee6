#pragma once

#include "compiler/schedule/graph_scheduler.h"

namespace gradc::scheduling {

// Right operands of products that a loop reads from one place on every trip are copied once, before the loop, into the order in which
// register tiles read them; else each trip would bring them into that order again. `loop` is an outermost one.
void hoist_panels(StepPlan& step, size_t loop);

}  // namespace gradc::scheduling
