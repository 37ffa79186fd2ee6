#pragma once

#include "compiler/eval/eval.h"
#include "runtime/array.h"

namespace gradc::cli {

// The runtime's arrays and the compiler's tensors hold the same bytes; only the types' homes differ.
inline Type type_of(const Array& a) {
  Type t{a.element, {}};
  for (int64_t s : a.shape) t.dims.push_back({s, {}});
  return t;
}
inline Array to_array(const Tensor& t) { return {t.type.element, t.type.sizes(), t.bytes}; }
inline Tensor to_tensor(const Array& a) { return {type_of(a), a.bytes}; }

}  // namespace gradc::cli
