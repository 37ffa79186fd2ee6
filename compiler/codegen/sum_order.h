#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "compiler/schedule/kernel.h"

// Which tiles of a contraction are a matter of speed alone.
namespace gradc {

// Everything that the bits of a contraction's sums depend on beside its operands: for what is added to what in which order, and whether
// operands are evaluated in vectors. Contractions that differ in tiles only and have equal orders have equal bits.
struct SumOrder {
  int lanes = 0;
  int64_t terms = 0;         // summed in registers before they are added to what is in memory
  bool swapped = false;      // the body's rows are the tile's columns
  bool dot = false;          // lanes run along k and are added pairwise
  bool windows = false, sums_places = false;  // by contraction_window_plan.h, whose pieces end there:
  size_t piece_axis = 0;
  int64_t piece_length = 0;
  bool vector_k = false, vector_m = false, vector_n = false;
  // Up to which column sums run in how many copies over k (sum_copies): a narrow last panel has more.
  std::vector<std::pair<int64_t, int>> copies{};
  bool operator==(const SumOrder&) const = default;
};

// Nothing where tiles of different heights add up in different orders, and for what isn't floating point.
std::optional<SumOrder> sum_order(const Contraction& contraction, const Target& target);

// The part of a contraction that may be chosen by measurement. (kc is not: it ends partial sums.)
struct Tiling {
  int64_t mr = 0, nr = 0, block_m = 0, block_n = 0;
  bool operator==(const Tiling&) const = default;
};
Tiling tiling_of(const Contraction& contraction);
// The contraction in those tiles, where they are legal and leave every bit as it is.
std::optional<Contraction> retiled(const Contraction& contraction, const Tiling& tiling, const Target& target);

// Worth a measurement, all of them legal and equal to the bit: other register tiles, and other blocks for the register tiles there are.
std::vector<Tiling> register_tilings(const Contraction& contraction, const Target& target);
std::vector<Tiling> block_tilings(const Contraction& contraction, const Target& target);

}  // namespace gradc
