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

// d f(x + s v)/ds at s = 0 by central differences with one Richardson step. The step size is the one at which two halvings
// agree best, so it is chosen without looking at the symbolic value.
struct Difference {
  double value = NAN, spread = INFINITY;
  bool kink = false;
  double rounding = 0;  // what rounding of f alone may do to the value

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
  double at_zero = f(0.0);
  for (double h = 2e-3 * size; h > 1e-7 * size; h /= 8) {
    double up = f(h), down = f(-h), half_up = f(h / 2), half_down = f(-h / 2);
    double wide = (up - down) / (2 * h), narrow = (half_up - half_down) / h;
    // Truncation shows as the disagreement of the two; rounding grows as the step shrinks.
    double spread = std::abs(wide - narrow) + 4e-16 * std::abs(at_zero) / h;
    if (spread < best.spread) best = {(4 * narrow - wide) / 3, spread, false, 3.6e-15 * std::abs(at_zero) / h};  // 16 units in the last place
  }
  // A kink between -h and h: the slopes of the two sides differ and go on differing as h shrinks.
  double h = 1e-6 * size;
  double right = (f(h) - at_zero) / h, left = (at_zero - f(-h)) / h;
  double right2 = (f(h / 2) - at_zero) / (h / 2), left2 = (at_zero - f(-h / 2)) / (h / 2);
  double noise = 1e-15 * std::abs(at_zero) / h + 1e-4 * (std::abs(right) + std::abs(left));
  best.kink = std::abs(right - left) > 10 * noise && std::abs(right2 - left2) > 0.8 * std::abs(right - left);
  return best;
}

}  // namespace gradc::cli
