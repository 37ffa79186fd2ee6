#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "frontend/syntax/token.h"

namespace gradc::syntax {
namespace {

using enum DiagnosticKind;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_word(char c) {
  return is_word_start(c) || is_digit(c);
}

struct Punctuation {
  std::string_view text;
  Tok kind;
};
// Longer ones first.
constexpr Punctuation punctuation[] = {
    {"...", Tok::Ellipsis}, {"..", Tok::DotDot},    {"**", Tok::StarStar},     {"->", Tok::Arrow},
    {"|>", Tok::Pipe},      {"<=", Tok::LessEqual}, {">=", Tok::GreaterEqual}, {"==", Tok::EqualEqual},
    {"!=", Tok::NotEqual},  {"(", Tok::LParen},     {")", Tok::RParen},        {"[", Tok::LBracket},
    {"]", Tok::RBracket},   {"{", Tok::LBrace},     {"}", Tok::RBrace},        {",", Tok::Comma},
    {";", Tok::Semicolon},  {":", Tok::Colon},      {".", Tok::Dot},           {"=", Tok::Assign},
    {"+", Tok::Plus},       {"-", Tok::Minus},      {"*", Tok::Star},          {"/", Tok::Slash},
    {"%", Tok::Percent},    {"@", Tok::At},         {"<", Tok::Less},          {">", Tok::Greater},
};

// Operators of other languages: what to write instead, and the token that the parser goes on with.
struct Foreign {
  std::string_view text, instead;
  Tok kind;
  std::string_view word;
};
constexpr Foreign foreign[] = {
    {"**=", "x = x ** ...", Tok::Invalid, {}},
    {"+=", "x = x + ...", Tok::Invalid, {}},
    {"-=", "x = x - ...", Tok::Invalid, {}},
    {"*=", "x = x * ...", Tok::Invalid, {}},
    {"/=", "x = x / ...", Tok::Invalid, {}},
    {"@=", "x = x @ ...", Tok::Invalid, {}},
    {"===", "==", Tok::EqualEqual, {}},
    {"!==", "!=", Tok::NotEqual, {}},
    {"&&", "and", Tok::Word, "and"},
    {"||", "or", Tok::Word, "or"},
    {"^", "**", Tok::StarStar, {}},
    {":=", "=", Tok::Assign, {}},
    {"=>", "->", Tok::Arrow, {}},
    {"<>", "!=", Tok::NotEqual, {}},
    {"//", "#", Tok::Invalid, {}},
};

class Lexer {
 public:
  Lexer(FileId file, const SourceManager& sources, Diagnostics& diagnostics)
      : file_(file), text_(sources.file(file).text), diagnostics_(diagnostics) {}

  TokenStream run() {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
    while (skip_blanks() && errors_ <= max_errors) next();
    // What is left after that many errors would only give more of them.
    if (errors_ > max_errors) out_ = {};
    push(Tok::End, at_);
    return std::move(out_);
  }

 private:
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool starts(std::string_view s) const { return std::string_view(text_).substr(at_).starts_with(s); }
  SourceSpan span(size_t begin) const { return {file_, static_cast<uint32_t>(begin), static_cast<uint32_t>(at_)}; }
  std::string_view slice(size_t begin) const { return std::string_view(text_).substr(begin, at_ - begin); }

  template <class... Args>
  void report(DiagnosticKind kind, SourceSpan span, const std::string& note, const Args&... args) {
    if (++errors_ > max_errors) {
      if (errors_ == max_errors + 1) diagnostics_.report(TooManySyntaxErrors, span, max_errors);
      return;
    }
    Diagnostic& d = diagnostics_.report(kind, span, args...);
    if (!note.empty()) d.note(note);
  }

  Token& push(Tok kind, size_t begin) {
    Token t;
    t.kind = kind;
    t.newline_before = std::exchange(newline_, false);
    t.span = span(begin);
    out_.tokens.push_back(std::move(t));
    return out_.tokens.back();
  }

  // Blanks, newlines and comments; false at the end of the text.
  bool skip_blanks() {
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == '\n') {
        newline_ = own_line_ = true;
      } else if (c == '#') {
        comment();
        continue;
      } else if (c != ' ' && c != '\t' && c != '\r') {
        own_line_ = false;
        return true;
      }
      ++at_;
    }
    return false;
  }

  void comment() {
    size_t begin = at_;
    at_ = std::min(text_.find('\n', at_), text_.size());
    SourceSpan s = span(begin);
    while (s.end > s.begin && (text_[s.end - 1] == '\r' || text_[s.end - 1] == ' ' || text_[s.end - 1] == '\t'))
      --s.end;
    out_.comments.push_back({s, own_line_});
  }

  void next() {
    char c = peek();
    if (is_word_start(c)) return word();
    if (is_digit(c) || (c == '.' && is_digit(peek(1)) && !after_value())) return number();
    if (c == '"' || c == '\'') return string(c);
    if (foreign_operator()) return;
    for (const Punctuation& p : punctuation) {
      if (!starts(p.text)) continue;
      size_t begin = at_;
      at_ += p.text.size();
      push(p.kind, begin);
      return;
    }
    unexpected();
  }

  // A dot right behind a value is a step of a path: `x.1.gamma`, `x[0].a`.
  bool after_value() const {
    if (out_.tokens.empty() || out_.tokens.back().span.end != at_) return false;
    Tok last = out_.tokens.back().kind;
    return last == Tok::Word || last == Tok::RBracket || last == Tok::RParen || after_path_number();
  }
  bool after_path_number() const {
    size_t n = out_.tokens.size();
    return n >= 2 && out_.tokens[n - 1].kind == Tok::Number && out_.tokens[n - 2].kind == Tok::Dot;
  }

  void word() {
    size_t begin = at_;
    while (is_word(peek())) ++at_;
    std::string text(slice(begin));
    push(Tok::Word, begin).text = std::move(text);
  }

  void digits() {
    while (is_digit(peek())) ++at_;
  }

  void number() {
    size_t begin = at_;
    bool path_step = !out_.tokens.empty() && out_.tokens.back().kind == Tok::Dot && out_.tokens.back().span.end == at_;
    std::string_view advice;
    bool real = false;
    digits();
    if (!path_step && peek() == '.' && peek(1) != '.') {
      real = true;
      if (begin == at_) advice = "a number begins with a digit: '0.5'";
      ++at_;
      if (!is_digit(peek())) advice = "digits follow the point: '1.0'";
      digits();
    }
    if (!path_step && (peek() == 'e' || peek() == 'E') && advice.empty()) {
      real = true;
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!is_digit(peek())) advice = "digits follow the exponent's 'e': '1e-3'";
      digits();
    }
    if (is_word_start(peek()) && advice.empty()) advice = "a name cannot begin with a digit";
    while (is_word(peek())) ++at_;
    finish_number(begin, real, advice);
  }

  void finish_number(size_t begin, bool real, std::string_view advice) {
    std::string_view text = slice(begin);
    Token& t = push(Tok::Number, begin);
    if (!advice.empty()) {
      report(MalformedNumber, t.span, std::string(advice), text);
      return;
    }
    const char* end = text.data() + text.size();
    if (std::from_chars(text.data(), end, t.number).ec != std::errc()) report(NumberOutOfRange, t.span, "", text);
    int64_t integer = 0;
    if (!real && std::from_chars(text.data(), end, integer).ec == std::errc()) t.integer = integer;
  }

  void string(char quote) {
    size_t begin = at_++;
    std::string value;
    while (at_ < text_.size() && peek() != quote && peek() != '\n') {
      if (peek() == '\\') {
        escape(value);
      } else {
        value += text_[at_++];
      }
    }
    bool closed = peek() == quote;
    if (closed) ++at_;
    Token& t = push(closed ? Tok::String : Tok::Invalid, begin);
    t.text = std::move(value);
    if (!closed) {
      report(UnterminatedString, SourceSpan{file_, t.span.begin, t.span.begin + 1}, "", quote);
    } else if (quote == '\'') {
      report(ForeignOperator, t.span, "", slice(begin), quoted_text(slice(begin)));
    }
  }

  static std::string quoted_text(std::string_view in_single_quotes) {
    return fmt::format("\"{}\"", in_single_quotes.substr(1, in_single_quotes.size() - 2));
  }

  void escape(std::string& value) {
    size_t begin = at_++;
    char c = peek();
    if (c == '\n' || at_ >= text_.size()) return;
    constexpr std::pair<char, char> known[] = {{'n', '\n'}, {'t', '\t'}, {'"', '"'}, {'\\', '\\'}};
    auto* found = std::find_if(std::begin(known), std::end(known), [c](auto& k) { return k.first == c; });
    step_character();
    if (found != std::end(known)) {
      value += found->second;
    } else {
      report(UnknownEscape, span(begin), "known are \\n, \\t, \\\" and \\\\", slice(begin));
    }
  }

  bool foreign_operator() {
    for (const Foreign& f : foreign) {
      if (!starts(f.text)) continue;
      size_t begin = at_;
      at_ += f.text.size();
      Token& t = push(f.kind, begin);
      t.text = f.word;
      report(ForeignOperator, t.span, "", f.text, f.instead);
      // A comment of another language: its words are no statement.
      if (f.text == "//") at_ = std::min(text_.find('\n', at_), text_.size());
      return true;
    }
    if (peek() == '!' && peek(1) != '=') return foreign_character("not", Tok::Word);
    if (peek() == '|' && peek(1) != '>') return foreign_character("|>", Tok::Pipe);
    return false;
  }

  bool foreign_character(std::string_view instead, Tok kind) {
    size_t begin = at_++;
    Token& t = push(kind, begin);
    if (kind == Tok::Word) t.text = instead;
    report(ForeignOperator, t.span, "", slice(begin), instead);
    return true;
  }

  void step_character() {
    ++at_;
    while (at_ < text_.size() && (text_[at_] & 0xC0) == 0x80) ++at_;
  }

  void unexpected() {
    size_t begin = at_;
    step_character();
    auto byte = static_cast<unsigned char>(text_[begin]);
    std::string shown = byte < 0x20 || byte == 0x7F ? fmt::format("\\x{:02x}", byte) : std::string(slice(begin));
    bool letter = byte >= 0x80;
    report(UnexpectedCharacter, span(begin),
           letter ? "names are written with the letters a-z and A-Z, digits and '_'" : "", shown);
    if (letter) {
      while (is_word(peek()) || (peek() & 0x80) != 0) ++at_;
    }
    push(Tok::Invalid, begin);
  }

  FileId file_;
  const std::string& text_;
  Diagnostics& diagnostics_;
  TokenStream out_;
  size_t at_ = 0, errors_ = 0;
  bool newline_ = false, own_line_ = true;
};

constexpr size_t max_file_size = size_t{16} << 20;

// Length of the UTF-8 sequence at the front of s, 0 where it is malformed (overlong forms and surrogates included).
size_t utf8_length(std::string_view s) {
  auto byte = [&](size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
  bool outside = (lead == 0xED && byte(1) >= 0xA0) || (lead == 0xF4 && byte(1) >= 0x90);
  return overlong || outside ? 0 : length;
}

bool is_text(FileId file, const SourceManager& sources, Diagnostics& diagnostics) {
  std::string_view text = sources.file(file).text;
  if (text.size() > max_file_size) {
    diagnostics.report_at(FileTooLarge, sources.file(file).name, text.size() >> 20, max_file_size >> 20);
    return false;
  }
  for (size_t i = 0; i < text.size();) {
    auto here = static_cast<uint32_t>(i);
    size_t length = utf8_length(text.substr(i));
    if (text[i] == '\0') diagnostics.report(NulByte, SourceSpan{file, here, here + 1});
    if (length == 0)
      diagnostics.report(InvalidUtf8, SourceSpan{file, here, here + 1}, static_cast<unsigned char>(text[i]));
    if (text[i] == '\0' || length == 0) return false;
    i += length;
  }
  return true;
}

// Where a line's text begins, counted in characters: the indentation that decides between unclosed braces.
uint32_t indentation(SourceSpan s, const SourceManager& sources) {
  std::string_view line = sources.line_text(s.file, s.begin);
  return static_cast<uint32_t>(std::min(line.find_first_not_of(" \t"), line.size()));
}

}  // namespace

TokenStream lex(FileId file, const SourceManager& sources, Diagnostics& diagnostics) {
  if (!is_text(file, sources, diagnostics)) {
    TokenStream nothing;
    nothing.tokens.emplace_back().span = {file, 0, 0};
    return nothing;
  }
  TokenStream out = Lexer(file, sources, diagnostics).run();
  match_brackets(out.tokens, sources);
  return out;
}

void match_brackets(std::vector<Token>& tokens, const SourceManager& sources) {
  std::vector<uint32_t> open;
  size_t braces = 0;
  auto kind_at = [&](size_t depth) { return tokens[open[depth]].kind; };
  auto pair_up = [&](uint32_t closing) {
    tokens[open.back()].match = closing;
    tokens[closing].match = open.back();
    open.pop_back();
  };
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    const Token& t = tokens[i];
    if (is_opening(t.kind)) {
      open.push_back(i);
      braces += t.kind == Tok::LBrace;
    } else if (t.kind == Tok::RParen || t.kind == Tok::RBracket) {
      Tok wanted = t.kind == Tok::RParen ? Tok::LParen : Tok::LBracket;
      if (!open.empty() && kind_at(open.size() - 1) == wanted) pair_up(i);
    } else if (t.kind == Tok::RBrace && braces > 0) {
      size_t depth = open.size();
      while (kind_at(depth - 1) != Tok::LBrace) --depth;
      // Of several open braces the one whose line is indented like this one's.
      if (t.newline_before) {
        uint32_t mine = indentation(t.span, sources);
        size_t outer = depth;
        while (outer > 0 &&
               (kind_at(outer - 1) != Tok::LBrace || indentation(tokens[open[outer - 1]].span, sources) > mine))
          --outer;
        if (outer > 0 && indentation(tokens[open[outer - 1]].span, sources) == mine) depth = outer;
      }
      while (open.size() > depth) {
        braces -= kind_at(open.size() - 1) == Tok::LBrace;
        open.pop_back();
      }
      --braces;
      pair_up(i);
    }
  }
}

const char* spelling(Tok kind) {
  for (const Punctuation& p : punctuation) {
    if (p.kind == kind) return p.text.data();
  }
  return "";
}

bool is_opening(Tok kind) {
  return kind == Tok::LParen || kind == Tok::LBracket || kind == Tok::LBrace;
}
bool is_closing(Tok kind) {
  return kind == Tok::RParen || kind == Tok::RBracket || kind == Tok::RBrace;
}

bool is_reserved(std::string_view word) {
  constexpr std::array<std::string_view, 14> words{"if",     "else", "for", "in", "scan", "emit", "return",
                                                   "assert", "fn",   "and", "or", "not",  "true", "false"};
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace gradc::syntax
