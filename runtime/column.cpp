#include "runtime/column.h"

#include <cstring>

#include "compiler/support/error.h"

namespace gradc {
namespace {

// Calls f with a value of the stored type.
template <class F>
void with_type(Stored s, F f) {
  switch (s) {
    case Stored::Bool:
    case Stored::U8: return f(uint8_t{});
    case Stored::I8: return f(int8_t{});
    case Stored::U16: return f(uint16_t{});
    case Stored::I16: return f(int16_t{});
    case Stored::U32: return f(uint32_t{});
    case Stored::I32: return f(int32_t{});
    case Stored::I64: return f(int64_t{});
    case Stored::F32: return f(float{});
    case Stored::F64: return f(double{});
  }
}

template <class From, class To>
void convert(const char* from, int64_t count, To* to) {
  for (int64_t i = 0; i < count; ++i) {
    From v;
    std::memcpy(&v, from + static_cast<size_t>(i) * sizeof(From), sizeof(From));
    to[i] = static_cast<To>(v);
  }
}

}  // namespace

size_t byte_size(Stored s) {
  size_t size = 0;
  with_type(s, [&](auto v) { size = sizeof v; });
  return size;
}

Element element_of(Stored s) {
  switch (s) {
    case Stored::Bool: return Element::Bool;
    case Stored::F32: return Element::F32;
    case Stored::F64: return Element::F64;
    default: return Element::Int;
  }
}

int64_t Column::count() const { return static_cast<int64_t>(bytes.size() / byte_size(stored)); }

void Column::read(int64_t first, int64_t n, Element to, std::byte* out) const {
  GRADC_ASSERT(first >= 0 && n >= 0 && first <= count() - n, "elements {} to {} of {}", first, first + n, count());
  if (n == 0) return;
  const size_t width = byte_size(stored);
  const char* from = bytes.data() + static_cast<size_t>(first) * width;
  const bool same = (to == Element::F32 && stored == Stored::F32) || (to == Element::F64 && stored == Stored::F64) ||
                    (to == Element::Int && stored == Stored::I64) || (to == Element::Bool && stored == Stored::Bool);
  if (same) {
    std::memcpy(out, from, static_cast<size_t>(n) * width);
    return;
  }
  with_type(stored, [&](auto v) {
    using From = decltype(v);
    switch (to) {
      case Element::F32: return convert<From>(from, n, reinterpret_cast<float*>(out));
      case Element::F64: return convert<From>(from, n, reinterpret_cast<double*>(out));
      case Element::Int: return convert<From>(from, n, reinterpret_cast<int64_t*>(out));
      case Element::Bool: return convert<From>(from, n, reinterpret_cast<bool*>(out));
      case Element::None: return;
    }
  });
}

Array to_array(const Column& column) {
  Array a = Array::zeros(element_of(column.stored), column.shape);
  column.read(0, column.count(), a.element, a.bytes.data());
  return a;
}

Column to_column(const Array& array) {
  constexpr Stored stored[] = {Stored::Bool, Stored::I64, Stored::F32, Stored::F64};  // by Element
  return {stored[static_cast<size_t>(array.element)], array.shape, std::string(reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size())};
}

}  // namespace gradc
