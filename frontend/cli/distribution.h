#pragma once

#include <algorithm>
#include <vector>

namespace gradc::cli {

// Of repeated measurements. Medians and the fastest stand beside noise that means do not.
struct Distribution {
  double median = 0, min = 0, p90 = 0;
};

// Of at least one.
inline Distribution distribution(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return {v[v.size() / 2], v.front(), v[static_cast<size_t>(0.9 * static_cast<double>(v.size() - 1))]};
}

}  // namespace gradc::cli
