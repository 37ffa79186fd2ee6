#include "runtime/sample.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compiler/support/error.h"
#include "compiler/support/philox.h"

namespace gradc {
namespace {

constexpr uint32_t sample_site = 0x53414D50;

}  // namespace

double sample_uniform(uint64_t seed, uint64_t index) {
  auto bits = philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), sample_site, 0},
                         {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return static_cast<double>((uint64_t{bits[1]} << 32 | bits[0]) >> 11) * 0x1p-53;
}

int64_t sample(const std::vector<double>& logits, double temperature, int64_t top_k, double uniform) {
  GRADC_ASSERT(!logits.empty(), "nothing to sample from");
  std::vector<int64_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)]; });
  const double largest = logits[static_cast<size_t>(order[0])];
  if (temperature == 0) return order[0];
  if (top_k > 0 && top_k < static_cast<int64_t>(order.size())) order.resize(static_cast<size_t>(top_k));
  std::sort(order.begin(), order.end());
  auto weight = [&](int64_t i) { return std::exp((logits[static_cast<size_t>(i)] - largest) / temperature); };
  double total = 0, sum = 0;
  for (int64_t i : order) total += weight(i);
  int64_t last = order[0];
  for (int64_t i : order) {
    const double w = weight(i);
    if (w == 0) continue;
    last = i;
    sum += w;
    if (uniform * total < sum) return i;
  }
  return last;  // where rounding leaves the sum below the total
}

}  // namespace gradc
