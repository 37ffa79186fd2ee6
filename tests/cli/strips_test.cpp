// A batch in strips of rows, from the command line: the same bits on any number of threads, the same values as without, and all of it to be seen.
#include <catch2/catch.hpp>

#include <cmath>

#include <nlohmann/json.hpp>

#include "tests/support/process.h"

using namespace gradc::test;
using nlohmann::json;

namespace {

// Derivatives by the input, trained through: some twenty values of [6144, 48] between kernels.
const char* model = R"(
use nn
model field(x: [N, 48]) {
    net = Sequential(Dense(48), tanh, Dense(48), tanh, Dense(1))
    u = net(x)
    slope = grad(sum(u), x)
    loss = mean(u ** 2) + mean((slope - 0.1) ** 2)
}
train field {
    data = draws { x = uniform(-1, 1) }
    batch = 6144
    optimizer = adam(lr = 1e-3)
    steps = 4
}
)";

ProcessResult ok(const ProcessResult& r) {
  INFO(r.err << r.out);
  CHECK(r.code == 0);
  return r;
}

json bench(const Workplace& place, const std::vector<std::string>& more) {
  std::vector<std::string> command{"bench", "field.grad", "--steps", "4", "--json"};
  command.insert(command.end(), more.begin(), more.end());
  return json::parse(ok(place.gradc(command)).out);
}

}  // namespace

TEST_CASE("strips give the same bits on any number of threads, and the values of whole batches") {
  Workplace place;
  place.write("field.grad", model);
  const json one = bench(place, {"--seconds", "0", "--threads", "1"});
  CHECK(one["local_bytes"].get<int64_t>() > 0);
  for (const char* threads : {"2", "3", "16"}) CHECK(bench(place, {"--seconds", "0", "--threads", threads})["digest"] == one["digest"]);
  const json strips = bench(place, {"--seconds", "0", "--dtype", "f64"}), whole = bench(place, {"--seconds", "0", "--dtype", "f64", "--without", "strips"});
  CHECK(whole["local_bytes"] == 0);
  CHECK(strips["digest"] != whole["digest"]);
  CHECK(strips["arena_bytes"].get<double>() < 0.5 * whole["arena_bytes"].get<double>());
  for (size_t i = 0; i < strips["losses"].size(); ++i) CHECK(strips["losses"][i].get<double>() == Approx(whole["losses"][i].get<double>()).epsilon(1e-12));
}

TEST_CASE("the times of kernels in strips add up to about a step, on one thread and on two") {
  Workplace place;
  place.write("field.grad", model);
  for (const char* threads : {"1", "2"}) {
    const json report = bench(place, {"--threads", threads, "--seconds", "0.2"});
    double sum = 0;
    for (const json& k : report["kernels"]) {
      CHECK(k["ms"].get<double>() > 0);
      sum += k["ms"].get<double>();
    }
    // Loose, for other programs run too: a kernel counted twice or for every thread would be outside.
    CHECK(sum > 0.2 * report["step_ms"]["min"].get<double>());
    CHECK(report["kernels"].size() > 10);
  }
}

TEST_CASE("strips can be seen: the loop, what is local to it, and what it keeps") {
  Workplace place;
  place.write("field.grad", model);
  const std::string kernels = ok(place.gradc({"inspect", "field.grad", "--stage", "kernels"})).out;
  CHECK(kernels.find("loop l0 \"strips\" trips") != std::string::npos);
  CHECK(kernels.find(" local \"") != std::string::npos);
  const std::string memory = ok(place.gradc({"inspect", "field.grad", "--stage", "memory"})).out;
  CHECK(memory.find("in each thread for what is local to a trip") != std::string::npos);
  CHECK(memory.find(".partial") != std::string::npos);
}

TEST_CASE("a pass that does not exist cannot be left out") {
  Workplace place;
  place.write("field.grad", model);
  const ProcessResult r = place.gradc({"bench", "field.grad", "--without", "strip"});
  CHECK(r.code == 2);
  CHECK(r.out.empty());
  CHECK(r.err == "--without: error: there is no pass and no rule 'strip' to leave out\n  note: did you mean 'strips'?\n");
  ok(place.gradc({"bench", "field.grad", "--seconds", "0", "--steps", "0", "--json", "--without", "fma", "--without", "algebra"}));
}
