#include <catch2/catch.hpp>

#include <cmath>
#include <limits>

#include "compiler/eval/values.h"
#include "tests/support/fixture.h"

using namespace gradc;
using namespace gradc::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
const double nan_value = std::numeric_limits<double>::quiet_NaN();

// One opcode on one element.
double run(ScalarOp op, Element e, const std::vector<double>& args, Element result) {
  ScalarProgram p;
  std::vector<Tensor> tensors;
  ScalarInst inst{.op = op, .type = result};
  for (size_t i = 0; i < args.size(); ++i) {
    Element of_arg = op == ScalarOp::Select && i == 0 ? Element::Bool : e;
    p.arguments.push_back(of_arg);
    tensors.push_back(tensor(type_of(of_arg, {}), {args[i]}));
    inst.args[i] = static_cast<int32_t>(i);
  }
  std::vector<const Tensor*> operands;
  for (const Tensor& t : tensors) operands.push_back(&t);
  p.insts = {inst};
  p.result = static_cast<int32_t>(args.size());
  return run_program(p, operands, type_of(result, {})).at(0);
}
double run(ScalarOp op, Element e, const std::vector<double>& args) { return run(op, e, args, result_element(op, e)); }

bool same(double a, double b) { return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b)); }

}  // namespace

TEST_CASE("min and max spread NaN and order zeros") {
  for (Element e : {Element::F32, Element::F64}) {
    for (ScalarOp op : {ScalarOp::Min, ScalarOp::Max}) {
      CHECK(std::isnan(run(op, e, {nan_value, 1})));
      CHECK(std::isnan(run(op, e, {1, nan_value})));
      CHECK(std::isnan(run(op, e, {inf, nan_value})));
    }
    CHECK(same(run(ScalarOp::Min, e, {0, -0.0}), -0.0));
    CHECK(same(run(ScalarOp::Min, e, {-0.0, 0}), -0.0));
    CHECK(same(run(ScalarOp::Max, e, {0, -0.0}), 0));
    CHECK(same(run(ScalarOp::Max, e, {-0.0, 0}), 0));
    CHECK(run(ScalarOp::Min, e, {-3, 2}) == -3);
    CHECK(run(ScalarOp::Max, e, {-3, 2}) == 2);
  }
}

TEST_CASE("whole numbers never trap and wrap") {
  auto i = [](ScalarOp op, std::vector<double> args) { return run(op, Element::Int, args); };
  CHECK(i(ScalarOp::Div, {7, 2}) == 3);
  CHECK(i(ScalarOp::Div, {-7, 2}) == -3);
  CHECK(i(ScalarOp::Div, {5, 0}) == 0);
  CHECK(i(ScalarOp::Rem, {-7, 3}) == -1);
  CHECK(i(ScalarOp::Rem, {7, -3}) == 1);
  CHECK(i(ScalarOp::Rem, {7, 0}) == 0);
  CHECK(i(ScalarOp::Div, {-0x1p63, -1}) == -0x1p63);
  CHECK(i(ScalarOp::Rem, {-0x1p63, -1}) == 0);
  CHECK(i(ScalarOp::Abs, {-0x1p63}) == -0x1p63);
  CHECK(i(ScalarOp::Neg, {-0x1p63}) == -0x1p63);
  CHECK(i(ScalarOp::Pow, {3, 13}) == 1594323);
  CHECK(i(ScalarOp::Pow, {-2, 63}) == -0x1p63);
  CHECK(i(ScalarOp::Pow, {2, 64}) == 0);
  CHECK(i(ScalarOp::Pow, {2, -1}) == 0);
  CHECK(i(ScalarOp::Pow, {0, 0}) == 1);
  CHECK(i(ScalarOp::Fma, {3, 4, 5}) == 17);
}

TEST_CASE("comparisons are false on NaN but for ne") {
  for (ScalarOp op : {ScalarOp::Lt, ScalarOp::Le, ScalarOp::Eq}) {
    CHECK(run(op, Element::F64, {nan_value, 1}) == 0);
    CHECK(run(op, Element::F64, {nan_value, nan_value}) == 0);
  }
  CHECK(run(ScalarOp::Ne, Element::F64, {nan_value, nan_value}) == 1);
  CHECK(run(ScalarOp::Eq, Element::F32, {0, -0.0}) == 1);
  CHECK(run(ScalarOp::Lt, Element::Int, {-1, 0}) == 1);
}

TEST_CASE("casts truncate, saturate and send NaN to zero") {
  auto to_int = [](double v) { return run(ScalarOp::Cast, Element::F64, {v}, Element::Int); };
  CHECK(to_int(2.9) == 2);
  CHECK(to_int(-2.9) == -2);
  CHECK(to_int(nan_value) == 0);
  CHECK(to_int(1e30) == static_cast<double>(INT64_MAX));
  CHECK(to_int(-inf) == static_cast<double>(INT64_MIN));
  CHECK(run(ScalarOp::Cast, Element::F64, {0.1}, Element::F32) == double(0.1f));
  CHECK(run(ScalarOp::Cast, Element::F64, {0.5}, Element::Bool) == 1);
  CHECK(run(ScalarOp::Cast, Element::F64, {-0.0}, Element::Bool) == 0);
  CHECK(run(ScalarOp::Cast, Element::F64, {nan_value}, Element::Bool) == 1);
  CHECK(run(ScalarOp::Cast, Element::Bool, {1}, Element::F32) == 1);
  // Straight to f32: by way of f64 the halfway case would round twice, down to 2^60.
  Tensor wide = Tensor::zeros(type_of(Element::Int, {}));
  wide.as<int64_t>()[0] = (int64_t{1} << 60) + (int64_t{1} << 36) + 1;
  ScalarProgram p{{Element::Int}, {{.op = ScalarOp::Cast, .type = Element::F32, .args = {0, -1, -1}}}, 1};
  CHECK(run_program(p, {&wide}, type_of(Element::F32, {})).at(0) == 0x1p60 + 0x1p37);
}

TEST_CASE("f32 is rounded after every instruction") {
  ScalarProgram p;
  p.arguments = {Element::F32};
  ScalarExpr x(&p, 0);
  p.result = ((x + 1.0) - 100000000.0).id;
  Tensor in = tensor(type_of(Element::F32, {1}), {1e8});
  CHECK(run_program(p, {&in}, in.type).at(0) == 0);
  p = {};
  p.arguments = {Element::F64};
  p.result = ((ScalarExpr(&p, 0) + 1.0) - 100000000.0).id;
  Tensor wide = tensor(type_of(Element::F64, {1}), {1e8});
  CHECK(run_program(p, {&wide}, wide.type).at(0) == 1);
}

TEST_CASE("fma rounds once") {
  double a = 1 + 0x1p-12;
  CHECK(run(ScalarOp::Fma, Element::F32, {a, a, -1 - 0x1p-11}) == 0x1p-24);
  // 1 + 2^-24 + 2^-60, just above a tie of f32; by way of f64 it would land on the tie and go down to 1.
  CHECK(run(ScalarOp::Fma, Element::F32, {1 + 0x1p-12, 0x1p-24 * (1 - 0x1p-12 + 0x1p-24), 1}) == 1 + 0x1p-23);
  double e = 1 + 0x1p-27;
  CHECK(run(ScalarOp::Fma, Element::F64, {e, e, -1 - 0x1p-26}) == 0x1p-54);
}

TEST_CASE("special values of functions") {
  CHECK(run(ScalarOp::Rsqrt, Element::F64, {4}) == 0.5);
  CHECK(run(ScalarOp::Rsqrt, Element::F64, {-0.0}) == -inf);
  CHECK(run(ScalarOp::Rsqrt, Element::F32, {inf}) == 0);
  CHECK(run(ScalarOp::Exp, Element::F32, {100}) == inf);
  CHECK(run(ScalarOp::Log, Element::F64, {0}) == -inf);
  CHECK(same(run(ScalarOp::Log1p, Element::F64, {-0.0}), -0.0));
  CHECK(run(ScalarOp::Pow, Element::F64, {nan_value, 0}) == 1);
  CHECK(run(ScalarOp::Rem, Element::F64, {-7.5, 2}) == -1.5);
  CHECK(run(ScalarOp::Round, Element::F64, {2.5}) == 2);
  CHECK(run(ScalarOp::Round, Element::F64, {-0.5}) == 0);
  CHECK(std::signbit(run(ScalarOp::Round, Element::F64, {-0.5})));
  CHECK(run(ScalarOp::Exp, Element::F32, {-103}) == double(std::ldexp(1.0, -149)));  // the smallest subnormal
  CHECK(run(ScalarOp::Select, Element::F64, {0, nan_value, 3}) == 3);
}

TEST_CASE("programs run over more than one chunk") {
  ScalarProgram p;
  p.arguments = {Element::F64, Element::F64};
  p.result = (ScalarExpr(&p, 0) * ScalarExpr(&p, 1) + 1.0).id;
  std::vector<double> a, b;
  for (int i = 0; i < 1000; ++i) {
    a.push_back(i);
    b.push_back(0.5 * i);
  }
  Type t = type_of(Element::F64, {10, 100});
  Tensor x = tensor(t, a), y = tensor(t, b), z = run_program(p, {&x, &y}, t);
  for (int i = 0; i < 1000; ++i) REQUIRE(z.at(i) == 0.5 * i * i + 1);
}
