#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>

#include "compiler/support/source.h"

using namespace gradc;

namespace {

SourceSpan span(FileId f, uint32_t begin, uint32_t end) {
  return {f, begin, end};
}

}  // namespace

TEST_CASE("lines and columns count from 1, in bytes") {
  SourceManager m;
  FileId f = m.add("a.grad", "ab\n\ncd\xC3\xA4x\n");
  auto at = [&](uint32_t offset) {
    LineColumn p = m.place(f, offset);
    return std::pair(p.line, p.column);
  };
  CHECK(at(0) == std::pair(1u, 1u));
  CHECK(at(2) == std::pair(1u, 3u));  // the newline belongs to its line
  CHECK(at(3) == std::pair(2u, 1u));
  CHECK(at(4) == std::pair(3u, 1u));
  CHECK(at(8) == std::pair(3u, 5u));
  CHECK(at(10) == std::pair(4u, 1u));  // the end
  CHECK(m.line_text(f, 0) == "ab");
  CHECK(m.line_text(f, 3) == "");
  CHECK(m.line_text(f, 5) == "cd\xC3\xA4x");
  CHECK(m.line_text(f, 10) == "");
}

TEST_CASE("spans are covered, quoted and described") {
  SourceManager m;
  FileId f = m.add("a.grad", "one two"), g = m.add("b.grad", "x", true);
  CHECK(m.text(span(f, 4, 7)) == "two");
  CHECK(m.text({}) == "");
  CHECK(m.describe(span(f, 4, 7)) == "a.grad:1:5");
  CHECK(m.describe({}) == "");
  CHECK(SourceSpan::cover(span(f, 4, 7), span(f, 0, 3)) == span(f, 0, 7));
  CHECK(SourceSpan::cover({}, span(f, 0, 3)) == span(f, 0, 3));
  CHECK(SourceSpan::cover(span(f, 0, 3), {}) == span(f, 0, 3));
  CHECK(SourceSpan::cover(span(f, 4, 7), span(g, 0, 1)) == span(f, 4, 7));  // files don't mix
  CHECK(m.find("b.grad") == g);
  CHECK_FALSE(m.find("c.grad"));
  CHECK(m.file(g).library);
  CHECK(m.size() == 2);
}

TEST_CASE("references to files stay valid while files are added") {
  SourceManager m;
  FileId f = m.add("first", "text");
  const SourceFile& first = m.file(f);
  for (int i = 0; i < 1000; ++i) m.add("other" + std::to_string(i), "x");
  CHECK(&first == &m.file(f));
  CHECK(first.text == "text");
}

TEST_CASE("files are read as they are; missing ones are none") {
  auto path = std::filesystem::temp_directory_path() / "gradc_source_test.grad";
  {
    std::ofstream out(path, std::ios::binary);
    out << "a\r\nb" << '\0' << "c";
  }
  SourceManager m;
  auto f = m.load(path.string());
  REQUIRE(f);
  CHECK(m.file(*f).text == std::string("a\r\nb\0c", 6));
  CHECK(m.file(*f).name == path.string());
  std::filesystem::remove(path);
  CHECK_FALSE(m.load(path.string()));
  CHECK(m.size() == 1);
}
