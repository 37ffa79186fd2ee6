#pragma once

#include "compiler/schedule/graph_scheduler.h"

// Kernels that work on the rows of a batch one after the other send every value between them through memory, which is slow where a
// batch's values outgrow the caches. Such kernels become the body of a shared loop over strips of the rows: all of them for the first rows,
// then all of them for the next. What lies between them then takes the room of one strip in each thread's cache, threads meet once instead
// of at every kernel, and sums over rows are made of a partial sum for each strip, added up in order behind the loop.
namespace gradc::scheduling {

// Where it pays, by sizes and caches alone: bits do not depend on threads. Before updates take place and windows are settled.
void cut_into_strips(StepPlan& step);

}  // namespace gradc::scheduling
