#pragma once

#include <cstdint>
#include <vector>

#include "compiler/eval/eval.h"

// The interpreter calculates with two kinds of values only: double (f32 and f64) and int64_t (int and bool). Tensors are
// widened when read, and rounded to their element when written.
namespace gradc {

void read(const Tensor& t, size_t begin, size_t n, double* to);
void read(const Tensor& t, size_t begin, size_t n, int64_t* to);
void write(Tensor& t, size_t begin, size_t n, const double* from);
void write(Tensor& t, size_t begin, size_t n, const int64_t* from);

template <class V>
std::vector<V> read_all(const Tensor& t) {
  std::vector<V> values(static_cast<size_t>(t.type.count()));
  read(t, 0, values.size(), values.data());
  return values;
}

template <class V>
Tensor tensor_of(const Type& type, const std::vector<V>& values) {
  Tensor t = Tensor::zeros(type);
  write(t, 0, values.size(), values.data());
  return t;
}

// Calls f with a value of the type to calculate in: double{} or int64_t{}.
template <class F>
auto with_value_type(Element e, F f) {
  return is_float(e) ? f(double{}) : f(int64_t{});
}

int64_t saturating_int(double value);  // towards zero; NaN gives 0

// Runs a scalar program over equally shaped tensors, element by element.
Tensor run_program(const ScalarProgram& program, const std::vector<const Tensor*>& operands, const Type& result);

}  // namespace gradc
