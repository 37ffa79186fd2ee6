#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "frontend/syntax/parser.h"
#include "frontend/syntax/token.h"

namespace gradc::syntax {

// Recursive descent over the tokens of one file. An error is reported where it is found and thrown as a SyntaxError to
// the loop over statements (or items), which leaves the statement out and goes on behind it: synchronize().
//
// Newlines count only where nest_ is 0, that is outside ( and [ of the current statement.
class Parser {
 public:
  Parser(FileId file, const SourceManager& sources, Diagnostics& diagnostics);
  std::unique_ptr<ast::File> file();
  ast::ExprPtr lone_expression();

 private:
  struct SyntaxError {};
  struct Stop {};  // too many errors

  // What encloses a statement decides which statements may stand there.
  enum class Place { Fn, Layer, Model, Optimizer, Derivative, Scan };
  enum class BlockUse { Statements, Value };

  class Nested;  // counts the depth of recursion
  class Inside;  // brackets: newlines don't count until it ends
  template <class T>
  class Restore;  // gives a member its old value back

  // -- tokens (parser.cpp) --
  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& take();
  bool at(Tok kind) const { return peek().kind == kind; }
  bool at_word(std::string_view word) const { return at(Tok::Word) && peek().text == word; }
  bool at_name(size_t ahead = 0) const { return peek(ahead).kind == Tok::Word && !is_reserved(peek(ahead).text); }
  bool accept(Tok kind);
  bool accept_word(std::string_view word);
  bool fresh_line() const { return nest_ == 0 && peek().newline_before; }
  bool statement_ends() const;
  SourceSpan since(size_t first) const;  // from a token to the last one taken
  std::string text(SourceSpan span) const { return std::string(sources_.text(span)); }

  // -- errors (recovery.cpp) --
  template <class... Args>
  Diagnostic& report(DiagnosticKind kind, SourceSpan span, const Args&... args);
  [[noreturn]] void fail_expected(std::string_view what, std::initializer_list<std::string_view> keywords = {});
  [[noreturn]] void fail_value(std::string_view where);
  [[noreturn]] void fail_unclosed(size_t opening);
  [[noreturn]] void fail_list_end(size_t opening, std::string_view element);
  [[noreturn]] void fail_statement_end(const ast::Stmt* statement);
  [[noreturn]] void fail_assignment();
  [[noreturn]] void fail_item();
  [[noreturn]] void fail_too_deep(SourceSpan span);
  [[noreturn]] void fail_scan_head();
  void check_foreign_word();  // throws
  void check_invalid();       // throws where the lexer has already reported the token
  std::string found() const;
  SourceSpan found_span() const;
  void synchronize(size_t first);
  void synchronize_items(size_t first);
  size_t skip_group(size_t token) const;

  void expect(Tok kind, std::string_view what);
  void expect_word(std::string_view word, std::string_view what);
  ast::Ident expect_name(std::string_view what);
  ast::Ident first_name(std::string_view what);  // where a line may begin with it
  size_t open(Tok kind, std::string_view what);
  void close(size_t opening, std::string_view element);

  // -- expressions (parse_expr.cpp) --
  ast::ExprPtr make(SourceSpan span, ast::Expr::Node node);
  ast::ExprPtr expression(std::string_view where);
  ast::ExprPtr binary(int level, std::string_view where);
  ast::ExprPtr range_end(ast::ExprPtr from, size_t first);
  ast::ExprPtr unary(std::string_view where);
  ast::ExprPtr prefixed(ast::UnaryOp op, int level);
  ast::ExprPtr postfix(std::string_view where);
  ast::ExprPtr call(ast::ExprPtr callee, size_t first);
  ast::ExprPtr index(ast::ExprPtr base, size_t first);
  ast::ExprPtr reduction(ast::ExprPtr indexed, size_t first);
  ast::ExprPtr member(ast::ExprPtr base, size_t first);
  ast::ExprPtr primary(std::string_view where);
  ast::ExprPtr word_expression(std::string_view where);
  ast::ExprPtr parenthesised();
  ast::ExprPtr list();
  ast::ExprPtr all_but();
  ast::ExprPtr if_value();
  ast::ExprPtr scan();
  ast::ExprPtr index_item();
  ast::ExprPtr tuple_or_value(std::string_view where);
  std::vector<ast::Argument> arguments();
  template <class Element>
  void elements(size_t opening, std::string_view name, Element&& element);

  // -- statements (parse_stmt.cpp) --
  ast::Block block(std::string_view owner, BlockUse use, Place place);
  ast::Stmt statement();
  ast::Stmt::Node statement_node();
  ast::Stmt::Node binding_or_value();
  ast::Stmt::Node binding(std::vector<ast::ExprPtr> left, std::optional<ast::ShapeType> type);
  ast::Target target(const ast::Expr& e);
  std::optional<ast::IndexBind> index_target(const ast::Expr& e);
  ast::Dim dim();
  ast::Param param();
  ast::State state();
  ast::Update update();
  ast::Assert assertion();
  ast::If if_chain();
  ast::For for_loop();
  void allow(std::string_view word, std::initializer_list<Place> places, std::string_view where);
  void check_used(const ast::Stmt& statement);
  void finish_value(ast::Block& block);
  ast::ExprPtr finish_if(ast::If chain, SourceSpan span);

  // -- items (parse_item.cpp) --
  ast::Item item();
  ast::Item::Node item_node();
  ast::Fn fn();
  ast::Layer layer();
  ast::Model model();
  ast::Optimizer optimizer();
  ast::Derivative derivative();
  ast::Train train();
  void train_entry(ast::Train& into);
  ast::Minimize minimize();
  std::unique_ptr<ast::DataReader> reader(ast::ExprPtr value, size_t first);
  ast::Body body(std::string_view owner, Place place);
  std::vector<ast::Parameter> parameters(std::string_view owner);
  void second_list(std::string_view kind, const ast::Ident& name, std::string_view example);
  std::vector<ast::ShapeType> results();
  ast::ShapeType shape_type();
  template <class Entry>
  void entries(size_t opening, Entry&& entry);

  FileId file_;
  const SourceManager& sources_;
  Diagnostics& diagnostics_;
  std::vector<Token> tokens_;
  std::vector<ast::Comment> comments_;
  size_t at_ = 0;
  size_t nest_ = 0;
  size_t depth_ = 0;
  size_t errors_ = 0;
  uint32_t peak_ = 0;         // height of the highest expression of the current block
  bool slice_ = false;        // directly inside the brackets of an index, where a range may lack an end
  size_t rewind_ = SIZE_MAX;  // an opening bracket that is never closed: go on behind its line
  bool too_deep_ = false;     // said once
  Place place_ = Place::Model;
  BlockUse use_ = BlockUse::Statements;
};

template <class T>
class Parser::Restore {
 public:
  Restore(T& member, T value) : member_(member), old_(std::exchange(member, value)) {}
  ~Restore() { member_ = old_; }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

 private:
  T& member_;
  T old_;
};

class Parser::Nested {
 public:
  explicit Nested(Parser& p) : p_(p) {
    if (++p_.depth_ <= ast::max_height) return;
    --p_.depth_;
    p_.fail_too_deep(p_.peek().span);
  }
  ~Nested() { --p_.depth_; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

 private:
  Parser& p_;
};

class Parser::Inside {
 public:
  explicit Inside(Parser& p, bool slice = false) : nest_(p.nest_, p.nest_ + 1), slice_(p.slice_, slice) {}

 private:
  Restore<size_t> nest_;
  Restore<bool> slice_;
};

template <class... Args>
Diagnostic& Parser::report(DiagnosticKind kind, SourceSpan span, const Args&... args) {
  if (++errors_ > max_errors) {
    diagnostics_.report(DiagnosticKind::TooManySyntaxErrors, span, max_errors);
    throw Stop{};
  }
  return diagnostics_.report(kind, span, args...);
}

// The elements of ( ... ) or [ ... ], separated by commas, a comma at the end allowed; takes the closing bracket.
template <class Element>
void Parser::elements(size_t opening, std::string_view name, Element&& element) {
  Tok closing = tokens_[opening].kind == Tok::LParen ? Tok::RParen : Tok::RBracket;
  while (!at(closing)) {
    element();
    if (!accept(Tok::Comma)) break;
  }
  close(opening, name);
}

// The entries of { ... }, separated by newlines or semicolons; takes the closing brace. An entry with an error is left
// out.
template <class Entry>
void Parser::entries(size_t opening, Entry&& entry) {
  while (true) {
    while (accept(Tok::Semicolon)) continue;
    if (at(Tok::RBrace) || at(Tok::End)) break;
    if (tokens_[opening].match == Token::no_match && peek().newline_before && at(Tok::Word) &&
        (at_word("model") || at_word("layer") || at_word("train")) && at_name(1)) {
      break;
    }
    size_t first = at_;
    try {
      entry();
      if (!statement_ends()) fail_statement_end(nullptr);
    } catch (const SyntaxError&) {
      synchronize(first);
    }
  }
  if (at(Tok::RBrace) && peek().match == opening) {
    take();
  } else {
    report(DiagnosticKind::UnclosedBracket, tokens_[opening].span, spelling(Tok::LBrace));
  }
}

}  // namespace gradc::syntax
