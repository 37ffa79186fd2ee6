#include "frontend/library/library.h"

#include <algorithm>

namespace gradc {

std::vector<std::string> library_modules() {
  std::vector<std::string> names;
  for (const LibraryFile& f : library_files()) {
    std::string module(f.module);
    if (module != "prelude" && std::find(names.begin(), names.end(), module) == names.end()) names.push_back(module);
  }
  return names;
}

}  // namespace gradc
