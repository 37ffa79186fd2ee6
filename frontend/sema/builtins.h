#pragma once

#include "frontend/sema/elaborator.h"

namespace gradc::sema {

// Arguments of a built-in function, matched to its signature.
struct BuiltinCall {
  Elaborator& sema;
  const Builtin& builtin;
  SourceSpan span;
  std::vector<std::optional<Arg>> args;  // by place in the signature
  std::vector<Arg> rest;                 // of a variadic one

  bool has(size_t i) const { return args[i] && !args[i]->value.is_none(); }
  const Value& value(size_t i) const { return args[i]->value; }
  SourceSpan at(size_t i) const { return args[i] ? args[i]->span : span; }
  Expr tensor(size_t i) const { return sema.expr(value(i), at(i)); }
  Expr floats(size_t i) const { return sema.float_expr(value(i), at(i)); }
  double number(size_t i, double otherwise) const;
  bool flag(size_t i) const;
};

// A function known to the compiler. Signature: "x, axis?, axes?, keepdims?"; `?` marks what may be left out, a last name
// with `...` takes any number of values.
struct Builtin {
  const char* name;
  const char* signature;
  const char* doc;
  Value (*call)(const BuiltinCall& c);
};

const std::vector<Builtin>& math_builtins();       // point-wise functions
const std::vector<Builtin>& reduction_builtins();  // sum, mean, argmax, ...
const std::vector<Builtin>& shape_builtins();      // reshape, concat, zeros, ...
const std::vector<Builtin>& window_builtins();     // convolution and pooling
const std::vector<Builtin>& order_builtins();      // sorting, running totals, rows added by index
const std::vector<Builtin>& model_builtins();      // random numbers, initial values, gradients
const std::vector<Builtin>& data_builtins();       // columns of tables

// In a reader's block: the shape of a draw for the input that is given, with as many rows as the argument `rows` says, if any.
std::vector<Dim> drawn_shape(const BuiltinCall& c, size_t rows);
// pad(x) in a reader's block: a border around x, as wide on both sides, up to the sizes of the input that is given. A channel axis
// that x lacks is added; its channels are copies.
Value pad_to_input(const BuiltinCall& c);

// What a variadic function is given: value by value, or as one list.
struct GivenValues {
  std::vector<Value> values;
  std::vector<SourceSpan> spans;
};
GivenValues values_of(const BuiltinCall& c);

const Builtin* find_builtin(Symbol name);
std::vector<std::string> builtin_names();
BuiltinCall match_builtin(Elaborator& sema, const Builtin& b, std::vector<Arg> args, SourceSpan at);

}  // namespace gradc::sema
