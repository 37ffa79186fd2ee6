#include <set>
#include <sstream>

#include <catch2/catch.hpp>

#include "compiler/support/diagnostics.h"

using namespace gradc;

namespace {

// One message over a piece of a text, as rendered without colour.
std::string rendered(const std::string& text, const std::string& piece) {
  SourceManager sources;
  FileId f = sources.add("t.grad", text);
  auto begin = static_cast<uint32_t>(text.find(piece));
  Diagnostics d;
  d.report(DiagnosticKind::UnexpectedCharacter, {f, begin, begin + static_cast<uint32_t>(piece.size())}, "?");
  return render(d.all()[0], sources, false);
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

size_t characters(const std::string& utf8) {
  size_t n = 0;
  for (char c : utf8) n += (c & 0xC0) != 0x80;
  return n;
}

}  // namespace

TEST_CASE("a message shows its line with a caret under the place") {
  CHECK(rendered("first\n  a = wrong + 1\n", "wrong") ==
        "t.grad:2:7: error: unexpected character '?'\n"
        "  2 |   a = wrong + 1\n"
        "    |       ^~~~~\n");
  CHECK(rendered("a = b", "a") == "t.grad:1:1: error: unexpected character '?'\n  1 | a = b\n    | ^\n");
}

TEST_CASE("tabs and UTF-8 keep the caret under its character") {
  auto tab = lines(rendered("\t\ta = wrong\n", "wrong"));
  CHECK(tab[1] == "  1 |   a = wrong");
  CHECK(tab[2] == "    |       ^~~~~");

  auto utf8 = lines(rendered("# \xC3\xA4\xE2\x82\xAC\xF0\x9F\x99\x82 wrong \xC3\xB6", "wrong"));
  CHECK(utf8[2] == "    |       ^~~~~");
  auto wide = lines(rendered("s = \"\xC3\xA4\xC3\xB6\" x", "\"\xC3\xA4\xC3\xB6\""));
  CHECK(wide[2] == "    |     ^~~~");
}

TEST_CASE("a place at the end of a line or of the file has its caret there") {
  SourceManager sources;
  FileId f = sources.add("t.grad", "a =\nb");
  Diagnostics d;
  d.report(DiagnosticKind::UnexpectedCharacter, {f, 3, 3}, "1");
  d.report(DiagnosticKind::UnexpectedCharacter, {f, 5, 5}, "2");
  CHECK(lines(render(d.all()[0], sources, false))[2] == "    |    ^");
  CHECK(lines(render(d.all()[1], sources, false))[2] == "    |  ^");
}

TEST_CASE("a span of several lines is marked on its first one") {
  auto shown = lines(rendered("a = f(\n  1,\n  2)\n", "f(\n  1,\n  2)"));
  CHECK(shown[1] == "  1 | a = f(");
  CHECK(shown[2] == "    |     ^~");
}

TEST_CASE("a long line is cut to a window that holds the place") {
  for (size_t before : {0, 20, 56, 100, 5000}) {
    std::string text = std::string(before, 'x') + "WRONG" + std::string(5000, 'y');
    auto shown = lines(rendered(text, "WRONG"));
    INFO(before);
    CHECK(shown[1].size() < 130);
    size_t caret = shown[2].find('^');
    REQUIRE(caret != std::string::npos);
    CHECK(shown[1].substr(caret, 5) == "WRONG");
    CHECK(shown[2].substr(caret) == "^~~~~");
  }
  std::string umlauts;
  for (int i = 0; i < 500; ++i) umlauts += "\xC3\xA4";
  auto shown = lines(rendered(umlauts + "WRONG", "WRONG"));
  std::string prefix = shown[1].substr(0, shown[1].find("WRONG"));
  CHECK(characters(prefix) == shown[2].find('^'));
}

TEST_CASE("notes follow with their own places") {
  SourceManager sources;
  FileId f = sources.add("t.grad", "a = 1\nb = 2\n");
  Diagnostics d;
  d.report(DiagnosticKind::UnexpectedCharacter, {f, 6, 7}, "b")
      .note({f, 0, 1}, "first here")
      .note("write something else");
  CHECK(render(d.all()[0], sources, false) ==
        "t.grad:2:1: error: unexpected character 'b'\n  2 | b = 2\n    | ^\n"
        "t.grad:1:1: note: first here\n  1 | a = 1\n    | ^\n"
        "  note: write something else\n");
}

TEST_CASE("messages without a span name their place or the tool") {
  SourceManager sources;
  Diagnostics d;
  d.report_at(DiagnosticKind::CannotReadFile, "--input", "x.npy", "no such file");
  d.report_at(DiagnosticKind::CannotReadFile, "", "y.npy", "no such file");
  CHECK(render(d.all()[0], sources, false) == "--input: error: cannot read 'x.npy': no such file\n");
  CHECK(render(d.all()[1], sources, false) == "gradc: error: cannot read 'y.npy': no such file\n");
}

TEST_CASE("colour adds escapes only") {
  SourceManager sources;
  FileId f = sources.add("t.grad", "a = 1\n");
  Diagnostics d;
  d.report(DiagnosticKind::UnexpectedCharacter, {f, 0, 1}, "a").note("why");
  std::string color = render(d.all()[0], sources, true), stripped;
  for (size_t i = 0; i < color.size();) {
    if (color[i] == '\033') {
      i = color.find('m', i) + 1;
    } else {
      stripped += color[i++];
    }
  }
  CHECK(color != stripped);
  CHECK(stripped == render(d.all()[0], sources, false));
}

TEST_CASE("all messages come in source order, the same one once, with a count") {
  SourceManager sources;
  FileId f = sources.add("t.grad", "abc\n");
  Diagnostics d;
  d.report(DiagnosticKind::UnexpectedCharacter, {f, 2, 3}, "c");
  d.report(DiagnosticKind::UnexpectedCharacter, {f, 0, 1}, "a");
  d.report(DiagnosticKind::UnexpectedCharacter, {f, 2, 3}, "c");
  CHECK(d.error_count() == 2);
  CHECK(d.has_errors());
  std::string all = render_all(d, sources, false);
  CHECK(all.find("'a'") < all.find("'c'"));
  CHECK(all.substr(all.size() - 9) == "2 errors\n");

  Diagnostics one;
  one.report(DiagnosticKind::UnexpectedCharacter, {f, 0, 1}, "a");
  CHECK(render_all(one, sources, false).find("errors") == std::string::npos);
  CHECK(render_all(Diagnostics(), sources, false).empty());
}

TEST_CASE("the table of diagnostics keeps its style") {
  std::set<std::string> names;
  for (DiagnosticKind kind : all_diagnostic_kinds()) {
    const DiagnosticInfo& i = info(kind);
    std::string format = i.format;
    INFO(i.name << ": " << format);
    CHECK(names.insert(i.name).second);
    REQUIRE_FALSE(format.empty());
    CHECK(format.back() != '.');
    CHECK(std::isupper(static_cast<unsigned char>(format[0])) == 0);
  }
}
