#pragma once

#include <string>
#include <string_view>

#include "compiler/schedule/kernel.h"

// Spellings that the printer and the parser of the kernel form share.
namespace gradc {

std::string_view spelling(DimRole role);
std::string_view spelling(BufferKind kind);
std::string quoted(Symbol text);

}  // namespace gradc
