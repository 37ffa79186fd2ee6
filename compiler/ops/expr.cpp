#include "compiler/ops/expr.h"

#include <algorithm>
#include <numeric>

#include "compiler/ops/ops.h"
#include "compiler/support/error.h"

namespace gradc {
namespace {

std::vector<int64_t> iota_vector(size_t n) {
  std::vector<int64_t> v(n);
  std::iota(v.begin(), v.end(), 0);
  return v;
}

std::vector<int64_t> or_default(std::vector<int64_t> v, size_t n, int64_t value) {
  return v.empty() ? std::vector<int64_t>(n, value) : v;
}

template <class T>
Expr source(GraphBuilder& b, const Type& type, Attrs attrs, std::vector<NodeId> operands = {}) {
  const std::vector<Dim> dims = type.dims;  // the type may be that of a node, and nodes move as the graph grows
  return with_dims(Expr(b, b.add(op<T>(), std::move(operands), std::move(attrs))), dims);
}

template <class T>
Expr reduce(Expr x, std::vector<int64_t> axes) {
  if (axes.empty()) return x;
  std::sort(axes.begin(), axes.end());
  return apply(op<T>(), {x}, {{"axes", std::move(axes)}});
}

}  // namespace

Expr Expr::literal(double value) const {
  return constant(*builder_, value, type());
}

Expr apply(const Op& op, const std::vector<Expr>& operands, Attrs attrs) {
  GRADC_ASSERT(!operands.empty(), "{} needs a builder", op.name);
  std::vector<NodeId> ids;
  for (const Expr& e : operands) {
    GRADC_ASSERT(e && &e.builder() == &operands[0].builder(), "operands of {} belong to one graph", op.name);
    ids.push_back(e.id);
  }
  GraphBuilder& b = operands[0].builder();
  return {b, b.add(op, std::move(ids), std::move(attrs))};
}

Expr with_dims(Expr x, const std::vector<Dim>& dims) {
  std::vector<Dim>& own = x.builder().graph().edit(x.id).type.dims;
  for (size_t i = 0; i < own.size() && i < dims.size(); ++i) {
    if (!own[i].name) own[i].name = dims[i].name;
  }
  return x;
}

Expr input(GraphBuilder& b, Symbol name, Symbol role, const Type& type) {
  Expr x = source<ops::Input>(
      b, type,
      {{"name", name}, {"role", role}, {"element", Symbol(gradc::name(type.element))}, {"sizes", type.sizes()}});
  b.graph().edit(x.id).name = name;
  return x;
}
Expr constant(GraphBuilder& b, double value, const Type& type) {
  return source<ops::Constant>(b, type,
                               {{"value", value}, {"element", Symbol(name(type.element))}, {"sizes", type.sizes()}});
}
Expr iota(GraphBuilder& b, int64_t axis, const Type& type) {
  return source<ops::Iota>(b, type, {{"axis", axis}, {"element", Symbol(name(type.element))}, {"sizes", type.sizes()}});
}
Expr random(Expr seed, Expr step, int64_t site, const Type& type) {
  return source<ops::Random>(seed.builder(), type,
                             {{"site", site}, {"element", Symbol(name(type.element))}, {"sizes", type.sizes()}},
                             {seed.id, step.id});
}

#define GRADC_BINARY(fn, OP)             \
  Expr fn(Expr a, Expr b) {              \
    return apply(op<ops::OP>(), {a, b}); \
  }                                      \
  Expr fn(Expr a, double b) {            \
    return fn(a, a.literal(b));          \
  }                                      \
  Expr fn(double a, Expr b) {            \
    return fn(b.literal(a), b);          \
  }
GRADC_BINARY(operator+, Add)
GRADC_BINARY(operator-, Sub)
GRADC_BINARY(operator*, Mul)
GRADC_BINARY(operator/, Div)
GRADC_BINARY(rem, Rem)
GRADC_BINARY(min, Min)
GRADC_BINARY(max, Max)
GRADC_BINARY(pow, Pow)
GRADC_BINARY(lt, Lt)
GRADC_BINARY(le, Le)
GRADC_BINARY(gt, Gt)
GRADC_BINARY(ge, Ge)
GRADC_BINARY(eq, Eq)
GRADC_BINARY(ne, Ne)
#undef GRADC_BINARY

#define GRADC_UNARY(fn, OP)           \
  Expr fn(Expr x) {                   \
    return apply(op<ops::OP>(), {x}); \
  }
GRADC_UNARY(operator-, Neg)
GRADC_UNARY(abs, Abs)
GRADC_UNARY(sign, Sign)
GRADC_UNARY(floor, Floor)
GRADC_UNARY(ceil, Ceil)
GRADC_UNARY(round, Round)
GRADC_UNARY(exp, Exp)
GRADC_UNARY(expm1, Expm1)
GRADC_UNARY(log, Log)
GRADC_UNARY(log1p, Log1p)
GRADC_UNARY(sqrt, Sqrt)
GRADC_UNARY(rsqrt, Rsqrt)
GRADC_UNARY(sin, Sin)
GRADC_UNARY(cos, Cos)
GRADC_UNARY(tanh, Tanh)
GRADC_UNARY(sigmoid, Sigmoid)
GRADC_UNARY(softplus, Softplus)
GRADC_UNARY(erf, Erf)
GRADC_UNARY(logical_not, Not)
GRADC_UNARY(stop_gradient, StopGradient)
#undef GRADC_UNARY

Expr fma(Expr a, Expr b, Expr c) {
  return apply(op<ops::Fma>(), {a, b, c});
}
Expr logical_and(Expr a, Expr b) {
  return apply(op<ops::And>(), {a, b});
}
Expr logical_or(Expr a, Expr b) {
  return apply(op<ops::Or>(), {a, b});
}
Expr select(Expr condition, Expr a, Expr b) {
  return apply(op<ops::Select>(), {condition, a, b});
}
Expr select(Expr condition, Expr a, double b) {
  return select(condition, a, a.literal(b));
}
Expr select(Expr condition, double a, Expr b) {
  return select(condition, b.literal(a), b);
}
Expr cast(Expr x, Element to) {
  return x.element() == to ? x : apply(op<ops::Cast>(), {x}, {{"element", Symbol(name(to))}});
}

Expr broadcast(Expr x, std::vector<int64_t> axes, std::vector<int64_t> sizes) {
  if (x.sizes() == sizes && axes == iota_vector(sizes.size())) return x;
  return apply(op<ops::Broadcast>(), {x}, {{"axes", std::move(axes)}, {"sizes", std::move(sizes)}});
}
Expr transpose(Expr x, std::vector<int64_t> perm) {
  if (perm == iota_vector(x.rank())) return x;
  return apply(op<ops::Transpose>(), {x}, {{"perm", std::move(perm)}});
}
Expr slice(Expr x, std::vector<int64_t> starts, std::vector<int64_t> limits, std::vector<int64_t> strides) {
  size_t n = x.rank();
  strides = or_default(std::move(strides), n, 1);
  std::vector<int64_t> zeros(n, 0), ones(n, 1);
  if (starts == zeros && limits == x.sizes() && strides == ones) return x;
  return apply(op<ops::Slice>(), {x},
               {{"starts", std::move(starts)}, {"limits", std::move(limits)}, {"strides", std::move(strides)}});
}
Expr reverse(Expr x, std::vector<int64_t> axes) {
  if (axes.empty()) return x;
  std::sort(axes.begin(), axes.end());
  return apply(op<ops::Reverse>(), {x}, {{"axes", std::move(axes)}});
}
Expr skew(Expr x, std::vector<int64_t> axes, std::vector<int64_t> by, std::vector<int64_t> steps, std::vector<int64_t> starts,
          std::vector<int64_t> sizes) {
  if (axes.empty()) return x;
  return apply(op<ops::Skew>(), {x},
               {{"axes", std::move(axes)}, {"by", std::move(by)}, {"steps", std::move(steps)}, {"starts", std::move(starts)}, {"sizes", std::move(sizes)}});
}
Expr reshape(Expr x, std::vector<int64_t> sizes) {
  if (x.sizes() == sizes) return x;
  return apply(op<ops::Reshape>(), {x}, {{"sizes", std::move(sizes)}});
}
Expr pad(Expr x, std::vector<int64_t> low, std::vector<int64_t> high, double value, std::vector<int64_t> interior) {
  interior = or_default(std::move(interior), x.rank(), 0);
  std::vector<int64_t> zeros(x.rank(), 0);
  if (low == zeros && high == zeros && interior == zeros) return x;
  return apply(
      op<ops::Pad>(), {x},
      {{"low", std::move(low)}, {"high", std::move(high)}, {"interior", std::move(interior)}, {"value", value}});
}
Expr concatenate(const std::vector<Expr>& parts, int64_t axis) {
  return parts.size() == 1 ? parts[0] : apply(op<ops::Concatenate>(), parts, {{"axis", axis}});
}

Expr reduce_sum(Expr x, std::vector<int64_t> axes) {
  return reduce<ops::ReduceSum>(x, std::move(axes));
}
Expr reduce_prod(Expr x, std::vector<int64_t> axes) {
  return reduce<ops::ReduceProd>(x, std::move(axes));
}
Expr reduce_max(Expr x, std::vector<int64_t> axes) {
  return reduce<ops::ReduceMax>(x, std::move(axes));
}
Expr reduce_min(Expr x, std::vector<int64_t> axes) {
  return reduce<ops::ReduceMin>(x, std::move(axes));
}
Expr argmax(Expr x, int64_t axis) {
  return apply(op<ops::ArgMax>(), {x}, {{"axis", axis}});
}
Expr argmin(Expr x, int64_t axis) {
  return apply(op<ops::ArgMin>(), {x}, {{"axis", axis}});
}

Expr unreduce(Expr reduced, const std::vector<int64_t>& axes, const std::vector<int64_t>& sizes) {
  std::vector<int64_t> kept;
  for (int64_t axis : iota_vector(sizes.size())) {
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) kept.push_back(axis);
  }
  return broadcast(reduced, std::move(kept), sizes);
}
std::vector<int64_t> all_axes(Expr x) {
  return iota_vector(x.rank());
}

Expr contract(Expr a, Expr b, std::vector<int64_t> lhs, std::vector<int64_t> rhs, std::vector<int64_t> out) {
  return apply(op<ops::Contraction>(), {a, b},
               {{"lhs", std::move(lhs)}, {"rhs", std::move(rhs)}, {"out", std::move(out)}});
}
Expr gather(Expr x, Expr indices, int64_t axis) {
  return apply(op<ops::Gather>(), {x, indices}, {{"axis", axis}});
}
Expr scatter_add(Expr indices, Expr updates, int64_t axis, int64_t size) {
  return apply(op<ops::ScatterAdd>(), {indices, updates}, {{"axis", axis}, {"size", size}});
}
Expr with_derivative(Symbol function, Expr value, Expr value_stand_in, Expr cotangent_stand_in,
                     const std::vector<std::pair<Expr, Expr>>& inputs_and_rules) {
  std::vector<Expr> operands{value, value_stand_in, cotangent_stand_in};
  for (const auto& [input, rule] : inputs_and_rules) {
    operands.push_back(input);
    operands.push_back(rule);
  }
  return apply(op<ops::WithDerivative>(), operands, {{"function", function}});
}

Expr grad(Expr y, Expr x) {
  return apply(op<ops::Grad>(), {y, x});
}

}  // namespace gradc
