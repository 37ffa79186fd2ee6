#pragma once

#include <string>

namespace gradc::cli {

// Where compiled kernels and measurements of the machine are kept: $GRADC_CACHE, else $XDG_CACHE_HOME/gradc, else ~/.cache/gradc.
// Created on demand. Empty (no cache) where that fails or GRADC_CACHE is set to nothing.
std::string cache_directory();

}  // namespace gradc::cli
