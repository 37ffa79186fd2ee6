#pragma once

#include "compiler/rewrite/rule.h"

namespace gradc::rewrite {

// Every element is +0, positive, or NaN: never -0 and never below. Proved by a short look at how it is computed; false
// where that does not show it.
bool nonnegative(const Match& m, NodeId id, int depth = 6);

// A largest element, perhaps viewed or chosen by a condition.
bool from_max(const Match& m, NodeId id, int depth = 5);

// Has the value been shifted by its own largest element already, x - broadcast(reduce_max(x))?
bool shifted_by_max(const Match& m, NodeId id);

// c and 1/c are both powers of two that the element holds exactly and with full precision.
bool power_of_two(double c, Element e);

// Finite, not zero and not subnormal in the element.
bool normal(double c, Element e);

// c as the element holds it.
double rounded(double c, Element e);

}  // namespace gradc::rewrite
