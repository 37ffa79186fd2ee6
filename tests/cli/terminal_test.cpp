// What a person at a terminal sees: progress while it takes long, and no line wider than the terminal.
#include <catch2/catch.hpp>

#include <regex>

#include "tests/support/process.h"

using namespace gradc::test;

namespace {

const char* model = R"(
model a_line(x: [N, 3], y: [N]) {
    param a_parameter_with_a_name_that_is_longer_than_most: [3] = normal(0.5)
    loss       = mean((x @ a_parameter_with_a_name_that_is_longer_than_most - y) ** 2)
    deviation  = sqrt(loss)
    half_of_it = loss / 2
}

train a_line {
    data      = rows { x = [[1, 2, 3], [0, 1, 0], [2, 2, 1], [1, 0, 0]]; y = [1, 2, 3, 4] }
    test      = rows { x = [[1, 2, 3]]; y = [1] }
    optimizer = gradient_descent(lr = 0.05)
    epochs    = 3
}
)";

// The lines as they are drawn, the one that is redrawn included, without the characters that move the cursor.
std::vector<std::string> drawn(const ProcessResult& r) {
  const std::string text = std::regex_replace(r.out, std::regex("\x1b\\[[0-9;]*[A-Za-z]"), "");
  std::vector<std::string> lines(1);
  for (char c : text) {
    if (c == '\r' || c == '\n') lines.emplace_back();
    else lines.back() += c;
  }
  return lines;
}

bool any_has(const std::vector<std::string>& lines, const std::string& what) {
  return std::any_of(lines.begin(), lines.end(), [&](const std::string& l) { return l.find(what) != std::string::npos; });
}

void check_width(const std::vector<std::string>& lines, size_t columns) {
  for (const std::string& l : lines) {
    // A word that is wider than the terminal is not broken.
    if (l.find(' ', l.find_first_not_of(' ')) == std::string::npos) continue;
    INFO(l);
    CHECK(l.size() <= columns);
  }
}

}  // namespace

TEST_CASE("bench shows at a terminal what it is at, and a table that fits") {
  Workplace place;
  place.write("m.grad", model);
  for (int columns : {80, 120}) {
    const ProcessResult r = place.gradc_in_terminal({"bench", "m.grad", "--threads", "1", "--seconds", "0.2"}, columns);
    INFO(r.out);
    CHECK(r.code == 0);
    const auto lines = drawn(r);
    CHECK(any_has(lines, "compiling"));
    CHECK(any_has(lines, "timing steps  [#"));
    CHECK(any_has(lines, "bound by"));
    CHECK(any_has(lines, "time   fastest") == (columns == 120));
    check_width(lines, static_cast<size_t>(columns));
  }
}

TEST_CASE("bench says nothing on the way to a program") {
  Workplace place;
  place.write("m.grad", model);
  CHECK(place.gradc({"bench", "m.grad", "--threads", "1", "--seconds", "0.1"}).err.empty());
  const ProcessResult json = place.gradc_in_terminal({"bench", "m.grad", "--threads", "1", "--seconds", "0.1", "--json"}, 80);
  CHECK(json.out.front() == '{');
  CHECK(json.out.find('\r') == json.out.size() - 2);  // the terminal's own, before the end of the line
}

TEST_CASE("reports and checks of many metrics and long names fit the terminal") {
  Workplace place;
  place.write("m.grad", model);
  for (const char* verb : {"train", "check"}) {
    const ProcessResult r = place.gradc_in_terminal({verb, "m.grad", "--threads", "1"}, 80);
    INFO(r.out);
    CHECK(r.code == 0);
    check_width(drawn(r), 80);
  }
  // A file holds each report in one line.
  const ProcessResult file = place.gradc({"train", "m.grad", "--threads", "1"});
  CHECK(file.out.find("| test loss") != std::string::npos);
}
