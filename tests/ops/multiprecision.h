#pragma once

#include <mpfr.h>

#include <vector>

#include "compiler/graph/scalar.h"

namespace gradc::test {

// A real number of several hundred bits: what scalar programs mean before any rounding.
class Mp {
 public:
  static constexpr mpfr_prec_t precision = 600;
  Mp(double v = 0, mpfr_prec_t bits = precision) {
    mpfr_init2(value_, bits);
    mpfr_set_d(value_, v, MPFR_RNDN);
  }
  Mp(const Mp& o) {
    mpfr_init2(value_, mpfr_get_prec(o.value_));
    mpfr_set(value_, o.value_, MPFR_RNDN);
  }
  Mp& operator=(const Mp& o) {
    mpfr_set_prec(value_, mpfr_get_prec(o.value_));
    mpfr_set(value_, o.value_, MPFR_RNDN);
    return *this;
  }
  ~Mp() { mpfr_clear(value_); }

  mpfr_ptr get() { return value_; }
  mpfr_srcptr get() const { return value_; }
  double to_double() const { return mpfr_get_d(value_, MPFR_RNDN); }
  bool is_nan() const { return mpfr_nan_p(value_) != 0; }
  bool negative() const { return mpfr_signbit(value_) != 0; }

  friend Mp operator+(const Mp& a, const Mp& b) { return combine(mpfr_add, a, b); }
  friend Mp operator-(const Mp& a, const Mp& b) { return combine(mpfr_sub, a, b); }
  friend Mp operator*(const Mp& a, const Mp& b) { return combine(mpfr_mul, a, b); }
  friend Mp operator/(const Mp& a, const Mp& b) { return combine(mpfr_div, a, b); }

 private:
  static Mp combine(int (*f)(mpfr_ptr, mpfr_srcptr, mpfr_srcptr, mpfr_rnd_t), const Mp& a, const Mp& b) {
    Mp r(0, mpfr_get_prec(a.value_));
    f(r.value_, a.value_, b.value_, MPFR_RNDN);
    return r;
  }
  mpfr_t value_;
};

// The program's value at exact arguments, every opcode by its definition in scalar.h. Bool and Int are whole numbers.
Mp evaluate(const ScalarProgram& program, const std::vector<Mp>& arguments);

// The element nearest to a real number (overflow gives infinity), and the distance of `got` from the real number in
// units in the last place of that element: 0 where both are NaN or the same infinity, infinite where only one is.
double nearest(const Mp& exact, Element element);
double ulp_distance(double got, const Mp& exact, Element element);

}  // namespace gradc::test
