#include <algorithm>
#include <cmath>

#include "compiler/eval/values.h"
#include "compiler/support/error.h"

// Scalar programs, instruction by instruction over a chunk of elements. An f32 instruction is calculated in double and
// rounded once: for + - * / sqrt that is exactly the f32 result (53 >= 2 * 24 + 2), for the transcendental functions
// it is the correctly rounded one but for rare ties. Only fma needs the narrow type, or it would round twice.
namespace gradc {
namespace {

constexpr size_t chunk = 256;

union Cell {
  double f;
  int64_t i;
};

uint64_t bits(int64_t v) { return static_cast<uint64_t>(v); }
int64_t wrap(uint64_t v) { return static_cast<int64_t>(v); }

double float_min(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return a + b;
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}

double float_max(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return a + b;
  if (a == b) return std::signbit(a) ? b : a;
  return a > b ? a : b;
}

int64_t int_pow(int64_t base, int64_t exponent) {
  if (exponent < 0) return 0;
  uint64_t result = 1, square = bits(base);
  for (auto e = bits(exponent); e; e >>= 1, square *= square) {
    if (e & 1) result *= square;
  }
  return wrap(result);
}

int64_t int_div(int64_t a, int64_t b) {
  if (b == 0) return 0;
  return b == -1 ? wrap(0 - bits(a)) : a / b;  // INT64_MIN / -1 wraps
}

int64_t int_rem(int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }

using FloatUnary = double (*)(double);
FloatUnary float_unary(ScalarOp op) {
  switch (op) {
    case ScalarOp::Neg: return [](double a) { return -a; };
    case ScalarOp::Abs: return [](double a) { return std::fabs(a); };
    case ScalarOp::Sqrt: return [](double a) { return std::sqrt(a); };
    case ScalarOp::Rsqrt: return [](double a) { return static_cast<double>(1.0L / std::sqrt(static_cast<long double>(a))); };
    case ScalarOp::Exp: return [](double a) { return std::exp(a); };
    case ScalarOp::Expm1: return [](double a) { return std::expm1(a); };
    case ScalarOp::Log: return [](double a) { return std::log(a); };
    case ScalarOp::Log1p: return [](double a) { return std::log1p(a); };
    case ScalarOp::Sin: return [](double a) { return std::sin(a); };
    case ScalarOp::Cos: return [](double a) { return std::cos(a); };
    case ScalarOp::Tanh: return [](double a) { return std::tanh(a); };
    case ScalarOp::Erf: return [](double a) { return std::erf(a); };
    case ScalarOp::Floor: return [](double a) { return std::floor(a); };
    case ScalarOp::Ceil: return [](double a) { return std::ceil(a); };
    case ScalarOp::Round: return [](double a) { return std::nearbyint(a); };  // ties to even
    default: return nullptr;
  }
}

using FloatBinary = double (*)(double, double);
FloatBinary float_binary(ScalarOp op) {
  switch (op) {
    case ScalarOp::Add: return [](double a, double b) { return a + b; };
    case ScalarOp::Sub: return [](double a, double b) { return a - b; };
    case ScalarOp::Mul: return [](double a, double b) { return a * b; };
    case ScalarOp::Div: return [](double a, double b) { return a / b; };
    case ScalarOp::Rem: return [](double a, double b) { return std::fmod(a, b); };
    case ScalarOp::Min: return float_min;
    case ScalarOp::Max: return float_max;
    case ScalarOp::Pow: return [](double a, double b) { return std::pow(a, b); };
    default: return nullptr;
  }
}

using FloatCompare = bool (*)(double, double);
FloatCompare float_compare(ScalarOp op) {
  switch (op) {
    case ScalarOp::Lt: return [](double a, double b) { return a < b; };
    case ScalarOp::Le: return [](double a, double b) { return a <= b; };
    case ScalarOp::Eq: return [](double a, double b) { return a == b; };
    case ScalarOp::Ne: return [](double a, double b) { return a != b; };
    default: return nullptr;
  }
}

using IntUnary = int64_t (*)(int64_t);
IntUnary int_unary(ScalarOp op) {
  switch (op) {
    case ScalarOp::Neg: return [](int64_t a) { return wrap(0 - bits(a)); };
    case ScalarOp::Abs: return [](int64_t a) { return a < 0 ? wrap(0 - bits(a)) : a; };
    case ScalarOp::Not: return [](int64_t a) { return int64_t(a == 0); };
    case ScalarOp::Floor:
    case ScalarOp::Ceil:
    case ScalarOp::Round: return [](int64_t a) { return a; };
    default: return nullptr;
  }
}

using IntBinary = int64_t (*)(int64_t, int64_t);
IntBinary int_binary(ScalarOp op) {
  switch (op) {
    case ScalarOp::Add: return [](int64_t a, int64_t b) { return wrap(bits(a) + bits(b)); };
    case ScalarOp::Sub: return [](int64_t a, int64_t b) { return wrap(bits(a) - bits(b)); };
    case ScalarOp::Mul: return [](int64_t a, int64_t b) { return wrap(bits(a) * bits(b)); };
    case ScalarOp::Div: return int_div;
    case ScalarOp::Rem: return int_rem;
    case ScalarOp::Pow: return int_pow;
    case ScalarOp::Min: return [](int64_t a, int64_t b) { return std::min(a, b); };
    case ScalarOp::Max: return [](int64_t a, int64_t b) { return std::max(a, b); };
    case ScalarOp::Lt: return [](int64_t a, int64_t b) { return int64_t(a < b); };
    case ScalarOp::Le: return [](int64_t a, int64_t b) { return int64_t(a <= b); };
    case ScalarOp::Eq: return [](int64_t a, int64_t b) { return int64_t(a == b); };
    case ScalarOp::Ne: return [](int64_t a, int64_t b) { return int64_t(a != b); };
    case ScalarOp::And: return [](int64_t a, int64_t b) { return int64_t(a && b); };
    case ScalarOp::Or: return [](int64_t a, int64_t b) { return int64_t(a || b); };
    default: return nullptr;
  }
}

int64_t cast_to_int(double value, Element to) { return to == Element::Bool ? value != 0 : saturating_int(value); }

double cast_to_float(int64_t value, Element to) {
  return to == Element::F32 ? static_cast<float>(value) : static_cast<double>(value);  // f32 straight, to round once
}

void cast(Element from, Element to, Cell* out, const Cell* a, size_t n) {
  for (size_t k = 0; k < n; ++k) {
    if (is_float(from)) {
      if (is_float(to)) out[k].f = a[k].f;
      else out[k].i = cast_to_int(a[k].f, to);
    } else {
      if (is_float(to)) out[k].f = cast_to_float(a[k].i, to);
      else out[k].i = to == Element::Bool ? a[k].i != 0 : a[k].i;
    }
  }
}

void constant(double value, Element type, Cell* out, size_t n) {
  Cell c;
  if (is_float(type)) c.f = value;
  else c.i = cast_to_int(value, type);
  std::fill_n(out, n, c);
}

void fused(Element type, Cell* out, const Cell* a, const Cell* b, const Cell* c, size_t n) {
  for (size_t k = 0; k < n; ++k) {
    if (type == Element::F32)
      out[k].f = std::fma(static_cast<float>(a[k].f), static_cast<float>(b[k].f), static_cast<float>(c[k].f));
    else if (type == Element::F64)
      out[k].f = std::fma(a[k].f, b[k].f, c[k].f);
    else
      out[k].i = wrap(bits(a[k].i) * bits(b[k].i) + bits(c[k].i));
  }
}

// Operations over one kind of operand; `operand` is the element of the operands, `inst.type` of the result.
void arithmetic(const ScalarInst& inst, Element operand, Cell* out, const Cell* a, const Cell* b, size_t n) {
  if (is_float(operand)) {
    if (FloatUnary f = float_unary(inst.op)) {
      for (size_t k = 0; k < n; ++k) out[k].f = f(a[k].f);
    } else if (FloatBinary g = float_binary(inst.op)) {
      for (size_t k = 0; k < n; ++k) out[k].f = g(a[k].f, b[k].f);
    } else if (FloatCompare h = float_compare(inst.op)) {
      for (size_t k = 0; k < n; ++k) out[k].i = h(a[k].f, b[k].f);
    } else {
      GRADC_BUG("scalar operation {} on {}", name(inst.op), name(operand));
    }
  } else if (IntUnary f = int_unary(inst.op)) {
    for (size_t k = 0; k < n; ++k) out[k].i = f(a[k].i);
  } else if (IntBinary g = int_binary(inst.op)) {
    for (size_t k = 0; k < n; ++k) out[k].i = g(a[k].i, b[k].i);
  } else {
    GRADC_BUG("scalar operation {} on {}", name(inst.op), name(operand));
  }
}

class Machine {
 public:
  Machine(const ScalarProgram& program, size_t width)
      : program_(program), width_(width), cells_((program.arguments.size() + program.insts.size()) * width) {}

  Cell* cells(int32_t value) { return value < 0 ? nullptr : cells_.data() + static_cast<size_t>(value) * width_; }

  void run(size_t n) {
    auto value = static_cast<int32_t>(program_.arguments.size());
    for (const ScalarInst& inst : program_.insts) step(inst, cells(value++), n);
  }

 private:
  void step(const ScalarInst& inst, Cell* out, size_t n) {
    const Cell *a = cells(inst.args[0]), *b = cells(inst.args[1]), *c = cells(inst.args[2]);
    switch (inst.op) {
      case ScalarOp::Const: constant(inst.constant, inst.type, out, n); break;
      case ScalarOp::Cast: cast(program_.type_of(inst.args[0]), inst.type, out, a, n); break;
      case ScalarOp::Fma: fused(inst.type, out, a, b, c, n); break;
      case ScalarOp::Select:
        for (size_t k = 0; k < n; ++k) out[k] = a[k].i ? b[k] : c[k];
        break;
      default: arithmetic(inst, program_.type_of(inst.args[0]), out, a, b, n);
    }
    if (inst.type == Element::F32) {
      for (size_t k = 0; k < n; ++k) out[k].f = static_cast<float>(out[k].f);
    }
  }

  const ScalarProgram& program_;
  size_t width_;
  std::vector<Cell> cells_;
};

}  // namespace

Tensor run_program(const ScalarProgram& program, const std::vector<const Tensor*>& operands, const Type& result) {
  Tensor out = Tensor::zeros(result);
  const auto count = static_cast<size_t>(result.count());
  Machine machine(program, std::min(chunk, count));
  for (size_t begin = 0; begin < count; begin += chunk) {
    size_t n = std::min(chunk, count - begin);
    for (size_t i = 0; i < operands.size(); ++i) {
      Cell* to = machine.cells(static_cast<int32_t>(i));
      with_value_type(operands[i]->type.element, [&](auto v) {
        read(*operands[i], begin, n, reinterpret_cast<decltype(v)*>(to));
      });
    }
    machine.run(n);
    with_value_type(result.element, [&](auto v) {
      write(out, begin, n, reinterpret_cast<const decltype(v)*>(machine.cells(program.result)));
    });
  }
  return out;
}

}  // namespace gradc
