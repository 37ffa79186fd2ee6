#include "compiler/graph/attrs.h"

#include <bit>

#include "compiler/support/error.h"

namespace gradc {
namespace {

template <class T>
const T& get(const AttrValue* value, Symbol key) {
  GRADC_ASSERT(value && std::holds_alternative<T>(*value), "attribute '{}' is missing or of another kind", key);
  return std::get<T>(*value);
}

size_t mix(size_t h, size_t v) { return (h ^ v) * 0x9E3779B97F4A7C15ull + (h >> 29); }

size_t hash_value(const AttrValue& v) {
  if (auto* i = std::get_if<int64_t>(&v)) return std::hash<int64_t>{}(*i);
  if (auto* d = std::get_if<double>(&v)) return std::bit_cast<uint64_t>(*d);
  if (auto* s = std::get_if<Symbol>(&v)) return std::hash<Symbol>{}(*s);
  size_t h = 7;
  for (int64_t i : std::get<std::vector<int64_t>>(v)) h = mix(h, static_cast<size_t>(i));
  return h;
}

bool same_value(const AttrValue& a, const AttrValue& b) {
  auto *x = std::get_if<double>(&a), *y = std::get_if<double>(&b);
  if (x && y) return std::bit_cast<uint64_t>(*x) == std::bit_cast<uint64_t>(*y);
  return a == b;
}

}  // namespace

const AttrValue* Attrs::find(Symbol key) const {
  for (const Entry& e : entries_) {
    if (e.key == key) return &e.value;
  }
  return nullptr;
}

int64_t Attrs::integer(Symbol key) const { return get<int64_t>(find(key), key); }
double Attrs::number(Symbol key) const { return get<double>(find(key), key); }
const std::vector<int64_t>& Attrs::integers(Symbol key) const { return get<std::vector<int64_t>>(find(key), key); }
Symbol Attrs::text(Symbol key) const { return get<Symbol>(find(key), key); }

bool Attrs::operator==(const Attrs& o) const {
  if (entries_.size() != o.entries_.size()) return false;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].key != o.entries_[i].key || !same_value(entries_[i].value, o.entries_[i].value)) return false;
  }
  return true;
}

size_t Attrs::hash() const {
  size_t h = entries_.size();
  for (const Entry& e : entries_) h = mix(mix(h, std::hash<Symbol>{}(e.key)), hash_value(e.value));
  return h;
}

}  // namespace gradc
