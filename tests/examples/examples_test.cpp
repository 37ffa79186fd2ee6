// Every example is checked, trained and inspected, as its reader would.
#include <catch2/catch.hpp>

#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tests/support/process.h"

using namespace gradc::test;
using nlohmann::json;

namespace {

std::vector<std::string> examples() {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(source("examples"))) {
    if (entry.path().extension() == ".grad") files.insert(entry.path().string());
  }
  return {files.begin(), files.end()};
}

json last_event(const ProcessResult& r) {
  std::istringstream in(r.out);
  std::string line, last;
  while (std::getline(in, line)) last = line;
  return json::parse(last);
}

// Settings that make a model small: a check evaluates the loss thousands of times, and 64 steps of recurrence or 32 channels show
// nothing that 8 do not; threads would only wait for each other over four rows. (What is promised below is held at full size.)
std::vector<std::string> small(const std::string& file) {
  static const std::map<std::string, std::vector<std::string>> settings = {
      {"char_lstm.grad", {"T=8"}},
      {"gru.grad", {"T=8"}},
      {"neural_ode.grad", {"steps=5"}},
      {"char_transformer.grad", {"T=4", "d=8", "layers=1"}},
      {"cnn.grad", {"width=4", "train.batch=16"}},
      {"resnet20.grad", {"width=1", "blocks=1", "train.batch=16"}},
      {"burgers.grad", {"width=4"}},
  };
  std::vector<std::string> flags;
  auto it = settings.find(std::filesystem::path(file).filename());
  if (it == settings.end()) return flags;
  for (const std::string& setting : it->second) flags.insert(flags.end(), {"--set", setting});
  return flags;
}

std::vector<std::string> with_flags(std::vector<std::string> command, const std::vector<std::string>& flags) {
  command.insert(command.end(), flags.begin(), flags.end());
  return command;
}

}  // namespace

TEST_CASE("there are the examples that the README promises, each with a line on what it shows") {
  auto files = examples();
  CHECK(files.size() >= 16);
  Workplace place;
  for (const std::string& file : files) {
    std::string text = run_process({"/bin/cat", file}).out;
    INFO(file);
    CHECK(text.rfind("# ", 0) == 0);
    CHECK(text.find('\n') > 30);
  }
}

TEST_CASE("symbolic and numeric gradients agree on every example") {
  Workplace place;
  for (const std::string& file : examples()) {
    INFO(file);
    auto r = place.gradc(with_flags({"check", file, "--json", "--threads", "1"}, small(file)));
    INFO(r.out << r.err);
    REQUIRE(r.code == 0);
    json report = json::parse(r.out);
    CHECK(report["max_rel_err"] < 1e-6);
    for (const json& p : report["parameters"]) {
      INFO(p.dump());
      CHECK(p["compared"].get<int>() > 0);
    }
  }
}

TEST_CASE("every example trains, to a loss below where it began") {
  Workplace place;
  for (const std::string& file : examples()) {
    INFO(file);
    auto r = place.gradc(with_flags({"train", file, "--json", "--threads", "1", "--set", "train.steps=200", "--set", "train.every=50"}, small(file)));
    INFO(r.err);
    REQUIRE(r.code == 0);
    json begin = json::parse(r.out.substr(0, r.out.find('\n'))), end = last_event(r);
    INFO(begin.dump() << "\n" << end.dump());
    CHECK(end["event"] == "end");
    for (const auto& [name, value] : end["train"].items()) CHECK(value.is_number());  // null where it is not finite
    // Networks that play against each other have no loss that falls.
    if (end["train"].contains("loss")) CHECK(end["train"]["loss"].get<double>() < begin["train"]["loss"].get<double>());
  }
}

namespace {

// What an example's first lines promise of the whole run, or what a shortened one must reach.
struct Promise {
  const char* file;
  std::vector<std::string> settings;  // of --set
  std::vector<std::string> seeds;
  const char *part, *metric;
  double least, most;
};
constexpr double any = 1e300;

const Promise promises[] = {
    {"xor", {}, {"0"}, "train", "accuracy", 1, 1},
    {"xor", {}, {"0"}, "train", "loss", 0, 0.05},
    {"digits", {}, {"0", "1", "2"}, "test", "accuracy", 0.97, 1},
    {"siamese", {}, {"0", "1"}, "test", "accuracy", 0.95, 1},
    {"vae", {}, {"0", "1"}, "test", "loss", -any, 23},
    {"gan", {}, {"0", "1"}, "train", "distance", 0, 0.8},
    {"fashion/cnn", {"train.steps=40"}, {"0"}, "train", "accuracy", 0.5, 1},
    {"fashion/resnet20", {"train.steps=24", "train.test=0.01"}, {"0"}, "train", "accuracy", 0.3, 1},
    {"physics/burgers", {"train.steps=600"}, {"0"}, "train", "loss", 0, 0.15},
    {"gru", {"T=16", "train.steps=500"}, {"0"}, "test", "loss", 0, 0.02},
    {"neural_ode", {"train.steps=500"}, {"0"}, "test", "loss", 0, 0.02},
    {"char_transformer", {"train.epochs=3"}, {"0"}, "test", "loss", 0, 2.25},
    {"char_lstm", {"train.epochs=4"}, {"0"}, "test", "loss", 0, 2.7},
};

}  // namespace

TEST_CASE("examples reach what they promise") {
  Workplace place;
  for (const Promise& p : promises) {
    for (const std::string& seed : p.seeds) {
      std::vector<std::string> command{"train", source(fmt::format("examples/{}.grad", p.file)), "--json", "--threads", "1", "--seed", seed};
      for (const std::string& setting : p.settings) command.insert(command.end(), {"--set", setting});
      auto r = place.gradc(command);
      INFO(p.file << " seed " << seed << ": " << r.err);
      REQUIRE(r.code == 0);
      const json end = last_event(r);
      INFO(end.dump());
      const double value = end[p.part][p.metric];
      CHECK(value >= p.least);
      CHECK(value <= p.most);
    }
  }
}

TEST_CASE("digits: the same digest with 1, 2 and 4 threads") {
  Workplace place;
  std::set<std::string> digests;
  for (const char* threads : {"1", "2", "4"}) {
    auto r = place.gradc({"train", source("examples/digits.grad"), "--json", "--threads", threads, "--set", "train.epochs=3"});
    digests.insert(last_event(r)["digest"].get<std::string>());
  }
  CHECK(digests.size() == 1);
}

TEST_CASE("digits: the gradient reads as something a person can follow") {
  Workplace place;
  auto r = place.gradc({"inspect", source("examples/digits.grad"), "--stage", "backward", "--wrt", "h1.W"});
  INFO(r.out << r.err);
  REQUIRE(r.code == 0);
  for (const char* part : {"image", "h1.W", "h2.W", "logits", "label", "loss", "d(loss)/d(h1.W)", "d(loss)/d(logits)", "image^T @ ", "vjp of", "digits.grad:5", "digits.grad:9"}) {
    INFO(part);
    CHECK(r.out.find(part) != std::string::npos);
  }
  // Every line of the derivation says where it comes from.
  std::istringstream in(r.out);
  for (std::string line, before; std::getline(in, line); before = line) {
    if (line.empty() || line.rfind("output", 0) == 0 || line.rfind("update", 0) == 0) continue;
    INFO(before << "\n" << line);
    bool continued = line.rfind("      ", 0) == 0;
    if (continued) CHECK(line.find("# ") != std::string::npos);
  }
}
