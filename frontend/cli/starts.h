#pragma once

#include <optional>

namespace gradc::cli {

// Milliseconds from the creation of a process to the end of its first step: with nothing compiled before, and with the kernels of an
// earlier run in the cache. Medians.
struct Starts {
  double cold = 0, warm = 0;
};

// Starts this program again, several times, with the arguments that it was given and caches of its own; nothing where that fails.
std::optional<Starts> measure_starts();

// What such a process does after its first step: tells the one that started it, and ends.
[[noreturn]] void end_after_first_step();

}  // namespace gradc::cli
