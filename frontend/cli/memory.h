#pragma once

#include <string>

#include "compiler/schedule/kernel.h"

namespace gradc::cli {

// What `inspect --stage memory` prints: every buffer with its place in the arena, then what each loop keeps of its trips for others.
std::string memory_text(const KernelProgram& program);

}  // namespace gradc::cli
