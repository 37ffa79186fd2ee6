#include "frontend/cli/cache.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace gradc::cli {

std::string cache_directory() {
  std::filesystem::path path;
  if (const char* own = std::getenv("GRADC_CACHE")) {
    path = own;
  } else if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg && *xdg) {
    path = std::filesystem::path(xdg) / "gradc";
  } else if (const char* home = std::getenv("HOME"); home && *home) {
    path = std::filesystem::path(home) / ".cache" / "gradc";
  }
  if (path.empty()) return {};
  std::error_code error;
  std::filesystem::create_directories(path, error);
  return error ? std::string() : path.string();
}

}  // namespace gradc::cli
