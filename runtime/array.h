#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "compiler/support/element.h"

namespace gradc {

// A dense row-major array in host memory: what files hold and programs exchange.
struct Array {
  Element element = Element::F32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;

  static Array zeros(Element element, std::vector<int64_t> shape);
  int64_t count() const;
  double at(int64_t i) const;
  template <class T>
  T* as() { return reinterpret_cast<T*>(bytes.data()); }
  template <class T>
  const T* as() const { return reinterpret_cast<const T*>(bytes.data()); }
  // Another element type, value by value; widening is exact, f64 to f32 rounds to nearest.
  Array converted(Element to) const;
};

// Product of the sizes; nothing where it, times 8 bytes, does not fit 63 bits or a size is negative.
std::optional<int64_t> checked_count(const std::vector<int64_t>& shape);
std::string shape_text(const std::vector<int64_t>& shape);  // "[64, 10]"

}  // namespace gradc
