// Every model file of the repository keeps its substance and all comments when it is laid out, and is final after one pass.
#include <filesystem>

#include <catch2/catch.hpp>

#include "tests/support/golden.h"
#include "tests/syntax/parsed.h"

using namespace gradc;
using namespace gradc::test;

namespace {

// Without what a layout may change: blanks, line ends, and ';' between statements that get lines of their own.
std::string substance(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c != ' ' && c != '\n' && c != '\t' && c != ';') out += c;
  }
  return out;
}

}  // namespace

TEST_CASE("every model file of the repository is laid out without loss, once") {
  size_t seen = 0;
  for (const char* folder : {"examples", "frontend", "tests"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(source_path(folder))) {
      if (entry.path().extension() != ".grad") continue;
      std::string path = std::filesystem::relative(entry.path(), source_path(""));
      Parsed p(read_text(path), path);
      if (!p.ok()) continue;  // of the diagnostics' tests
      ++seen;
      INFO(path);
      std::string once = p.formatted();
      CHECK(substance(once) == substance(read_text(path)));
      Parsed again(once, path);
      REQUIRE(again.ok());
      CHECK(again.formatted() == once);
      CHECK(again.file->comments.size() == p.file->comments.size());
    }
  }
  CHECK(seen > 100);
}
