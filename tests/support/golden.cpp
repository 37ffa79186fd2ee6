#include "tests/support/golden.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <catch2/catch.hpp>

namespace gradc::test {
namespace {

bool& updating() {
  const char* value = std::getenv("GRADC_UPDATE");
  static bool on = value && std::string(value) == "1";
  return on;
}

void write(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream out(path, std::ios::binary);
  out << text;
  REQUIRE(out.good());
}

// "line 3:\n  expected: ...\n  actual:   ..."
std::string first_difference(const std::string& expected, const std::string& actual) {
  std::istringstream a(expected), b(actual);
  std::string left, right;
  for (int number = 1;; ++number) {
    bool has_left = static_cast<bool>(std::getline(a, left)), has_right = static_cast<bool>(std::getline(b, right));
    if (!has_left && !has_right) return "the texts differ in their last newline";
    if (has_left != has_right || left != right) {
      return "line " + std::to_string(number) + ":\n  expected: " + (has_left ? left : "(end)") +
             "\n  actual:   " + (has_right ? right : "(end)");
    }
  }
}

}  // namespace

std::string source_path(const std::string& relative) {
  return std::string(GRADC_SOURCE_DIR) + "/" + relative;
}

std::string read_text(const std::string& relative) {
  std::ifstream in(source_path(relative), std::ios::binary);
  INFO("reading " << relative);
  REQUIRE(in.good());
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void update_golden_files() { updating() = true; }

void check_golden(const std::string& relative, const std::string& actual) {
  if (updating()) return write(source_path(relative), actual);
  INFO("golden file " << relative << " (--update rewrites it)");
  if (!std::filesystem::exists(source_path(relative))) FAIL("the golden file is missing; the text is:\n" << actual);
  std::string expected = read_text(relative);
  if (expected == actual) {
    SUCCEED();
    return;
  }
  INFO(first_difference(expected, actual));
  FAIL_CHECK("the text differs from the golden file; it is now:\n" << actual);
}

}  // namespace gradc::test
