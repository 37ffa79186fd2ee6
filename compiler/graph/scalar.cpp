#include "compiler/graph/scalar.h"

#include "compiler/support/error.h"

namespace gradc {
namespace {
struct Row {
  const char* name;
  int arity;
};
constexpr Row rows[] = {
#define X(name, spelling, arity) {spelling, arity},
    GRADC_SCALAR_OPS(X)
#undef X
};
}  // namespace

const char* name(ScalarOp op) { return rows[static_cast<size_t>(op)].name; }
int arity(ScalarOp op) { return rows[static_cast<size_t>(op)].arity; }

bool parse_scalar_op(std::string_view text, ScalarOp& op) {
  for (size_t i = 0; i < std::size(rows); ++i) {
    if (text == rows[i].name) {
      op = static_cast<ScalarOp>(i);
      return true;
    }
  }
  return false;
}

Element result_element(ScalarOp op, Element operand) {
  switch (op) {
    case ScalarOp::Lt:
    case ScalarOp::Le:
    case ScalarOp::Eq:
    case ScalarOp::Ne:
    case ScalarOp::And:
    case ScalarOp::Or:
    case ScalarOp::Not: return Element::Bool;
    default: return operand;
  }
}

Element ScalarProgram::type_of(int32_t value) const {
  auto i = static_cast<size_t>(value);
  return i < arguments.size() ? arguments[i] : insts[i - arguments.size()].type;
}

namespace {
int32_t append(ScalarProgram& p, ScalarInst inst) {
  p.insts.push_back(inst);
  return static_cast<int32_t>(p.arguments.size() + p.insts.size() - 1);
}
}  // namespace

ScalarProgram ordered(const ScalarProgram& p) {
  const auto count = static_cast<int32_t>(p.arguments.size());
  ScalarProgram out{p.arguments, {}, -1};
  std::vector<int32_t> place(p.arguments.size() + p.insts.size(), -1);
  for (int32_t i = 0; i < count; ++i) place[static_cast<size_t>(i)] = i;
  auto visit = [&](auto& self, int32_t value) -> int32_t {
    int32_t& at = place[static_cast<size_t>(value)];
    if (at >= 0) return at;
    ScalarInst inst = p.insts[static_cast<size_t>(value - count)];
    for (int i = 0; i < arity(inst.op); ++i) inst.args[static_cast<size_t>(i)] = self(self, inst.args[static_cast<size_t>(i)]);
    return at = append(out, inst);
  };
  out.result = visit(visit, p.result);
  return out;
}

ScalarExpr ScalarExpr::literal(double v, Element type) const {
  return {program, append(*program, {.op = ScalarOp::Const, .type = type, .constant = v})};
}

ScalarExpr ScalarExpr::make(ScalarOp op, std::initializer_list<ScalarExpr> args) {
  ScalarInst inst{.op = op};
  GRADC_ASSERT(static_cast<int>(args.size()) == arity(op), "{} takes {} operands", name(op), arity(op));
  size_t i = 0;
  for (const ScalarExpr& a : args) inst.args[i++] = a.id;
  const ScalarExpr& last = *(args.end() - 1);  // Select's first operand is Bool: the last decides
  inst.type = result_element(op, last.type());
  ScalarProgram* p = last.program;
  return {p, append(*p, inst)};
}

ScalarExpr ScalarExpr::cast(Element to) const {
  if (type() == to) return *this;
  ScalarInst inst{.op = ScalarOp::Cast, .type = to};
  inst.args[0] = id;
  return {program, append(*program, inst)};
}

}  // namespace gradc
