#include <algorithm>

#include <catch2/catch.hpp>

#include "compiler/schedule/build.h"
#include "tests/support/assembly.h"
#include "tests/support/contraction_body.h"
#include "tests/support/run_program.h"

using namespace gradc;
using test::ProductShape;

namespace {

std::vector<Target> fast_targets() {
  std::vector<Target> result;
  std::string error;
  for (const char* cpu : {"native", "x86-64-v3", "x86-64-v4"})  // code for a larger processor is only looked at
    if (auto target = make_target(cpu, error)) result.push_back(*target);
  return result;
}

std::string product_assembly(const ProductShape& s, const Target& target) {
  KernelBody body = test::product_body(s, target);
  auto& form = std::get<Contraction>(body.form);
  const auto t = scheduling::choose_tiles(target, s.element, s.batch, s.m, s.n, s.k);
  form.mr = t.mr, form.nr = t.nr, form.kc = t.kc, form.block_m = t.block_m, form.block_n = t.block_n;
  const auto row = [&](int64_t count) { return Type{s.element, {{count, {}}}}; };
  return assembly_text(test::program_of(std::move(body), target, {row(s.m * s.k), row(s.k * s.n), row(s.m * s.n)}));
}

}  // namespace

TEST_CASE("the inner loop of a product keeps its sums in registers") {
  for (const Target& target : fast_targets())
    for (Element element : {Element::F32, Element::F64})
      for (const ProductShape& shape : std::vector<ProductShape>{{.m = 128, .n = 512, .k = 784}, {.m = 128, .n = 784, .k = 512, .transposed_rhs = true},
                                                                 {.m = 784, .n = 512, .k = 128, .transposed_lhs = true}, {.m = 128, .n = 10, .k = 512},
                                                                 {.m = 128, .n = 1, .k = 512}, {.m = 2, .n = 512, .k = 784}}) {
        ProductShape s = shape;
        s.element = element;
        const std::string assembly = product_assembly(s, target);
        const auto t = scheduling::choose_tiles(target, s.element, 1, s.m, s.n, s.k);
        size_t products = 0;
        for (const test::AssemblyLoop& loop : test::innermost_loops(assembly)) {
          const size_t sums = test::sums_of(loop.lines).size();
          if (sums == 0) continue;
          INFO(target.cpu << ' ' << s.m << 'x' << s.n << 'x' << s.k << '\n' << assembly);
          CHECK(test::keeps_registers(loop));
          products = std::max(products, sums);
        }
        // As many sums as the tile has vectors: enough to hide the latency of a multiply-add.
        if (s.n > 10 && s.m > 2) CHECK(products == static_cast<size_t>(t.mr * t.nr * static_cast<int64_t>(byte_size(element)) / target.vector_bytes));
        if (s.n > 1) CHECK(products >= 8);
      }
}

TEST_CASE("a step of a product is its multiply-adds, a load for each row and vector of its operands, and little else") {
  for (const Target& target : fast_targets())
    for (const ProductShape& shape : std::vector<ProductShape>{{.m = 128, .n = 512, .k = 784}, {.m = 128, .n = 512, .k = 512, .transposed_rhs = true}}) {
      const auto t = scheduling::choose_tiles(target, shape.element, 1, shape.m, shape.n, shape.k);
      const int64_t vectors = t.nr * static_cast<int64_t>(byte_size(shape.element)) / target.vector_bytes;
      size_t loops = 0;
      for (const test::AssemblyLoop& loop : test::innermost_loops(product_assembly(shape, target))) {
        const bool other_work = loop.function.find(".copy") != std::string::npos || loop.function.find(".asks") != std::string::npos ||
                                loop.function.find(".breaks") != std::string::npos;
        if (!loop.function.starts_with("tile.") || other_work || test::sums_of(loop.lines).size() != static_cast<size_t>(t.mr * vectors)) continue;
        INFO(target.cpu << ' ' << loop.function);
        const auto instructions = static_cast<size_t>(std::count_if(loop.lines.begin(), loop.lines.end(), [](const std::string& l) {
          return l.size() > 1 && l[0] == '\t' && l[1] != '.' && l[1] != '#';
        }));
        constexpr size_t control = 5;  // two addresses, a counter, perhaps its test, the jump
        CHECK(instructions <= static_cast<size_t>(t.mr * vectors + t.mr + vectors) + control);
        ++loops;
      }
      INFO(target.cpu << ' ' << shape.m << 'x' << shape.n << 'x' << shape.k);
      CHECK(loops > 0);
    }
}
