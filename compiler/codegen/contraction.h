#pragma once

#include "compiler/codegen/emitter.h"

namespace gradc {

void emit_contraction(const Contraction& contraction, BodyContext& context);
int64_t contraction_scratch_bytes(const Contraction& contraction, const Target& target);

}  // namespace gradc
