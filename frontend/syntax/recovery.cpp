#include <algorithm>

#include "compiler/support/text.h"
#include "frontend/syntax/parser_impl.h"

// What the parser says about an error, and where it goes on.
namespace gradc::syntax {

using enum DiagnosticKind;

namespace {

struct ForeignHint {
  std::string_view word, advice;
};
constexpr ForeignHint foreign_words[] = {
    {"def", "functions begin with 'fn', layers with 'layer'"},
    {"function", "functions begin with 'fn'"},
    {"func", "functions begin with 'fn'"},
    {"class", "a network is a 'model', a part with parameters of its own is a 'layer'"},
    {"let", "write 'name = value'"},
    {"var", "write 'name = value'"},
    {"const", "write 'name = value'"},
    {"import", "libraries are named by 'use'"},
    {"from", "libraries are named by 'use'"},
    {"elif", "write 'else if'"},
    {"while", "loops are 'for i in 0..n { ... }' and 'scan'"},
    {"lambda", "define a function: 'fn f(x) = ...'"},
};

const std::vector<std::string> item_words{"use", "dim", "fn", "layer", "model", "train", "optimizer", "derivative"};
const std::vector<std::string> statement_words{"if", "for", "return", "emit",  "assert",
                                               "fn", "dim", "param",  "state", "update"};

std::string_view closing_of(Tok opening) {
  return opening == Tok::LParen ? ")" : opening == Tok::LBracket ? "]" : "}";
}

}  // namespace

// The next token in words; the end of a line counts where it ends the statement.
std::string Parser::found() const {
  const Token& t = peek();
  if (t.kind == Tok::End) return at_ > 0 && nest_ == 0 ? "the end of the file" : "the end of the text";
  if (fresh_line()) return "the end of the line";
  std::string_view source = sources_.text(t.span);
  if (t.kind == Tok::String) return source.size() > 30 ? "a string" : fmt::format("the string {}", source);
  return fmt::format("'{}'", source.size() > 40 ? source.substr(0, 40) : source);
}

// An error at the end of a line is shown there, not at the first token of the next one.
SourceSpan Parser::found_span() const {
  const Token& t = peek();
  if (at_ > 0 && (fresh_line() || t.kind == Tok::End)) {
    uint32_t end = tokens_[at_ - 1].span.end;
    return {file_, end, end};
  }
  return t.span;
}

void Parser::check_invalid() {
  if (at(Tok::Invalid)) throw SyntaxError{};
}

void Parser::check_foreign_word() {
  if (!at(Tok::Word)) return;
  for (const ForeignHint& h : foreign_words) {
    if (h.word != peek().text) continue;
    report(ForeignWord, peek().span, h.word, h.advice);
    throw SyntaxError{};
  }
}

void Parser::fail_expected(std::string_view what, std::initializer_list<std::string_view> keywords) {
  check_invalid();
  if (at(Tok::Word) && !fresh_line()) {
    if (auto close_to = nearest(peek().text, {keywords.begin(), keywords.end()})) {
      report(MisspeltKeyword, peek().span, peek().text, *close_to);
      throw SyntaxError{};
    }
  }
  report(ExpectedToken, found_span(), what, found());
  throw SyntaxError{};
}

void Parser::fail_value(std::string_view where) {
  check_invalid();
  if (at(Tok::Word) && !fresh_line() && is_reserved(peek().text)) {
    report(KeywordAsName, peek().span, peek().text);
    throw SyntaxError{};
  }
  Diagnostic& d = report(ExpectedValue, found_span(), where, found());
  if (at(Tok::Plus)) d.note("there is no unary '+'");
  throw SyntaxError{};
}

void Parser::fail_unclosed(size_t opening) {
  rewind_ = opening;
  report(UnclosedBracket, tokens_[opening].span, spelling(tokens_[opening].kind));
  throw SyntaxError{};
}

// In a bracketed list neither a comma nor the closing bracket follows an element.
void Parser::fail_list_end(size_t opening, std::string_view element) {
  check_invalid();
  const Token& bracket = tokens_[opening];
  std::string_view closing = closing_of(bracket.kind);
  if (at(Tok::Assign)) {
    report(AssignmentAsValue, peek().span);
    throw SyntaxError{};
  }
  if (is_closing(peek().kind) && peek().kind != Tok::RBrace && peek().match == Token::no_match) {
    report(MismatchedBracket, peek().span, spelling(peek().kind), spelling(bracket.kind))
        .note(bracket.span, fmt::format("'{}' is opened here and closed by '{}'", spelling(bracket.kind), closing));
    rewind_ = opening;
    throw SyntaxError{};
  }
  if (bracket.match == Token::no_match) fail_unclosed(opening);
  Diagnostic& d =
      report(ExpectedToken, peek().span, fmt::format("',' or '{}' after the {}", closing, element), found());
  if (sources_.place(file_, bracket.span.begin).line != sources_.place(file_, peek().span.begin).line) {
    d.note(bracket.span, fmt::format("'{}' is opened here", spelling(bracket.kind)));
  }
  throw SyntaxError{};
}

void Parser::fail_statement_end(const ast::Stmt* statement) {
  check_invalid();
  const Token& t = peek();
  if (t.kind == Tok::LBrace) {
    report(UnexpectedDataBlock, t.span);
    throw SyntaxError{};
  }
  if (is_closing(t.kind)) {
    report(UnexpectedClosing, t.span, spelling(t.kind));
    throw SyntaxError{};
  }
  if (t.kind == Tok::Assign) fail_assignment();
  // `retrun x`: a lone word before something else is most likely a misspelt keyword.
  const ast::ExprStmt* value = statement ? statement->as<ast::ExprStmt>() : nullptr;
  const ast::Name* name = value ? value->value->as<ast::Name>() : nullptr;
  if (name && (t.kind == Tok::Word || t.kind == Tok::Number)) {
    if (auto word = nearest(name->name.str(), statement_words)) {
      report(MisspeltKeyword, statement->span, name->name, *word);
      throw SyntaxError{};
    }
  }
  if (t.kind == Tok::Word) {
    check_foreign_word();
    if (auto word = nearest(t.text, {"else", "and", "or", "along", "with", "over", "every"}); word && *word != t.text) {
      report(MisspeltKeyword, t.span, t.text, *word);
      throw SyntaxError{};
    }
  }
  report(ExpectedEndOfStatement, t.span, found()).note("a newline or ';' ends a statement");
  throw SyntaxError{};
}

// A '=' behind a value. Where a line ends in an operator the next one was read as its operand: `a = x +` before `b =
// 2`.
void Parser::fail_assignment() {
  const Token& t = peek();
  const Token &name = tokens_[at_ - 1], &before = tokens_[at_ - 2];
  if (name.kind == Tok::Word && name.newline_before && !before.newline_before) {
    rewind_ = at_ - 2;
    SourceSpan end{file_, before.span.end, before.span.end};
    report(ExpectedValue, end, fmt::format("after '{}'", sources_.text(before.span)), "the end of the line");
  } else {
    report(AssignmentAsValue, t.span);
  }
  throw SyntaxError{};
}

void Parser::fail_item() {
  check_invalid();
  check_foreign_word();
  const Token& t = peek();
  if (is_closing(t.kind)) {
    report(UnexpectedClosing, t.span, spelling(t.kind));
    throw SyntaxError{};
  }
  if (t.kind == Tok::Word && peek(1).kind == Tok::Word && !peek(1).newline_before) {
    if (auto word = nearest(t.text, item_words)) {
      report(MisspeltKeyword, t.span, t.text, *word);
      throw SyntaxError{};
    }
  }
  Restore<size_t> quote_the_token(nest_, 1);
  report(ExpectedDeclaration, t.span, found())
      .note("a file holds declarations: use, dim, fn, layer, model, train, optimizer and derivative");
  throw SyntaxError{};
}

// A word between the head of a scan and its body: misspelt, or out of its place.
void Parser::fail_scan_head() {
  const std::initializer_list<std::string_view> words{"along", "reversed", "recompute", "with"};
  if (std::find(words.begin(), words.end(), peek().text) == words.end()) fail_expected("the scan's body", words);
  report(ExpectedToken, found_span(), "the scan's body", found()).note("the parts of a scan come in the order along, reversed, recompute, with");
  throw SyntaxError{};
}

void Parser::fail_too_deep(SourceSpan span) {
  if (!std::exchange(too_deep_, true)) report(NestedTooDeeply, span, ast::max_height);
  throw SyntaxError{};
}

// The token behind a bracketed group, or behind the token where it opens none.
size_t Parser::skip_group(size_t token) const {
  const Token& t = tokens_[token];
  return (is_opening(t.kind) && t.match != Token::no_match ? t.match : token) + 1;
}

// Goes to the next statement: the first token behind the error that begins a line, follows ';' or closes the block,
// whole groups of brackets being skipped. Always gets past the statement's first token.
void Parser::synchronize(size_t first) {
  size_t error = std::max(rewind_ == SIZE_MAX ? at_ : rewind_ + 1, first + 1);
  rewind_ = SIZE_MAX;
  size_t i = first;
  while (tokens_[i].kind != Tok::End) {
    bool closes = tokens_[i].kind == Tok::RBrace && tokens_[i].match != Token::no_match;
    if (i >= error && (tokens_[i].newline_before || tokens_[i].kind == Tok::Semicolon || closes)) break;
    i = std::min(skip_group(i), tokens_.size() - 1);
  }
  at_ = i;
}

// At the top of a file: goes to the next line that begins a declaration.
void Parser::synchronize_items(size_t first) {
  at_ = std::max(at_, first);
  for (bool step = at_ == first; !at(Tok::End); step = true) {
    if (step) at_ = std::min(skip_group(at_), tokens_.size() - 1);
    bool item_word = at(Tok::Word) && std::find(item_words.begin(), item_words.end(), peek().text) != item_words.end();
    if (peek().newline_before && item_word && peek(1).kind == Tok::Word) return;
  }
}

void Parser::expect(Tok kind, std::string_view what) {
  if (!accept(kind)) fail_expected(what);
}

void Parser::expect_word(std::string_view word, std::string_view what) {
  if (!accept_word(word)) fail_expected(what, {word});
}

ast::Ident Parser::expect_name(std::string_view what) {
  if (fresh_line()) fail_expected(what);
  return first_name(what);
}

ast::Ident Parser::first_name(std::string_view what) {
  if (!at(Tok::Word)) {
    Restore<size_t> quote_the_token(nest_, at(Tok::End) ? nest_ : 1);
    fail_expected(what);
  }
  if (is_reserved(peek().text)) {
    report(KeywordAsName, peek().span, peek().text);
    throw SyntaxError{};
  }
  const Token& t = take();
  return {t.text, t.span};
}

// Takes an opening bracket and gives its index; close() wants it back.
size_t Parser::open(Tok kind, std::string_view what) {
  if (!at(kind)) fail_expected(what);
  take();
  return at_ - 1;
}

void Parser::close(size_t opening, std::string_view element) {
  Tok closing = tokens_[opening].kind == Tok::LParen ? Tok::RParen : Tok::RBracket;
  if (!at(closing) || peek().match != opening) fail_list_end(opening, element);
  take();
}

}  // namespace gradc::syntax
