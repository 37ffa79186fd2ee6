#include <catch2/catch.hpp>

#include "compiler/eval/eval.h"
#include "compiler/support/philox.h"
#include "tests/support/fixture.h"

using namespace gradc;
using namespace gradc::test;
using Words = std::array<uint32_t, 4>;

// The vectors that the authors publish with their reference implementation.
TEST_CASE("philox4x32-10 gives the published words") {
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("uniform numbers take the upper bits of the words") {
  CHECK(philox_uniform(0, 0, 0, 0, Element::F32) == (0x6627e8d5 >> 8) * 0x1p-24);
  CHECK(philox_uniform(0, 0, 0, 0, Element::F64) == static_cast<double>(0xe169c58d6627e8d5 >> 11) * 0x1p-53);
  uint64_t seed = 0x299f31d0a4093822, index = 0x85a308d3243f6a88;
  CHECK(philox_uniform(seed, 0x03707344, 0x13198a2e, index, Element::F32) == (0xd16cfe09 >> 8) * 0x1p-24);
}

TEST_CASE("a random node depends on seed, step, site and index only") {
  auto draw = [](double seed, double step, int64_t site, std::vector<int64_t> sizes) {
    Fixture f;
    Expr s = f.in("seed", {}, {seed}, Element::Int), t = f.in("step", {}, {step});
    return f.value(random(s, t, site, type_of(Element::F64, sizes)));
  };
  std::vector<double> base = draw(7, 1, 0, {100, 50});
  CHECK(base == draw(7, 1, 0, {50, 100}));
  CHECK(base != draw(8, 1, 0, {100, 50}));
  CHECK(base != draw(7, 2, 0, {100, 50}));
  CHECK(base != draw(7, 1, 1, {100, 50}));
  CHECK(base[17] == philox_uniform(7, 1, 0, 17, Element::F64));
  double mean = 0, square = 0;
  for (double v : base) {
    REQUIRE((v >= 0 && v < 1));
    mean += v / 5000;
    square += v * v / 5000;
  }
  CHECK(std::abs(mean - 0.5) < 0.02);
  CHECK(std::abs(square - 1.0 / 3) < 0.02);
}
