// Panels of the right operand that are put in place while the one before is multiplied (compiler/codegen/contraction_overlap.h).
#include "tests/support/contraction_check.h"

using namespace gradc;
using test::ProductShape;

namespace {

struct FarRows {
  ProductShape shape;
  int64_t mr, vectors, kc = 256, block_n = 1 << 20, block_m = 1 << 20;
};

KernelBody far_rows_body(const FarRows& c, const Target& target) {
  KernelBody body = test::product_body(c.shape, target);
  auto& form = std::get<Contraction>(body.form);
  form.mr = c.mr, form.nr = c.vectors * target.vector_bytes / static_cast<int64_t>(byte_size(c.shape.element));
  form.kc = c.kc, form.block_n = c.block_n, form.block_m = c.block_m;
  return body;
}

bool places_ahead(const KernelBody& body, const ProductShape& s, const Target& target) {
  return llvm_text(test::program_of(body, target, test::product_slots(s))).find(".fetches") != std::string::npos;
}

}  // namespace

TEST_CASE("panels of far rows are put in place ahead") {
  // Rows a page apart and more: whole panels and a rest, one block of k and several of other lengths, several blocks of rows and columns,
  // more rows of a panel than the tiles' breaks have room for, rows of two panels only.
  const FarRows cases[] = {{{.m = 32, .n = 1100, .k = 40}, 8, 1},
                           {{.m = 48, .n = 1056, .k = 80}, 4, 2, 32},
                           {{.m = 40, .n = 1100, .k = 56}, 4, 2, 16, 96, 24},
                           {{.m = 24, .n = 1024, .k = 90}, 8, 1, 256, 64},
                           {{.m = 29, .n = 1030, .k = 33}, 5, 2},
                           {{.m = 24, .n = 520, .k = 30, .element = Element::F64}, 8, 1, 16}};
  for (const Target& target : test::nest_targets())
    for (const FarRows& c : cases) {
      const KernelBody body = far_rows_body(c, target);
      INFO(c.shape.m << " x " << c.shape.n << " x " << c.shape.k);
      CHECK(places_ahead(body, c.shape, target));
      test::check_body(body, target, test::product_slots(c.shape), c.shape.k);
    }
}

TEST_CASE("panels are put in place ahead where that hides something") {
  for (const Target& target : test::nest_targets()) {
    const int64_t lanes = target.vector_bytes / 4;
    auto placed = [&](const ProductShape& s, int64_t mr) { return places_ahead(far_rows_body({s, mr, 1}, target), s, target); };
    CHECK(placed({.m = 32, .n = 1024, .k = 64}, 8));
    CHECK_FALSE(placed({.m = 32, .n = 512, .k = 64}, 8));  // near rows: the first of a few tiles does it
    CHECK(placed({.m = 512, .n = 128, .k = 64}, 8));       // but not of many
    CHECK_FALSE(placed({.m = 32, .n = 1024, .k = 64, .transposed_rhs = true}, 8));
    CHECK_FALSE(placed({.m = 64, .n = lanes, .k = 64}, 1));
    // Negated where it is read: no copy of memory.
    const ProductShape s{.m = 32, .n = 1024, .k = 64};
    KernelBody computed = far_rows_body({s, 8, 1}, target);
    auto& c = std::get<Contraction>(computed.form);
    c.rhs = {c.rhs[0], test::compute_stmt(3, ScalarOp::Neg, s.element, {1, -1, -1}), test::yield_stmt(3, s.element)};
    CHECK_FALSE(places_ahead(computed, s, target));
  }
}
