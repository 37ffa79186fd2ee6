#include "tests/ops/multiprecision.h"

#include <cmath>
#include <limits>

namespace gradc::test {
namespace {

using Unary = int (*)(mpfr_ptr, mpfr_srcptr, mpfr_rnd_t);
using Binary = int (*)(mpfr_ptr, mpfr_srcptr, mpfr_srcptr, mpfr_rnd_t);

Unary unary(ScalarOp op) {
  switch (op) {
    case ScalarOp::Neg: return mpfr_neg;
    case ScalarOp::Abs: return mpfr_abs;
    case ScalarOp::Sqrt: return mpfr_sqrt;
    case ScalarOp::Exp: return mpfr_exp;
    case ScalarOp::Expm1: return mpfr_expm1;
    case ScalarOp::Log: return mpfr_log;
    case ScalarOp::Log1p: return mpfr_log1p;
    case ScalarOp::Sin: return mpfr_sin;
    case ScalarOp::Cos: return mpfr_cos;
    case ScalarOp::Tanh: return mpfr_tanh;
    case ScalarOp::Erf: return mpfr_erf;
    case ScalarOp::Floor: return mpfr_rint_floor;
    case ScalarOp::Ceil: return mpfr_rint_ceil;
    case ScalarOp::Round: return [](mpfr_ptr r, mpfr_srcptr a, mpfr_rnd_t) { return mpfr_rint(r, a, MPFR_RNDN); };
    default: return nullptr;
  }
}

Binary binary(ScalarOp op) {
  switch (op) {
    case ScalarOp::Add: return mpfr_add;
    case ScalarOp::Sub: return mpfr_sub;
    case ScalarOp::Mul: return mpfr_mul;
    case ScalarOp::Div: return mpfr_div;
    case ScalarOp::Rem: return mpfr_fmod;
    case ScalarOp::Pow: return mpfr_pow;
    default: return nullptr;
  }
}

// mpfr_min and mpfr_max prefer numbers to NaN; ours don't.
Mp extreme(const Mp& a, const Mp& b, bool largest) {
  if (a.is_nan() || b.is_nan()) return std::numeric_limits<double>::quiet_NaN();
  if (mpfr_zero_p(a.get()) && mpfr_zero_p(b.get())) return a.negative() == largest ? b : a;
  return (mpfr_cmp(a.get(), b.get()) > 0) == largest ? a : b;
}

bool compare(ScalarOp op, const Mp& a, const Mp& b) {
  switch (op) {
    case ScalarOp::Lt: return mpfr_less_p(a.get(), b.get());
    case ScalarOp::Le: return mpfr_lessequal_p(a.get(), b.get());
    case ScalarOp::Eq: return mpfr_equal_p(a.get(), b.get());
    default: return !mpfr_equal_p(a.get(), b.get());
  }
}

Mp cast(const Mp& a, Element to) {
  if (to == Element::Bool) return a.is_nan() || !mpfr_zero_p(a.get()) ? 1 : 0;
  if (to != Element::Int) return a;
  if (a.is_nan()) return 0;
  Mp r = a;
  mpfr_trunc(r.get(), r.get());
  if (mpfr_cmp_d(r.get(), 0x1p63) >= 0) mpfr_set_si(r.get(), std::numeric_limits<int64_t>::max(), MPFR_RNDN);
  if (mpfr_cmp_d(r.get(), -0x1p63) < 0) mpfr_set_si(r.get(), std::numeric_limits<int64_t>::min(), MPFR_RNDN);
  return r;
}

Mp step(const ScalarInst& inst, const std::vector<Mp>& values) {
  auto arg = [&](size_t i) -> const Mp& { return values[static_cast<size_t>(inst.args[i])]; };
  auto truth = [&](size_t i) { return !mpfr_zero_p(arg(i).get()); };
  Mp r;
  if (Unary f = unary(inst.op)) return f(r.get(), arg(0).get(), MPFR_RNDN), r;
  if (Binary f = binary(inst.op)) return f(r.get(), arg(0).get(), arg(1).get(), MPFR_RNDN), r;
  switch (inst.op) {
    case ScalarOp::Const:
      return inst.type == Element::F32 ? static_cast<double>(static_cast<float>(inst.constant)) : inst.constant;
    case ScalarOp::Min: return extreme(arg(0), arg(1), false);
    case ScalarOp::Max: return extreme(arg(0), arg(1), true);
    case ScalarOp::Fma: return mpfr_fma(r.get(), arg(0).get(), arg(1).get(), arg(2).get(), MPFR_RNDN), r;
    // As IEEE 754's rSqrt, which keeps the sign of zeros where mpfr_rec_sqrt does not.
    case ScalarOp::Rsqrt: return mpfr_sqrt(r.get(), arg(0).get(), MPFR_RNDN), Mp(1) / r;
    case ScalarOp::And: return truth(0) && truth(1) ? 1 : 0;
    case ScalarOp::Or: return truth(0) || truth(1) ? 1 : 0;
    case ScalarOp::Not: return truth(0) ? 0 : 1;
    case ScalarOp::Select: return truth(0) ? arg(1) : arg(2);
    case ScalarOp::Cast: return cast(arg(0), inst.type);
    default: return compare(inst.op, arg(0), arg(1)) ? 1 : 0;
  }
}

}  // namespace

Mp evaluate(const ScalarProgram& program, const std::vector<Mp>& arguments) {
  std::vector<Mp> values = arguments;
  for (const ScalarInst& inst : program.insts) values.push_back(step(inst, values));
  return values[static_cast<size_t>(program.result)];
}

double nearest(const Mp& exact, Element element) {
  return element == Element::F32 ? static_cast<double>(mpfr_get_flt(exact.get(), MPFR_RNDN)) : exact.to_double();
}

double ulp_distance(double got, const Mp& exact, Element element) {
  double rounded = nearest(exact, element);
  if (std::isnan(got) && std::isnan(rounded)) return 0;
  if (got == rounded && std::isinf(got)) return 0;
  if (!std::isfinite(got) || !std::isfinite(rounded)) return INFINITY;
  if (!is_float(element)) return got == rounded ? 0 : INFINITY;
  bool single = element == Element::F32;
  int digits = single ? 24 : 53, lowest = single ? -149 : -1074;
  int exponent =
      mpfr_zero_p(exact.get()) ? lowest : std::max<int>(lowest, static_cast<int>(mpfr_get_exp(exact.get())) - digits);
  return std::fabs(((Mp(got) - exact) / Mp(std::ldexp(1.0, exponent))).to_double());
}

}  // namespace gradc::test
