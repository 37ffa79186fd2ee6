#include "compiler/ops/ops.h"

#include <unordered_map>

#include "compiler/ops/compare.h"
#include "compiler/ops/contraction.h"
#include "compiler/ops/index.h"
#include "compiler/ops/meta.h"
#include "compiler/ops/pointwise_arithmetic.h"
#include "compiler/ops/pointwise_transcendental.h"
#include "compiler/ops/reduce.h"
#include "compiler/ops/scan.h"
#include "compiler/ops/source.h"
#include "compiler/ops/view.h"
#include "compiler/support/error.h"

// The fold from structs to descriptors.
namespace gradc {
namespace {

using namespace ops;

template <class T>
concept HasDerivative = requires { &T::vjp; };
template <class T>
concept HasReason = requires { T::not_differentiable; };
template <class T>
concept IsSwept = requires { T::swept; };

// Bounds on single numbers and on whole shapes keep later size arithmetic from overflowing.
constexpr int64_t largest_attribute = int64_t{1} << 40, largest_count = int64_t{1} << 60;

bool is_kind(const AttrValue& v, AttrKind kind) {
  auto bounded = [](int64_t i) { return i >= -largest_attribute && i <= largest_attribute; };
  switch (kind) {
    case AttrKind::Integer: return std::holds_alternative<int64_t>(v) && bounded(std::get<int64_t>(v));
    case AttrKind::Number: return std::holds_alternative<double>(v);
    case AttrKind::Integers: {
      auto* list = std::get_if<std::vector<int64_t>>(&v);
      return list && std::all_of(list->begin(), list->end(), bounded);
    }
    case AttrKind::Text: return std::holds_alternative<Symbol>(v);
    case AttrKind::ElementName: return std::holds_alternative<Symbol>(v) && parse_element(std::get<Symbol>(v).str());
  }
  return false;
}

template <class T>
std::vector<AttrSpec> attribute_specs() {
  if constexpr (requires { T::attributes; }) return {std::begin(T::attributes), std::end(T::attributes)};
  return {};
}

std::string attribute_problem(const Attrs& attrs, const std::vector<AttrSpec>& specs) {
  const auto& entries = attrs.entries();
  for (size_t i = 0; i < std::max(entries.size(), specs.size()); ++i) {
    if (i >= specs.size()) return fmt::format("takes no attribute '{}'", entries[i].key);
    if (i >= entries.size() || entries[i].key != Symbol(specs[i].key))
      return fmt::format("attribute '{}' is missing", specs[i].key);
    if (!is_kind(entries[i].value, specs[i].kind))
      return fmt::format("attribute '{}' is of the wrong kind or too large", specs[i].key);
  }
  return {};
}

std::string shape_problem(const Type& t) {
  int64_t count = 1;
  for (const Dim& d : t.dims) {
    if (d.size < 1) return fmt::format("sizes are at least 1, not {}", d.size);
    if (d.size > largest_count / count) return "too many elements";
    count *= d.size;
  }
  return {};
}

std::string sizes_problem(const Attrs& attrs) {
  return attrs.has("sizes") ? shape_problem({Element::Bool, unnamed(attrs.integers("sizes"))}) : std::string();
}

template <class T>
TypeResult infer(const std::vector<Type>& operands, const Attrs& attrs, const Graph* body) {
  static const std::vector<AttrSpec> specs = attribute_specs<T>();
  static const int arity = T::info().arity;
  if (arity >= 0 ? operands.size() != static_cast<size_t>(arity) : operands.empty()) {
    return refuse("takes {} operands, not {}", arity >= 0 ? std::to_string(arity) : "at least 1", operands.size());
  }
  std::string problem = attribute_problem(attrs, specs);
  if (problem.empty()) problem = sizes_problem(attrs);
  if (!problem.empty()) return {std::nullopt, problem};
  for (size_t i = 0; i < operands.size() && !std::is_same_v<T, Result>; ++i) {
    if (operands[i].element == Element::None) return refuse("operand {} is a scan, whose values only result picks", i);
  }
  TypeResult result = T::type(TypeArgs{operands, attrs, body});
  if (result.type) problem = shape_problem(*result.type);
  return problem.empty() ? result : TypeResult{std::nullopt, problem};
}

// Calls a rule with as many operands as its signature names.
template <class R, class E, class... Operands, class... Rest>
R spread(R (*f)(E, E, Operands...), E first, E second, const std::vector<E>& rest) {
  static_assert((std::is_same_v<Operands, E> && ...));
  return [&]<size_t... I>(std::index_sequence<I...>) {
    return f(first, second, rest[I]...);
  }(std::index_sequence_for<Operands...>{});
}
inline Grads spread(Grads (*f)(Expr, Expr, const std::vector<Expr>&), Expr ct, Expr y, const std::vector<Expr>& x) {
  return f(ct, y, x);
}

template <class... Operands>
ScalarExpr evaluate(ScalarExpr (*f)(Operands...), const std::vector<ScalarExpr>& x, const Attrs& attrs) {
  if constexpr ((std::is_same_v<Operands, const Attrs&> || ...))
    return f(x[0], attrs);
  else
    return [&]<size_t... I>(std::index_sequence<I...>) { return f(x[I]...); }(std::index_sequence_for<Operands...>{});
}

template <class T>
ScalarProgram program(const std::vector<Element>& operands, const Attrs& attrs) {
  ScalarProgram p;
  p.arguments = operands;
  std::vector<ScalarExpr> arguments;
  for (size_t i = 0; i < operands.size(); ++i) arguments.emplace_back(&p, static_cast<int32_t>(i));
  p.result = evaluate(&T::value, arguments, attrs).id;
  return ordered(p);
}

template <class T>
std::vector<NodeId> derive(GraphBuilder& b, NodeId node, NodeId cotangent, const std::vector<bool>& wanted) {
  std::vector<NodeId> operands = b[node].operands, result;
  std::vector<Expr> x;
  for (NodeId id : operands) x.emplace_back(b, id);
  Grads grads = spread(&T::vjp, Expr(b, cotangent), Expr(b, node), x);
  GRADC_ASSERT(grads.size() == operands.size(), "derivative of {}", T::info().name);
  for (size_t i = 0; i < grads.size(); ++i) {
    result.push_back(wanted[i] ? grads[i].id : NodeId());
    GRADC_ASSERT(!result[i] || b.type(result[i]) == b.type(operands[i]), "derivative of {} for operand {}",
                 T::info().name, i);
  }
  return result;
}

template <class T>
Op fold() {
  static_assert(HasDerivative<T> + HasReason<T> + IsSwept<T> == 1, "an operation has a derivative, or says in words why not");
  Op op = T::info();
  for (const AttrSpec& a : attribute_specs<T>()) op.attributes.push_back(a.key);
  op.type = infer<T>;
  if constexpr (IsSwept<T>) op.swept = T::swept;
  if constexpr (HasReason<T>) op.not_differentiable = T::not_differentiable;
  if constexpr (HasDerivative<T>) op.vjp = derive<T>;
  if constexpr (requires { &T::value; }) op.program = program<T>;
  if constexpr (requires { &T::view; }) op.view = T::view;
  if constexpr (requires { &T::examples; }) op.examples = T::examples;
  GRADC_ASSERT((op.kind == OpKind::Pointwise) == (op.program != nullptr), "{}", op.name);
  GRADC_ASSERT((op.kind == OpKind::View) == (op.view != nullptr), "{}", op.name);
  GRADC_ASSERT(op.examples || op.kind == OpKind::Pointwise, "{}", op.name);
  return op;
}

class Registry final : public OpRegistry {
 public:
  Registry() {
#define X(T) all_.push_back(&op<ops::T>());
    GRADC_OPS(X)
#undef X
    for (const Op* o : all_) GRADC_ASSERT(by_name_.emplace(o->name, o).second, "two operations are called {}", o->name);
  }
  const Op* find(std::string_view name) const override {
    auto it = by_name_.find(name);
    return it == by_name_.end() ? nullptr : it->second;
  }
  const std::vector<const Op*>& all() const override { return all_; }

 private:
  std::vector<const Op*> all_;
  std::unordered_map<std::string_view, const Op*> by_name_;
};

}  // namespace

#define X(T)                             \
  template <>                            \
  const Op& op<ops::T>() {               \
    static const Op op = fold<ops::T>(); \
    return op;                           \
  }
GRADC_OPS(X)
#undef X

const OpRegistry& op_registry() {
  static const Registry registry;
  return registry;
}

}  // namespace gradc
