#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "compiler/graph/op.h"

// One scalar of a kernel and the meaning of the scalar operations, for the kernel interpreter.
namespace gradc::test {

struct Scalar {
  Element element = Element::F32;
  double d = 0;   // of floats, already rounded to the element
  int64_t i = 0;  // of Int and Bool

  static Scalar of(Element e, int64_t v);
  Scalar as(Element e) const;  // asserts that it has that element
};

Scalar constant(Element e, double value);
Scalar apply(ScalarOp op, Element result, const std::vector<Scalar>& args);
ScalarOp operation(Combiner c);
Scalar identity(Combiner c, Element e);
bool same(Scalar a, Scalar b);
bool is_nan(Scalar a);
Scalar read_scalar(const std::byte* p, Element e);
void write_scalar(std::byte* p, Element e, Scalar x);

}  // namespace gradc::test
