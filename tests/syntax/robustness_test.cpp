#include <algorithm>
#include <random>

#include <catch2/catch.hpp>

#include "tests/support/golden.h"
#include "tests/syntax/parsed.h"

using namespace gradc;
using gradc::test::Parsed;

namespace {

std::vector<std::string> comments(const Parsed& p) {
  std::vector<std::string> out;
  for (const ast::Comment& c : p.file->comments) out.emplace_back(p.sources.text(c.span));
  return out;
}

// The tree without places.
std::string tree(const Parsed& p) {
  std::string text = ast::print(*p.file, p.sources), out;
  for (size_t i = 0; i < text.size();) {
    size_t end = text.find('\n', i), at = text.find("  @", i);
    out += text.substr(i, std::min(at, end) - i) + '\n';
    i = end + 1;
  }
  return out;
}

// What holds for every text: a message or a tree whose formatted text means the same, keeps the comments and stays as
// it is.
void check_text(const std::string& text) {
  Parsed p(text);
  if (!p.ok()) {
    for (const Diagnostic& d : p.diagnostics.all()) {
      if (d.span.end > text.size() || d.span.begin > d.span.end) FAIL("a message outside of the text:\n" << text);
    }
    if (p.errors().empty()) FAIL("no message for\n" << text);
    return;
  }
  std::string once = p.formatted();
  Parsed again(once);
  if (!again.ok()) FAIL("formatting broke\n" << text << "\nto\n" << once << "\n" << again.errors());
  if (tree(p) != tree(again)) FAIL("formatting changed the meaning of\n" << text << "\nto\n" << once);
  if (comments(p) != comments(again)) FAIL("formatting lost a comment of\n" << text << "\nin\n" << once);
  if (again.formatted() != once)
    FAIL("formatting twice differs for\n" << text << "\nonce:\n" << once << "\ntwice:\n" << again.formatted());
}

std::string sample(const char* name) {
  return test::read_text("tests/syntax/data/" + std::string(name) + ".grad");
}

}  // namespace

TEST_CASE("the samples and every prefix of them") {
  for (const char* name : test::samples) {
    std::string text = sample(name);
    for (size_t length = 0; length <= text.size(); ++length) check_text(text.substr(0, length));
  }
  SUCCEED();
}

TEST_CASE("random changes of the samples' bytes") {
  std::mt19937 random(20240607);
  const std::string alphabet = "(){}[],;:.=+-*/%@<>|#\"'\\ \n\n\t0123456789eabxN_!&^~\x80\xC3\xFF";
  auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (const char* name : test::samples) {
    const std::string original = sample(name);
    for (int round = 0; round < 600; ++round) {
      std::string text = original;
      for (size_t changes = 1 + below(4); changes > 0; --changes) {
        size_t at = below(text.size());
        switch (below(4)) {
          case 0: text[at] = alphabet[below(alphabet.size())]; break;
          case 1: text.insert(at, 1, alphabet[below(alphabet.size())]); break;
          case 2: text.erase(at, 1 + below(8)); break;
          default: text.insert(at, original.substr(below(original.size()), below(30))); break;
        }
      }
      check_text(text);
    }
  }
  SUCCEED();
}

TEST_CASE("random sequences of tokens") {
  std::mt19937 random(7);
  const char* words[] = {"(",     ")",     "[",     "]",     "{",     "}",      ",",     ";",     ":",      "=",
                         "+",     "-",     "**",    "|>",    "->",    "..",     "...",   ".",     "\n",     "\n",
                         "if",    "else",  "for",   "in",    "scan",  "along",  "with",  "emit",  "return", "fn",
                         "model", "layer", "train", "param", "state", "update", "dim",   "not",   "and",    "all but",
                         "x",     "y",     "N",     "3",     "0.5",   "\"s\"",  "# c\n", "sum[k]"};
  for (int round = 0; round < 3000; ++round) {
    std::string text = random() % 2 ? "model m(x: []) {\n" : "";
    for (size_t n = random() % 40; n > 0; --n) text += std::string(words[random() % std::size(words)]) + " ";
    check_text(random() % 2 ? text + "\n}" : text);
  }
  SUCCEED();
}

TEST_CASE("comments wherever a line may end") {
  for (const char* name : test::samples) {
    std::string text = sample(name), commented;
    int number = 0;
    for (char c : text) {
      if (c == '\n') commented += "  # comment " + std::to_string(++number);
      commented += c;
      if (c == '\n' && number % 3 == 0) commented += "\n\n# line " + std::to_string(number) + "\n";
    }
    check_text(commented);
  }
  SUCCEED();
}

TEST_CASE("large files of nonsense are given up soon") {
  const char* units[] = {"$",        "(",    "{\n",   "}\n", "x = \"\\q\"\n", "x = (\n", "a b\n",  "model m(x: []) {\n",
                         "\"\\q\\q", "x + ", "# c\n", ";",   "[{(\n}",        "1.e ",    "x\n|> ", "if x { if y {\n} "};
  for (const char* unit : units) {
    std::string text;
    while (text.size() < 200000) text += unit;
    for (const char* head : {"", "model m(x: []) {\n"}) {
      Parsed p(head + text);
      INFO(unit);
      CHECK(p.diagnostics.error_count() <= 102);
    }
  }
}

TEST_CASE("lines end within 120 characters where they can be broken") {
  std::string text = "model m(x: []) {\n";
  for (int i = 0; i < 40; ++i) {
    text += "    value" + std::to_string(i) + " = combine(";
    for (int k = 0; k <= i; ++k)
      text += (k ? ", " : "") + std::string("argument_") + std::to_string(k) + (k % 3 ? "" : " * (scale + offset)");
    text += ")\n    other" + std::to_string(i) + " = first";
    for (int k = 0; k <= i; ++k) text += (k % 2 ? " + second_" : " |> stage_") + std::to_string(k);
    text += "\n\n";
  }
  text += "}\n";
  check_text(text);
  std::string out = Parsed(text).formatted();
  for (size_t at = 0; at < out.size();) {
    size_t end = out.find('\n', at);
    CHECK(end - at <= 120);
    at = end + 1;
  }
}
