#pragma once

#include "compiler/ops/rules.h"

// Rows picked and added by index. Each is the other's derivative.
namespace gradc::ops {

struct Gather {
  static Op info() {
    return {.name = "gather",
            .kind = OpKind::Gather,
            .arity = 2,
            .doc = "picks x[index] along an axis; the index's axes take its place",
            .convention = "indices outside are clamped to the nearest end",
            .index_operands = 0b10};
  }
  static constexpr AttrSpec attributes[] = {{"axis", AttrKind::Integer}};
  static TypeResult type(TypeArgs t) {
    int64_t axis = t.integer("axis");
    if (!in_range(axis, t[0].rank())) return refuse("{} has no axis {}", to_string(t[0]), axis);
    if (t[1].element != Element::Int) return refuse("the indices are {}, not int", to_string(t[1]));
    Type result = t[0];
    auto at = result.dims.erase(result.dims.begin() + axis);
    result.dims.insert(at, t[1].dims.begin(), t[1].dims.end());
    return accept(std::move(result));
  }
  static Grads vjp(Expr ct, Expr y, Expr x, Expr indices) {
    int64_t axis = y.attrs().integer("axis");
    return {scatter_add(indices, ct, axis, x.size(static_cast<size_t>(axis))), no_gradient};
  }
  static std::vector<OpExample> examples() {
    return {{{{Element::F64, unnamed({4})}, {Element::Int, {}}}, {{"axis", int64_t{0}}}},
            {{{Element::F64, unnamed({4, 2})}, {Element::Int, unnamed({3})}}, {{"axis", int64_t{0}}}},
            {{{Element::F64, unnamed({2, 3, 2})}, {Element::Int, unnamed({2, 2})}}, {{"axis", int64_t{1}}}}};
  }
};

struct ScatterAdd {
  static Op info() {
    return {.name = "scatter_add",
            .kind = OpKind::ScatterAdd,
            .arity = 2,
            .doc = "zeros, with updates[i] added at index[i]: the index's axes become one of the given size",
            .convention = "indices outside are clamped to the nearest end; equal indices add up in order",
            .index_operands = 0b01};
  }
  static constexpr AttrSpec attributes[] = {{"axis", AttrKind::Integer}, {"size", AttrKind::Integer}};
  static TypeResult type(TypeArgs t) {
    int64_t axis = t.integer("axis"), size = t.integer("size");
    const Type &indices = t[0], &updates = t[1];
    if (indices.element != Element::Int) return refuse("the indices are {}, not int", to_string(indices));
    if (!(bit(updates.element) & numbers)) return refuse("the updates are {}, not numbers", to_string(updates));
    if (axis < 0 || axis + static_cast<int64_t>(indices.rank()) > static_cast<int64_t>(updates.rank())) {
      return refuse("{} has no axes for {} at {}", to_string(updates), to_string(indices), axis);
    }
    auto at = static_cast<size_t>(axis);
    for (size_t i = 0; i < indices.rank(); ++i) {
      if (updates.size(at + i) != indices.size(i))
        return refuse("{} does not match {} at axis {}", to_string(updates), to_string(indices), at + i);
    }
    Type result = updates;
    auto first = result.dims.begin() + axis;
    result.dims.insert(result.dims.erase(first, first + static_cast<int64_t>(indices.rank())), Dim{size, {}});
    return accept(std::move(result));
  }
  static Grads vjp(Expr ct, Expr y, Expr indices, Expr) {
    return {no_gradient, gather(ct, indices, y.attrs().integer("axis"))};
  }
  static std::vector<OpExample> examples() {
    return {
        {{{Element::Int, {}}, {Element::F64, {}}}, {{"axis", int64_t{0}}, {"size", int64_t{4}}}},
        {{{Element::Int, unnamed({3})}, {Element::F64, unnamed({3, 2})}}, {{"axis", int64_t{0}}, {"size", int64_t{4}}}},
        {{{Element::Int, unnamed({2, 2})}, {Element::F64, unnamed({2, 2, 2, 3})}},
         {{"axis", int64_t{1}}, {"size", int64_t{3}}}}};
  }
};

}  // namespace gradc::ops
