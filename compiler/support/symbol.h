#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace gradc {

// An interned string: copying and comparing for equality cost one pointer. Symbols live as long as the process
// and may be made from any thread. Ordering is alphabetical, so that printed sets never depend on addresses.
class Symbol {
 public:
  Symbol();
  Symbol(std::string_view text);
  Symbol(const char* text) : Symbol(std::string_view(text)) {}
  Symbol(const std::string& text) : Symbol(std::string_view(text)) {}

  const std::string& str() const { return *text_; }
  const char* c_str() const { return text_->c_str(); }
  bool empty() const { return text_->empty(); }
  explicit operator bool() const { return !empty(); }

  bool operator==(const Symbol& o) const { return text_ == o.text_; }
  std::strong_ordering operator<=>(const Symbol& o) const { return *text_ <=> *o.text_; }

 private:
  friend struct std::hash<Symbol>;
  const std::string* text_;
};

}  // namespace gradc

template <>
struct std::hash<gradc::Symbol> {
  size_t operator()(gradc::Symbol s) const noexcept { return std::hash<const void*>{}(s.text_); }
};

template <>
struct fmt::formatter<gradc::Symbol> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(gradc::Symbol s, Context& ctx) const {
    return fmt::formatter<std::string_view>::format(s.str(), ctx);
  }
};
