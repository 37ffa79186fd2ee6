#include <cmath>
#include <cstring>
#include <limits>

#include <catch2/catch.hpp>

#include "compiler/jit/jit.h"
#include "tests/support/contraction_body.h"
#include "tests/support/run_program.h"

// Every function against long double over samples spread over all bit patterns and over the interesting ranges, at every width.

using namespace gradc;

namespace {

struct Function {
  ScalarOp op;
  long double (*exact)(long double, long double);
  double ulp_f32, ulp_f64;
};

template <long double (*f)(long double)>
long double unary(long double x, long double) { return f(x); }

const Function functions[] = {
    {ScalarOp::Exp, unary<std::exp>, 2.5, 2.5},
    {ScalarOp::Expm1, unary<std::expm1>, 2.5, 2.5},
    {ScalarOp::Log, unary<std::log>, 2.5, 2.5},
    {ScalarOp::Log1p, unary<std::log1p>, 2.5, 2.5},
    {ScalarOp::Sin, unary<std::sin>, 2.5, 2.5},
    {ScalarOp::Cos, unary<std::cos>, 2.5, 2.5},
    {ScalarOp::Tanh, unary<std::tanh>, 2.5, 2.5},
    {ScalarOp::Erf, unary<std::erf>, 2.5, 2.5},
    {ScalarOp::Rsqrt, [](long double x, long double) { return 1 / std::sqrt(x); }, 1.5, 1.5},
    {ScalarOp::Pow, [](long double x, long double y) { return std::pow(x, y); }, 4, 2.5},
};

uint64_t next(uint64_t& state) {
  state += 0x9E3779B97F4A7C15u;
  uint64_t z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

template <class T>
std::vector<T> specials() {
  using L = std::numeric_limits<T>;
  std::vector<T> v{0, L::denorm_min(), 3 * L::denorm_min(), L::min() / 2, L::min(), L::epsilon() / 4, L::epsilon(), T(0.25), T(0.5), T(0.75), 1, 1 + L::epsilon(),
                   1 - L::epsilon() / 2, 2, 3, 4, T(9.01), 10, 17, 20, T(88.72), T(88.73), T(103.9), 104, T(709.78), T(709.79), T(745.1), 746, 1000,
                   T(0x1p27), T(0x1.000002p27), T(1e22), L::max(), L::infinity()};
  for (size_t i = v.size(); i-- > 0;) v.push_back(-v[i]);
  v.push_back(L::quiet_NaN());
  return v;
}

template <class T>
std::vector<T> samples(size_t count, uint64_t seed) {
  std::vector<T> v = specials<T>();
  for (size_t i = 0; v.size() < count; ++i) {
    uint64_t r = next(seed);
    double unit = static_cast<double>(r >> 11) * 0x1p-53 * 2 - 1;
    switch (i % 6) {
      case 0: {  // any bit pattern
        T x;
        std::memcpy(&x, &r, sizeof x);
        v.push_back(x);
        break;
      }
      case 1: v.push_back(static_cast<T>(unit)); break;
      case 2: v.push_back(static_cast<T>(unit * 10)); break;
      case 3: v.push_back(static_cast<T>(unit * (sizeof(T) == 4 ? 105 : 750))); break;
      case 4: v.push_back(static_cast<T>(1 + unit * 0.01)); break;
      default: v.push_back(static_cast<T>(std::ldexp(unit, -static_cast<int>(next(seed) % 40)))); break;
    }
  }
  return v;
}

// Distance to the exact value in units of the last place of the result's format.
template <class T>
double ulps(T got, long double exact) {
  using L = std::numeric_limits<T>;
  if (std::isnan(exact)) return std::isnan(got) ? 0 : 1e30;
  T rounded = static_cast<T>(exact);
  if (std::isinf(rounded) || std::isinf(got)) return rounded == got || std::abs(static_cast<long double>(std::isinf(got) ? rounded : got)) >= L::max() * (1 - 4 * L::epsilon()) ? 0 : 1e30;
  int exponent = 0;
  std::frexp(rounded, &exponent);
  long double unit = std::ldexp(1.0L, std::max(exponent, L::min_exponent) - L::digits);
  return static_cast<double>(std::abs(static_cast<long double>(got) - exact) / unit);
}

KernelProgram program(ScalarOp op, Element element, int64_t count, const Target& target) {
  Nest n;
  n.dims = {{count, "n"}};
  n.outer = {{0, 1}};
  n.vector_dim = 0;
  bool two = arity(op) == 2;
  n.sections.resize(1);
  n.sections[0].stmts = {test::load_stmt(0, 0, {1}, element), test::load_stmt(1, 1, {1}, element),
                         test::compute_stmt(2, op, element, {0, two ? 1 : -1, -1}), test::store_stmt(2, 2, {1}, element)};
  KernelBody body{name(op), {{element, false}, {element, false}, {element, true}}, std::move(n)};
  Type type{element, {{count, {}}}};
  return test::program_of(std::move(body), target, {type, type, type});
}

template <class T>
Tensor tensor(const std::vector<T>& v, Element element) {
  Tensor t = Tensor::zeros({element, {{static_cast<int64_t>(v.size()), {}}}});
  std::memcpy(t.bytes.data(), v.data(), v.size() * sizeof(T));
  return t;
}

template <class T>
void check(const Function& f, Element element, size_t count) {
  std::vector<T> x = samples<T>(count, 1), y = samples<T>(count, 2);
  if (f.op == ScalarOp::Pow) {  // every special with every special, then moderate powers
    std::vector<T> s = specials<T>();
    for (size_t i = 0; i < s.size(); ++i) {
      for (size_t j = 0; j < s.size(); ++j) x[i * s.size() + j] = s[i], y[i * s.size() + j] = s[j];
    }
    for (size_t i = s.size() * s.size(); i < count; ++i) x[i] = i % 3 ? std::abs(x[i]) : x[i], y[i] = i % 5 ? y[i] : std::round(y[i]);
  }
  std::map<Symbol, Tensor> inputs{{"s0", tensor(x, element)}, {"s1", tensor(y, element)}};
  std::string error;
  std::optional<Tensor> reference;
  for (int bytes : {static_cast<int>(sizeof(T)), 16, 32, 64}) {
    std::optional<Target> target = make_target("native", error);
    REQUIRE(target);
    target->vector_bytes = bytes;
    KernelProgram p = program(f.op, element, static_cast<int64_t>(count), *target);
    Tensor got = test::run_program(p, *compile(p, {}), inputs).outputs.at("s2");
    INFO(name(f.op) << " with vectors of " << bytes << " bytes");
    if (reference) {
      CHECK(got.bytes == reference->bytes);  // the bits do not depend on the width, nor on whether a lane is in the rest
      continue;
    }
    reference = got;
    double worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < count; ++i) {
      T r = got.as<T>()[i];
      long double exact = f.exact(x[i], y[i]);
      double error_ulps = ulps(r, exact);
      if (exact == 0 && std::signbit(exact) != std::signbit(r)) error_ulps = 1e30;
      if (error_ulps > worst) worst = error_ulps, at = i;
    }
    double limit = sizeof(T) == 4 ? f.ulp_f32 : f.ulp_f64;
    if (std::getenv("GRADC_SHOW_ULPS")) WARN(name(f.op) << " " << name(element) << ": " << worst << " ULP at " << x[at] << ", " << y[at]);
    INFO(worst << " ULP at " << x[at] << ", " << y[at] << ": " << got.as<T>()[at]);
    CHECK(worst <= limit);
  }
}

}  // namespace

TEST_CASE("vector functions in f32 are within their ULPs at every width") {
  for (const Function& f : functions) check<float>(f, Element::F32, 1'000'003);
}

TEST_CASE("vector functions in f64 are within their ULPs at every width") {
  for (const Function& f : functions) check<double>(f, Element::F64, 60'001);
}
