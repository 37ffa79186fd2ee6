// What the machine can do, measured by `bench --machine`, and how `bench` shows kernels against it.
#include <catch2/catch.hpp>

#include <filesystem>
#include <sstream>

#include <nlohmann/json.hpp>

#include "tests/support/process.h"

using namespace gradc::test;
using nlohmann::json;

namespace {

const char* line = R"(
model line(x: [N, 3], y: [N]) {
    param w: [3] = normal(0.5)
    loss = mean((x @ w - y) ** 2)
}

train line {
    data      = rows { x = [[1, 2, 3], [0, 1, 0], [2, 2, 1], [1, 0, 0]]; y = [1, 2, 3, 4] }
    optimizer = gradient_descent(lr = 0.05)
}
)";

ProcessResult ok(const ProcessResult& r) {
  INFO(r.err);
  CHECK(r.code == 0);
  return r;
}

size_t cached_machines(const Workplace& place) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(place.path("cache"))) count += entry.path().filename().string().rfind("machine-", 0) == 0;
  return count;
}

}  // namespace

TEST_CASE("bench --machine needs no file and prints rates of every level") {
  Workplace place;
  auto m = json::parse(ok(place.gradc({"bench", "--machine", "--threads", "2", "--json"})).out);
  CHECK(m["threads"] == 2);
  CHECK(m["cpu"].get<std::string>().size() > 2);
  const auto& sets = m["working_sets"];
  CHECK(sets["l1"] < sets["l2"]);
  CHECK(sets["l2"] < sets["l3"]);
  CHECK(sets["l3"] < sets["dram"]);
  for (const char* group : {"one_thread", "all_threads"}) {
    INFO(group << m[group]);
    CHECK(m[group].size() == 7);
    for (const auto& [key, rate] : m[group].items()) CHECK(rate > 0.1);
    // Any processor of the last fifteen years; what is impossible has been optimised away.
    CHECK(m[group]["fma_f32_gflops"] < 100000);
    CHECK(m[group]["read_dram_gbs"] < 10000);
  }
  CHECK(m["one_thread"]["fma_f32_gflops"] > m["one_thread"]["fma_f64_gflops"]);
  CHECK(m["one_thread"]["read_l1_gbs"] > m["one_thread"]["read_dram_gbs"]);
  CHECK(cached_machines(place) == 1);
  auto text = ok(place.gradc({"bench", "--machine", "--threads", "1"})).out;
  for (const char* part : {"multiply-add in f32", "read L1", "read memory", "triad"}) CHECK(text.find(part) != std::string::npos);
  CHECK(text.find("2 threads") == std::string::npos);
  CHECK(cached_machines(place) == 2);
}

TEST_CASE("the machine is measured once, then remembered, until asked for again") {
  Workplace place;
  place.write("line.grad", line);
  auto bench = [&](std::vector<std::string> more) {
    std::vector<std::string> a{"bench", "line.grad", "--seconds", "0.01", "--threads", "1"};
    a.insert(a.end(), more.begin(), more.end());
    return ok(place.gradc(a)).out;
  };
  // A program that asks for times does not wait for a measurement that it did not ask for.
  CHECK_FALSE(json::parse(bench({"--json"})).contains("machine"));
  CHECK(cached_machines(place) == 0);
  bench({});
  auto first = json::parse(bench({"--json"})), second = json::parse(bench({"--json"}));
  REQUIRE(first.contains("machine"));
  CHECK(first["machine"] == second["machine"]);
  // A damaged file is measured anew, not believed.
  for (const auto& entry : std::filesystem::directory_iterator(place.path("cache"))) {
    if (entry.path().filename().string().rfind("machine-", 0) == 0) std::filesystem::resize_file(entry.path(), 40);
  }
  CHECK_FALSE(json::parse(bench({"--json"})).contains("machine"));
  auto again = json::parse(bench({"--json", "--machine"})), after = json::parse(bench({"--json"}));
  REQUIRE(again.contains("machine"));
  CHECK(again["machine"] == after["machine"]);
}

TEST_CASE("bench shows each kernel against the machine, in lines that fit a terminal") {
  Workplace place;
  place.write("line.grad", line);
  std::istringstream in(ok(place.gradc({"bench", "line.grad", "--seconds", "0.01", "--threads", "1"})).out);
  bool table = false;
  size_t kernels = 0;
  std::string last;
  for (std::string row; std::getline(in, row);) {
    INFO(row);
    if (row.rfind("kernel ", 0) == 0) {
      table = true;
      for (const char* column : {"time", "share", "GFLOP/s", "GB/s", "peak", "bound by"}) CHECK(row.find(column) != std::string::npos);
    }
    if (table) CHECK(row.size() <= 100);
    kernels += table && (row.find("arithmetic") != std::string::npos || row.find(" L1") != std::string::npos);
    if (!row.empty()) last = row;
  }
  CHECK(table);
  CHECK(kernels >= 1);
  CHECK(last.find("gradc bench --machine") != std::string::npos);
}

TEST_CASE("bench without a file says what is missing; an unknown processor is named") {
  Workplace place;
  auto none = place.gradc({"bench"});
  CHECK(none.code == 2);
  CHECK(none.err.find("FILE is required") != std::string::npos);
  auto unknown = place.gradc({"bench", "--machine", "--cpu", "sapphirerapid"});
  CHECK(unknown.code == 2);
  CHECK(unknown.err.find("sapphirerapid") != std::string::npos);
  CHECK(unknown.out.empty());
}
