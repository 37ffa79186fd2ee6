#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compiler/support/diagnostics.h"
#include "frontend/syntax/ast.h"

// Tokens are shared by the parser's files only; the tree (ast.h) is what others see.
namespace gradc::syntax {

// The lexer and the parser each give up after so many.
inline constexpr size_t max_errors = 50;

// clang-format off
enum class Tok : uint8_t {
  End, Invalid,  // Invalid: already reported by the lexer
  Word, Number, String,
  LParen, RParen, LBracket, RBracket, LBrace, RBrace,
  Comma, Semicolon, Colon, Dot, DotDot, Ellipsis, Assign, Arrow, Pipe,
  Plus, Minus, Star, Slash, Percent, At, StarStar,
  Less, LessEqual, Greater, GreaterEqual, EqualEqual, NotEqual,
};
// clang-format on

struct Token {
  static constexpr uint32_t no_match = UINT32_MAX;

  Tok kind = Tok::End;
  bool newline_before = false;
  SourceSpan span;
  uint32_t match = no_match;  // of a bracket: index of the token that closes or opens it
  double number = 0;
  std::optional<int64_t> integer;
  std::string text;  // the word, or the string's value
};

struct TokenStream {
  std::vector<Token> tokens;  // ends with End
  std::vector<ast::Comment> comments;
};

// Reports what no token can be made of and goes on behind it. A file that isn't text gives no tokens.
TokenStream lex(FileId file, const SourceManager& sources, Diagnostics& diagnostics);

// Pairs brackets. Those that are never closed keep no_match; between several candidates for a missing '}' the
// indentation of the lines decides.
void match_brackets(std::vector<Token>& tokens, const SourceManager& sources);

const char* spelling(Tok kind);
bool is_opening(Tok kind);
bool is_closing(Tok kind);
// Words that can't be names: if, else, for, in, scan, emit, return, assert, fn, and, or, not, true, false.
bool is_reserved(std::string_view word);

}  // namespace gradc::syntax
