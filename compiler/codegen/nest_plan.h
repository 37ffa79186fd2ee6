#pragma once

#include <vector>

#include "compiler/schedule/kernel.h"

namespace gradc {

// Where each statement of a nest goes and how it is vectorised: known before any instruction is made.
//
// Levels count loops: 0 is outside of all, 1 the loop over the grid's blocks (all parallel loops as one), then the serial outer
// loops; a section's inner loops follow on `outer_levels`.
struct SectionPlan {
  std::vector<int> bound;  // by dim: the level whose index it has in this section
  std::vector<int> level;  // by statement: the outermost level where all it needs is known
  int innermost = 0;       // level of the section's points
  bool vector = false;     // its own innermost loop is the vectorised one
  int width = 1;           // lanes of that loop
  int rotation = 1;        // accumulators used in turn in that loop
};

struct NestPlan {
  int outer_levels = 1;
  bool outer_vector = false;  // the last outer loop is the vectorised one
  int outer_width = 1;
  std::vector<SectionPlan> sections;
  std::vector<bool> varies;   // by value: differs from lane to lane
  std::vector<double> cost;   // by section: rough number of instructions at one point
};

NestPlan plan_nest(const KernelBody& body, const Nest& nest, const Target& target);

// Level of an outer loop.
inline int outer_level(const Nest& nest, size_t loop) {
  return loop < static_cast<size_t>(nest.parallel) ? 1 : 2 + static_cast<int>(loop) - nest.parallel;
}

}  // namespace gradc
