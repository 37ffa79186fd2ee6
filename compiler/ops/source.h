#pragma once

#include "compiler/ops/rules.h"

// Values that are computed from nothing: inputs, constants, indices, random numbers.
namespace gradc::ops {

struct Input {
  static Op info() {
    return {.name = "input",
            .kind = OpKind::Input,
            .arity = 0,
            .doc = "a value from outside the graph",
            .convention = "role is data, parameter, state, step (scalar f64, counts from 1) or seed (scalar int); in the body of a "
                          "scan carry, element or constant"};
  }
  static constexpr AttrSpec attributes[] = {{"name", AttrKind::Text},
                                            {"role", AttrKind::Text},
                                            {"element", AttrKind::ElementName},
                                            {"sizes", AttrKind::Integers}};
  static TypeResult type(TypeArgs t) {
    Symbol role = t.attrs.text("role");
    TypeResult r = t.declared(anything);
    if (role == Symbol(role::step) && !(*r.type == Type{Element::F64, {}})) return refuse("the step is a scalar f64");
    if (role == Symbol(role::seed) && !(*r.type == Type{Element::Int, {}})) return refuse("the seed is a scalar int");
    for (const char* known : {role::data, role::parameter, role::state, role::step, role::seed, role::carry, role::element, role::constant}) {
      if (role == Symbol(known)) return r;
    }
    return refuse("no role is called '{}'", role);
  }
  static Grads vjp(Expr, Expr) { return {}; }
  static std::vector<OpExample> examples() {
    return {{{},
             {{"name", Symbol("w")},
              {"role", Symbol(role::parameter)},
              {"element", Symbol("f64")},
              {"sizes", std::vector<int64_t>{2, 3}}}}};
  }
};

struct Constant {
  static Op info() {
    return {.name = "constant",
            .kind = OpKind::Constant,
            .arity = 0,
            .doc = "the same value in every element",
            .convention = "rounded to the element type; int takes whole numbers, bool 0 and 1"};
  }
  static constexpr AttrSpec attributes[] = {
      {"value", AttrKind::Number}, {"element", AttrKind::ElementName}, {"sizes", AttrKind::Integers}};
  static TypeResult type(TypeArgs t) {
    TypeResult r = t.declared(anything);
    double v = t.attrs.number("value");
    // Whole numbers up to 2^53 are exact in a double.
    bool whole = v >= -0x1p53 && v <= 0x1p53 && v == static_cast<double>(static_cast<int64_t>(v));
    if (r.type->element == Element::Int && !whole) return refuse("{} is not an int", v);
    if (r.type->element == Element::Bool && v != 0 && v != 1) return refuse("{} is not a bool", v);
    return r;
  }
  static Grads vjp(Expr, Expr) { return {}; }
  static std::vector<OpExample> examples() {
    return {{{}, {{"value", 2.5}, {"element", Symbol("f64")}, {"sizes", std::vector<int64_t>{2, 3}}}},
            {{}, {{"value", 7.0}, {"element", Symbol("int")}, {"sizes", std::vector<int64_t>{}}}}};
  }
};

struct Iota {
  static Op info() {
    return {.name = "iota",
            .kind = OpKind::Iota,
            .arity = 0,
            .doc = "the index along an axis",
            .convention = "counts from 0; in floats rounded to nearest"};
  }
  static constexpr AttrSpec attributes[] = {
      {"axis", AttrKind::Integer}, {"element", AttrKind::ElementName}, {"sizes", AttrKind::Integers}};
  static TypeResult type(TypeArgs t) {
    TypeResult r = t.declared(numbers);
    if (r.type && !in_range(t.integer("axis"), r.type->rank())) return refuse("there is no axis {}", t.integer("axis"));
    return r;
  }
  static Grads vjp(Expr, Expr) { return {}; }
  static std::vector<OpExample> examples() {
    return {{{}, {{"axis", int64_t{1}}, {"element", Symbol("int")}, {"sizes", std::vector<int64_t>{2, 3}}}},
            {{}, {{"axis", int64_t{0}}, {"element", Symbol("f64")}, {"sizes", std::vector<int64_t>{4}}}}};
  }
};

struct Random {
  static Op info() {
    return {.name = "random",
            .kind = OpKind::Random,
            .arity = 2,
            .doc = "uniform in [0, 1): Philox 4x32-10 of (seed, step, site, index)",
            .convention = "24 random bits in f32, 53 in f64; a constant to derivatives",
            .index_operands = 0b11};
  }
  static constexpr AttrSpec attributes[] = {
      {"site", AttrKind::Integer}, {"element", AttrKind::ElementName}, {"sizes", AttrKind::Integers}};
  static TypeResult type(TypeArgs t) {
    if (!(t[0] == Type{Element::Int, {}})) return refuse("the seed is {}, not a scalar int", to_string(t[0]));
    if (t[1].rank() != 0 || t[1].element == Element::Bool)
      return refuse("the step is {}, not a scalar number", to_string(t[1]));
    return t.declared(floats);
  }
  static Grads vjp(Expr, Expr, Expr, Expr) { return {no_gradient, no_gradient}; }
  static std::vector<OpExample> examples() {
    return {{{{Element::Int, {}}, {Element::F64, {}}},
             {{"site", int64_t{3}}, {"element", Symbol("f64")}, {"sizes", std::vector<int64_t>{2, 3}}}}};
  }
};

}  // namespace gradc::ops
