#pragma once

#include "compiler/codegen/contraction_window_plan.h"
#include "compiler/codegen/emitter.h"

namespace gradc {

void emit_window_contraction(const Contraction& contraction, const WindowPlan& plan, BodyContext& context);

}  // namespace gradc
