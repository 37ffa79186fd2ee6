#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace gradc {

// Counts through an index space in row-major order, keeping K linear functions of the index up to date. An index space with
// an empty axis still holds the first point: callers look at counts first.
template <size_t K>
class Odometer {
 public:
  using Strides = std::array<std::vector<int64_t>, K>;

  Odometer(std::vector<int64_t> sizes, Strides strides)
      : sizes_(std::move(sizes)), strides_(std::move(strides)), index_(sizes_.size(), 0) {}

  int64_t operator[](size_t k) const { return at_[k]; }

  // Moves to the next point; after the last one it is back at the first and returns false.
  bool next() {
    for (size_t axis = sizes_.size(); axis-- > 0;) {
      bool carry = ++index_[axis] == sizes_[axis];
      int64_t steps = carry ? 1 - sizes_[axis] : 1;
      for (size_t k = 0; k < K; ++k) at_[k] += steps * strides_[k][axis];
      if (!carry) return true;
      index_[axis] = 0;
    }
    return false;
  }

 private:
  std::vector<int64_t> sizes_;
  Strides strides_;
  std::vector<int64_t> index_;
  std::array<int64_t, K> at_{};
};

}  // namespace gradc
