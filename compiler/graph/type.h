#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compiler/support/element.h"
#include "compiler/support/symbol.h"

namespace gradc {

// One axis. The name is what the user calls it ("N", "hidden"), possibly empty; it never takes part in type equality.
struct Dim {
  int64_t size = 0;
  Symbol name;
};

// The type of a tensor: element and static shape. Rank 0 is a scalar.
struct Type {
  Element element = Element::F32;
  std::vector<Dim> dims;

  size_t rank() const { return dims.size(); }
  int64_t size(size_t axis) const { return dims[axis].size; }
  int64_t count() const;  // number of elements; 1 for a scalar
  std::vector<int64_t> sizes() const;
  std::vector<int64_t> strides() const;  // row-major, in elements
  bool same_shape(const Type& o) const;  // sizes only
  bool operator==(const Type& o) const { return element == o.element && same_shape(o); }
  Type with(Element e) const { return {e, dims}; }
};

// "f32[N=64, 128]"; a scalar is "f32[]".
std::string to_string(const Type& t);
// Sizes without an element type: "[N=64, 128]".
std::string shape_to_string(const Type& t);

}  // namespace gradc
