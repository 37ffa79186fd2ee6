#include "compiler/graph/text_form.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "compiler/support/text.h"

namespace gradc::text_form {
namespace {

constexpr uint64_t plain_nan = 0x7FF8000000000000;

bool word_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool digit(char c) {
  return c >= '0' && c <= '9';
}
bool word_char(char c) {
  return word_start(c) || digit(c) || c == '.';
}
// Words that read as numbers are quoted where they are symbols.
bool number_word(std::string_view s) {
  return s == "inf" || s == "nan";
}

bool is_word(std::string_view s) {
  return !s.empty() && word_start(s[0]) && std::all_of(s.begin(), s.end(), word_char) && !number_word(s);
}

std::string_view leading_word(std::string_view s) {
  size_t n = 0;
  while (n < s.size() && word_char(s[n])) ++n;
  return s.substr(0, n);
}

// A sign, digits, letters and dots: whatever may be a number, judged later.
std::string_view leading_number(std::string_view s) {
  size_t n = 0;
  while (n < s.size() && (word_char(s[n]) || ((s[n] == '-' || s[n] == '+') && (n == 0 || s[n - 1] == 'e')))) ++n;
  return s.substr(0, n);
}

template <class T>
bool convert(std::string_view text, T& value, auto... how) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, how...);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string spell(Symbol s) {
  if (is_word(s.str())) return s.str();
  std::string out = "\"";
  for (char c : s.str()) {
    if (c == '"' || c == '\\')
      out += '\\', out += c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + "\"";
}

std::string spell_number(double value) {
  if (std::isnan(value)) {
    auto bits = std::bit_cast<uint64_t>(value);
    return bits == plain_nan ? "nan" : fmt::format("nan(0x{:x})", bits);
  }
  std::string text = shortest(value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string spell(const AttrValue& v) {
  if (auto* i = std::get_if<int64_t>(&v)) return fmt::to_string(*i);
  if (auto* d = std::get_if<double>(&v)) return spell_number(*d);
  if (auto* s = std::get_if<Symbol>(&v)) return spell(*s);
  return fmt::format("[{}]", fmt::join(std::get<std::vector<int64_t>>(v), ", "));
}

std::string spell(const Type& t) {
  std::string out = std::string(name(t.element)) + "[";
  for (size_t i = 0; i < t.dims.size(); ++i) {
    if (i) out += ", ";
    if (t.dims[i].name) out += spell(t.dims[i].name) + "=";
    out += fmt::to_string(t.dims[i].size);
  }
  return out + "]";
}

std::string spell(const Attrs& attrs) {
  if (attrs.entries().empty()) return {};
  std::string out;
  for (const Attrs::Entry& e : attrs.entries())
    out += (out.empty() ? " {" : ", ") + spell(e.key) + "=" + spell(e.value);
  return out + "}";
}

void Scanner::fail(std::string message) {
  if (failed()) return;
  error_ = std::move(message);
  rest_ = {};
}

void Scanner::skip_blanks() {
  size_t n = std::min(rest_.find_first_not_of(" \t\r"), rest_.size());
  rest_.remove_prefix(n);
  if (!rest_.empty() && rest_[0] == ';') rest_ = {};
}

std::string Scanner::describe_next() const {
  if (rest_.empty()) return "the end of the line";
  std::string_view word = leading_number(rest_);
  return fmt::format("'{}'", word.empty() ? rest_.substr(0, 1) : word.substr(0, 40));
}

bool Scanner::at_end() {
  return rest_.empty();
}

bool Scanner::peek(std::string_view token) {
  if (failed() || rest_.substr(0, token.size()) != token) return false;
  // A word ends where no further word character follows.
  return !word_char(token.back()) || token.size() == rest_.size() || !word_char(rest_[token.size()]);
}

bool Scanner::accept(std::string_view token) {
  if (!peek(token)) return false;
  rest_.remove_prefix(token.size());
  skip_blanks();
  return true;
}

void Scanner::expect(std::string_view token) {
  if (!accept(token)) fail(fmt::format("expected '{}' before {}", token, describe_next()));
}

void Scanner::expect_end() {
  if (!at_end()) fail(fmt::format("did not expect {}", describe_next()));
}

bool Scanner::next_is_symbol() {
  return !rest_.empty() && (rest_[0] == '"' || word_start(rest_[0]));
}

Symbol Scanner::symbol() {
  if (!next_is_symbol()) {
    fail(fmt::format("expected a name before {}", describe_next()));
    return {};
  }
  if (rest_[0] == '"') return Symbol(quoted());
  std::string_view word = leading_word(rest_);
  rest_.remove_prefix(word.size());
  skip_blanks();
  return Symbol(word);
}

std::string Scanner::quoted() {
  std::string out;
  size_t i = 1;
  for (; i < rest_.size() && rest_[i] != '"'; ++i) {
    if (rest_[i] != '\\') {
      out += rest_[i];
      continue;
    }
    unsigned code = 0;
    if (i + 1 < rest_.size() && (rest_[i + 1] == '"' || rest_[i + 1] == '\\')) {
      out += rest_[++i];
    } else if (i + 3 < rest_.size() && rest_[i + 1] == 'x' && convert(rest_.substr(i + 2, 2), code, 16)) {
      out += static_cast<char>(code);
      i += 3;
    } else {
      fail("unknown escape in a quoted name");
      return {};
    }
  }
  if (i == rest_.size()) {
    fail("a quoted name does not end");
    return {};
  }
  rest_.remove_prefix(i + 1);
  skip_blanks();
  return out;
}

int64_t Scanner::integer() {
  std::string_view text = leading_number(rest_);
  int64_t value = 0;
  if (!convert(text, value)) {
    fail(fmt::format("expected an integer before {}", describe_next()));
    return 0;
  }
  rest_.remove_prefix(text.size());
  skip_blanks();
  return value;
}

size_t Scanner::index() {
  int64_t value = integer();
  if (value < 0) fail(fmt::format("expected a number from 0, not {}", value));
  return failed() ? 0 : static_cast<size_t>(value);
}

double Scanner::number(std::string_view text) {
  double value = 0;
  uint64_t bits = 0;
  if (text == "inf")
    value = std::numeric_limits<double>::infinity();
  else if (text == "-inf")
    value = -std::numeric_limits<double>::infinity();
  else if (text == "nan" && rest_.substr(3, 3) == "(0x") {
    size_t close = std::min(rest_.find(')'), rest_.size());
    if (!convert(rest_.substr(6, close < 6 ? 0 : close - 6), bits, 16) || !std::isnan(std::bit_cast<double>(bits)))
      fail("expected the bits of a NaN");
    else
      rest_.remove_prefix(close + 1 - text.size()), value = std::bit_cast<double>(bits);
  } else if (text == "nan")
    value = std::bit_cast<double>(plain_nan);
  else if (!convert(text, value))
    fail(fmt::format("'{}' is not a value", text.substr(0, 40)));
  return value;
}

AttrValue Scanner::attribute_value() {
  if (accept("[")) {
    std::vector<int64_t> list;
    while (!failed() && !accept("]")) {
      if (!list.empty()) expect(",");
      list.push_back(integer());
    }
    return list;
  }
  std::string_view text = leading_number(rest_);
  if (next_is_symbol() && !number_word(text)) return symbol();
  if (text.find_first_of(".en") == std::string_view::npos) return integer();
  double value = number(text);
  if (!failed()) rest_.remove_prefix(text.size());
  skip_blanks();
  return value;
}

Type Scanner::type() {
  Type t;
  Symbol element = symbol();
  auto known = element == Symbol("none") ? std::optional(Element::None) : parse_element(element.str());
  if (!failed() && !known) fail(fmt::format("there is no element type '{}'", element));
  if (known) t.element = *known;
  expect("[");
  while (!failed() && !accept("]")) {
    if (!t.dims.empty()) expect(",");
    Dim d;
    if (next_is_symbol()) {
      d.name = symbol();
      expect("=");
    }
    d.size = integer();
    t.dims.push_back(d);
  }
  return t;
}

Attrs Scanner::attributes() {
  if (!accept("{")) return {};
  std::vector<Attrs::Entry> entries;
  while (!failed() && !accept("}")) {
    if (!entries.empty()) expect(",");
    Symbol key = symbol();
    expect("=");
    entries.push_back({key, attribute_value()});
  }
  return Attrs(std::move(entries));
}

}  // namespace gradc::text_form
