#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

// Small sets and maps of axes, as the attributes of shape operations hold them.
namespace gradc::rewrite {

using Axes = std::vector<int64_t>;

inline bool has(const Axes& list, int64_t x) { return std::find(list.begin(), list.end(), x) != list.end(); }
inline int64_t position(const Axes& list, int64_t x) { return std::find(list.begin(), list.end(), x) - list.begin(); }
inline int64_t at(const Axes& list, int64_t i) { return list[static_cast<size_t>(i)]; }

inline Axes range(size_t n) {
  Axes list(n);
  std::iota(list.begin(), list.end(), 0);
  return list;
}
inline Axes without(const Axes& list, const Axes& gone) {
  Axes rest;
  for (int64_t x : list) {
    if (!has(gone, x)) rest.push_back(x);
  }
  return rest;
}
inline Axes common(const Axes& a, const Axes& b) {
  Axes both;
  for (int64_t x : a) {
    if (has(b, x)) both.push_back(x);
  }
  return both;
}
// table[i] for each i.
inline Axes pick(const Axes& table, const Axes& indices) {
  Axes list;
  for (int64_t i : indices) list.push_back(at(table, i));
  return list;
}
// Where each x stands in the table.
inline Axes positions(const Axes& table, const Axes& list) {
  Axes places;
  for (int64_t x : list) places.push_back(position(table, x));
  return places;
}
inline Axes sorted(Axes list) {
  std::sort(list.begin(), list.end());
  return list;
}
inline bool ascending(const Axes& list) { return std::is_sorted(list.begin(), list.end()); }

}  // namespace gradc::rewrite
