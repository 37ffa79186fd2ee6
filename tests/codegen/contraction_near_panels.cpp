// Right operands that stay in L1, and those that are turned where they lie (ContractionPlan::rows_whole, source_n).
#include "compiler/codegen/contraction_plan.h"
#include "compiler/jit/tiles.h"
#include "tests/support/contraction_check.h"

using namespace gradc;
using test::ProductShape;

namespace {

struct Thin {
  ProductShape shape;
  int64_t block_m = 1 << 20, block_n = 1 << 20, kc = 256;
};

KernelBody thin_body(const Thin& c, const Target& target) {
  KernelBody body = test::product_body(c.shape, target);
  auto& form = std::get<Contraction>(body.form);
  form.block_m = c.block_m, form.block_n = c.block_n, form.kc = c.kc;
  return body;
}

std::vector<Type> slots_of(const ProductShape& s) {
  return {test::vector_type(s.element, s.batch * s.m * s.k), test::vector_type(s.element, s.batch * s.k * s.n), test::vector_type(s.element, s.batch * s.m * s.n)};
}

ContractionPlan plan_of(const KernelBody& body, const Target& target) { return plan(std::get<Contraction>(body.form), target); }

// With another operation in front of the right operand.
KernelBody negated(KernelBody body, Element e) {
  auto& c = std::get<Contraction>(body.form);
  c.rhs = {c.rhs[0], test::compute_stmt(3, ScalarOp::Neg, e, {1, -1, -1}), test::yield_stmt(3, e)};
  return body;
}
KernelBody with_tanh(KernelBody body, Element e) {
  auto& c = std::get<Contraction>(body.form);
  Stmt store = c.epilogue.back();
  store.args[0] = 3;
  c.epilogue.back() = test::compute_stmt(3, ScalarOp::Tanh, e, {2, -1, -1});
  c.epilogue.push_back(store);
  return body;
}

}  // namespace

TEST_CASE("where all panels stay in L1, rows of tiles are finished one after the other") {
  // Whole panels and a rest, rests of rows and of 16 bytes along k, blocks of rows, a batch.
  const Thin cases[] = {{{.m = 70, .n = 256, .k = 10}},
                        {{.m = 61, .n = 203, .k = 7}, 40},
                        {{.m = 75, .n = 130, .k = 11, .batch = 2}, 32, 160},
                        {{.m = 64, .n = 160, .k = 3}, 32},
                        {{.m = 70, .n = 120, .k = 9, .element = Element::F64}, 40}};
  for (const Target& target : test::nest_targets())
    for (const Thin& c : cases)
      for (bool turned : {false, true}) {
        Thin t = c;
        t.shape.transposed_rhs = turned;
        const Element e = t.shape.element;
        const KernelBody body = thin_body(t, target);
        INFO(t.shape.m << " x " << t.shape.n << " x " << t.shape.k << " for " << target.cpu);
        for (const KernelBody& b : {body, with_tanh(body, e), negated(body, e)}) {
          CHECK(plan_of(b, target).rows_whole);
          test::check_body(b, target, slots_of(t.shape), t.shape.k);
        }
        Target small = target;  // rows in several chunks
        small.l2_bytes = 512;
        CHECK(plan_of(body, small).chunk_rows < std::min(t.block_m, t.shape.m));
        test::check_body(body, small, slots_of(t.shape), t.shape.k);
      }
}

TEST_CASE("rows are not finished one by one where panels would not stay, or there is one") {
  for (const Target& target : test::nest_targets()) {
    const int64_t nr = 2 * target.vector_bytes / 4;
    auto whole = [&](const Thin& t) { return plan_of(thin_body(t, target), target).rows_whole; };
    CHECK(whole({{.m = 128, .n = 512, .k = 10}}));
    CHECK_FALSE(whole({{.m = 128, .n = 512, .k = 64}}));
    CHECK_FALSE(whole({{.m = 128, .n = nr, .k = 10}}));
    CHECK_FALSE(whole({{.m = 128, .n = 512, .k = 10}, 128, 256}));  // others have the columns beside
    CHECK_FALSE(whole({{.m = 4, .n = 512, .k = 10}}));
    CHECK_FALSE(whole({{.m = 128, .n = 64, .k = 64}, 128, 64, 16}));
  }
}

TEST_CASE("a right operand with elements along k is turned where it lies") {
  for (const Target& target : test::nest_targets())
    for (Element e : {Element::F32, Element::F64})
      for (int64_t k : {4, 5, 10, 33, 64}) {
        // Several blocks of k with a rest, columns a power of two apart; a batch.
        for (const Thin& t : {Thin{{.m = 40, .n = 96, .k = k, .transposed_rhs = true, .element = e}, 24},
                              Thin{{.m = 20, .n = 64, .k = k, .batch = 3, .transposed_rhs = true, .element = e}, 1 << 20, 64, 16}}) {
          const KernelBody body = thin_body(t, target);
          INFO(t.shape.m << " x " << t.shape.n << " x " << k << " for " << target.cpu);
          const bool last_is_short = (k - 1) % plan_of(body, target).kc + 1 < 16 / static_cast<int64_t>(byte_size(e));
          CHECK(plan_of(body, target).source_n == (last_is_short ? 0 : k));
          test::check_body(body, target, slots_of(t.shape), k);
        }
      }
}

TEST_CASE("it is evaluated first where it is no plain array of whole vectors") {
  for (const Target& target : test::nest_targets()) {
    auto source = [&](const ProductShape& s) { return plan_of(thin_body({s}, target), target).source_n; };
    CHECK(source({.m = 64, .n = 512, .k = 512, .transposed_rhs = true}) == 512);
    CHECK(source({.m = 64, .n = 512, .k = 3, .transposed_rhs = true}) == 0);  // less than 16 bytes
    CHECK(source({.m = 64, .n = 501, .k = 64, .transposed_rhs = true}) == 0);
    CHECK(source({.m = 64, .n = 512, .k = 64}) == 0);
    const KernelBody body = negated(thin_body({{.m = 64, .n = 512, .k = 64, .transposed_rhs = true}}, target), Element::F32);
    CHECK(plan_of(body, target).source_n == 0);
  }
}

TEST_CASE("one thread has one block of the rows that share a near right operand") {
  for (const Target& target : test::nest_targets())
    for (const auto& [shape, block, one] : {std::tuple{ProductShape{.m = 128, .n = 512, .k = 10}, int64_t{64}, true}, {ProductShape{.m = 128, .n = 512, .k = 64}, int64_t{64}, false}}) {
      const KernelProgram program = test::program_of(thin_body({shape, block, 512}, target), target, slots_of(shape));
      for (int threads : {0, 1, 2}) {
        KernelProgram suited = program;
        suit_threads(suited, threads);
        CHECK(std::get<Contraction>(suited.bodies[0].form).block_m == (threads == 1 && one ? 128 : 64));
      }
    }
}
