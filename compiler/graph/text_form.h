#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "compiler/graph/attrs.h"
#include "compiler/graph/type.h"

// Spelling of symbols, numbers, attributes and types in the text forms, and the scanner that reads them back.
namespace gradc::text_form {

std::string spell(Symbol s);             // bare where it looks like a word, else quoted with escapes
std::string spell_number(double value);  // always told apart from an integer; every bit pattern survives
std::string spell(const AttrValue& v);
std::string spell(const Type& t);
std::string spell(const Attrs& attrs);  // " {a=1, b=[2, 3]}", empty where there are none

// Reads one line. The first thing that doesn't fit sets the error; after that every method does nothing.
class Scanner {
 public:
  explicit Scanner(std::string_view line) : rest_(line) { skip_blanks(); }

  bool failed() const { return !error_.empty(); }
  const std::string& error() const { return error_; }
  void fail(std::string message);
  bool at_end();                        // only blanks or a comment is left
  bool peek(std::string_view token);    // is it next?
  bool accept(std::string_view token);  // if it is next, take it
  void expect(std::string_view token);
  void expect_end();

  bool next_is_symbol();
  Symbol symbol();  // bare or quoted
  int64_t integer();
  size_t index();  // an integer that is not negative
  AttrValue attribute_value();
  Type type();
  Attrs attributes();  // nothing where no '{' follows

 private:
  void skip_blanks();
  std::string describe_next() const;
  std::string quoted();
  double number(std::string_view text);
  std::string_view rest_;
  std::string error_;
};

}  // namespace gradc::text_form
