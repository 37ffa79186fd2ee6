#include <cmath>

#include "compiler/eval/eval.h"
#include "compiler/eval/values.h"
#include "compiler/support/error.h"

namespace gradc {

Tensor Tensor::zeros(const Type& type) {
  return {type, std::vector<std::byte>(static_cast<size_t>(type.count()) * byte_size(type.element))};
}

double Tensor::at(int64_t i) const {
  switch (type.element) {
    case Element::Bool: return as<uint8_t>()[i] != 0;
    case Element::Int: return static_cast<double>(as<int64_t>()[i]);
    case Element::F32: return as<float>()[i];
    case Element::F64: return as<double>()[i];
    case Element::None: break;
  }
  GRADC_BUG("a scan has no elements");
}

void Tensor::set(int64_t i, double value) {
  switch (type.element) {
    case Element::Bool: as<uint8_t>()[i] = value != 0; return;
    case Element::Int: as<int64_t>()[i] = saturating_int(value); return;
    case Element::F32: as<float>()[i] = static_cast<float>(value); return;
    case Element::F64: as<double>()[i] = value; return;
    case Element::None: GRADC_BUG("a scan has no elements");
  }
}

int64_t saturating_int(double value) {
  constexpr double limit = 9223372036854775808.0;  // 2^63
  if (std::isnan(value)) return 0;
  if (value >= limit) return INT64_MAX;
  if (value < -limit) return INT64_MIN;
  return static_cast<int64_t>(value);
}

namespace {

template <class From, class To>
void convert(const From* from, To* to, size_t n) {
  for (size_t i = 0; i < n; ++i) to[i] = static_cast<To>(from[i]);
}

}  // namespace

void read(const Tensor& t, size_t begin, size_t n, double* to) {
  GRADC_ASSERT(is_float(t.type.element), "reading {} as floats", to_string(t.type));
  if (t.type.element == Element::F32) return convert(t.as<float>() + begin, to, n);
  convert(t.as<double>() + begin, to, n);
}

void read(const Tensor& t, size_t begin, size_t n, int64_t* to) {
  GRADC_ASSERT(!is_float(t.type.element), "reading {} as integers", to_string(t.type));
  if (t.type.element == Element::Bool) return convert(t.as<uint8_t>() + begin, to, n);
  convert(t.as<int64_t>() + begin, to, n);
}

void write(Tensor& t, size_t begin, size_t n, const double* from) {
  GRADC_ASSERT(is_float(t.type.element), "writing floats as {}", to_string(t.type));
  if (t.type.element == Element::F32) return convert(from, t.as<float>() + begin, n);
  convert(from, t.as<double>() + begin, n);
}

void write(Tensor& t, size_t begin, size_t n, const int64_t* from) {
  GRADC_ASSERT(!is_float(t.type.element), "writing integers as {}", to_string(t.type));
  if (t.type.element == Element::Int) return convert(from, t.as<int64_t>() + begin, n);
  for (size_t i = 0; i < n; ++i) t.as<uint8_t>()[begin + i] = from[i] != 0;
}

}  // namespace gradc
