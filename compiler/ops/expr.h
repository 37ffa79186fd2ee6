#pragma once

#include "compiler/graph/graph.h"

namespace gradc {

// A node as a value: writes graphs as formulas. Derivative rules, rewrites and the language's lowering are written with
// it. Number literals become constants of the other operand's type. The builder must outlive the expression.
class Expr {
 public:
  Expr() = default;  // no node: as a derivative, "none flows"
  Expr(GraphBuilder& b, NodeId node) : builder_(&b), id(node) {}

  explicit operator bool() const { return bool(id); }
  GraphBuilder& builder() const { return *builder_; }
  // Copies: references into a graph die when it grows.
  Type type() const { return builder_->type(id); }
  Attrs attrs() const { return (*builder_)[id].attrs; }
  Element element() const { return builder_->type(id).element; }
  size_t rank() const { return builder_->type(id).rank(); }
  int64_t size(size_t axis) const { return builder_->type(id).size(axis); }
  std::vector<int64_t> sizes() const { return builder_->type(id).sizes(); }
  Expr literal(double value) const;  // a constant of this type

 private:
  GraphBuilder* builder_ = nullptr;

 public:
  NodeId id;
};

// Adds a node for operands of one builder.
Expr apply(const Op& op, const std::vector<Expr>& operands, Attrs attrs = {});

// ---- sources ----
Expr input(GraphBuilder& b, Symbol name, Symbol role, const Type& type);
Expr constant(GraphBuilder& b, double value, const Type& type);
Expr iota(GraphBuilder& b, int64_t axis, const Type& type);
// Uniform in [0, 1); seed is a scalar int, step a scalar number.
Expr random(Expr seed, Expr step, int64_t site, const Type& type);

// ---- point-wise: equal shapes, equal elements ----
#define GRADC_EXPR_BINARY(fn) \
  Expr fn(Expr a, Expr b);    \
  Expr fn(Expr a, double b);  \
  Expr fn(double a, Expr b);
GRADC_EXPR_BINARY(operator+)
GRADC_EXPR_BINARY(operator-)
GRADC_EXPR_BINARY(operator*)
GRADC_EXPR_BINARY(operator/)
GRADC_EXPR_BINARY(rem)
GRADC_EXPR_BINARY(min)
GRADC_EXPR_BINARY(max)
GRADC_EXPR_BINARY(pow)
GRADC_EXPR_BINARY(lt)
GRADC_EXPR_BINARY(le)
GRADC_EXPR_BINARY(gt)
GRADC_EXPR_BINARY(ge)
GRADC_EXPR_BINARY(eq)
GRADC_EXPR_BINARY(ne)
#undef GRADC_EXPR_BINARY
Expr operator-(Expr x);
Expr abs(Expr x);
Expr sign(Expr x);
Expr floor(Expr x);
Expr ceil(Expr x);
Expr round(Expr x);
Expr exp(Expr x);
Expr expm1(Expr x);
Expr log(Expr x);
Expr log1p(Expr x);
Expr sqrt(Expr x);
Expr rsqrt(Expr x);
Expr sin(Expr x);
Expr cos(Expr x);
Expr tanh(Expr x);
Expr sigmoid(Expr x);
Expr softplus(Expr x);
Expr erf(Expr x);
Expr fma(Expr a, Expr b, Expr c);
Expr logical_and(Expr a, Expr b);
Expr logical_or(Expr a, Expr b);
Expr logical_not(Expr a);
Expr select(Expr condition, Expr a, Expr b);
Expr select(Expr condition, Expr a, double b);
Expr select(Expr condition, double a, Expr b);
Expr cast(Expr x, Element to);  // x itself where it has that element

// ---- views; those that change nothing give x itself ----
// axes[i] is the axis of the result that axis i of x becomes; the others repeat x.
Expr broadcast(Expr x, std::vector<int64_t> axes, std::vector<int64_t> sizes);
Expr transpose(Expr x, std::vector<int64_t> perm);  // axis j of the result is axis perm[j] of x
Expr slice(Expr x, std::vector<int64_t> starts, std::vector<int64_t> limits, std::vector<int64_t> strides = {});
Expr reverse(Expr x, std::vector<int64_t> axes);
// Element i of axes[a], in row k of its partner by[a], is element i + steps[a] k + starts[a] of x.
Expr skew(Expr x, std::vector<int64_t> axes, std::vector<int64_t> by, std::vector<int64_t> steps, std::vector<int64_t> starts,
          std::vector<int64_t> sizes);
Expr reshape(Expr x, std::vector<int64_t> sizes);
Expr pad(Expr x, std::vector<int64_t> low, std::vector<int64_t> high, double value = 0,
         std::vector<int64_t> interior = {});
Expr concatenate(const std::vector<Expr>& parts, int64_t axis);
// Names the axes of a node that have no name yet; sizes in `dims` are not looked at.
Expr with_dims(Expr x, const std::vector<Dim>& dims);

// ---- reductions: the axes go; none gives x itself ----
Expr reduce_sum(Expr x, std::vector<int64_t> axes);
Expr reduce_prod(Expr x, std::vector<int64_t> axes);
Expr reduce_max(Expr x, std::vector<int64_t> axes);
Expr reduce_min(Expr x, std::vector<int64_t> axes);
Expr argmax(Expr x, int64_t axis);
Expr argmin(Expr x, int64_t axis);
// The inverse in shape: a reduction's result over `axes` repeated to the sizes it came from.
Expr unreduce(Expr reduced, const std::vector<int64_t>& axes, const std::vector<int64_t>& sizes);
std::vector<int64_t> all_axes(Expr x);

// ---- products and indices ----
// One label per axis: contract(x, w, {0, 1}, {1, 2}, {0, 2}) is the matrix product.
Expr contract(Expr a, Expr b, std::vector<int64_t> lhs, std::vector<int64_t> rhs, std::vector<int64_t> out);
Expr gather(Expr x, Expr indices, int64_t axis);
Expr scatter_add(Expr indices, Expr updates, int64_t axis, int64_t size);

// ---- derivatives ----
Expr stop_gradient(Expr x);
Expr grad(Expr y, Expr x);
// `value` with a rule of the user's: each input's derivative as an expression of two stand-ins, of the value's type, for the value
// and its cotangent. At most 14 inputs.
Expr with_derivative(Symbol function, Expr value, Expr value_stand_in, Expr cotangent_stand_in,
                     const std::vector<std::pair<Expr, Expr>>& inputs_and_rules);

}  // namespace gradc
