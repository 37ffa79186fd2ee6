#include "runtime/array.h"

#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "compiler/support/error.h"

namespace gradc {
namespace {

// Calls f with a typed pointer to the elements.
template <class F>
auto visit(Element e, const std::byte* p, F f) {
  switch (e) {
    case Element::Bool: return f(reinterpret_cast<const uint8_t*>(p));
    case Element::Int: return f(reinterpret_cast<const int64_t*>(p));
    case Element::F32: return f(reinterpret_cast<const float*>(p));
    case Element::F64:
    case Element::None: break;

  }
  return f(reinterpret_cast<const double*>(p));
}

}  // namespace

std::optional<int64_t> checked_count(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (int64_t s : shape) {
    if (s < 0 || __builtin_mul_overflow(n, s, &n) || n > (int64_t{1} << 59)) return std::nullopt;
  }
  return n;
}

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Array Array::zeros(Element element, std::vector<int64_t> shape) {
  auto n = checked_count(shape);
  GRADC_ASSERT(n, "shape {} is out of range", shape_text(shape));
  return {element, std::move(shape), std::vector<std::byte>(static_cast<size_t>(*n) * byte_size(element))};
}

int64_t Array::count() const { return static_cast<int64_t>(bytes.size() / byte_size(element)); }

double Array::at(int64_t i) const {
  return visit(element, bytes.data(), [i](auto* p) { return static_cast<double>(p[i]); });
}

Array Array::converted(Element to) const {
  if (to == element) return *this;
  Array out = zeros(to, shape);
  visit(element, bytes.data(), [&](auto* from) {
    visit(to, out.bytes.data(), [&](auto* target) {
      using T = std::remove_const_t<std::remove_pointer_t<decltype(target)>>;
      T* p = const_cast<T*>(target);
      for (int64_t i = 0, n = out.count(); i < n; ++i) p[i] = to == Element::Bool ? T(from[i] != 0) : static_cast<T>(from[i]);
    });
  });
  return out;
}

}  // namespace gradc
