#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gradc {

// Int is 64-bit two's complement. Bool is one byte, 0 or 1. None: no tensor at all (a loop, whose values are picked by
// result); it has no bytes, and no spelling that parse_element knows.
enum class Element : uint8_t { Bool, Int, F32, F64, None };

inline bool is_float(Element e) { return e == Element::F32 || e == Element::F64; }
size_t byte_size(Element e);
const char* name(Element e);  // "bool", "int", "f32", "f64", "none"
std::optional<Element> parse_element(std::string_view name);

}  // namespace gradc
