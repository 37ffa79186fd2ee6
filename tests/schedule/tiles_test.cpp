#include <array>

#include <catch2/catch.hpp>

#include "compiler/schedule/build.h"

using namespace gradc;
using namespace gradc::scheduling;

namespace {

Target wide() {
  Target t;
  t.vector_bytes = 64, t.vector_registers = 32, t.l2_bytes = 1 << 20;
  return t;
}

int64_t blocks(const Tiles& t, int64_t m, int64_t n) { return ceil_div(m, t.block_m) * ceil_div(n, t.block_n); }

}  // namespace

TEST_CASE("blocks of a product share out its columns and keep its rows together") {
  for (const Target& target : {Target{}, wide()}) {
    for (auto [m, n, k] : {std::array<int64_t, 3>{128, 512, 784}, {784, 512, 128}, {256, 4096, 4096}, {128, 784, 512}}) {
      const Tiles t = choose_tiles(target, Element::F32, 1, m, n, k);
      INFO(m << " x " << n << " x " << k);
      CHECK(t.block_n % t.nr == 0);
      CHECK(blocks(t, m, n) >= 8);
      CHECK(blocks(t, m, n) <= 64);
      if (m <= 512) CHECK(t.block_m >= m);
    }
    // A right operand that stays in L1 is shared by blocks of rows.
    const Tiles thin = choose_tiles(target, Element::F32, 1, 1024, 512, 10);
    CHECK(thin.block_n >= 512);
    CHECK(blocks(thin, 1024, 512) == 16);
    // Unless its epilogue reads what lies in blocks of columns.
    const Tiles masked = choose_tiles(target, Element::F32, 1, 128, 512, 10, /*reads_alike=*/true);
    CHECK(masked.block_m >= 128);
    CHECK(blocks(masked, 128, 512) == 2);
    // Few columns: rows are what there is to share.
    const Tiles narrow = choose_tiles(target, Element::F32, 1, 1 << 17, 16, 144);
    CHECK(blocks(narrow, 1 << 17, 16) >= 32);
    // A batch of products is shared out by itself.
    const Tiles batched = choose_tiles(target, Element::F32, 64, 128, 128, 64);
    CHECK(blocks(batched, 128, 128) == 1);
  }
}

TEST_CASE("register tiles fit the registers and divide the rows where they can") {
  for (const Target& target : {Target{}, wide()}) {
    for (Element e : {Element::F32, Element::F64}) {
      const int64_t lanes = target.vector_bytes / static_cast<int64_t>(byte_size(e));
      for (int64_t m : {1, 2, 3, 7, 31, 100, 128, 512, 784})
        for (int64_t n : {1, 10, 16, 24, 48, 96, 512, 1000}) {
          const Tiles t = choose_tiles(target, e, 1, m, n, 300);
          INFO(m << " x " << n);
          const int64_t vectors = ceil_div(t.nr, lanes);
          CHECK(t.nr % lanes == 0);
          CHECK(t.mr >= 1);
          CHECK(t.mr * vectors + vectors + 1 <= target.vector_registers);
        }
      for (int64_t m : {128, 512, 784}) CHECK(m % choose_tiles(target, e, 1, m, 512, 300).mr == 0);
    }
  }
}

TEST_CASE("a sum of a few hundred terms is one block of k") {
  // Blocks of k pass the sums through memory.
  CHECK(choose_tiles(wide(), Element::F32, 1, 128, 512, 512).kc == 512);
  CHECK(choose_tiles(Target{}, Element::F32, 1, 784, 512, 256).kc == 256);
  CHECK(choose_tiles(wide(), Element::F32, 1, 128, 512, 784).kc == 392);
}
