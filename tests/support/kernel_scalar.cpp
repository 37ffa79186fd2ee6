#include "tests/support/kernel_scalar.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "compiler/support/error.h"

namespace gradc::test {
namespace {

double rounded(Element e, double v) { return e == Element::F32 ? static_cast<double>(static_cast<float>(v)) : v; }
Scalar real(Element e, double v) { return {e, rounded(e, v), 0}; }
Scalar boolean(bool v) { return {Element::Bool, 0, v}; }

int64_t wrap(uint64_t v) { return static_cast<int64_t>(v); }

double minimum(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
  return a == b ? (std::signbit(a) ? a : b) : a < b ? a : b;
}
double maximum(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
  return a == b ? (std::signbit(a) ? b : a) : a > b ? a : b;
}

int64_t power(int64_t base, int64_t exponent) {
  if (exponent < 0) return 0;
  uint64_t result = 1, b = static_cast<uint64_t>(base);
  for (auto e = static_cast<uint64_t>(exponent); e; e >>= 1, b *= b) {
    if (e & 1) result *= b;
  }
  return wrap(result);
}

Scalar integer(ScalarOp op, const std::vector<Scalar>& a) {
  int64_t x = a[0].i, y = a.size() > 1 ? a[1].i : 0;
  auto ux = static_cast<uint64_t>(x), uy = static_cast<uint64_t>(y);
  int64_t v = 0;
  switch (op) {
    case ScalarOp::Add: v = wrap(ux + uy); break;
    case ScalarOp::Sub: v = wrap(ux - uy); break;
    case ScalarOp::Mul: v = wrap(ux * uy); break;
    case ScalarOp::Div: v = y == 0 ? 0 : y == -1 ? wrap(0 - ux) : x / y; break;
    case ScalarOp::Rem: v = y == 0 || y == -1 ? 0 : x % y; break;
    case ScalarOp::Neg: v = wrap(0 - ux); break;
    case ScalarOp::Abs: v = x < 0 ? wrap(0 - ux) : x; break;
    case ScalarOp::Min: v = x < y ? x : y; break;
    case ScalarOp::Max: v = x > y ? x : y; break;
    case ScalarOp::Fma: v = wrap(ux * uy + static_cast<uint64_t>(a[2].i)); break;
    case ScalarOp::Pow: v = power(x, y); break;
    case ScalarOp::Floor:
    case ScalarOp::Ceil:
    case ScalarOp::Round: v = x; break;
    default: GRADC_BUG("{} of int", name(op));
  }
  return {Element::Int, 0, v};
}

Scalar floating(ScalarOp op, Element e, const std::vector<Scalar>& a) {
  double x = a[0].d, y = a.size() > 1 ? a[1].d : 0;
  switch (op) {
    case ScalarOp::Add: return real(e, x + y);
    case ScalarOp::Sub: return real(e, x - y);
    case ScalarOp::Mul: return real(e, x * y);
    case ScalarOp::Div: return real(e, x / y);
    case ScalarOp::Rem: return real(e, std::fmod(x, y));
    case ScalarOp::Neg: return real(e, -x);
    case ScalarOp::Abs: return real(e, std::fabs(x));
    case ScalarOp::Min: return real(e, minimum(x, y));
    case ScalarOp::Max: return real(e, maximum(x, y));
    case ScalarOp::Fma:
      if (e == Element::F64) return real(e, std::fma(x, y, a[2].d));
      return real(e, static_cast<double>(std::fma(static_cast<float>(x), static_cast<float>(y), static_cast<float>(a[2].d))));
    case ScalarOp::Sqrt: return real(e, std::sqrt(x));
    case ScalarOp::Rsqrt: return real(e, 1 / std::sqrt(x));
    case ScalarOp::Exp: return real(e, std::exp(x));
    case ScalarOp::Expm1: return real(e, std::expm1(x));
    case ScalarOp::Log: return real(e, std::log(x));
    case ScalarOp::Log1p: return real(e, std::log1p(x));
    case ScalarOp::Sin: return real(e, std::sin(x));
    case ScalarOp::Cos: return real(e, std::cos(x));
    case ScalarOp::Tanh: return real(e, std::tanh(x));
    case ScalarOp::Erf: return real(e, std::erf(x));
    case ScalarOp::Pow: return real(e, std::pow(x, y));
    case ScalarOp::Floor: return real(e, std::floor(x));
    case ScalarOp::Ceil: return real(e, std::ceil(x));
    case ScalarOp::Round: return real(e, std::nearbyint(x));
    default: GRADC_BUG("{} of float", name(op));
  }
}

Scalar cast(Element to, Scalar x) {
  if (is_float(to)) return real(to, is_float(x.element) ? x.d : to == Element::F32 ? static_cast<double>(static_cast<float>(x.i)) : static_cast<double>(x.i));
  if (to == Element::Bool) return boolean(is_float(x.element) ? x.d != 0 : x.i != 0);
  if (!is_float(x.element)) return {Element::Int, 0, x.i};
  if (std::isnan(x.d)) return {Element::Int, 0, 0};
  if (x.d >= 0x1p63) return {Element::Int, 0, std::numeric_limits<int64_t>::max()};
  if (x.d < -0x1p63) return {Element::Int, 0, std::numeric_limits<int64_t>::min()};
  return {Element::Int, 0, static_cast<int64_t>(x.d)};
}

}  // namespace

Scalar Scalar::of(Element e, int64_t v) { return {e, static_cast<double>(v), v}; }

Scalar Scalar::as(Element e) const {
  GRADC_ASSERT(element == e, "a value of {} where {} is wanted", name(element), name(e));
  return *this;
}

Scalar constant(Element e, double value) {
  return is_float(e) ? real(e, value) : Scalar{e, 0, static_cast<int64_t>(value)};
}

Scalar apply(ScalarOp op, Element result, const std::vector<Scalar>& a) {
  const Scalar& x = a[0];
  bool f = is_float(x.element);
  switch (op) {
    case ScalarOp::Lt: return boolean(f ? x.d < a[1].d : x.i < a[1].i);
    case ScalarOp::Le: return boolean(f ? x.d <= a[1].d : x.i <= a[1].i);
    case ScalarOp::Eq: return boolean(f ? x.d == a[1].d : x.i == a[1].i);
    case ScalarOp::Ne: return boolean(f ? x.d != a[1].d : x.i != a[1].i);
    case ScalarOp::And: return boolean(x.i && a[1].i);
    case ScalarOp::Or: return boolean(x.i || a[1].i);
    case ScalarOp::Not: return boolean(!x.i);
    case ScalarOp::Select: return (x.i ? a[1] : a[2]).as(result);
    case ScalarOp::Cast: return cast(result, x);
    default: break;
  }
  for (const Scalar& s : a) (void)s.as(result);
  return f ? floating(op, result, a) : integer(op, a);
}

ScalarOp operation(Combiner c) {
  switch (c) {
    case Combiner::Sum: return ScalarOp::Add;
    case Combiner::Prod: return ScalarOp::Mul;
    case Combiner::Max: return ScalarOp::Max;
    default: return ScalarOp::Min;
  }
}

Scalar identity(Combiner c, Element e) {
  using Limits = std::numeric_limits<int64_t>;
  switch (c) {
    case Combiner::Sum: return is_float(e) ? real(e, -0.0) : constant(e, 0);
    case Combiner::Prod: return constant(e, 1);
    case Combiner::Max: return is_float(e) ? real(e, -INFINITY) : Scalar{e, 0, Limits::min()};
    default: return is_float(e) ? real(e, INFINITY) : Scalar{e, 0, Limits::max()};
  }
}

bool same(Scalar a, Scalar b) { return is_float(a.element) ? a.d == b.d || (is_nan(a) && is_nan(b)) : a.i == b.i; }
bool is_nan(Scalar a) { return is_float(a.element) && std::isnan(a.d); }

Scalar read_scalar(const std::byte* p, Element e) {
  auto get = [&](auto v) {
    std::memcpy(&v, p, sizeof v);
    return v;
  };
  switch (e) {
    case Element::Bool: return {e, 0, get(uint8_t{})};
    case Element::Int: return {e, 0, get(int64_t{})};
    case Element::F32: return {e, static_cast<double>(get(float{})), 0};
    default: return {e, get(double{}), 0};
  }
}

void write_scalar(std::byte* p, Element e, Scalar x) {
  auto put = [&](auto v) { std::memcpy(p, &v, sizeof v); };
  switch (e) {
    case Element::Bool: return put(static_cast<uint8_t>(x.i));
    case Element::Int: return put(x.i);
    case Element::F32: return put(static_cast<float>(x.d));
    default: return put(x.d);
  }
}

}  // namespace gradc::test
