#pragma once

#include <vector>

#include "compiler/ops/expr.h"

namespace gradc::rewrite {

// Many applications of an operation at once: operands that are `stacked` have all their values along a new axis 0, the others
// are the same each time, and the result has all values along axis 0.
bool can_batch(const Node& n, const std::vector<bool>& stacked);
Expr batched(GraphBuilder& b, const Node& n, std::vector<Expr> operands, const std::vector<bool>& stacked, int64_t count);

// x repeated along a new axis 0.
Expr repeated(Expr x, int64_t count);

}  // namespace gradc::rewrite
