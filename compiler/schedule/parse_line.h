#pragma once

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "compiler/schedule/kernel.h"

// The words of one line of the kernel form's text, for its parser.
namespace gradc::kernel_text {

struct ParseFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw ParseFailure(fmt::format(format, std::forward<Args>(args)...));
}

// One line's tokens: words ("v12", "load"), numbers, quoted strings, single punctuation characters; '#' starts a comment.
class Line {
 public:
  explicit Line(std::string_view text) : text_(text) { skip(); }

  bool end() const { return at_ >= text_.size(); }
  std::string_view peek() const { return token(); }
  std::string_view next() {
    if (end()) fail("unexpected end of line");
    std::string_view t = token();
    at_ += t.size();
    skip();
    return t;
  }
  bool accept(std::string_view t) {
    if (end() || token() != t) return false;
    next();
    return true;
  }
  void expect(std::string_view t) {
    if (!accept(t)) fail("expected '{}' before '{}'", t, text_.substr(at_));
  }
  void finish() const {
    if (!end()) fail("unexpected '{}'", text_.substr(at_));
  }

  int64_t integer() {
    bool negative = accept("-");
    std::string_view t = next();
    int64_t v = 0;
    auto [p, error] = std::from_chars(t.data(), t.data() + t.size(), v);
    if (error != std::errc() || p != t.data() + t.size()) fail("expected an integer, not '{}'", t);
    return negative ? -v : v;
  }
  int integer32() { return static_cast<int>(integer()); }
  double number() {
    bool negative = accept("-");
    std::string t(next());
    char* stop = nullptr;
    double v = std::strtod(t.c_str(), &stop);
    if (*stop) fail("expected a number, not '{}'", t);
    return negative ? -v : v;
  }
  // "v12" with prefix 'v'.
  int numbered(char prefix) {
    std::string_view t = next();
    int v = 0;
    auto [p, error] = std::from_chars(t.data() + 1, t.data() + t.size(), v);
    if (t[0] != prefix || error != std::errc() || p != t.data() + t.size()) fail("expected '{}' and a number, not '{}'", prefix, t);
    return v;
  }
  bool at_numbered(char prefix) const {
    std::string_view t = end() ? "" : token();
    return t.size() > 1 && t[0] == prefix && std::isdigit(static_cast<unsigned char>(t[1]));
  }
  bool at_string() const { return !end() && text_[at_] == '"'; }
  Symbol string() {
    std::string_view t = next();
    if (t.size() < 2 || t.front() != '"' || t.back() != '"') fail("expected a quoted name, not '{}'", t);
    std::string out;
    for (size_t i = 1; i + 1 < t.size(); ++i) {
      if (t[i] == '\\' && i + 2 < t.size()) ++i;
      out += t[i];
    }
    return Symbol(out);
  }
  Element element() {
    std::string_view t = next();
    std::optional<Element> e = parse_element(t);
    if (!e) fail("no element type is called '{}'", t);
    return *e;
  }
  Combiner combiner() {
    std::string_view t = next();
    for (Combiner c : {Combiner::Sum, Combiner::Prod, Combiner::Max, Combiner::Min}) {
      if (t == name(c)) return c;
    }
    fail("no combiner is called '{}'", t);
  }

 private:
  static bool word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.'; }

  void skip() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    if (at_ < text_.size() && text_[at_] == '#') at_ = text_.size();
  }
  std::string_view token() const {
    size_t e = at_;
    if (text_[e] == '"') {
      for (++e; e < text_.size() && text_[e] != '"'; ++e) {
        if (text_[e] == '\\') ++e;
      }
      return text_.substr(at_, e + 1 - at_);
    }
    while (e < text_.size() && word(text_[e])) {
      // The sign of an exponent belongs to its number.
      bool exponent = text_[e] == 'e' && std::isdigit(static_cast<unsigned char>(text_[at_]));
      ++e;
      if (exponent && e < text_.size() && (text_[e] == '-' || text_[e] == '+')) ++e;
    }
    return text_.substr(at_, e == at_ ? 1 : e - at_);
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace gradc::kernel_text
