#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "compiler/graph/graph.h"
#include "frontend/syntax/ast.h"

// What expressions evaluate to while a model is elaborated: compile-time values, and tensors, which are nodes of a graph.
namespace gradc::sema {

struct Value;
struct Scope;
struct Builtin;
using ScopePtr = std::shared_ptr<Scope>;

// The value of a name whose own statement was wrong: what uses it fails without another message.
struct Poison {};
struct None {};

// A number known at compile time, and the dimension it is the size of, if any. Weakly typed: takes the element type of what it meets.
struct Num {
  double value = 0;
  Symbol dim;
};

// A node. Weak ones (made of the step `t` and numbers only) are f64 and are rounded where they meet another tensor.
struct TensorRef {
  NodeId node;
  bool weak = false;
  bool initial = false;  // a node of the graph of initial values
};

struct ListValue {
  std::vector<Value> items;
};
struct RangeValue {
  int64_t from = 0, to = 0;
};
struct AxisName {
  Symbol name;
};
struct AllBut {
  std::vector<Value> axes;
};

// A function with its scope; `given` holds arguments supplied already (a schedule waits for its `t` only).
struct Closure {
  const ast::Fn* fn;
  ScopePtr scope;
  std::map<Symbol, Value> given;
};
struct LayerClass {
  const ast::Layer* layer;
  ScopePtr scope;
};
// A layer value: configuration plus, once it has been bound or called, a path. Copies of the value share it, and so its parameters.
struct LayerInstance {
  const ast::Layer* layer = nullptr;  // null: Sequential, whose parts are the configuration
  ScopePtr scope;
  std::vector<std::pair<Symbol, Value>> configuration;
  std::vector<SourceSpan> part_spans;  // of Sequential
  std::string path;
  SourceSpan span;
};
struct OptimizerClass {
  const ast::Optimizer* optimizer;
  ScopePtr scope;
};
// What happens to all gradients before the optimiser sees them.
struct GradientTransform {
  enum Kind { ClipGlobalNorm, ClipValue, Accumulate } kind;
  double limit = 0;  // of Accumulate: the number of steps
  SourceSpan span;
};
struct OptimizerValue {
  const ast::Optimizer* optimizer = nullptr;  // null: transforms alone
  ScopePtr scope;
  std::vector<std::pair<Symbol, Value>> configuration;
  std::vector<GradientTransform> transforms;
  SourceSpan span;
};

struct Value {
  using Data = std::variant<Poison, None, bool, Num, std::string, TensorRef, RangeValue, AxisName, std::shared_ptr<const ListValue>,
                            std::shared_ptr<const AllBut>, std::shared_ptr<const Closure>, LayerClass, std::shared_ptr<LayerInstance>,
                            OptimizerClass, std::shared_ptr<const OptimizerValue>, const Builtin*>;
  Data data;

  Value() = default;
  template <class T>
    requires(!std::is_same_v<std::decay_t<T>, Value>)
  Value(T v) : data(std::move(v)) {}
  Value(const char*) = delete;  // would become a bool

  template <class T>
  const T* as() const { return std::get_if<T>(&data); }
  const ListValue* list() const {
    auto* p = as<std::shared_ptr<const ListValue>>();
    return p ? p->get() : nullptr;
  }
  bool is_none() const { return as<None>() != nullptr; }
};

inline Value number(double v, Symbol dim = {}) { return Num{v, dim}; }
inline Value list_of(std::vector<Value> items) { return std::make_shared<const ListValue>(ListValue{std::move(items)}); }

// "a number", "a layer", ...: for messages.
std::string kind_of(const Value& v);

struct Binding {
  Value value;
  SourceSpan span;
};
struct Scope {
  ScopePtr parent;
  std::map<Symbol, Binding> names;

  const Binding* find(Symbol name) const {
    for (const Scope* s = this; s; s = s->parent.get()) {
      if (auto it = s->names.find(name); it != s->names.end()) return &it->second;
    }
    return nullptr;
  }
};
inline ScopePtr inner_scope(ScopePtr parent) { return std::make_shared<Scope>(Scope{std::move(parent), {}}); }

}  // namespace gradc::sema
