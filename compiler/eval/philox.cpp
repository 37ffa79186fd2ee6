#include "compiler/eval/eval.h"
#include "compiler/support/philox.h"

namespace gradc {

double philox_uniform(uint64_t seed, uint32_t step, uint32_t site, uint64_t index, Element element) {
  std::array<uint32_t, 4> words = philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), site, step},
                                             {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  if (element == Element::F32) return (words[0] >> 8) * 0x1p-24;
  uint64_t wide = uint64_t{words[1]} << 32 | words[0];
  return static_cast<double>(wide >> 11) * 0x1p-53;
}

}  // namespace gradc
