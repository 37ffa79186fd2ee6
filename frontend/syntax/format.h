#pragma once

#include <string>

#include "frontend/syntax/ast.h"

namespace gradc::ast {

// The file in the one canonical layout: four spaces, lines of at most 120 characters where they can be broken, the '='
// of neighbouring lines aligned, at most one empty line in a row. Columns that the author lined up (types, pipes, comments
// behind lines) stay so. Every comment stays. Formatting twice changes nothing. For files that parsed without errors.
std::string format(const File& file, const SourceManager& sources);

}  // namespace gradc::ast
