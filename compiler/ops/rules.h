#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "compiler/graph/op.h"
#include "compiler/ops/expr.h"

// What the structs of operations are written with. A struct has:
//   static Op info()                      name, kind, arity, doc, conventions, samples
//   static constexpr AttrSpec attributes[]  where it has any
//   static TypeResult type(TypeArgs t)    the type rule; arity and kinds of attributes are checked before
//   static ScalarExpr value(ScalarExpr...)  point-wise: one element (a last parameter `const Attrs&` is optional)
//   static std::vector<ViewTerm> view(...)  views: the index map
//   static Grads vjp(Expr ct, Expr y, Expr... operands)   or   static constexpr const char* not_differentiable
//   static std::vector<OpExample> examples()  all but plain point-wise operations
//   static constexpr bool swept = true      loops: autodiff makes the derivative
// Leaving out the derivative does not compile.
namespace gradc::ops {

using Grads = std::vector<Expr>;  // one per operand; Expr{} where none flows
inline const Expr no_gradient;

enum class AttrKind { Integer, Number, Integers, Text, ElementName };
struct AttrSpec {
  const char* key;
  AttrKind kind;
};

constexpr unsigned bit(Element e) {
  return 1u << static_cast<unsigned>(e);
}
inline constexpr unsigned bools = bit(Element::Bool), floats = bit(Element::F32) | bit(Element::F64),
                          numbers = floats | bit(Element::Int), anything = numbers | bools;

template <class... Args>
TypeResult refuse(fmt::format_string<Args...> format, Args&&... args) {
  return {std::nullopt, fmt::format(format, std::forward<Args>(args)...)};
}
inline TypeResult accept(Type t) {
  return {std::move(t), {}};
}

inline bool in_range(int64_t axis, size_t rank) {
  return axis >= 0 && axis < static_cast<int64_t>(rank);
}
inline bool contains(const std::vector<int64_t>& v, int64_t x) {
  return std::find(v.begin(), v.end(), x) != v.end();
}

// Axes that exist, each once.
inline bool distinct_axes(const std::vector<int64_t>& axes, size_t rank) {
  for (size_t i = 0; i < axes.size(); ++i) {
    if (!in_range(axes[i], rank) || std::count(axes.begin(), axes.end(), axes[i]) != 1) return false;
  }
  return true;
}
// As above, not empty and in ascending order: one way to write a set.
inline bool axis_set(const std::vector<int64_t>& axes, size_t rank) {
  return !axes.empty() && std::is_sorted(axes.begin(), axes.end()) && distinct_axes(axes, rank);
}

inline std::vector<Dim> unnamed(const std::vector<int64_t>& sizes) {
  std::vector<Dim> dims;
  for (int64_t s : sizes) dims.push_back({s, {}});
  return dims;
}
// The axis after an operation that may change its size: the name stays while the size does.
inline Dim resized(const Dim& d, int64_t size) {
  return size == d.size ? d : Dim{size, {}};
}

// What a type rule sees.
struct TypeArgs {
  const std::vector<Type>& operands;
  const Attrs& attrs;
  const Graph* body = nullptr;  // of a scan, or of the scan that a result picks from

  const Type& operator[](size_t i) const { return operands[i]; }
  const std::vector<int64_t>& ints(const char* key) const { return attrs.integers(key); }
  int64_t integer(const char* key) const { return attrs.integer(key); }

  // Element of `allowed` in every operand from `first` on; a phrase otherwise.
  std::string element_problem(unsigned allowed, size_t first = 0) const {
    for (size_t i = first; i < operands.size(); ++i) {
      if (!(bit(operands[i].element) & allowed)) {
        return fmt::format("operand {} is {}, which is not {}", i, to_string(operands[i]),
                           allowed == floats    ? "a float"
                           : allowed == numbers ? "a number"
                                                : "bool");
      }
    }
    return {};
  }
  // Operands from `first` on have one type; all have one shape.
  TypeResult pointwise(unsigned allowed, size_t first = 0) const {
    if (std::string p = element_problem(allowed, first); !p.empty()) return {std::nullopt, p};
    Type result = operands[first];
    for (size_t i = 0; i < operands.size(); ++i) {
      if (!operands[i].same_shape(result) || (i > first && operands[i].element != result.element)) {
        return refuse("operands differ: {} and {}", to_string(operands[first]), to_string(operands[i]));
      }
      for (size_t d = 0; d < result.rank(); ++d) {
        if (!result.dims[d].name) result.dims[d].name = operands[i].dims[d].name;
      }
    }
    return accept(std::move(result));
  }
  TypeResult comparison(unsigned allowed) const {
    TypeResult r = pointwise(allowed);
    if (r.type) r.type->element = Element::Bool;
    return r;
  }
  // Type of a source operation: attributes element and sizes.
  TypeResult declared(unsigned allowed) const {
    Element e = *parse_element(attrs.text("element").str());
    if (!(bit(e) & allowed)) return refuse("there is no such value of {}", name(e));
    return accept({e, unnamed(ints("sizes"))});
  }
};

}  // namespace gradc::ops
