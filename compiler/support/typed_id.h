#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace gradc {

// An index into one particular table. Two ids of different tables are different types, so a node id can't be
// used where an origin id is wanted. The default value is "none" and tests false.
template <class Tag>
struct TypedId {
  static constexpr int32_t none = -1;
  int32_t index = none;

  constexpr TypedId() = default;
  constexpr explicit TypedId(size_t i) : index(static_cast<int32_t>(i)) {}

  constexpr explicit operator bool() const { return index >= 0; }
  constexpr size_t at() const { return static_cast<size_t>(index); }
  constexpr auto operator<=>(const TypedId&) const = default;
};

}  // namespace gradc

template <class Tag>
struct std::hash<gradc::TypedId<Tag>> {
  size_t operator()(gradc::TypedId<Tag> id) const noexcept { return std::hash<int32_t>{}(id.index); }
};
