#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "frontend/syntax/ast.h"

// The spelling of everything on one line, shared by the formatter, the printer and messages.
namespace gradc::ast {

std::string quoted(std::string_view value);

template <class T, class F>
std::string joined(const std::vector<T>& list, F&& text, std::string_view separator = ", ") {
  std::string out;
  for (const T& x : list) {
    if (&x != list.data()) out += separator;
    out += text(x);
  }
  return out;
}

class Inline {
 public:
  // With sources, numbers are spelt as written; without, as the shortest decimal.
  explicit Inline(const SourceManager* sources) : sources_(sources) {}

  std::string expr(const Expr& e) const;
  std::string unwrapped(const Expr& e) const;
  std::string list(const std::vector<ExprPtr>& elements) const;
  std::string argument(const Argument& a) const;
  std::string shape(const ShapeType& t) const;
  std::string parameter(const Parameter& p) const;
  std::string results(const std::vector<ShapeType>& types) const;
  std::string scan_head(const Scan& x) const;
  std::string block(const Block& b) const;
  std::string statement(const Stmt& s) const;
  std::string left_side(const Stmt& s) const;  // before " = "; empty where a statement has none
  std::string fn_head(const Fn& x) const;
  std::string assertion(const Assert& x) const;
  std::string reader(const DataReader& r) const;
  std::string reader_head(const DataReader& r) const;
  std::string binding(const DataBinding& b) const;
  std::string minimize(const Minimize& m) const;

 private:
  std::string number(const Expr& e, const Number& n) const;
  std::string target(const Target& t) const;
  std::string if_chain(const If& x) const;
  std::string body(const Body& b) const;

  const SourceManager* sources_;
};

}  // namespace gradc::ast
