#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "runtime/array.h"

namespace gradc::cli {

// "name = 3.5", a small array in full, a large one by its mean, norm and extremes.
void print_text(const std::string& name, const Array& a);
nlohmann::ordered_json scalar_json(const Array& a);

}  // namespace gradc::cli
