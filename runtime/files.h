#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "compiler/support/diagnostics.h"

namespace gradc {

// The whole file; reports CannotReadFile.
std::optional<std::string> read_file(const std::string& path, Diagnostics& diagnostics);
// Writes to a temporary name beside the target and renames, so that a crash or a full disk never leaves half a file or
// loses the old one. Throws EnvironmentError.
void write_file_atomically(const std::string& path, std::string_view content);

}  // namespace gradc
