#include "compiler/rewrite/batch.h"

#include <algorithm>

#include "compiler/ops/ops.h"
#include "compiler/rewrite/axes.h"
#include "compiler/support/error.h"

namespace gradc::rewrite {
namespace {

Axes shifted(Axes axes) {
  for (int64_t& a : axes) ++a;
  return axes;
}
Axes after(int64_t first, Axes rest) {
  rest.insert(rest.begin(), first);
  return rest;
}

Expr view(const Node& n, Expr x, int64_t count) {
  auto ints = [&](const char* key) { return n.attrs.integers(key); };
  if (n.op == &op<ops::Broadcast>()) return broadcast(x, after(0, shifted(ints("axes"))), after(count, ints("sizes")));
  if (n.op == &op<ops::Transpose>()) return transpose(x, after(0, shifted(ints("perm"))));
  if (n.op == &op<ops::Slice>()) return slice(x, after(0, ints("starts")), after(count, ints("limits")), after(1, ints("strides")));
  if (n.op == &op<ops::Reverse>()) return reverse(x, shifted(ints("axes")));
  GRADC_ASSERT(n.op == &op<ops::Skew>(), "{} is no known view", n.op->name);
  return skew(x, shifted(ints("axes")), shifted(ints("by")), ints("steps"), ints("starts"), ints("sizes"));
}

Expr contraction(const Node& n, const std::vector<Expr>& x, const std::vector<bool>& stacked) {
  Axes labels[] = {n.attrs.integers("lhs"), n.attrs.integers("rhs")};
  int64_t label = 0;
  for (const Axes& side : labels) {
    for (int64_t l : side) label = std::max(label, l + 1);
  }
  for (size_t k : {0, 1}) {
    if (stacked[k]) labels[k] = after(label, labels[k]);
  }
  return contract(x[0], x[1], labels[0], labels[1], after(label, n.attrs.integers("out")));
}

Expr gathered(const Node& n, const std::vector<Expr>& x, const std::vector<bool>& stacked) {
  int64_t axis = n.attrs.integer("axis");
  if (stacked[0]) return gather(x[0], x[1], axis + 1);
  // The axes of the indices stand at `axis`, the new one before them.
  Expr rows = gather(x[0], x[1], axis);
  Axes perm = range(rows.rank());
  perm.erase(perm.begin() + axis);
  return transpose(rows, after(axis, perm));
}

}  // namespace

bool can_batch(const Node& n, const std::vector<bool>& stacked) {
  switch (n.op->kind) {
    case OpKind::Pointwise:
    case OpKind::View:
    case OpKind::Reshape:
    case OpKind::Pad:
    case OpKind::Concatenate:
    case OpKind::Reduction:
    case OpKind::ArgReduction:
    case OpKind::Contraction: return true;
    case OpKind::Gather: return !(stacked[0] && stacked[1]);
    case OpKind::ScatterAdd: return !stacked[0];
    default: return false;
  }
}

Expr repeated(Expr x, int64_t count) {
  const Node& n = x.builder()[x.id];
  Type type{n.type.element, {{count, {}}}};
  type.dims.insert(type.dims.end(), n.type.dims.begin(), n.type.dims.end());
  if (n.op->kind == OpKind::Constant) return constant(x.builder(), n.attrs.number("value"), type);
  return broadcast(x, shifted(range(x.rank())), type.sizes());
}

Expr batched(GraphBuilder& b, const Node& n, std::vector<Expr> x, const std::vector<bool>& stacked, int64_t count) {
  GRADC_ASSERT(can_batch(n, stacked), "{} has no batched form", n.op->name);
  auto along = [&](const char* key) { return apply(*n.op, {x[0]}, {{key, n.attrs.integer(key) + 1}}); };
  switch (n.op->kind) {
    case OpKind::View: return view(n, x[0], count);
    case OpKind::Reshape: return reshape(x[0], after(count, n.attrs.integers("sizes")));
    case OpKind::Pad: {
      auto ints = [&](const char* key) { return after(0, n.attrs.integers(key)); };
      return pad(x[0], ints("low"), ints("high"), n.attrs.number("value"), ints("interior"));
    }
    case OpKind::Reduction: return apply(*n.op, {x[0]}, {{"axes", shifted(n.attrs.integers("axes"))}});
    case OpKind::ArgReduction: return along("axis");
    case OpKind::Contraction: return contraction(n, x, stacked);
    case OpKind::Gather: return gathered(n, x, stacked);
    case OpKind::ScatterAdd: return scatter_add(x[0], x[1], n.attrs.integer("axis") + 1, n.attrs.integer("size"));
    default: break;
  }
  for (size_t k = 0; k < x.size(); ++k) {
    if (!stacked[k]) x[k] = repeated(x[k], count);
  }
  if (n.op->kind == OpKind::Concatenate) return concatenate(x, n.attrs.integer("axis") + 1);
  std::vector<NodeId> ids;
  for (Expr e : x) ids.push_back(e.id);
  return {b, b.add(*n.op, std::move(ids), n.attrs)};
}

}  // namespace gradc::rewrite
