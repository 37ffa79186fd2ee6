#include <algorithm>
#include <filesystem>
#include <set>

#include <catch2/catch.hpp>

#include "tests/support/golden.h"
#include "tests/syntax/parsed.h"

using namespace gradc;
using gradc::test::Parsed;

namespace {

// Names of the diagnostics of one section of the table.
std::vector<std::string> kinds_of_section(const std::string& section) {
  std::string table = test::read_text("compiler/support/diagnostics.def");
  size_t begin = table.find("// ---- " + section + " ----");
  REQUIRE(begin != std::string::npos);
  std::string rows = table.substr(begin, table.find("// ----", begin + 8) - begin);
  std::vector<std::string> out;
  const std::string opening = "GRADC_DIAGNOSTIC(";
  for (size_t at = rows.find(opening); at != std::string::npos; at = rows.find(opening, at)) {
    at += opening.size();
    out.push_back(rows.substr(at, rows.find(',', at) - at));
  }
  return out;
}

std::vector<std::string> bad_programs() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(test::source_path("tests/diagnostics/syntax"))) {
    if (entry.path().extension() == ".grad") out.push_back(entry.path().stem());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// "ExpectedToken-with" -> "ExpectedToken"; files of several kinds have names in lower case.
std::string kind_in_name(const std::string& stem) {
  return stem.substr(0, stem.find('-'));
}

}  // namespace

TEST_CASE("every bad program gives exactly its messages") {
  for (const std::string& name : bad_programs()) {
    std::string path = "tests/diagnostics/syntax/" + name;
    Parsed p(test::read_text(path + ".grad"), name + ".grad");
    INFO(name);
    CHECK_FALSE(p.ok());
    test::check_golden(path + ".expected", p.errors());
    if (!std::isupper(static_cast<unsigned char>(name[0]))) continue;
    for (const Diagnostic& d : p.diagnostics.all()) {
      // Too many errors are errors of some other kind, except for the last.
      bool last = &d == &p.diagnostics.all().back();
      if (last || name != "TooManySyntaxErrors") CHECK(info(d.kind).name == kind_in_name(name));
    }
  }
}

TEST_CASE("every diagnostic of the syntax has a bad program") {
  std::set<std::string> covered{"FileTooLarge"};  // in a test case of its own: no file of 17 MiB in the repository
  for (const std::string& name : bad_programs()) covered.insert(kind_in_name(name));
  for (const std::string& kind : kinds_of_section("syntax")) {
    INFO(kind);
    CHECK(covered.count(kind) == 1);
  }
}

TEST_CASE("a file that is too large is refused") {
  Parsed p(std::string((16u << 20) + 1, '\n'), "large.grad");
  CHECK(p.errors().find("large.grad: error: a model file of 16 MiB") == 0);
  CHECK(p.file->items.empty());
}

TEST_CASE("the printed tree") {
  for (std::string name : {"everything", "digits"}) {
    Parsed p(test::read_text("tests/syntax/data/" + name + ".grad"), name + ".grad");
    REQUIRE(p.ok());
    test::check_golden("tests/syntax/golden/" + name + ".ast", ast::print(*p.file, p.sources));
  }
}

TEST_CASE("the formatted samples") {
  for (std::string name : test::samples) {
    Parsed p(test::read_text("tests/syntax/data/" + name + ".grad"), name + ".grad");
    REQUIRE(p.ok());
    test::check_golden("tests/syntax/golden/" + name + ".formatted", p.formatted());
  }
}
