// Products whose epilogue updates a weight: it runs in the breaks of the next tile (compiler/codegen/contraction_overlap.h).
#include <sstream>

#include "tests/support/assembly.h"
#include "tests/support/contraction_check.h"

using namespace gradc;
using test::check_body;
using test::compute_stmt;
using test::load_stmt;
using test::ProductShape;
using test::store_stmt;
using test::vector_type;

namespace {

struct UpdateTile {
  int64_t mr, vectors, block_n = 1 << 20, block_m = 1 << 20;
};

// s2 = s3 * 0.9 + g * 0.1, s4 = s5 * 0.9 + g * g, s6 = s7 - s2 / (sqrt(s4) + s8), where g = lhs * rhs / k. lhs is stored as [k, m].
KernelBody update_body(ProductShape s, const UpdateTile& tile, const Target& target) {
  s.transposed_lhs = true;
  KernelBody body = test::product_body(s, target);
  auto& c = std::get<Contraction>(body.form);
  const Element e = s.element;
  c.mr = tile.mr, c.nr = tile.vectors * target.vector_bytes / static_cast<int64_t>(byte_size(e));
  c.block_n = tile.block_n, c.block_m = tile.block_m, c.kc = 512;
  for (bool written : {false, true, false, true, false, false}) body.slots.push_back({e, written});
  const std::vector<int64_t> at{s.m * s.n, s.n, 1, 0}, same{0, 0, 0, 0};
  auto constant = [&](ValueId v, double x) {
    Stmt stmt = compute_stmt(v, ScalarOp::Const, e, {-1, -1, -1});
    stmt.constant = x;
    return stmt;
  };
  c.epilogue = {test::accumulator_stmt(2, e), constant(3, 1.0 / static_cast<double>(s.k)), compute_stmt(4, ScalarOp::Mul, e, {2, 3, -1}),
                constant(5, 0.1), compute_stmt(6, ScalarOp::Mul, e, {5, 4, -1}), constant(7, 0.9), load_stmt(8, 3, at, e),
                compute_stmt(9, ScalarOp::Fma, e, {7, 8, 6}), store_stmt(2, 9, at, e), compute_stmt(10, ScalarOp::Mul, e, {4, 4, -1}),
                load_stmt(11, 5, at, e), compute_stmt(12, ScalarOp::Abs, e, {11, -1, -1}), compute_stmt(13, ScalarOp::Fma, e, {7, 12, 10}),
                store_stmt(4, 13, at, e), compute_stmt(14, ScalarOp::Sqrt, e, {13, -1, -1}), load_stmt(15, 8, same, e),
                compute_stmt(16, ScalarOp::Abs, e, {15, -1, -1}), constant(17, 1.0), compute_stmt(18, ScalarOp::Add, e, {16, 17, -1}),
                compute_stmt(19, ScalarOp::Add, e, {14, 18, -1}), compute_stmt(20, ScalarOp::Div, e, {9, 19, -1}), load_stmt(21, 7, at, e),
                compute_stmt(22, ScalarOp::Sub, e, {21, 20, -1}), store_stmt(6, 22, at, e)};
  return body;
}

std::vector<Type> update_slots(const ProductShape& s) {
  const auto of = [&](int64_t count) { return vector_type(s.element, count); };
  const Type weight = of(s.m * s.n);
  return {of(s.m * s.k), of(s.k * s.n), weight, weight, weight, weight, weight, weight, of(1)};
}

// The text of the tile, in assembly, that has the epilogue of the one above in it; empty where there is none.
std::string tile_with_update(const std::string& assembly) {
  const size_t from = assembly.find(".product:\n");
  return from == std::string::npos ? "" : assembly.substr(assembly.rfind('\n', from) + 1, assembly.find("\tret", from) - from);
}

// Its code is only looked at.
Target many_registers() {
  std::string error;
  Target target = *make_target("x86-64-v3", error);
  target.cpu = "x86-64-v4", target.vector_bytes = 64, target.vector_registers = 32;
  return target;
}

}  // namespace

TEST_CASE("updates in the breaks of products") {
  // Tiles of one height and of two; columns left over, and rows that begin in the middle of a line; several blocks; a rest of k behind the
  // breaks; one tile alone; chunks of rows.
  struct Update {
    ProductShape shape;
    UpdateTile tile;
  };
  const Update cases[] = {{{.m = 64, .n = 96, .k = 40}, {16, 1}},
                        {{.m = 130, .n = 72, .k = 40}, {4, 2}},  // so many tiles that the next panel is placed in the same breaks
                        {{.m = 50, .n = 100, .k = 37}, {16, 1}},
                        {{.m = 96, .n = 200, .k = 70}, {4, 4}},
                        {{.m = 33, .n = 64, .k = 131}, {8, 2, 64, 20}},
                        {{.m = 16, .n = 64, .k = 33}, {16, 1}},
                        {{.m = 45, .n = 83, .k = 64}, {4, 2, 32, 20}},
                        {{.m = 48, .n = 80, .k = 48, .element = Element::F64}, {16, 1}},
                        {{.m = 40, .n = 30, .k = 50, .element = Element::F64}, {8, 1, 16, 24}}};
  for (Target target : test::nest_targets())
    for (const Update& c : cases)
      for (int64_t l2 : {int64_t{1} << 20, int64_t{8192}}) {
        target.l2_bytes = l2;
        check_body(update_body(c.shape, c.tile, target), target, update_slots(c.shape), c.shape.k);
      }
}

TEST_CASE("an update is between the multiply-adds where registers are left") {
  const ProductShape shape{.m = 64, .n = 128, .k = 64};
  std::string error;
  for (const Target& target : {*make_target("x86-64-v3", error), many_registers()}) {
    const std::string assembly = assembly_text(test::program_of(update_body(shape, {16, 1}, target), target, update_slots(shape)));
    const std::string tile = tile_with_update(assembly);
    INFO(target.cpu << '\n' << assembly);
    if (target.vector_registers < 32) {
      CHECK(tile.empty());
      continue;
    }
    // Of 64 steps, four before each of 16 vectors of the tile above. Their instructions are named in the tile as behind it.
    size_t loops = 0;
    for (const auto& loop : test::innermost_loops(tile)) {
      if (test::count(loop.lines, "\tvsqrtps") == 0) continue;
      ++loops;
      CHECK(test::count(loop.lines, "\tvfmadd") == 4 * 16 + 2);
      CHECK(test::count(loop.lines, "\tvdivps") == 1);
      CHECK(test::keeps_registers(loop));
      CHECK(test::count(loop.lines, "# statement 21") == 1);  // sqrt
    }
    CHECK(loops == 1);
  }
}

TEST_CASE("an update whose weight is larger than the cache asks for the next tile's") {
  const ProductShape shape{.m = 64, .n = 128, .k = 64};
  Target target = many_registers();
  auto prefetches = [&](int64_t l2_bytes) {
    target.l2_bytes = l2_bytes;
    const std::string assembly = assembly_text(test::program_of(update_body(shape, {16, 1}, target), target, update_slots(shape)));
    size_t count = 0;
    std::istringstream in(tile_with_update(assembly));
    for (std::string line; std::getline(in, line);) count += line.find("\tprefetch") != std::string::npos;
    return count;
  };
  CHECK(prefetches(16 << 10) == 6);
  CHECK(prefetches(4 << 20) == 0);
}

TEST_CASE("epilogues that need more registers stay behind their tile") {
  const ProductShape shape{.m = 64, .n = 128, .k = 64};
  const Target target = many_registers();
  KernelBody body = update_body(shape, {16, 1}, target);
  for (Stmt& s : std::get<Contraction>(body.form).epilogue)
    if (s.op == ScalarOp::Abs) s.op = ScalarOp::Exp;
  CHECK(tile_with_update(assembly_text(test::program_of(body, target, update_slots(shape)))).empty());
  // Nor where a sum is so short that there are more vectors than steps.
  const ProductShape brief{.m = 64, .n = 128, .k = 24};
  CHECK(tile_with_update(assembly_text(test::program_of(update_body(brief, {16, 1}, target), target, update_slots(brief)))).empty());
}

TEST_CASE("the rows of a tile of a far left operand lie together") {
  // Columns 2048 bytes and more apart, read by many panels; tiles lower than a vector, as high, and higher; with a prologue.
  struct Far {
    ProductShape shape;
    int64_t mr, vectors;
  };
  for (const Target& target : test::nest_targets())
    for (const Far& c : {Far{{.m = 512, .n = 96, .k = 20, .transposed_lhs = true}, 8, 1}, Far{{.m = 520, .n = 160, .k = 13, .transposed_lhs = true}, 4, 2},
                          Far{{.m = 512, .n = 96, .k = 9, .transposed_lhs = true}, 16, 1},
                          Far{{.m = 272, .n = 50, .k = 17, .transposed_lhs = true, .element = Element::F64}, 8, 1}})
      for (bool prologue : {false, true}) {
        KernelBody body = test::product_body(c.shape, target);
        auto& form = std::get<Contraction>(body.form);
        form.mr = c.mr, form.nr = c.vectors * target.vector_bytes / static_cast<int64_t>(byte_size(c.shape.element)), form.block_n = 1 << 20;
        if (prologue) form.lhs = {form.lhs[0], compute_stmt(3, ScalarOp::Neg, c.shape.element, {0, -1, -1}), test::yield_stmt(3, c.shape.element)};
        check_body(body, target, test::product_slots(c.shape), c.shape.k);
      }
}
