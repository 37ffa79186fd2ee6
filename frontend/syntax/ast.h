#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "compiler/support/source.h"
#include "compiler/support/symbol.h"

// A model file as it was written. Nothing is resolved or desugared here: `a |> f(b)` stays a Pipe.
//
// Expressions and statements are variants to be walked with std::visit (see Overloaded); pointers in the tree are never
// null unless a comment says so, because a statement with a syntax error is left out of the tree altogether. The height
// of the tree is limited by the parser (max_height), so recursive walks are safe.
namespace gradc::ast {

inline constexpr uint32_t max_height = 300;

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;

struct Ident {
  Symbol name;
  SourceSpan span;
};

// { statement; statement }, braces included in the span.
struct Block {
  SourceSpan span;
  std::vector<Stmt> statements;
  uint32_t height = 0;  // of the highest expression inside
};

// ---- types: f64[N, 64], int[N], [..., n], [] ----

struct ShapeDim {
  SourceSpan span;
  ExprPtr size;  // null: `...`, any leading dimensions
  bool is_ellipsis() const { return size == nullptr; }
};

struct ShapeType {
  SourceSpan span;
  std::optional<Ident> element;  // f32, f64, int, bool as written; missing: the default element type
  std::vector<ShapeDim> dims;
};

// ---- expressions ----

struct Number {
  double value = 0;
  std::optional<int64_t> integer;  // set where written without point and exponent, and in range
};
struct String {
  std::string value;  // escapes resolved
};
struct Bool {
  bool value = false;
};
struct Name {
  Symbol name;
};

enum class UnaryOp { Negate, Not };
struct Unary {
  UnaryOp op;
  SourceSpan op_span;
  ExprPtr operand;
};

// clang-format off
enum class BinaryOp {
  Add, Sub, Mul, Div, Mod, MatMul, Pow, Less, LessEqual, Greater, GreaterEqual, Equal, NotEqual, And, Or
};
// clang-format on
struct Binary {
  BinaryOp op;
  SourceSpan op_span;
  ExprPtr lhs, rhs;
};

// value |> stage; the stage is a name, a call or any expression that is a function or a layer value.
struct Pipe {
  SourceSpan op_span;
  ExprPtr value, stage;
};

struct Argument {
  SourceSpan span;
  std::optional<Ident> name;  // missing: positional. Positional ones come first
  ExprPtr value;
};
struct Call {
  ExprPtr callee;
  std::vector<Argument> arguments;
};

// a..b, half open. A missing end is null and occurs only among the items of an Index (x[1..]).
struct Range {
  ExprPtr from, to;
};

// base[item, ...]: an index, a slice (Range) or a layer of a loop in a parameter path (x[0][1].a.W).
struct Index {
  ExprPtr base;
  std::vector<ExprPtr> items;
};

// base.name: a step of a parameter path; `h1.W`, `x.1.gamma` (the name is then "1").
struct Member {
  ExprPtr base;
  Ident name;
};

// sum[k, m](body) in index notation; the reducer is one of is_reducer().
struct IndexReduction {
  Ident reducer;
  std::vector<Ident> indices;
  ExprPtr body;
};

// [a, b] and (a, b); (a,) is a tuple of one.
struct List {
  std::vector<ExprPtr> elements;
};
struct Tuple {
  std::vector<ExprPtr> elements;
};

// (inner): kept so that the formatter prints what was written and messages quote it.
struct Paren {
  ExprPtr inner;
};

// all but -1, all but [H, W]
struct AllBut {
  ExprPtr axes;
};

// Both the statement and the expression. In the expression there is an `otherwise`, and each block ends with an
// expression statement, its value.
struct IfArm {
  ExprPtr condition;
  Block body;
};
struct If {
  std::vector<IfArm> arms;         // if, else if, ...
  std::optional<Block> otherwise;  // else
};

// scan x_t in x, m_t in m along T reversed recompute every 8 with h = ..., c = ... { ...; emit h }
struct ScanInput {
  Ident item;
  ExprPtr sequence;
};
struct ScanCarry {
  Ident name;
  ExprPtr initial;
};
// Without `every`, `recompute` means one step at a time.
struct Recompute {
  SourceSpan span;
  ExprPtr every;  // null: 1
};
struct Scan {
  SourceSpan head;  // before the body
  std::vector<ScanInput> inputs;
  ExprPtr axis;  // null: sequences have one axis
  bool reversed = false;
  std::optional<Recompute> recompute;
  std::vector<ScanCarry> carries;
  Block body;
};

struct Expr {
  using Node = std::variant<Number, String, Bool, Name, Unary, Binary, Pipe, Call, Range, Index, Member, IndexReduction,
                            List, Tuple, Paren, AllBut, If, Scan>;
  SourceSpan span;
  Node node;
  uint32_t height = 1;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&node);
  }
};

// ---- declarations and statements ----

struct Parameter {
  SourceSpan span;
  Ident name;
  std::optional<ShapeType> type;
  ExprPtr fallback;  // the default value; null where there is none
};

// use nn
struct Use {
  Ident module;
};

// dim T = 128; `dim T` alone (value null) declares a name to be a dimension that is bound from outside.
struct Dim {
  Ident name;
  ExprPtr value;
};

// A function's body is an expression (`= e`) or a block with a return.
using Body = std::variant<ExprPtr, Block>;

struct Fn {
  Ident name;
  std::vector<Parameter> parameters;
  std::vector<ShapeType> results;  // none, one, or -> ([N], [N, 2])
  Body body;
};

// Names on the left of `=`: one name, or a list in which parentheses nest: `hs, (h, c) = ...`.
struct Target {
  SourceSpan span;
  std::optional<Ident> name;     // missing: a group
  std::vector<Target> elements;  // of a group
};

// y = e, a, b = e, y: [N, 4] = e (the type only with a single name)
struct Bind {
  std::vector<Target> targets;
  std::optional<ShapeType> type;
  ExprPtr value;
};

// s[b, h, q, t] = e, optionally with the output's shape: y[n, i]: [N, 8] = e
struct IndexBind {
  Ident name;
  std::vector<Ident> indices;
  std::optional<ShapeType> type;
  ExprPtr value;
};

struct Param {
  Ident name;
  ShapeType type;
  ExprPtr initial;
};

struct State {
  Ident name;
  std::optional<ShapeType> type;  // may be missing in optimizers: the parameter's own
  ExprPtr initial;
};

struct Update {
  Ident name;
  ExprPtr value;
};

struct For {
  Ident variable;
  ExprPtr range;
  Block body;
};

struct Emit {
  ExprPtr value;  // `emit a, b` is a Tuple
};

struct Return {
  ExprPtr value;  // `return a, b` is a Tuple
};

struct Assert {
  ExprPtr condition;
  std::optional<Ident> message;  // the text without quotes
};

struct ExprStmt {
  ExprPtr value;
};

struct Stmt {
  using Node = std::variant<Bind, IndexBind, Dim, Param, State, Update, Fn, If, For, Emit, Return, Assert, ExprStmt>;
  SourceSpan span;
  Node node;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&node);
  }
};

// ---- items of a file ----

// layer Name(configuration)(tensors) -> [..., units] { ... }
struct Layer {
  Ident name;
  std::vector<Parameter> configuration;
  std::vector<Parameter> tensors;
  std::vector<ShapeType> results;
  Block body;
};

struct Model {
  Ident name;
  std::vector<Parameter> inputs;
  Block body;
};

// optimizer adam(lr = 1e-3)(theta, g, t) { ... }
struct Optimizer {
  Ident name;
  std::vector<Parameter> configuration;
  std::vector<Parameter> arguments;
  Block body;
};

// derivative safe_norm(x; y, ct) = e: of inputs, the value y and its cotangent; a tuple for several inputs.
struct Derivative {
  Ident function;
  std::vector<Ident> inputs;
  Ident value, cotangent;
  Body body;
};

// csv("data/digits.csv", header = true) { image = columns(0..64) / 16; label = int(column(64)) }
struct DataBinding {
  SourceSpan span;
  Ident name;
  ExprPtr value;
};
struct DataReader {
  SourceSpan span;
  Ident reader;
  std::vector<Argument> arguments;
  std::vector<DataBinding> bindings;
  SourceSpan block;  // missing: no { ... }
};

// key = value; the keys `data` and `test` hold a reader where the value is a call or has a block.
struct TrainEntry {
  SourceSpan span;
  Ident key;
  ExprPtr value;                       // null where there is a reader
  std::unique_ptr<DataReader> reader;  // null where there is a value
};

// minimize loss over "critic.*" with adam(lr = 1e-4) every 5
struct Minimize {
  SourceSpan span;
  Ident loss;
  ExprPtr over;       // null: every parameter
  ExprPtr optimizer;  // null: the block's `optimizer`
  ExprPtr every;      // null: every step
};

struct Train {
  Ident model;
  std::vector<TrainEntry> entries;
  std::vector<Minimize> minimize;
  SourceSpan block;
};

struct Item {
  using Node = std::variant<Use, Dim, Fn, Layer, Model, Train, Optimizer, Derivative>;
  SourceSpan span;
  Node node;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&node);
  }
};

struct Comment {
  SourceSpan span;        // from '#' to the end of the line
  bool own_line = false;  // nothing but blanks before it
};

struct File {
  FileId id;
  std::vector<Item> items;
  std::vector<Comment> comments;  // in source order
};

// ---- helpers ----

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

const char* spelling(BinaryOp op);  // "+", "and"
const char* spelling(UnaryOp op);   // "-", "not"
bool is_comparison(BinaryOp op);
bool is_reducer(Symbol name);  // sum, mean, product, max, min, argmax, argmin

// The expression inside any parentheses.
const Expr& strip(const Expr& e);
// "h1.W", "x[0][1].a.W", "x.1.gamma" where the expression is a path of names and constant indices.
std::optional<std::string> path_of(const Expr& e);

}  // namespace gradc::ast
