#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "compiler/support/philox.h"

// Numeric derivatives, and the draws that choose where they are taken.
namespace gradc::cli {

// Draws for the choice of elements and directions: a function of the seed, like everything random.
class Draws {
 public:
  explicit Draws(uint64_t seed) : seed_(seed) {}
  double uniform() {
    auto bits = philox4x32({counter_++, 0, 0x43484B, 0}, {static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)});
    return static_cast<double>((uint64_t{bits[0]} << 32 | bits[1]) >> 11) * 0x1p-53;
  }
  int64_t below(int64_t n) { return std::min(n - 1, static_cast<int64_t>(uniform() * static_cast<double>(n))); }

 private:
  uint64_t seed_;
  uint32_t counter_ = 0;
};

// Infinite where only one of the two is a finite number, so that a bound on it is never kept by a NaN.
inline double relative(double a, double b, double scale) {
  if (std::isnan(a) && std::isnan(b)) return 0;
  if (a == b) return 0;
  if (!std::isfinite(a) || !std::isfinite(b)) return INFINITY;
  return std::abs(a - b) / std::max({std::abs(a), std::abs(b), scale, 1e-300});
}

// d f(x + s v)/ds at s = 0 by central differences with one Richardson step. The step size is the one at which differences agree
// best, so it is chosen without looking at the symbolic value.
struct Difference {
  double value = NAN;
  double disagreement = INFINITY;  // of the differences at the chosen step
  double rounding = INFINITY;      // what rounding of f alone may do to the value

  // Differences of a smooth function agree to about its rounding at some step. Where they go on disagreeing, by more than the
  // tolerance of a check, a kink lies at the point or so close to it that no step is free of it, and the slopes of its two sides are mixed.
  bool at_kink(double scale) const { return disagreement > 10 * rounding && disagreement > 3e-7 * std::max(std::abs(value), scale); }

  // Relative to the larger of both and the scale, but asking for no more than seven digits beyond what rounding leaves: where the
  // derivative is 0 by cancellation (of the bias of attention's keys, say), rounding is all there is to see.
  // A derivative that is no finite number, on either side, agrees with nothing.
  double error_of(double expected, double scale) const {
    if (!std::isfinite(expected) || !std::isfinite(value)) return INFINITY;
    return relative(expected, value, std::max(scale, 1e7 * rounding));
  }
};

template <class F>
Difference differentiate(F f, double size) {
  Difference best;
  double at_zero = f(0.0), least = INFINITY;
  for (double h = 2e-3 * size; h > 1e-8 * size; h /= 8) {
    double up = f(h), down = f(-h), half_up = f(h / 2), half_down = f(-h / 2);
    double wide = (up - down) / (2 * h), narrow = (half_up - half_down) / h;
    // The slopes of the two sides differ by h f'' in a smooth function, half of that at half the step; a jump of the slope stays.
    double bend = (up - 2 * at_zero + down) / h, half_bend = 2 * (half_up - 2 * at_zero + half_down) / h;
    // A kink at a distance d < h/2 that changes the slope by D shows as D d / 2h in the first term, which is blind to one at 0, and as
    // D |1/2 - 3d / 2h| in the second, which is blind to one at h/3; so the value is off by no more than their sum.
    double disagreement = std::abs(wide - narrow) + std::abs(half_bend - bend / 2);
    double spread = disagreement + 4e-16 * std::abs(at_zero) / h;  // truncation falls with the step, rounding grows
    if (spread >= least) continue;
    least = spread;
    best = {(4 * narrow - wide) / 3, disagreement, 3.6e-15 * std::abs(at_zero) / h};  // 16 units in the last place
  }
  return best;
}

}  // namespace gradc::cli
