#pragma once

#include <string>
#include <string_view>

namespace gradc::ast {

// The canonical layout of a file, with the columns that its author lined up: a line of the source takes the place of the same
// line of the layout if nothing but the width of its gaps differs, and each wide gap ends where a neighbouring line has the
// start of something too. Applied to its own result it changes nothing.
std::string keep_alignment(std::string_view canonical, std::string_view source, size_t line_limit);

}  // namespace gradc::ast
