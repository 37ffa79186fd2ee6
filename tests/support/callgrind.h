#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace gradc::test {

// Instructions that the tool executed, counted by callgrind. Valgrind has no AVX-512 and carries out a multiply-add in a hundred times
// the time of a load, so this is for `--cpu x86-64-v3` and small sizes. Unlike time it does not depend on the machine or its load.
struct Instructions {
  int64_t all = 0;
  int64_t generated = 0;  // in code that belongs to no file: what the tool compiled
};

Instructions count_instructions(const Workplace& place, const std::vector<std::string>& arguments);

}  // namespace gradc::test
