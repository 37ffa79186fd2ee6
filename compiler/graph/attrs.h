#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "compiler/support/symbol.h"

namespace gradc {

using AttrValue = std::variant<int64_t, double, std::vector<int64_t>, Symbol>;

// The static arguments of an operation ("axes", "value"), few and in the order in which its descriptor lists them.
// Doubles compare by bits, so that -0 and 0 differ and NaN equals itself.
class Attrs {
 public:
  struct Entry {
    Symbol key;
    AttrValue value;
  };
  Attrs() = default;
  Attrs(std::initializer_list<Entry> entries) : entries_(entries) {}
  explicit Attrs(std::vector<Entry> entries) : entries_(std::move(entries)) {}

  const std::vector<Entry>& entries() const { return entries_; }
  bool has(Symbol key) const { return find(key) != nullptr; }
  // These throw InternalError where the key is missing or of another kind: a node was built wrongly.
  int64_t integer(Symbol key) const;
  double number(Symbol key) const;
  const std::vector<int64_t>& integers(Symbol key) const;
  Symbol text(Symbol key) const;

  bool operator==(const Attrs& o) const;
  size_t hash() const;

 private:
  const AttrValue* find(Symbol key) const;
  std::vector<Entry> entries_;
};

}  // namespace gradc
