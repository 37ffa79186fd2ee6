#pragma once

#include <optional>
#include <vector>

#include "compiler/schedule/kernel.h"

// Index algebra: where in a tensor a value is wanted, as affine functions of a kernel's dims, and how that place is carried
// through views, reshapes and pads to the operand's place, so that none of them has to be copied.
namespace gradc::scheduling {

Affine fixed(size_t dims, int64_t value);
Affine along(size_t dims, size_t dim);
Affine scaled(Affine a, int64_t scale, int64_t offset = 0);
Affine sum(Affine a, const Affine& b, int64_t scale = 1);

// Index along one axis: an affine part, and parts taken from values (gather).
struct AxisIndex {
  Affine at;
  std::vector<Indirect> picks;
  bool operator==(const AxisIndex&) const = default;
};

// One element of a tensor at each point of a kernel. Where a guard fails the value is never looked at.
struct Place {
  std::vector<AxisIndex> axes;
  std::vector<Guard> guards;
};

// Axis i moves with dim dims[i]; -1 stays at 0.
Place place_along(size_t kernel_dims, const std::vector<int>& dims);

Place through_view(const Place& p, const std::vector<ViewTerm>& terms, size_t kernel_dims);
// From the result's place to the operand's. Nothing where the operand's index would not be affine; then only the position in
// row-major order is known (flat).
std::optional<Place> through_reshape(const Place& p, const Type& result, const Type& operand, const std::vector<int64_t>& extents);
AxisIndex flat(const Place& p, const Type& type, size_t kernel_dims);
// The same for a tensor that lies in memory with other strides.
AxisIndex flat(const Place& p, const Type& type, const std::vector<int64_t>& strides, size_t kernel_dims);
// Moves the window [low, low + size) of an axis to the operand, and guards it. False where the index is picked.
bool through_window(Place& p, size_t axis, int64_t low, int64_t size);

// Axis -> the one dim it moves with (-1: fixed at 0), if the place is no more than that: no offsets, strides, guards.
std::optional<std::vector<int>> plain_dims(const Place& p);

// Totally ordered, for tables of values that are already there.
using PlaceKey = std::vector<int64_t>;
PlaceKey key_of(NodeId node, const Place& p);

}  // namespace gradc::scheduling
