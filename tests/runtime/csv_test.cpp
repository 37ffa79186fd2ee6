#include <catch2/catch.hpp>

#include "runtime/csv.h"

using namespace gradc;

namespace {

struct Read {
  std::optional<Table> table;
  std::vector<std::string> messages;
};

Read read(std::string_view text, CsvOptions options = {}) {
  Diagnostics d;
  Read r{parse_csv(text, "t.csv", options, d), {}};
  for (const Diagnostic& one : d.all()) r.messages.push_back(one.place + ": " + one.message);
  return r;
}

std::vector<double> values(const Table& t) { return {t.values.as<double>(), t.values.as<double>() + t.values.count()}; }

}  // namespace

TEST_CASE("numbers, quotes, blank lines, line ends and a byte-order mark") {
  Read r = read("\xEF\xBB\xBF" "1, 2.5 ,-3e2\r\n\r\n\"4\",+5,.5\n");
  REQUIRE(r.table);
  CHECK(r.table->values.shape == std::vector<int64_t>{2, 3});
  CHECK(values(*r.table) == std::vector<double>{1, 2.5, -300, 4, 5, 0.5});
  CHECK(r.table->lines == std::vector<int64_t>{1, 3});
}

TEST_CASE("a header is found, or demanded") {
  Read r = read("width,\"the, height\"\n1,2\n");
  REQUIRE(r.table);
  CHECK(r.table->columns == std::vector<std::string>{"width", "the, height"});
  CHECK(r.table->lines == std::vector<int64_t>{2});
  r = read("1,2\n3,4\n", {.header = true});
  REQUIRE(r.table);
  CHECK(r.table->values.shape[0] == 1);
}

TEST_CASE("another separator") {
  Read r = read("1;2\n3;4", {.header = {}, .separator = ';'});
  REQUIRE(r.table);
  CHECK(r.table->values.shape == std::vector<int64_t>{2, 2});
}

TEST_CASE("every fault is reported with its line and column") {
  Read r = read("1,2\n3,x7\n4\n,5\nnan,6\n");
  CHECK_FALSE(r.table);
  CHECK(r.messages == std::vector<std::string>{"t.csv:2: column 2: 'x7' is not a number", "t.csv:3: this row has 1 columns, line 1 has 2",
                                               "t.csv:4: column 1: the value is missing", "t.csv:5: column 1: 'nan' is not a finite number"});
}

TEST_CASE("a file full of faults stops after ten") {
  std::string text = "1,2\n";
  for (int i = 0; i < 1000; ++i) text += "x,2\n";
  CHECK(read(text).messages.size() == 10);
}

TEST_CASE("no rows, and a quote that is not closed") {
  CHECK(read("").messages == std::vector<std::string>{"t.csv: there are no rows of data"});
  CHECK(read("a,b\n").messages == std::vector<std::string>{"t.csv: there are no rows of data"});
  CHECK(read("1,\"2\n3,4\n").messages.back() == "t.csv:1: a quoted field is not closed");
}
