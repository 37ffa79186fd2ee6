#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gradc {

// A file of the library, written in the language and embedded in the binary.
struct LibraryFile {
  std::string_view module;  // "prelude" is in scope everywhere; others by `use MODULE`
  std::string_view name;    // "library/nn/layers.grad", as shown in messages
  std::string_view text;
};
const std::vector<LibraryFile>& library_files();

// The names that `use` accepts, without "prelude".
std::vector<std::string> library_modules();

}  // namespace gradc
