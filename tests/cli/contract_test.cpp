// The contract that other programs rely on: verbs, flags, JSON, exit codes, files (docs/architecture.md).
#include <catch2/catch.hpp>

#include <cstdio>

#include <sstream>

#include <nlohmann/json.hpp>

#include "runtime/npy.h"
#include "tests/support/process.h"

using namespace gradc;
using namespace gradc::test;
using nlohmann::json;

namespace {

const char* linear = R"(
model line(x: [N, 3], y: [N]) {
    param w: [3] = normal(0.5)
    param b: []  = 0
    yhat = x @ w + b
    loss = mean((yhat - y) ** 2)
}

train line {
    data      = rows { x = [[1, 2, 3], [0, 1, 0], [2, 2, 1], [1, 0, 0]]; y = [1, 2, 3, 4] }
    optimizer = gradient_descent(lr = 0.05)
    epochs    = 5
}
)";

ProcessResult ok(const ProcessResult& r) {
  INFO(r.err);
  CHECK(r.code == 0);
  return r;
}

std::vector<json> lines(const std::string& text) {
  std::vector<json> events;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) events.push_back(json::parse(line));
  return events;
}

}  // namespace

TEST_CASE("train --json prints one object a line, and the run folder holds the same") {
  Workplace place;
  place.write("line.grad", linear);
  auto r = ok(place.gradc({"train", "line.grad", "--json", "--out", "run"}));
  auto events = lines(r.out);
  REQUIRE(events.size() == 6);
  for (size_t i = 0; i < 5; ++i) {
    CHECK(events[i]["event"] == "epoch");
    CHECK(events[i]["epoch"] == i + 1);
    CHECK(events[i]["step"] == i + 1);
    CHECK(events[i]["train"]["loss"].is_number());
    CHECK(events[i]["digest"].get<std::string>().size() == 64);
    if (i > 0) CHECK(events[i]["train"]["loss"] < events[i - 1]["train"]["loss"]);
  }
  CHECK(events[5]["event"] == "end");
  CHECK(place.read("run/metrics.jsonl") == r.out);
}

TEST_CASE("a resumed run ends with the bits of one that never stopped") {
  Workplace place;
  place.write("line.grad", linear);
  auto whole = lines(ok(place.gradc({"train", "line.grad", "--json"})).out);
  ok(place.gradc({"train", "line.grad", "--json", "--out", "run", "--set", "train.epochs=2"}));
  auto rest = lines(ok(place.gradc({"train", "line.grad", "--json", "--out", "run", "--resume"})).out);
  CHECK(whole.back()["digest"] == rest.back()["digest"]);
  CHECK(lines(place.read("run/metrics.jsonl")).size() == 6);
  // With nothing to resume from, a run starts.
  ok(place.gradc({"train", "line.grad", "--json", "--out", "fresh", "--resume"}));
}

TEST_CASE("the digest is the same for any number of threads, and changes with the seed") {
  Workplace place;
  place.write("line.grad", linear);
  auto digest = [&](std::vector<std::string> more) {
    std::vector<std::string> a{"train", "line.grad", "--json"};
    a.insert(a.end(), more.begin(), more.end());
    return lines(ok(place.gradc(a)).out).back()["digest"].get<std::string>();
  };
  std::string one = digest({"--threads", "1"});
  CHECK(one == digest({"--threads", "2"}));
  CHECK(one == digest({"--threads", "4"}));
  CHECK(one != digest({"--threads", "1", "--seed", "7"}));
}

TEST_CASE("run takes arrays and gives any value and gradient") {
  Workplace place;
  place.write("line.grad", linear);
  Array x = Array::zeros(Element::F32, {2, 3}), y = Array::zeros(Element::F64, {2}), w = Array::zeros(Element::F32, {3});
  for (int i = 0; i < 6; ++i) x.as<float>()[i] = static_cast<float>(i);
  w.as<float>()[0] = 1;
  place.write("in.npz", npz_bytes({{"x", x}, {"y", y}}));
  place.write("w.npy", npy_bytes(w));
  auto r = ok(place.gradc({"run", "line.grad", "--dtype", "f64", "--inputs", "in.npz", "--param", "w=w.npy", "--output", "loss", "--output", "yhat",
                           "--output", "grad(loss, w)", "--json", "--save", "out.npz"}));
  // yhat = (0, 3), loss = 4.5, dloss/dw = 2/2 * sum yhat_n x_n = 3 * (3, 4, 5)
  CHECK(json::parse(r.out) == json{{"loss", 4.5}});
  Diagnostics d;
  auto out = parse_npz(place.read("out.npz"), "", d);
  REQUIRE(out);
  CHECK(out->size() == 3);
  CHECK(out->at("yhat").at(1) == 3);
  CHECK(out->at("grad(loss, w)").at(0) == 9);
  CHECK(out->at("grad(loss, w)").at(1) == 12);
  CHECK(out->at("grad(loss, w)").at(2) == 15);
}

TEST_CASE("check --json lists parameters and passes") {
  Workplace place;
  place.write("line.grad", linear);
  auto report = json::parse(ok(place.gradc({"check", "line.grad", "--json"})).out);
  CHECK(report["ok"] == true);
  CHECK(report["max_rel_err"] < 1e-6);
  REQUIRE(report["parameters"].size() == 2);
  CHECK(report["parameters"][0]["name"] == "w");
  CHECK(report["passes"].size() >= 5);
  for (const auto& pass : report["passes"]) CHECK(pass["max_rel_err"] < 1e-9);
  // A bound that nothing can meet must fail: the check is able to.
  CHECK(place.gradc({"check", "line.grad", "--tolerance", "1e-300"}).code == 1);
}

TEST_CASE("bench --json holds what the contract says") {
  Workplace place;
  place.write("line.grad", linear);
  auto report = json::parse(ok(place.gradc({"bench", "line.grad", "--json", "--steps", "4", "--seconds", "0.01"})).out);
  CHECK(report["losses"].size() == 5);
  for (size_t i = 1; i < 5; ++i) CHECK(report["losses"][i] < report["losses"][i - 1]);
  CHECK(report["compile_ms"]["total"] > 0);
  CHECK(report["first_step_ms"] > 0);
  for (const char* key : {"median", "min", "p90"}) CHECK(report["step_ms"][key] > 0);
  CHECK(report["peak_rss_mb"] > 0);
  REQUIRE(report["kernels"].size() > 0);
  for (const char* key : {"name", "ms", "min_ms", "flops", "bytes"}) CHECK(report["kernels"][0].contains(key));
  // The digest after 4 updates is that of training for 4 steps on the same rows in one batch.
  auto again = json::parse(ok(place.gradc({"bench", "line.grad", "--json", "--steps", "4", "--seconds", "0.01", "--threads", "2"})).out);
  CHECK(report["digest"] == again["digest"]);
  CHECK(report["losses"] == again["losses"]);
}

TEST_CASE("bench times cold and warm starts, each with a cache of its own") {
  Workplace place;
  place.write("line.grad", linear);
  auto r = ok(place.gradc({"bench", "line.grad", "--steps", "1", "--seconds", "0.01"}));
  double cold = 0, warm = 0;
  size_t at = r.out.find("start      cold ");
  INFO(r.out);
  REQUIRE(at != std::string::npos);
  CHECK(std::sscanf(r.out.c_str() + at, "start      cold %lf ms, warm %lf ms", &cold, &warm) == 2);
  CHECK(cold > 0);
  CHECK(warm > 0);
}

TEST_CASE("inspect shows every stage") {
  Workplace place;
  place.write("line.grad", linear);
  for (const char* stage : {"ast", "graph", "backward", "optimized", "kernels", "memory", "llvm", "asm"}) {
    INFO(stage);
    auto r = ok(place.gradc({"inspect", "line.grad", "--stage", stage}));
    CHECK(r.out.size() > 100);
    CHECK(r.err.empty());
  }
  for (const char* stage : {"graph", "backward", "optimized"}) {
    CHECK(ok(place.gradc({"inspect", "line.grad", "--stage", stage, "--format", "dot"})).out.rfind("digraph", 0) == 0);
  }
  auto one = ok(place.gradc({"inspect", "line.grad", "--stage", "backward", "--wrt", "b"})).out;
  CHECK(one.find("d(loss)/d(b)") != std::string::npos);
  CHECK(one.find("d(loss)/d(w)") == std::string::npos);
}

TEST_CASE("exit codes and streams") {
  Workplace place;
  place.write("line.grad", linear);
  CHECK(place.gradc({}).code == 2);
  CHECK(place.gradc({"fly"}).code == 2);
  CHECK(place.gradc({"train"}).code == 2);
  CHECK(place.gradc({"train", "line.grad", "--dtype", "f16"}).code == 2);
  CHECK(place.gradc({"run", "line.grad", "--cpu", "z80"}).code == 2);
  const std::string misspelt = place.gradc({"run", "line.grad", "--cpu", "hasvell"}).err;
  CHECK(misspelt.find("did you mean 'haswell'?") != std::string::npos);
  CHECK(misspelt.find("note:") == std::string::npos);  // once
  // No machine has the extensions of both.
  for (const char* cpu : {"sapphirerapids", "bdver4"}) {
    const ProcessResult lacking = place.gradc({"run", "line.grad", "--cpu", cpu});
    if (lacking.err.find("it lacks") == std::string::npos) continue;
    CHECK(lacking.err.find("did you mean") == std::string::npos);
    CHECK(lacking.err.find("'native', the default") != std::string::npos);
  }
  CHECK(place.gradc({"--help"}).code == 0);
  CHECK(place.gradc({"--version"}).out == "gradc 0.1.0\n");
  for (const char* verb : {"train", "run", "inspect", "check", "bench"}) {
    auto help = ok(place.gradc({verb, "--help"}));
    CHECK(help.out.find("Example: gradc") != std::string::npos);
    CHECK(std::count(help.out.begin(), help.out.end(), '\n') <= 40);
  }
  auto missing = place.gradc({"train", "none.grad"});
  CHECK(missing.code == 1);
  CHECK(missing.out.empty());
  CHECK(missing.err.find("cannot read 'none.grad'") != std::string::npos);
  auto unwritable = place.gradc({"train", "line.grad", "--out", "/proc/no/such"});
  CHECK(unwritable.code == 3);
}

TEST_CASE("code for a lesser processor gives the same losses to rounding") {
  Workplace place;
  place.write("line.grad", linear);
  auto losses = [&](const char* cpu) {
    return json::parse(ok(place.gradc({"bench", "line.grad", "--json", "--seconds", "0.01", "--dtype", "f64", "--cpu", cpu})).out)["losses"].get<std::vector<double>>();
  };
  auto native = losses("native"), lesser = losses("x86-64-v3");
  REQUIRE(native.size() == lesser.size());
  for (size_t i = 0; i < native.size(); ++i) CHECK(native[i] == Approx(lesser[i]).epsilon(1e-12));
}
