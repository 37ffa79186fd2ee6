#pragma once

#include "compiler/ops/rules.h"

// Sums of products over labelled axes: matrix products and all their relatives.
namespace gradc::ops {

struct Contraction {
  static Op info() {
    return {
        .name = "contraction",
        .kind = OpKind::Contraction,
        .arity = 2,
        .doc = "sum over labels missing in `out` of a product; lhs and rhs label the operands' axes",
        .convention = "a label stands for one axis of an operand, and is also in the other operand or in the result",
        .stability = "accumulates with fma, in blocks that depend on the shape alone"};
  }
  static constexpr AttrSpec attributes[] = {
      {"lhs", AttrKind::Integers}, {"rhs", AttrKind::Integers}, {"out", AttrKind::Integers}};

  static bool distinct(const std::vector<int64_t>& labels) {
    return std::all_of(labels.begin(), labels.end(),
                       [&](int64_t l) { return std::count(labels.begin(), labels.end(), l) == 1; });
  }
  // The axis that a label names, if it is there.
  static const Dim* find(int64_t label, const std::vector<int64_t>& labels, const Type& type) {
    auto it = std::find(labels.begin(), labels.end(), label);
    return it == labels.end() ? nullptr : &type.dims[static_cast<size_t>(it - labels.begin())];
  }

  static TypeResult type(TypeArgs t) {
    const auto &lhs = t.ints("lhs"), &rhs = t.ints("rhs"), &out = t.ints("out");
    if (std::string p = t.element_problem(floats); !p.empty()) return {std::nullopt, p};
    if (t[0].element != t[1].element) return refuse("operands differ: {} and {}", to_string(t[0]), to_string(t[1]));
    if (lhs.size() != t[0].rank() || rhs.size() != t[1].rank())
      return refuse("{} and {} need one label an axis", to_string(t[0]), to_string(t[1]));
    if (!distinct(lhs) || !distinct(rhs) || !distinct(out)) return refuse("a label stands twice in one place");
    for (int64_t label : lhs) {
      const Dim *a = find(label, lhs, t[0]), *b = find(label, rhs, t[1]);
      if (!b && !contains(out, label)) return refuse("label {} is in the left operand only", label);
      if (b && a->size != b->size)
        return refuse("{} and {} differ in size at label {}", to_string(t[0]), to_string(t[1]), label);
    }
    for (int64_t label : rhs) {
      if (!contains(lhs, label) && !contains(out, label)) return refuse("label {} is in the right operand only", label);
    }
    Type result{t[0].element, {}};
    for (int64_t label : out) {
      const Dim *a = find(label, lhs, t[0]), *b = find(label, rhs, t[1]);
      if (!a && !b) return refuse("label {} is in no operand", label);
      result.dims.push_back(a && (a->name || !b) ? *a : *b);
    }
    return accept(std::move(result));
  }

  // Every label of an operand is in the other or in the result, so both derivatives are contractions again.
  static Grads vjp(Expr ct, Expr y, Expr a, Expr b) {
    Attrs attrs = y.attrs();
    const auto &lhs = attrs.integers("lhs"), &rhs = attrs.integers("rhs"), &out = attrs.integers("out");
    return {contract(ct, b, out, rhs, lhs), contract(a, ct, lhs, out, rhs)};
  }

  static OpExample example(std::vector<int64_t> a, std::vector<int64_t> b, std::vector<int64_t> lhs,
                           std::vector<int64_t> rhs, std::vector<int64_t> out) {
    return {{{Element::F64, unnamed(a)}, {Element::F64, unnamed(b)}}, {{"lhs", lhs}, {"rhs", rhs}, {"out", out}}};
  }
  static std::vector<OpExample> examples() {
    return {example({2, 3}, {3, 4}, {0, 1}, {1, 2}, {0, 2}),                 // matrix product
            example({3}, {3}, {0}, {0}, {}),                                 // inner product
            example({2}, {3}, {0}, {1}, {1, 0}),                             // outer product, transposed
            example({2, 3, 4}, {4, 2, 2}, {5, 1, 7}, {7, 5, 3}, {3, 5, 1}),  // batched, labels in any order
            example({2, 3}, {2, 3}, {0, 1}, {0, 1}, {1, 0})};                // no sum
  }
};

}  // namespace gradc::ops
