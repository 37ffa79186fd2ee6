// The two derivations that the tool exists for, number by number, through `gradc run` in f64.
#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "runtime/npy.h"
#include "tests/support/process.h"

using namespace gradc;
using namespace gradc::test;
using nlohmann::json;

namespace {

constexpr double tolerance = 1e-12;

void check_values(const Array& a, const std::vector<double>& expected) {
  REQUIRE(a.count() == static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) CHECK(std::abs(a.at(static_cast<int64_t>(i)) - expected[i]) < tolerance);
}

// Runs the example and compares each expression's value.
void check_example(const std::string& file, const std::vector<std::pair<std::string, std::vector<double>>>& expected) {
  Workplace place;
  std::vector<std::string> arguments{"run", source(file), "--dtype", "f64", "--save", "out.npz"};
  for (const auto& [expression, values] : expected) arguments.insert(arguments.end(), {"--output", expression});
  ProcessResult r = place.gradc(arguments);
  INFO(r.err);
  REQUIRE(r.code == 0);
  Diagnostics d;
  auto arrays = parse_npz(place.read("out.npz"), "out.npz", d);
  REQUIRE(arrays);
  for (const auto& [expression, values] : expected) {
    INFO(expression);
    REQUIRE(arrays->count(expression) == 1);
    check_values(arrays->at(expression), values);
  }
}

}  // namespace

TEST_CASE("one hidden neuron: every value of the derivation by hand") {
  check_example("examples/one_hidden_neuron.grad",
                {{"z1", {1}},
                 {"a1", {0.7310585786300049}},
                 {"yhat", {0.5848468629040039}},
                 {"loss", {0.08617606362032347}},
                 {"grad(loss, yhat)", {-0.4151531370959961}},
                 {"grad(loss, w2)", {-0.30350126231918645}},
                 {"grad(loss, b2)", {-0.4151531370959961}},
                 {"grad(loss, z1)", {-0.0652992487005678}},
                 {"grad(loss, w1)", {-0.1305984974011356}},
                 {"grad(loss, b1)", {-0.0652992487005678}}});
}

TEST_CASE("one hidden neuron: the step of gradient descent") {
  Workplace place;
  ProcessResult r = place.gradc({"train", source("examples/one_hidden_neuron.grad"), "--dtype", "f64", "--json", "--out", "run"});
  INFO(r.err);
  REQUIRE(r.code == 0);
  Diagnostics d;
  auto checkpoint = parse_safetensors(place.read("run/checkpoint.safetensors"), "", d);
  REQUIRE(checkpoint);
  check_values(checkpoint->at("w2"), {0.8303501262319187});
  check_values(checkpoint->at("w1"), {0.5130598497401135});
}

TEST_CASE("two inputs: every value of the derivation by hand") {
  check_example("examples/two_inputs.grad",
                {{"yhat", {0.5409213161822868, 0.5547171167674628}},
                 {"loss", {0.2592321587853055}},
                 {"grad(loss, z2)", {-0.1140009188539137, 0.1370184767423837}},
                 {"grad(loss, z1)", {-0.017016620110852514, 0.014198937313550746, 0.020097183296928507, -0.016957171880737254}},
                 {"grad(loss, W2)", {0.025692307058136174, 0.014921027912227366}},
                 {"grad(loss, b2)", {0.023017557888470014}},
                 {"grad(loss, W1)", {0.016693859274758003, -0.014117384418027104, -0.021960225726061013, 0.018417842059854146}},
                 {"grad(loss, b1)", {0.003080563186075993, -0.002758234567186508}}});
}
