#pragma once

#include "compiler/eval/eval.h"

namespace gradc {

// All results of a scan, as the tensor without bytes that stands for it: the body is evaluated once a step.
Tensor eval_scan(const Node& scan, const std::vector<const Tensor*>& operands);

}  // namespace gradc
