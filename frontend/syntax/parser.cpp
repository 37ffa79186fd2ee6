#include "frontend/syntax/parser_impl.h"

namespace gradc {
namespace syntax {

Parser::Parser(FileId file, const SourceManager& sources, Diagnostics& diagnostics)
    : file_(file), sources_(sources), diagnostics_(diagnostics) {
  TokenStream stream = lex(file, sources, diagnostics);
  tokens_ = std::move(stream.tokens);
  comments_ = std::move(stream.comments);
}

const Token& Parser::take() {
  const Token& t = tokens_[at_];
  if (t.kind != Tok::End) ++at_;
  return t;
}

bool Parser::accept(Tok kind) {
  if (!at(kind)) return false;
  take();
  return true;
}

bool Parser::accept_word(std::string_view word) {
  if (!at_word(word)) return false;
  take();
  return true;
}

bool Parser::statement_ends() const {
  const Token& t = peek();
  bool closes_block = t.kind == Tok::RBrace && t.match != Token::no_match;
  return t.kind == Tok::End || t.kind == Tok::Semicolon || closes_block || fresh_line();
}

SourceSpan Parser::since(size_t first) const {
  return SourceSpan::cover(tokens_[first].span, tokens_[std::max(first, at_ > 0 ? at_ - 1 : 0)].span);
}

std::unique_ptr<ast::File> Parser::file() {
  auto out = std::make_unique<ast::File>();
  out->id = file_;
  out->comments = std::move(comments_);
  try {
    while (!at(Tok::End)) {
      if (accept(Tok::Semicolon)) continue;
      size_t first = at_;
      try {
        ast::Item next = item();
        if (!statement_ends()) fail_statement_end(nullptr);
        out->items.push_back(std::move(next));
      } catch (const SyntaxError&) {
        nest_ = depth_ = 0;
        rewind_ = SIZE_MAX;
        synchronize_items(first);
      }
    }
  } catch (const Stop&) {
  }
  return out;
}

ast::ExprPtr Parser::lone_expression() {
  // One expression is bracketed by its text: newlines don't matter.
  size_t errors = diagnostics_.error_count();
  Restore<size_t> nest(nest_, 1);
  try {
    ast::ExprPtr e = expression("here");
    if (!at(Tok::End)) fail_expected("the end of the expression");
    return diagnostics_.error_count() == errors ? std::move(e) : nullptr;
  } catch (const SyntaxError&) {
  } catch (const Stop&) {
  }
  return nullptr;
}

}  // namespace syntax

std::unique_ptr<ast::File> parse(FileId file, const SourceManager& sources, Diagnostics& diagnostics) {
  return syntax::Parser(file, sources, diagnostics).file();
}

ast::ExprPtr parse_expression(FileId file, const SourceManager& sources, Diagnostics& diagnostics) {
  return syntax::Parser(file, sources, diagnostics).lone_expression();
}

}  // namespace gradc
