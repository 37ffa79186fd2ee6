#pragma once

#include "compiler/codegen/emitter.h"

namespace gradc {

// Products of integers and truth values (or of and): rare, so just right.
void emit_exact_contraction(const Contraction& contraction, BodyContext& context);

}  // namespace gradc
