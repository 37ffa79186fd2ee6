#include <catch2/catch.hpp>

#include "tests/support/contraction_body.h"
#include "tests/support/nest_program.h"

using namespace gradc;
using test::ProductShape;

namespace {

struct Panels {
  ProductShape shape;
  int64_t columns;  // of a panel
  int64_t kc = 256, block_n = 1 << 20;
};

KernelBody plain_body(const Panels& p, const Target& target) {
  KernelBody body = test::product_body(p.shape, target);
  auto& c = std::get<Contraction>(body.form);
  c.nr = p.columns, c.kc = p.kc, c.block_n = p.block_n;
  return body;
}

// The same product with its right operand in panels.
KernelBody panel_body(const Panels& p, const Target& target) {
  KernelBody body = plain_body(p, target);
  auto& c = std::get<Contraction>(body.form);
  c.panels = p.columns;
  c.rhs[0].access.at = {0, std::vector<int64_t>(4, 0)};
  return body;
}

Type matrix(Element e, std::vector<int64_t> sizes) {
  Type t{e, {}};
  for (int64_t s : sizes) t.dims.push_back({s, {}});
  return t;
}

Tensor in_panels(const Tensor& rhs, const Panels& p) {
  const int64_t count = (p.shape.n + p.columns - 1) / p.columns;
  Tensor t = Tensor::zeros(matrix(p.shape.element, {count, p.shape.k, p.columns}));
  for (int64_t k = 0; k < p.shape.k; ++k) {
    for (int64_t n = 0; n < p.shape.n; ++n) t.set(((n / p.columns) * p.shape.k + k) * p.columns + n % p.columns, rhs.at(k * p.shape.n + n));
  }
  return t;
}

}  // namespace

TEST_CASE("products read a right operand in panels, with the bits of the plain product") {
  // No rest of a single row beside narrow panels: its sums run in several chains over k, as many as the tile's width leaves idle, and
  // the plain product may choose another width.
  const Panels cases[] = {{{.m = 9, .n = 48, .k = 37}, 16},       {{.m = 32, .n = 40, .k = 20}, 16}, {{.m = 8, .n = 100, .k = 70}, 24, 32},
                          {{.m = 13, .n = 96, .k = 33}, 32, 16, 32}, {{.m = 5, .n = 33, .k = 9, .element = Element::F64}, 8}};
  for (const Panels& p : cases) {
    for (const Target& target : test::nest_targets()) {
      INFO(p.shape.m << " x " << p.shape.n << " x " << p.shape.k << ", panels of " << p.columns << " on " << target.cpu);
      const Type lhs = matrix(p.shape.element, {p.shape.m, p.shape.k}), rhs = matrix(p.shape.element, {p.shape.k, p.shape.n});
      const Type out = matrix(p.shape.element, {p.shape.m, p.shape.n});
      const std::map<Symbol, Tensor> plain_inputs{{"s0", test::some_numbers(lhs, 3)}, {"s1", test::some_numbers(rhs, 4)}};
      std::map<Symbol, Tensor> panel_inputs = plain_inputs;
      panel_inputs["s1"] = in_panels(plain_inputs.at("s1"), p);
      const KernelProgram plain = test::program_of(plain_body(p, target), target, {lhs, rhs, out});
      const KernelProgram panels = test::program_of(panel_body(p, target), target, {lhs, panel_inputs.at("s1").type, out});
      REQUIRE(verify(panels) == std::vector<std::string>{});
      const auto got = test::run_program(panels, *compile(panels, {}), panel_inputs);
      CHECK(got.outputs.at("s2").bytes == test::run_program(plain, *compile(plain, {}), plain_inputs).outputs.at("s2").bytes);
      const test::StepResult interpreted = test::run_kernels(panels, panel_inputs);
      CHECK(interpreted.problems.empty());
      for (int64_t i = 0; i < out.count(); ++i) CHECK(got.outputs.at("s2").at(i) == Approx(interpreted.outputs.at("s2").at(i)).epsilon(1e-4));
      CHECK(bytes_touched(panels.bodies[0]) == bytes_touched(plain.bodies[0]));
    }
  }
}

TEST_CASE("panels that do not fit are refused") {
  const Target target = test::nest_targets().front();
  const Panels p{{.m = 4, .n = 40, .k = 10}, 16};
  const std::vector<Type> slots{matrix(Element::F32, {4, 10}), matrix(Element::F32, {3, 10, 16}), matrix(Element::F32, {4, 40})};
  auto problems = [&](const KernelBody& body, std::vector<Type> types) { return verify(test::program_of(body, target, types)); };
  KernelBody body = panel_body(p, target);
  CHECK(problems(body, slots).empty());
  CHECK(problems(body, {slots[0], matrix(Element::F32, {10, 40}), slots[2]}) == std::vector<std::string>{"body 'product': s1 has no room for 48 columns in panels of 16"});
  std::get<Contraction>(body.form).block_n = 24;
  CHECK(problems(body, slots).at(0) == "body 'product': blocks of 24 columns end within panels of 16");
  body = panel_body(p, target);
  std::get<Contraction>(body.form).rhs[0].access.at.strides[2] = 1;
  CHECK(problems(body, slots).at(0) == "body 'product': panels of what is not a load of all of them");
}
