#include "compiler/graph/type.h"

#include <fmt/format.h>

namespace gradc {

int64_t Type::count() const {
  int64_t n = 1;
  for (const Dim& d : dims) n *= d.size;
  return n;
}

std::vector<int64_t> Type::sizes() const {
  std::vector<int64_t> s;
  for (const Dim& d : dims) s.push_back(d.size);
  return s;
}

std::vector<int64_t> Type::strides() const {
  std::vector<int64_t> s(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) s[i - 1] = s[i] * dims[i].size;
  return s;
}

bool Type::same_shape(const Type& o) const {
  if (dims.size() != o.dims.size()) return false;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i].size != o.dims[i].size) return false;
  }
  return true;
}

std::string shape_to_string(const Type& t) {
  std::string out = "[";
  for (size_t i = 0; i < t.dims.size(); ++i) {
    if (i) out += ", ";
    if (t.dims[i].name) out += t.dims[i].name.str() + "=";
    out += fmt::to_string(t.dims[i].size);
  }
  return out + "]";
}

std::string to_string(const Type& t) { return name(t.element) + shape_to_string(t); }

}  // namespace gradc
