#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "compiler/autodiff/autodiff.h"
#include "compiler/ops/ops.h"
#include "tests/ops/harness.h"
#include "tests/ops/multiprecision.h"

// Folds over all point-wise operations: interpreter against multi-precision values, derivatives against multi-precision
// differences. A new operation is tested as soon as it is in the list.
using namespace gradc;
using namespace gradc::test;

namespace {

using Points = std::vector<std::vector<double>>;  // by operand, then by point

const double inf = INFINITY, not_a_number = std::numeric_limits<double>::quiet_NaN();

bool in_floats(const OpExample& e) {
  return std::none_of(e.operands.begin(), e.operands.end(), [](const Type& t) { return t.element == Element::Int; });
}

// Every combination of the given values of each operand.
Points combinations(const std::vector<std::vector<double>>& choices) {
  size_t count = 1;
  for (const auto& c : choices) count *= c.size();
  Points points(choices.size());
  for (size_t p = 0; p < count; ++p) {
    size_t rest = p;
    for (size_t i = 0; i < choices.size(); ++i) {
      points[i].push_back(choices[i][rest % choices[i].size()]);
      rest /= choices[i].size();
    }
  }
  return points;
}

Points special_points(const Op& op, const OpExample& e) {
  std::vector<std::vector<double>> choices;
  for (size_t i = 0; i < e.operands.size(); ++i) {
    choices.push_back(domain(op, i).special);
    choices[i].push_back((domain(op, i).low + domain(op, i).high) / 2);
    for (double& x : choices[i]) {
      if (e.operands[i].element == Element::F32) x = static_cast<float>(x);
      if (e.operands[i].element == Element::Bool) x = x != 0;
    }
  }
  return combinations(choices);
}

Points random_points(const Op& op, const OpExample& e, size_t count, bool smooth) {
  Numbers numbers(std::hash<std::string>{}(op.name));
  Points points(e.operands.size());
  for (size_t i = 0; i < points.size(); ++i) {
    for (size_t p = 0; p < count; ++p) points[i].push_back(draw(domain(op, i), e.operands[i].element, numbers, smooth));
  }
  return points;
}

Points ieee_points(const OpExample& e) {
  std::vector<std::vector<double>> choices;
  for (const Type& t : e.operands) {
    if (t.element == Element::Bool)
      choices.push_back({0, 1});
    else
      choices.push_back(
          {0.0, -0.0, 1, -1, 2, -3, 0.5, inf, -inf, not_a_number, t.element == Element::F32 ? 0x1p-149 : 0x1p-1074});
  }
  return combinations(choices);
}

std::vector<Element> elements(const OpExample& e) {
  std::vector<Element> list;
  for (const Type& t : e.operands) list.push_back(t.element);
  return list;
}

std::vector<Mp> arguments(const Points& points, size_t p) {
  std::vector<Mp> x;
  for (const auto& operand : points) x.emplace_back(operand[p]);
  return x;
}

// Inputs holding the points, and the operation on them.
struct Application : Fixture {
  std::vector<Expr> x;
  Expr y;
  Application(const Op& op, const OpExample& e, const Points& points) {
    for (size_t i = 0; i < points.size(); ++i) {
      x.push_back(input({e.operands[i].element, {{static_cast<int64_t>(points[i].size()), {}}}}, points[i]));
    }
    y = apply(op, x, e.attrs);
  }
};

void check_values(const Op& op, const OpExample& e, const Points& points) {
  Application a(op, e, points);
  Element element = a.y.element();
  double tolerance = element == Element::F32 ? op.ulp_f32 : op.ulp_f64;
  std::vector<double> got = a.eval(a.y);
  ScalarProgram program = op.program(elements(e), e.attrs);
  for (size_t p = 0; p < got.size(); ++p) {
    Mp exact = evaluate(program, arguments(points, p));
    INFO(describe(op, e));
    CAPTURE(points[0][p], points.back()[p], got[p], exact.to_double());
    // Half a unit is round to nearest; less is exact anyway.
    if (tolerance <= 0.5 && is_float(element)) {
      bool same = got[p] == nearest(exact, element) || (std::isnan(got[p]) && exact.is_nan());
      CHECK(same);
    } else {
      CHECK(ulp_distance(got[p], exact, element) <= tolerance);
    }
    if (is_float(element) && got[p] == 0 && mpfr_zero_p(exact.get())) CHECK(std::signbit(got[p]) == exact.negative());
  }
}

template <class F>
void for_each_pointwise(F f) {
  for (const Op* op : op_registry().all()) {
    if (op->kind != OpKind::Pointwise) continue;
    for (const OpExample& e : signatures(*op)) {
      if (in_floats(e)) f(*op, e);
    }
  }
}

bool carries_derivative(const Op& op, const OpExample& e, size_t i) {
  return is_float(e.operands[i].element) && !(op.index_operands >> i & 1) &&
         op.infer(e.operands, e.attrs).type->element == Element::F64;
}

// Central differences of the exact function; the step is far above the working precision and far below any feature.
const Mp step = std::ldexp(1.0, -80);

Mp shifted(const ScalarProgram& f, std::vector<Mp> x, size_t i, int di, size_t j, int dj) {
  x[i] = x[i] + Mp(di) * step;
  x[j] = x[j] + Mp(dj) * step;
  return evaluate(f, x);
}
double difference(const ScalarProgram& f, const std::vector<Mp>& x, size_t i) {
  return ((shifted(f, x, i, 1, i, 0) - shifted(f, x, i, -1, i, 0)) / (Mp(2) * step)).to_double();
}
double second_difference(const ScalarProgram& f, const std::vector<Mp>& x, size_t i, size_t j) {
  Mp sum =
      shifted(f, x, i, 1, j, 1) - shifted(f, x, i, 1, j, -1) - shifted(f, x, i, -1, j, 1) + shifted(f, x, i, -1, j, -1);
  return (sum / (Mp(4) * step * step)).to_double();
}

void check_close(const std::vector<double>& got, size_t p, double expected, double tolerance) {
  CAPTURE(p, got[p], expected);
  CHECK(std::fabs(got[p] - expected) <= tolerance * std::max(1.0, std::fabs(expected)));
}

}  // namespace

TEST_CASE("values are within their tolerance of multi-precision values") {
  for_each_pointwise([](const Op& op, const OpExample& e) {
    check_values(op, e, special_points(op, e));
    check_values(op, e, random_points(op, e, 300, false));
  });
}

TEST_CASE("zeros, infinities and NaN come out as the definition of each opcode says") {
  for_each_pointwise([](const Op& op, const OpExample& e) { check_values(op, e, ieee_points(e)); });
}

TEST_CASE("operations made of several opcodes are the function they claim to be") {
  using Definition = Mp (*)(const std::vector<Mp>&);
  const std::map<std::string, Definition> definitions = {
      {"sigmoid",
       [](const std::vector<Mp>& x) {
         Mp e(0, 4000);
         mpfr_neg(e.get(), x[0].get(), MPFR_RNDN);
         mpfr_exp(e.get(), e.get(), MPFR_RNDN);
         return Mp(1, 4000) / (Mp(1, 4000) + e);
       }},
      {"softplus",
       [](const std::vector<Mp>& x) {
         Mp e(0, 4000);
         mpfr_exp(e.get(), x[0].get(), MPFR_RNDN);
         Mp one_more = Mp(1, 4000) + e;
         mpfr_log(e.get(), one_more.get(), MPFR_RNDN);
         return e;
       }},
      {"sign", [](const std::vector<Mp>& x) { return mpfr_zero_p(x[0].get()) ? x[0] : Mp(x[0].negative() ? -1 : 1); }},
  };
  for_each_pointwise([&](const Op& op, const OpExample& e) {
    if (op.program(elements(e), e.attrs).insts.size() <= 1) return;
    INFO(op.name << " is made of several opcodes: state its definition in this test");
    REQUIRE(definitions.count(op.name) == 1);
    for (const Points& points : {special_points(op, e), random_points(op, e, 300, false)}) {
      Application a(op, e, points);
      std::vector<double> got = a.eval(a.y);
      for (size_t p = 0; p < got.size(); ++p) {
        CAPTURE(op.name, points[0][p], got[p]);
        CHECK(ulp_distance(got[p], definitions.at(op.name)(arguments(points, p)), a.y.element()) <=
              (a.y.element() == Element::F32 ? op.ulp_f32 : op.ulp_f64));
      }
    }
  });
}

TEST_CASE("derivatives agree with differences of multi-precision values, and so do second derivatives") {
  for_each_pointwise([](const Op& op, const OpExample& e) {
    if (!op.vjp) return;
    Points points = random_points(op, e, 40, true);
    ScalarProgram f = op.program(elements(e), e.attrs);
    for (size_t i = 0; i < points.size(); ++i) {
      if (!carries_derivative(op, e, i)) continue;
      Application a(op, e, points);
      // A cotangent that differs from point to point. Squares make second derivatives exist for linear operations too.
      std::vector<double> weight(points[0].size());
      for (size_t p = 0; p < weight.size(); ++p) weight[p] = 0.5 + 0.05 * static_cast<double>(p);
      Expr w = a.input(a.y.type(), weight);
      Expr first = grad(reduce_sum(w * a.y, {0}), a.x[i]);
      std::vector<double> got = a.eval(first);
      INFO(describe(op, e) << ", operand " << i);
      for (size_t p = 0; p < got.size(); ++p)
        check_close(got, p, weight[p] * difference(f, arguments(points, p), i),
                    e.operands[i].element == Element::F32 ? 1e-5 : 1e-13);
      if (e.operands[i].element == Element::F32) continue;
      for (size_t j = 0; j < points.size(); ++j) {
        if (!carries_derivative(op, e, j) || e.operands[j].element == Element::F32) continue;
        Expr square = grad(reduce_sum(w * a.y * a.y, {0}), a.x[i]);
        std::vector<double> second = a.eval(grad(reduce_sum(square, {0}), a.x[j]));
        INFO("and operand " << j);
        for (size_t p = 0; p < second.size(); ++p) {
          std::vector<Mp> x = arguments(points, p);
          double y = evaluate(f, x).to_double();
          double expected =
              2 * weight[p] * (difference(f, x, i) * difference(f, x, j) + y * second_difference(f, x, i, j));
          check_close(second, p, expected, 1e-11);
        }
      }
    }
  });
}

TEST_CASE("operations on floats without a derivative are refused with their reason") {
  for_each_pointwise([](const Op& op, const OpExample& e) {
    if (op.vjp || op.infer(e.operands, e.attrs).type->element != Element::F64) return;
    INFO(op.name);
    Application a(op, e, random_points(op, e, 3, true));
    a.graph.outputs = {{"g", OutputKind::Value, grad(reduce_sum(a.y, {0}), a.x[0]).id}};
    AutodiffResult r = expand_gradients(a.graph);
    REQUIRE(r.problems.size() == 1);
    CHECK(r.problems[0].kind == AutodiffProblem::NotDifferentiable);
    CHECK(r.problems[0].node == a.y.id);
    CHECK(r.problems[0].reason.find(op.not_differentiable) != std::string::npos);
  });
}
