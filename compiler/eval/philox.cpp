#include "compiler/eval/eval.h"

namespace gradc {
namespace {

struct Product {
  uint32_t high, low;
};

Product multiply(uint32_t a, uint32_t b) {
  uint64_t p = uint64_t{a} * b;
  return {static_cast<uint32_t>(p >> 32), static_cast<uint32_t>(p)};
}

}  // namespace

// Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 3.3.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    Product p0 = multiply(0xD2511F53u, counter[0]), p1 = multiply(0xCD9E8D57u, counter[2]);
    counter = {p1.high ^ counter[1] ^ key[0], p1.low, p0.high ^ counter[3] ^ key[1], p0.low};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};  // Weyl sequences: golden ratio, sqrt(3) - 1
  }
  return counter;
}

double philox_uniform(uint64_t seed, uint32_t step, uint32_t site, uint64_t index, Element element) {
  std::array<uint32_t, 4> words = philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), site, step},
                                             {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  if (element == Element::F32) return (words[0] >> 8) * 0x1p-24;
  uint64_t wide = uint64_t{words[1]} << 32 | words[0];
  return static_cast<double>(wide >> 11) * 0x1p-53;
}

}  // namespace gradc
