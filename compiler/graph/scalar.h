#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "compiler/graph/type.h"

namespace gradc {

// The opcodes of scalar programs. The interpreter and the code generator implement each independently;
// multi-precision arithmetic judges both. X(Name, spelling, arity)
//   Min, Max   NaN if either operand is NaN; of -0 and 0, Min gives -0 and Max 0.
//   Fma        a * b + c rounded once.
//   Div        on Int truncates towards zero; division by zero gives 0 (never a trap).
//   Rem        sign of the dividend; by zero gives 0.
//   Pow        IEEE 754 pow; on Int repeated multiplication modulo 2^64, negative exponents give 0.
//   comparisons take two equal types, give Bool, and are false on NaN (Ne is true).
//   Select     Bool, a, b.
//   Cast       to the instruction's type. Float to Int truncates, saturates, and sends NaN to 0; to Bool is != 0.
#define GRADC_SCALAR_OPS(X)                                                                                         \
  X(Const, "const", 0) X(Add, "add", 2) X(Sub, "sub", 2) X(Mul, "mul", 2) X(Div, "div", 2) X(Rem, "rem", 2)         \
  X(Neg, "neg", 1) X(Abs, "abs", 1) X(Min, "min", 2) X(Max, "max", 2) X(Fma, "fma", 3) X(Sqrt, "sqrt", 1)           \
  X(Rsqrt, "rsqrt", 1) X(Exp, "exp", 1) X(Expm1, "expm1", 1) X(Log, "log", 1) X(Log1p, "log1p", 1) X(Sin, "sin", 1) \
  X(Cos, "cos", 1) X(Tanh, "tanh", 1) X(Erf, "erf", 1) X(Pow, "pow", 2) X(Floor, "floor", 1) X(Ceil, "ceil", 1)     \
  X(Round, "round", 1) X(Lt, "lt", 2) X(Le, "le", 2) X(Eq, "eq", 2) X(Ne, "ne", 2) X(And, "and", 2) X(Or, "or", 2)  \
  X(Not, "not", 1) X(Select, "select", 3) X(Cast, "cast", 1)

enum class ScalarOp : uint8_t {
#define X(name, spelling, arity) name,
  GRADC_SCALAR_OPS(X)
#undef X
};

const char* name(ScalarOp op);
int arity(ScalarOp op);
bool parse_scalar_op(std::string_view text, ScalarOp& op);
// Type of the result for operands of the given element ("Cast" states its own).
Element result_element(ScalarOp op, Element operand);

// One instruction; operands are value numbers: arguments first (0..arguments-1), then instructions in order.
struct ScalarInst {
  ScalarOp op = ScalarOp::Const;
  Element type = Element::F32;  // of the result
  std::array<int32_t, 3> args{-1, -1, -1};
  double constant = 0;  // Const only

  bool operator==(const ScalarInst&) const = default;
};

// A pure function of scalars in SSA form: what one element of a point-wise operation is.
struct ScalarProgram {
  std::vector<Element> arguments;
  std::vector<ScalarInst> insts;
  int32_t result = -1;

  Element type_of(int32_t value) const;
  bool operator==(const ScalarProgram&) const = default;
};

// The program with what its result needs, operands before and in the order of those who use them. C++ leaves open in which order the
// arguments of a call are evaluated, so how an expression wrote its program depends on the compiler; what is printed must not.
ScalarProgram ordered(const ScalarProgram& p);

// Writes scalar programs as expressions. Literals take the type of the other operand.
class ScalarExpr {
 public:
  ScalarExpr(ScalarProgram* p, int32_t value) : program(p), id(value) {}
  Element type() const { return program->type_of(id); }
  ScalarExpr literal(double v) const { return literal(v, type()); }
  ScalarExpr literal(double v, Element type) const;
  static ScalarExpr make(ScalarOp op, std::initializer_list<ScalarExpr> args);
  ScalarExpr cast(Element to) const;

  ScalarProgram* program;
  int32_t id;
};

#define GRADC_SCALAR_BINARY(fn, OP)                                                                                       \
  inline ScalarExpr fn(ScalarExpr a, ScalarExpr b) { return ScalarExpr::make(ScalarOp::OP, {a, b}); }              \
  inline ScalarExpr fn(ScalarExpr a, double b) { return ScalarExpr::make(ScalarOp::OP, {a, a.literal(b)}); }       \
  inline ScalarExpr fn(double a, ScalarExpr b) { return ScalarExpr::make(ScalarOp::OP, {b.literal(a), b}); }
GRADC_SCALAR_BINARY(operator+, Add)
GRADC_SCALAR_BINARY(operator-, Sub)
GRADC_SCALAR_BINARY(operator*, Mul)
GRADC_SCALAR_BINARY(operator/, Div)
GRADC_SCALAR_BINARY(operator<, Lt)
GRADC_SCALAR_BINARY(operator<=, Le)
GRADC_SCALAR_BINARY(min, Min)
GRADC_SCALAR_BINARY(max, Max)
GRADC_SCALAR_BINARY(rem, Rem)
GRADC_SCALAR_BINARY(pow, Pow)
GRADC_SCALAR_BINARY(equal, Eq)
GRADC_SCALAR_BINARY(not_equal, Ne)
GRADC_SCALAR_BINARY(logical_and, And)
GRADC_SCALAR_BINARY(logical_or, Or)
#undef GRADC_SCALAR_BINARY

#define GRADC_SCALAR_UNARY(fn, OP) \
  inline ScalarExpr fn(ScalarExpr a) { return ScalarExpr::make(ScalarOp::OP, {a}); }
GRADC_SCALAR_UNARY(operator-, Neg)
GRADC_SCALAR_UNARY(abs, Abs)
GRADC_SCALAR_UNARY(sqrt, Sqrt)
GRADC_SCALAR_UNARY(rsqrt, Rsqrt)
GRADC_SCALAR_UNARY(exp, Exp)
GRADC_SCALAR_UNARY(expm1, Expm1)
GRADC_SCALAR_UNARY(log, Log)
GRADC_SCALAR_UNARY(log1p, Log1p)
GRADC_SCALAR_UNARY(sin, Sin)
GRADC_SCALAR_UNARY(cos, Cos)
GRADC_SCALAR_UNARY(tanh, Tanh)
GRADC_SCALAR_UNARY(erf, Erf)
GRADC_SCALAR_UNARY(floor, Floor)
GRADC_SCALAR_UNARY(ceil, Ceil)
GRADC_SCALAR_UNARY(round, Round)
GRADC_SCALAR_UNARY(logical_not, Not)
#undef GRADC_SCALAR_UNARY
inline ScalarExpr fma(ScalarExpr a, ScalarExpr b, ScalarExpr c) { return ScalarExpr::make(ScalarOp::Fma, {a, b, c}); }
inline ScalarExpr select(ScalarExpr c, ScalarExpr a, ScalarExpr b) { return ScalarExpr::make(ScalarOp::Select, {c, a, b}); }

}  // namespace gradc
