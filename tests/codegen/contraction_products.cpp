#include <algorithm>
#include <sstream>

#include <catch2/catch.hpp>

#include "compiler/codegen/contraction_plan.h"
#include "tests/support/contraction_check.h"

using namespace gradc;
using test::check_body;
using test::compute_stmt;
using test::load_stmt;
using test::ProductShape;
using test::store_stmt;
using test::vector_type;

namespace {

void check_product(const ProductShape& s, const Target& target, int64_t block_m = 1 << 30, int64_t block_n = 256, int64_t kc = 256) {
  KernelBody body = test::product_body(s, target);
  auto& form = std::get<Contraction>(body.form);
  form.block_m = block_m, form.block_n = block_n, form.kc = kc;
  const Type lhs = vector_type(s.element, s.batch * s.m * s.k), rhs = vector_type(s.element, s.batch * s.k * s.n);
  check_body(body, target, {lhs, rhs, vector_type(s.element, s.batch * s.m * s.n)}, s.k);
}

std::string product_text(const KernelBody& body, const ProductShape& s, const Target& target) {
  const Type lhs = vector_type(s.element, s.m * s.k), rhs = vector_type(s.element, s.k * s.n), out = vector_type(s.element, s.m * s.n);
  return llvm_text(test::program_of(body, target, {lhs, rhs, out}));
}

std::string product_text(const ProductShape& s, const Target& target) { return product_text(test::product_body(s, target), s, target); }

}  // namespace

TEST_CASE("products of all small and odd sizes") {
  for (const Target& target : test::nest_targets())
    for (auto [m, n, k] : std::vector<std::array<int64_t, 3>>{{1, 1, 1}, {1, 1, 17}, {1, 33, 5}, {5, 1, 9}, {7, 10, 3}, {13, 15, 16}, {15, 16, 31},
                                                              {17, 40, 4}, {29, 65, 33}, {3, 100, 7}, {64, 31, 2}})
      for (bool lhs : {false, true})
        for (bool rhs : {false, true}) check_product({.m = m, .n = n, .k = k, .transposed_lhs = lhs, .transposed_rhs = rhs}, target);
}

TEST_CASE("products with few columns, whose sides are swapped") {
  for (const Target& target : test::nest_targets())
    for (int64_t n : {1, 2, 3, 4})
      for (bool lhs : {false, true})
        for (bool rhs : {false, true}) {
          check_product({.m = 35, .n = n, .k = 37, .transposed_lhs = lhs, .transposed_rhs = rhs}, target);
          check_product({.m = 70, .n = n, .k = 40, .batch = 2, .transposed_lhs = lhs, .transposed_rhs = rhs}, target, 20, 2, 16);
        }
}

TEST_CASE("products with some columns, computed turned round") {
  for (const Target& target : test::nest_targets())
    for (Element e : {Element::F32, Element::F64})
      for (int64_t n : {3, 5, 6, 9, 10, 12})
        for (bool rhs : {false, true}) {
          // Whole vectors of rows and a rest; several blocks of k and of rows; more rows than a chunk.
          check_product({.m = 96, .n = n, .k = 20, .transposed_lhs = true, .transposed_rhs = rhs, .element = e}, target);
          check_product({.m = 75, .n = n, .k = 50, .transposed_lhs = true, .transposed_rhs = rhs, .element = e}, target, 40, 256, 16);
          check_product({.m = 70, .n = n, .k = 40, .batch = 2, .transposed_lhs = true, .transposed_rhs = rhs, .element = e}, target, 20, 2, 16);
        }
}

TEST_CASE("a product of ten columns fills vectors with its rows where they lie side by side") {
  auto tile = [](ProductShape s, const Target& target) {
    const std::string text = product_text(s, target);
    const size_t at = text.find("@tile.f32.") + 10;
    return text.substr(at, text.find('.', at) - at);
  };
  std::string error;
  Target target = *make_target("x86-64-v3", error);
  CHECK(tile({.m = 512, .n = 10, .k = 128, .transposed_lhs = true}, target) == "10x8");
  CHECK(tile({.m = 512, .n = 10, .k = 128}, target) != "10x8");
  target.vector_bytes = 64, target.vector_registers = 32, target.cpu = "x86-64-v4";  // its code is only looked at
  CHECK(tile({.m = 512, .n = 10, .k = 128, .transposed_lhs = true}, target) == "10x32");
  CHECK(tile({.m = 512, .n = 15, .k = 128, .transposed_lhs = true}, target) != "15x32");  // fifteen of sixteen lanes are well filled
}

TEST_CASE("dot products, over several blocks of k and with every rest") {
  for (const Target& target : test::nest_targets())
    for (Element e : {Element::F32, Element::F64})
      for (int64_t n : {1, 2, 3, 4})
        for (int64_t k : {63, 64, 150})
          for (bool rhs : {false, true}) {
            check_product({.m = 37, .n = n, .k = k, .transposed_rhs = rhs, .element = e}, target);
            check_product({.m = 11, .n = n, .k = k, .batch = 2, .transposed_rhs = rhs, .element = e}, target, 7, 256, 64);
            // One or a few rows against columns whose elements lie along k: the sides are swapped first.
            check_product({.m = n, .n = 35, .k = k, .transposed_rhs = rhs, .element = e}, target);
          }
}

TEST_CASE("dot products of more columns than a vector's quarter") {
  for (const Target& target : test::nest_targets())
    for (Element e : {Element::F32, Element::F64})
      for (int64_t n : {3, 5, 6, 9, 10, 12})
        for (int64_t k : {150, 160})
          for (bool rhs : {false, true}) {
            // Tiles of every height; several blocks of k, of rows and chunks; a batch.
            check_product({.m = 37, .n = n, .k = k, .transposed_rhs = rhs, .element = e}, target);
            check_product({.m = 75, .n = n, .k = k, .batch = 2, .transposed_rhs = rhs, .element = e}, target, 33, 256, 64);
            Target small = target;
            small.l2_bytes = 1 << 16;
            check_product({.m = 90, .n = n, .k = k, .transposed_rhs = rhs, .element = e}, small, 1 << 30, 256, 256);
            // A part of k at a time, so that all columns of it stay in L1.
            small.l1_bytes = 4096;
            check_product({.m = 37, .n = n, .k = k, .transposed_rhs = rhs, .element = e}, small);
          }
}

TEST_CASE("a product of ten columns runs along k where its rows lie so, sums are long and rows many enough to turn the weight for") {
  auto is_dot = [](ProductShape s, const Target& target) { return product_text(s, target).find("@dot.f32.") != std::string::npos; };
  std::string error;
  Target target = *make_target("x86-64-v3", error);
  for (int round = 0; round < 2; ++round) {
    CHECK(product_text({.m = 128, .n = 10, .k = 512}, target).find(round ? "@dot.f32.2x10." : "@dot.f32.1x10.") != std::string::npos);
    CHECK(is_dot({.m = 8, .n = 10, .k = 512, .transposed_rhs = true}, target));
    CHECK_FALSE(is_dot({.m = 8, .n = 10, .k = 512}, target));
    CHECK_FALSE(is_dot({.m = 128, .n = 10, .k = 48}, target));
    CHECK_FALSE(is_dot({.m = 128, .n = 14, .k = 512}, target));  // well filled
    CHECK_FALSE(is_dot({.m = 128, .n = 10, .k = 512, .transposed_lhs = true}, target));
    target.vector_bytes = 64, target.vector_registers = 32, target.cpu = "x86-64-v4";  // its code is only looked at
  }
}

TEST_CASE("products in double precision") {
  for (const Target& target : test::nest_targets())
    for (auto [m, n, k] : std::vector<std::array<int64_t, 3>>{{1, 1, 1}, {7, 10, 3}, {17, 20, 35}, {30, 9, 64}})
      for (bool lhs : {false, true})
        for (bool rhs : {false, true})
          check_product({.m = m, .n = n, .k = k, .transposed_lhs = lhs, .transposed_rhs = rhs, .element = Element::F64}, target);
}

TEST_CASE("products over several blocks of every dim") {
  for (const Target& target : test::nest_targets())
    for (bool lhs : {false, true})
      for (bool rhs : {false, true}) {
        check_product({.m = 45, .n = 83, .k = 70, .transposed_lhs = lhs, .transposed_rhs = rhs}, target, 20, 32, 16);
        check_product({.m = 40, .n = 64, .k = 64, .transposed_lhs = lhs, .transposed_rhs = rhs}, target, 20, 32, 32);
        check_product({.m = 19, .n = 50, .k = 21, .batch = 3, .transposed_lhs = lhs, .transposed_rhs = rhs}, target, 8, 24, 10);
      }
}

TEST_CASE("a row length that collides in the cache is copied") {
  check_product({.m = 33, .n = 200, .k = 512}, test::nest_targets().front());
  for (const Target& target : test::nest_targets()) check_product({.m = 33, .n = 10, .k = 512, .transposed_rhs = true}, target);
  check_product({.m = 512, .n = 200, .k = 12, .transposed_lhs = true}, test::nest_targets().front());
}

TEST_CASE("more rows than a chunk holds") {
  Target target = test::nest_targets().front();
  target.l2_bytes = 4096;
  check_product({.m = 90, .n = 40, .k = 50}, target, 1 << 30, 256, 16);
  check_product({.m = 90, .n = 40, .k = 50}, target);
}

TEST_CASE("what an epilogue streams from beyond L2 is asked for before the sums") {
  auto prefetches = [](const ProductShape& s, int64_t l2_bytes) {
    Target target = test::nest_targets().front();
    target.l2_bytes = l2_bytes;
    return product_text(s, target).find("i32 1, i32 3, i32 1)") != std::string::npos;  // to be written, into L1, data
  };
  CHECK(prefetches({.m = 96, .n = 64, .k = 32}, 16 << 10));
  CHECK_FALSE(prefetches({.m = 96, .n = 64, .k = 32}, 1 << 20));
}

TEST_CASE("the first tile of rows leaves the panel of the right operand behind") {
  for (const Target& target : test::nest_targets()) {
    const ProductShape shape{.m = 84, .n = 96, .k = 32};
    CHECK(product_text(shape, target).find(".copy") != std::string::npos);
    // Not where the elements have to be turned, nor where they are computed.
    ProductShape turned = shape;
    turned.transposed_rhs = true;
    CHECK(product_text(turned, target).find(".copy") == std::string::npos);
    KernelBody computed = test::product_body(shape, target);
    auto& c = std::get<Contraction>(computed.form);
    c.rhs = {c.rhs[0], compute_stmt(3, ScalarOp::Neg, shape.element, {1, -1, -1}), test::yield_stmt(3, shape.element)};
    CHECK(product_text(computed, shape, target).find(".copy") == std::string::npos);
  }
}

TEST_CASE("sums that are the product's result are stored where they belong") {
  for (const Target& target : test::nest_targets()) {
    // Several blocks of rows and columns, chunks, a batch, and rows of the result apart; several blocks of k, whose sums wait in memory.
    for (bool lhs : {false, true}) {
      check_product({.m = 45, .n = 96, .k = 10, .transposed_lhs = lhs, .transposed_rhs = true}, target);
      check_product({.m = 45, .n = 96, .k = 40, .batch = 2, .transposed_lhs = lhs}, target, 20, 32, 64);
      check_product({.m = 45, .n = 96, .k = 40, .batch = 2, .transposed_lhs = lhs}, target, 20, 32, 16);
    }
    CHECK(product_text({.m = 64, .n = 96, .k = 40}, target).find(".sums96") != std::string::npos);
    CHECK(product_text({.m = 64, .n = 98, .k = 40}, target).find(".sums98") == std::string::npos);  // no whole vectors
    if (target.vector_bytes < 32) continue;  // without multiply-adds registers are others
    const std::string text = assembly_text(test::program_of(test::product_body({.m = 64, .n = 96, .k = 40}, target), target,
                                                            {vector_type(Element::F32, 64 * 40), vector_type(Element::F32, 40 * 96), vector_type(Element::F32, 64 * 96)}));
    // The only stores there are, each with its statement: the sixth, behind lhs, rhs and the accumulator.
    size_t stores = 0;
    std::string function, statement;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("tile.")) function = line, statement.clear();
      if (line.find("# statement") != std::string::npos) statement = line.substr(line.find("# ") + 2);
      const bool store = line.starts_with("\tvmovups\t%");
      if (function.find(".sums96.") == std::string::npos || !store || line.find("(%rdx)") == std::string::npos) continue;
      CHECK(statement == "statement 6");
      ++stores;
    }
    INFO(text);
    CHECK(stores >= 8);
  }
}

TEST_CASE("sums of few columns are dot products along k") {
  for (const Target& target : test::nest_targets()) {
    CHECK(product_text({.m = 64, .n = 1, .k = 64}, target).find("@dot.f32.") != std::string::npos);
    CHECK(product_text({.m = 1, .n = 64, .k = 64, .transposed_rhs = true}, target).find("@dot.f32.") != std::string::npos);
    CHECK(product_text({.m = 64, .n = 1, .k = 64, .transposed_lhs = true}, target).find("@dot.f32.") == std::string::npos);
    CHECK(product_text({.m = 64, .n = 16, .k = 64}, target).find("@dot.f32.") == std::string::npos);
  }
}

TEST_CASE("a sum over nothing is zero and still has its epilogue") {
  for (const Target& target : test::nest_targets())
    for (bool rhs : {false, true}) check_product({.m = 3, .n = 20, .k = 0, .transposed_rhs = rhs}, target);
}

TEST_CASE("prologues on both operands and an epilogue with bias and mask") {
  for (const Target& target : test::nest_targets())
    for (Element e : {Element::F32, Element::F64})
      for (bool lhs : {false, true})
        for (bool rhs : {false, true}) {
          const ProductShape s{.m = 21, .n = 37, .k = 45, .transposed_lhs = lhs, .transposed_rhs = rhs, .element = e};
          KernelBody body = test::product_body(s, target);
          auto& c = std::get<Contraction>(body.form);
          c.kc = 20;
          const auto lhs_strides = c.lhs[0].access.at.strides, rhs_strides = c.rhs[0].access.at.strides;
          body.slots.push_back({e, false});  // 3: bias [n]
          body.slots.push_back({e, false});  // 4: scale [m]
          // tanh(l) * r' with r' = -r, then (sum + bias) * 0.5-free: min(sum + bias[n], scale[m])
          c.lhs = {load_stmt(0, 0, lhs_strides, e), compute_stmt(1, ScalarOp::Tanh, e, {0, -1, -1}), test::yield_stmt(1, e)};
          c.rhs = {load_stmt(2, 1, rhs_strides, e), compute_stmt(3, ScalarOp::Neg, e, {2, -1, -1}), test::yield_stmt(3, e)};
          c.epilogue = {test::accumulator_stmt(4, e), load_stmt(5, 3, {0, 0, 1, 0}, e), compute_stmt(6, ScalarOp::Add, e, {4, 5, -1}),
                        load_stmt(7, 4, {0, 1, 0, 0}, e), compute_stmt(8, ScalarOp::Min, e, {6, 7, -1}), store_stmt(2, 8, {0, s.n, 1, 0}, e)};
          check_body(body, target, {vector_type(e, s.m * s.k), vector_type(e, s.k * s.n), vector_type(e, s.m * s.n), vector_type(e, s.n), vector_type(e, s.m)}, s.k);
        }
}

TEST_CASE("an epilogue over rows that lie one behind the other runs over all of them as over one") {
  for (const Target& target : test::nest_targets())
    for (Element e : {Element::F32, Element::F64})
      for (bool lhs : {false, true})
        for (int64_t n : {2, 3, 5, 9, 10, 12})
          for (bool bias : {false, true}) {
            const ProductShape s{.m = 75, .n = n, .k = 160, .transposed_lhs = lhs, .element = e};
            KernelBody body = test::product_body(s, target);
            auto& c = std::get<Contraction>(body.form);
            c.block_m = 40;
            body.slots.push_back({e, false});  // 3: a weight, [m, n]
            body.slots.push_back({e, false});  // 4: the same for all, or a bias [n]
            body.slots.push_back({e, true});   // 5: the new weight
            // w = w - sum * b, and the result is its absolute value
            c.epilogue = {test::accumulator_stmt(4, e), load_stmt(5, 3, {0, n, 1, 0}, e), load_stmt(6, 4, {0, 0, bias ? 1 : 0, 0}, e),
                          compute_stmt(7, ScalarOp::Mul, e, {4, 6, -1}), compute_stmt(8, ScalarOp::Sub, e, {5, 7, -1}), store_stmt(5, 8, {0, n, 1, 0}, e),
                          compute_stmt(9, ScalarOp::Abs, e, {8, -1, -1}), store_stmt(2, 9, {0, n, 1, 0}, e)};
            const ContractionPlan p = plan(c, target);
            if ((p.dot || p.turned) && n % p.lanes != 0) CHECK(p.flat_epilogue == !bias);
            if (p.flat_epilogue) CHECK((!bias && (p.dot || p.turned)));
            check_body(body, target, {vector_type(e, s.m * s.k), vector_type(e, s.k * s.n), vector_type(e, s.m * s.n), vector_type(e, s.m * s.n), vector_type(e, n), vector_type(e, s.m * s.n)}, s.k);
          }
}

TEST_CASE("roles of several dims whose strides do not merge") {
  // out[a, b, c, d] = sum over e, f of x[e, a, f, b] * y[c, f, d, e]
  for (const Target& target : test::nest_targets())
    for (int64_t last : {5, 16}) {
      const int64_t a = 3, b = last, cc = 4, d = last, e = 6, f = last;
      const Element f32 = Element::F32;
      Contraction c;
      c.dims = {{a, "a"}, {b, "b"}, {cc, "c"}, {d, "d"}, {e, "e"}, {f, "f"}};
      c.roles = {DimRole::M, DimRole::M, DimRole::N, DimRole::N, DimRole::K, DimRole::K};
      c.kc = 32, c.block_n = 32, c.block_m = 7;
      c.lhs = {load_stmt(0, 0, {f * b, 1, 0, 0, a * f * b, b}, f32), test::yield_stmt(0, f32)};
      c.rhs = {load_stmt(1, 1, {0, 0, f * d * e, e, 1, d * e}, f32), test::yield_stmt(1, f32)};
      c.epilogue = {test::accumulator_stmt(2, f32), store_stmt(2, 2, {b * cc * d, cc * d, d, 1, 0, 0}, f32)};
      const KernelBody body{"einsum", {{f32, false}, {f32, false}, {f32, true}}, c};
      check_body(body, target, {vector_type(f32, e * a * f * b), vector_type(f32, cc * f * d * e), vector_type(f32, a * b * cc * d)}, e * f);
    }
}

TEST_CASE("products of integers are exact") {
  for (const Target& target : test::nest_targets()) check_product({.m = 5, .n = 7, .k = 9, .batch = 2, .element = Element::Int}, target, 3, 4);
}
