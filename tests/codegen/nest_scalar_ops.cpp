#include <limits>

#include <fmt/format.h>

#include "tests/support/nest_program.h"

// Every scalar opcode over every pair of special operands, as vectors with a rest, as scalars, and against constants.

using namespace gradc;

namespace {

std::vector<double> interesting(Element e) {
  constexpr double infinity = std::numeric_limits<double>::infinity(), nan_value = std::numeric_limits<double>::quiet_NaN();
  if (e == Element::Bool) return {0, 1};
  if (e == Element::Int) return {0, 1, -1, 2, -2, 3, 7, -7, 10, 63, 64, 1e9, -1e9, 0x1p62, -0x1p63};
  return {0.0, -0.0, 0.5, -0.5, 1, -1, 1.5, -1.5, 2.5, 3, -7.25, 1e-40, 1e10, -1e10, 1e19, -1e19, 3e38, infinity, -infinity, nan_value};
}

struct Operands {
  Tensor a, b;
};

Operands pairs(Element e) {
  std::vector<double> v = interesting(e);
  auto n = static_cast<int64_t>(v.size());
  Type type{e, {{n * n, {}}}};
  Operands o{Tensor::zeros(type), Tensor::zeros(type)};
  for (int64_t i = 0; i < n * n; ++i) o.a.set(i, v[static_cast<size_t>(i / n)]), o.b.set(i, v[static_cast<size_t>(i % n)]);
  return o;
}

const char* code = R"(
buffer b0 input "a" {0}[{2}]
buffer b1 input "b" {0}[{2}]
buffer b2 output "c" {1}[{2}]
body 0 "op" nest (s0: {0}, s1: {0}, s2: out {1})
  dim i0 = {2}
  {3}
  for i0{4}
    section
      v0: {0} = load s0[i0]
      v1: {0} = {5}
      v2: bool = ne v1 v1
      v3: {1} = {6}
      store {1} s2[i0] = v3
call "k" body 0 (b0, b1, b2)
)";

void check_op(const std::string& op, Element from, Element to, const std::string& second, bool vector, double tolerance = 0) {
  Operands o = pairs(from);
  KernelProgram p = test::parse_program(fmt::format(fmt::runtime(code), name(from), name(to), o.a.type.count(), vector ? "vector i0" : "accumulators 2",
                                                    vector ? " vector" : "", second, op));
  test::check_program(p, {{"a", o.a}, {"b", o.b}}, tolerance);
}

constexpr Element numbers[] = {Element::Int, Element::F32, Element::F64};

}  // namespace

TEST_CASE("arithmetic of special operands") {
  for (Element e : numbers) {
    for (const char* op : {"add", "sub", "mul", "div", "rem", "min", "max"}) {
      for (bool vector : {false, true}) check_op(fmt::format("{} v0 v1", op), e, e, "load s1[i0]", vector);
    }
    for (const char* op : {"neg", "abs", "floor", "ceil", "round"}) check_op(fmt::format("{} v0", op), e, e, "load s1[i0]", true);
    check_op("fma v0 v1 v0", e, e, "load s1[i0]", true);
    check_op("select v2 v0 v1", e, e, "load s1[i0]", true);
  }
  for (Element e : {Element::F32, Element::F64}) check_op("sqrt v0", e, e, "load s1[i0]", true);
}

TEST_CASE("integer powers") {
  for (bool vector : {false, true}) check_op("pow v0 v1", Element::Int, Element::Int, "load s1[i0]", vector);
}

TEST_CASE("extremes and quotients against constants") {
  for (const char* c : {"0", "-0", "3", "inf", "-inf", "nan"}) {
    for (const char* op : {"min v0 v1", "max v0 v1", "min v1 v0", "max v1 v0"}) check_op(op, Element::F32, Element::F32, fmt::format("const {}", c), true);
  }
  for (const char* c : {"0", "-0"}) {
    for (const char* op : {"min v0 v1", "max v0 v1"}) check_op(op, Element::F64, Element::F64, fmt::format("const {}", c), true);
  }
  for (const char* c : {"0", "-1", "3"}) {
    for (const char* op : {"max v0 v1", "div v0 v1", "rem v0 v1"}) check_op(op, Element::Int, Element::Int, fmt::format("const {}", c), true);
  }
}

TEST_CASE("comparisons and logic") {
  for (Element e : {Element::Bool, Element::Int, Element::F32, Element::F64}) {
    for (const char* op : {"lt", "le", "eq", "ne"}) check_op(fmt::format("{} v0 v1", op), e, Element::Bool, "load s1[i0]", true);
  }
  for (const char* op : {"and v0 v1", "or v0 v1", "not v0"}) {
    for (bool vector : {false, true}) check_op(op, Element::Bool, Element::Bool, "load s1[i0]", vector);
  }
}

TEST_CASE("casts between all elements") {
  for (Element from : {Element::Bool, Element::Int, Element::F32, Element::F64}) {
    for (Element to : {Element::Bool, Element::Int, Element::F32, Element::F64}) {
      for (bool vector : {false, true}) check_op("cast v0", from, to, "load s1[i0]", vector);
    }
  }
}
