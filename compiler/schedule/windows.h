#pragma once

#include <optional>
#include <vector>

#include "compiler/schedule/kernel.h"

namespace gradc {

// How the left operand of a contraction reads an image through windows: along each axis of the image one dim of the rows (M), one of
// the sum (K), or one of each move. Where both do, the same element is read for many pairs of them, so that the operand is evaluated once
// for each element of the image and not for each of (row, summand).
struct ImageAxis {
  int m = -1, k = -1;              // dims of the contraction; -1: none
  int64_t m_step = 0, k_step = 0;  // the place along the axis is m_step * m + k_step * k
  int64_t stride = 0;              // in elements of what is loaded first; the axes are in falling order of it
  bool window() const { return m >= 0 && k >= 0; }
  int64_t step_of(int dim) const { return dim == m ? m_step : dim == k ? k_step : 0; }
};

struct Windows {
  std::vector<ImageAxis> axes;
  // More of the windows' places are summed than are rows: the derivative by a filter. Else a convolution.
  bool sums_places = false;
  // The innermost rows, whose distances in the image are all the same: a register tile's rows are among them.
  std::vector<int> line;
  int64_t line_extent = 1;
};

// Nothing where no two windows overlap, or where the form is not one of these (several dims of columns).
std::optional<Windows> find_windows(const Contraction& contraction);

// A stretch of the points over some dims, in order: one index of the dims before `axis`, `length` along it, all of the dims behind.
struct Stretch {
  size_t axis = 0;
  int64_t length = 1;
};
// The stretch that holds `count` points: nothing where it would end amid an axis. Only the first axis may have a rest.
std::optional<Stretch> stretch_of(const std::vector<int64_t>& extents, int64_t count);
// The longest stretch of no more than `most` points, of about equal parts of its axis.
Stretch longest_stretch(const std::vector<int64_t>& extents, int64_t most);

}  // namespace gradc
