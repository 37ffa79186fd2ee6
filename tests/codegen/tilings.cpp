// Tiles that --tune may choose: every one of them has the bits of the scheduler's own.
#include <limits>

#include <catch2/catch.hpp>

#include "compiler/codegen/codegen.h"
#include "compiler/codegen/sum_order.h"
#include "compiler/jit/tiles.h"
#include "compiler/pipeline/pipeline.h"
#include "compiler/schedule/build.h"
#include "tests/support/contraction_body.h"
#include "tests/support/fixture.h"
#include "tests/support/nest_program.h"

using namespace gradc;
using test::ProductShape;

namespace {

// out = tanh(lhs * rhs) in the scheduler's tiles: an epilogue whose vectors end elsewhere in other tiles.
KernelBody scheduled_body(const ProductShape& s, const Target& target) {
  KernelBody body = test::product_body(s, target);
  auto& c = std::get<Contraction>(body.form);
  const auto t = scheduling::choose_tiles(target, s.element, s.batch, s.m, s.n, s.k);
  c.mr = t.mr, c.nr = t.nr, c.kc = t.kc, c.block_m = t.block_m, c.block_n = t.block_n;
  Stmt store = c.epilogue.back();
  store.args[0] = 3;
  c.epilogue.back() = test::compute_stmt(3, ScalarOp::Tanh, s.element, {2, -1, -1});
  c.epilogue.push_back(store);
  return body;
}

std::vector<Tiling> all_tilings(const Contraction& c, const Target& target) {
  std::vector<Tiling> all = register_tilings(c, target);
  for (const Tiling& t : block_tilings(c, target)) all.push_back(t);
  // Also blocks of other register tiles, as the search has them.
  if (!all.empty()) {
    if (auto other = retiled(c, all.front(), target)) {
      for (const Tiling& t : block_tilings(*other, target)) all.push_back(t);
    }
  }
  return all;
}

size_t check_bits(const KernelProgram& program, const std::map<Symbol, Tensor>& inputs) {
  const auto& own = std::get<Contraction>(program.bodies[0].form);
  const test::RunResult expected = test::run_program(program, *compile(program, {}), inputs);
  const auto tilings = all_tilings(own, program.target);
  for (const Tiling& t : tilings) {
    INFO("tiles " << t.mr << " x " << t.nr << ", blocks " << t.block_m << " x " << t.block_n << " for " << program.target.cpu << " of\n" << print(program.bodies[0]));
    KernelProgram other = program;
    other.bodies[0].form = *retiled(own, t, program.target);
    REQUIRE(verify(other) == std::vector<std::string>{});
    CHECK(test::run_program(other, *compile(other, {}), inputs) == expected);
  }
  return tilings.size();
}

}  // namespace

TEST_CASE("products have the same bits in all tiles that may be chosen") {
  // Whole panels; rests of panels and rows; operands stored the other way round; several products.
  const std::vector<ProductShape> shapes{{.m = 64, .n = 48, .k = 600}, {.m = 40, .n = 100, .k = 70}, {.m = 72, .n = 96, .k = 40, .transposed_lhs = true},
                                         {.m = 32, .n = 144, .k = 130, .transposed_rhs = true}, {.m = 24, .n = 48, .k = 50, .element = Element::F64},
                                         {.m = 32, .n = 48, .k = 25, .batch = 3}, {.m = 256, .n = 520, .k = 64}};
  for (const Target& target : test::nest_targets()) {
    size_t tried = 0;
    for (const ProductShape& s : shapes) {
      auto vector = [&](int64_t count) { return Type{s.element, {{count, {}}}}; };
      const Type lhs = vector(s.batch * s.m * s.k), rhs = vector(s.batch * s.k * s.n), out = vector(s.batch * s.m * s.n);
      const KernelProgram program = test::program_of(scheduled_body(s, target), target, {lhs, rhs, out});
      tried += check_bits(program, {{"s0", test::some_numbers(lhs, 3)}, {"s1", test::some_numbers(rhs, 4)}});
    }
    INFO(target.cpu);
    CHECK(tried >= 30);
  }
}

TEST_CASE("tiles that would change a sum are refused") {
  const Target target = test::nest_targets().front();
  // A row of one vector is summed in eight copies over k.
  const auto c = std::get<Contraction>(scheduled_body({.m = 64, .n = 64, .k = 100}, target).form);
  CHECK_FALSE(retiled(c, {.mr = 1, .nr = target.vector_bytes / 4, .block_m = 64, .block_n = 64}, target));
  CHECK_FALSE(retiled(c, {.mr = 0, .nr = 16, .block_m = 64, .block_n = 64}, target));
  CHECK_FALSE(retiled(c, {.mr = 4, .nr = 16, .block_m = 64, .block_n = -1}, target));
  constexpr int64_t huge = std::numeric_limits<int64_t>::max();
  for (const Tiling& t : {Tiling{huge, 16, 64, 64}, {4, huge, 64, 64}, {4, 16, huge, 64}, {4, 16, 64, huge}}) CHECK_FALSE(retiled(c, t, target));
  CHECK(retiled(c, tiling_of(c), target));
  // One row: each width of panels has its own number of copies.
  const auto row = std::get<Contraction>(scheduled_body({.m = 1, .n = 4 * target.vector_bytes, .k = 100}, target).form);
  CHECK_FALSE(retiled(row, {.mr = 1, .nr = target.vector_bytes / 4, .block_m = 1, .block_n = row.block_n}, target));
  // Panels stay as they lie.
  Contraction panels = c;
  panels.panels = panels.nr;
  for (const Tiling& t : all_tilings(panels, target)) {
    CHECK(panels.panels % t.nr == 0);
    CHECK(t.block_n % panels.panels == 0);
  }
}

TEST_CASE("a kernel is known by what it computes, not by its name or tiles") {
  const Target target = test::nest_targets().front();
  const KernelBody body = scheduled_body({.m = 64, .n = 64, .k = 100}, target);
  KernelBody same = body, longer = body, partial = body;
  same.name = "other";
  std::get<Contraction>(same.form).mr = 3, std::get<Contraction>(same.form).block_n = 32;
  std::get<Contraction>(same.form).dims[1].name = "rows";
  std::get<Contraction>(longer.form).dims[3].extent = 101;
  std::get<Contraction>(partial.form).kc = 50;
  CHECK(tile_key(same) == tile_key(body));
  CHECK(tile_key(longer) != tile_key(body));
  CHECK(tile_key(partial) != tile_key(body));
}

namespace {

// A 3 x 3 convolution with its derivatives.
struct Convolution : test::Fixture {
  explicit Convolution(int64_t batch = 3, int64_t size = 10, int64_t channels = 8, int64_t units = 40) {
    auto wave = [](int64_t count) {
      std::vector<double> v;
      for (int64_t i = 0; i < count; ++i) v.push_back(std::sin(0.7 * static_cast<double>(i * i % 1009)));
      return v;
    };
    Expr x = in("x", {batch, size, size, channels}, wave(batch * size * size * channels)), w = in("w", {3, 3, channels, units}, wave(9 * channels * units));
    Expr rows = broadcast(pad(x, {0, 1, 1, 0}, {0, 1, 1, 0}), {0, 1, 2, 5}, {batch, size + 2, size + 2, 3, 3, channels});
    Expr y = tanh(contract(skew(rows, {1, 2}, {3, 4}, {1, 1}, {0, 0}, {size, size}), w, {0, 1, 2, 3, 4, 5}, {3, 4, 5, 6}, {0, 1, 2, 6}));
    Expr loss = test::sum(y * y);
    out("y", y);
    out("dx", grad(loss, x));
    out("dw", grad(loss, w));
  }
};

}  // namespace

TEST_CASE("convolutions have the same bits in all tiles that may be chosen") {
  Convolution model;
  for (const Target& target : test::nest_targets()) {
    const CompileOptions options{.target = target, .rewrite = {}, .schedule = {}, .tiles = {}, .jit = {}, .jit_code = true, .verify = false};
    Compiled own = compile(model.graph, options);
    const test::RunResult expected = test::run_program(own.kernels, *own.step, model.inputs);
    size_t tried = 0;
    for (const KernelBody& body : own.kernels.bodies) {
      const auto* c = std::get_if<Contraction>(&body.form);
      if (!c) continue;
      for (const Tiling& t : all_tilings(*c, target)) {
        INFO("tiles " << t.mr << " x " << t.nr << ", blocks " << t.block_m << " x " << t.block_n << " for " << target.cpu << " of\n" << print(body));
        CompileOptions tuned = options;
        tuned.tiles[tile_key(body)] = t;
        Compiled other = compile(model.graph, tuned);
        CHECK(test::run_program(other.kernels, *other.step, model.inputs) == expected);
        ++tried;
      }
    }
    CHECK(tried >= 6);
  }
}

TEST_CASE("on one thread the derivative by a filter is one block, with the same bits") {
  Convolution model(16, 12, 16, 64);
  for (const Target& target : test::nest_targets()) {
    const CompileOptions options{.target = target, .rewrite = {}, .schedule = {}, .tiles = {}, .jit = {}, .jit_code = true, .verify = false};
    CompileOptions one = options, several = options;
    one.threads = 1, several.threads = 4;
    const Compiled any = compile(model.graph, options), alone = compile(model.graph, one), shared = compile(model.graph, several);
    size_t filters = 0;
    for (size_t i = 0; i < any.kernels.bodies.size(); ++i) {
      CHECK(any.kernels.bodies[i] == shared.kernels.bodies[i]);
      const auto* c = std::get_if<Contraction>(&any.kernels.bodies[i].form);
      const auto windows = c ? find_windows(*c) : std::nullopt;
      if (!windows || !windows->sums_places) continue;
      CHECK(block_count(any.kernels.bodies[i]) > 1);
      CHECK(block_count(alone.kernels.bodies[i]) == 1);
      ++filters;
    }
    CHECK(filters == 1);
    CHECK(test::run_program(any.kernels, *any.step, model.inputs) == test::run_program(alone.kernels, *alone.step, model.inputs));
  }
}

namespace {

// A dense layer's weight with its momentum, updated where the gradient is computed.
struct Update : test::Fixture {
  static constexpr int64_t batch = 48, in_size = 260, units = 512;
  Update() {
    auto wave = [](int64_t count, double step) {
      std::vector<double> v;
      for (int64_t i = 0; i < count; ++i) v.push_back(std::sin(step * static_cast<double>(i % 4099)));
      return v;
    };
    Expr x = in("x", {batch, in_size}, wave(batch * in_size, 0.3)), w = in("w", {in_size, units}, wave(in_size * units, 0.7));
    Expr m = in("m", {in_size, units}, wave(in_size * units, 0.11));
    Expr y = contract(x, w, {0, 1}, {1, 2}, {0, 2});
    Expr next = m * 0.9 + grad(test::sum(tanh(y)), w);
    out("m2", next);
    out("w2", w - next * 0.1);
  }
};

}  // namespace

TEST_CASE("a large weight's update has tiles and blocks that suit the threads, with the same bits") {
  Update model;
  for (const Target& target : test::nest_targets()) {
    CompileOptions options{.target = target, .rewrite = {}, .schedule = {}, .threads = 0, .tiles = {}, .jit = {}, .jit_code = true, .verify = false};
    const Compiled any = compile(model.graph, options);
    const test::RunResult expected = test::run_program(any.kernels, *any.step, model.inputs);
    const int64_t lanes = target.vector_bytes / 8;
    for (int threads : {1, 2, 16}) {
      options.threads = threads;
      const Compiled suited = compile(model.graph, options);
      INFO(threads << " threads of " << target.cpu);
      size_t updates = 0;
      for (size_t i = 0; i < suited.kernels.bodies.size(); ++i) {
        const auto* c = std::get_if<Contraction>(&suited.kernels.bodies[i].form);
        if (!c || extent(*c, DimRole::K) != Update::batch) continue;
        const auto& before = std::get<Contraction>(any.kernels.bodies[i].form);
        ++updates;
        const bool many = target.vector_registers >= 32;
        CHECK(std::pair(c->mr, c->nr) == (many ? std::pair<int64_t, int64_t>(16, lanes) : std::pair(before.mr, before.nr)));
        // All columns, a quarter of them for each of two threads, and for many threads what the scheduler shares out.
        CHECK(c->block_n >= (threads == 1 ? Update::units : std::max(before.block_n, Update::units / (2 * threads))));
        CHECK(c->block_n < Update::units / (threads == 1 ? 1 : 2) + c->nr);
      }
      CHECK(updates == 1);
      CHECK(test::run_program(suited.kernels, *suited.step, model.inputs) == expected);
    }
  }
}
