// The examples and the workloads as graphs: shapes, paths, and the numbers worked by hand.
#include <catch2/catch.hpp>

#include "tests/sema/elaborated.h"
#include "tests/support/golden.h"

using namespace gradc;
using namespace gradc::test;

namespace {

Elaborated load(const std::string& path, ElaborateRequest request) {
  Elaborated e(read_text(path), std::move(request), {}, path);
  INFO(e.messages());
  REQUIRE(e.result);
  CHECK(e.messages() == "");
  CHECK(verify(e.graph(), true) == std::vector<std::string>{});
  CHECK(verify(e.result->init, true) == std::vector<std::string>{});
  return e;
}

double scalar(const std::map<Symbol, Tensor>& values, const char* name) { return values.at(name).at(0); }

std::vector<double> all(const Tensor& t) {
  std::vector<double> out;
  for (int64_t i = 0; i < t.type.count(); ++i) out.push_back(t.at(i));
  return out;
}

void check_values(const std::vector<double>& actual, const std::vector<double>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) CHECK(actual[i] == Approx(expected[i]).epsilon(0).margin(1e-12));
}

}  // namespace

TEST_CASE("one hidden neuron: values, gradients and the update worked by hand") {
  ElaborateRequest request = f64_request();
  request.outputs = {"z1", "a1", "yhat", "loss", "grad(loss, yhat)", "grad(loss, w2)", "grad(loss, b2)", "grad(loss, z1)", "grad(loss, w1)", "grad(loss, b1)"};
  Elaborated e = load("examples/one_hidden_neuron.grad", request);
  std::map<Symbol, Tensor> data = {{"x", tensor_of(Element::F64, {}, {2})}, {"y", tensor_of(Element::F64, {}, {1})}};
  auto v = e.evaluate(data);
  std::vector<double> values;
  for (const std::string& name : request.outputs) values.push_back(scalar(v, name.c_str()));
  check_values(values, {1, 0.7310585786300049, 0.5848468629040039, 0.08617606362032347, -0.4151531370959961, -0.30350126231918645, -0.4151531370959961,
                        -0.0652992487005678, -0.1305984974011356, -0.0652992487005678});

  ElaborateRequest update = f64_request();
  update.update = true;
  auto after = load("examples/one_hidden_neuron.grad", update).evaluate(data);
  CHECK(scalar(after, "w2") == Approx(0.8303501262319187).epsilon(0).margin(1e-12));
  CHECK(scalar(after, "w1") == Approx(0.5130598497401135).epsilon(0).margin(1e-12));
}

TEST_CASE("two inputs: values and gradients worked by hand") {
  ElaborateRequest request = f64_request({{"N", 2}});
  request.outputs = {"yhat", "loss", "grad(loss, z2)", "grad(loss, z1)", "grad(loss, W2)", "grad(loss, b2)", "grad(loss, W1)", "grad(loss, b1)"};
  Elaborated e = load("examples/two_inputs.grad", request);
  auto v = e.evaluate({{"x", tensor_of(Element::F64, {2, 2}, {0.2, 0.7, 1.0, -0.5})}, {"y", tensor_of(Element::F64, {2, 1}, {1, 0})}});
  check_values(all(v.at("yhat")), {0.5409213161822868, 0.5547171167674628});
  check_values(all(v.at("loss")), {0.2592321587853055});
  check_values(all(v.at("grad(loss, z2)")), {-0.1140009188539137, 0.1370184767423837});
  check_values(all(v.at("grad(loss, z1)")), {-0.017016620110852514, 0.014198937313550746, 0.020097183296928507, -0.016957171880737254});
  check_values(all(v.at("grad(loss, W2)")), {0.025692307058136174, 0.014921027912227366});
  check_values(all(v.at("grad(loss, b2)")), {0.023017557888470014});
  check_values(all(v.at("grad(loss, W1)")), {0.016693859274758003, -0.014117384418027104, -0.021960225726061013, 0.018417842059854146});
  check_values(all(v.at("grad(loss, b1)")), {0.003080563186075993, -0.002758234567186508});
}

TEST_CASE("digits: paths, shapes, names, limits of labels") {
  ElaborateRequest request;
  request.dims = {{"N", 64}};
  request.update = true;
  Elaborated e = load("examples/digits.grad", request);
  CHECK(e.parameters() == std::vector<std::string>{"h1.W f32[n=64, units=256]", "h1.b f32[units=256]", "h2.W f32[n=256, units=64]",
                                                   "h2.b f32[units=64]", "logits.W f32[n=64, units=10]", "logits.b f32[units=10]"});
  CHECK(e.result->states.size() == 12);
  CHECK(e.result->states[0].path == "h1.W.adam.m");
  CHECK(e.result->metrics == std::vector<Symbol>{"loss", "accuracy"});
  for (const char* name : {"h1", "h2", "logits", "loss", "accuracy"}) CHECK(e.has_node(name));
  CHECK(e.result->inputs[1].index_limit == 10);
  CHECK(e.result->inputs[1].type.element == Element::Int);
  size_t updates = 0;
  for (const Output& o : e.graph().outputs) updates += o.kind == OutputKind::Update;
  CHECK(updates == 18);
  const TrainSpec& train = *e.program->train();
  CHECK(train.batch == 64);
  CHECK(train.epochs == 60);
  CHECK(train.test_share == 0.2);
  REQUIRE(train.data);
  CHECK(train.data->reader == "csv");
  CHECK(train.data->paths == std::vector<std::string>{"data/digits.csv"});
}

TEST_CASE("digits: the data's transform") {
  ElaborateRequest request;
  request.dims = {{"N", 3}};
  Elaborated e = load("examples/digits.grad", request);
  Type table{Element::F64, {{3, {}}, {65, {}}}};
  auto g = e.program->elaborate_data(*e.program->train()->data, {{"table", table}}, {}, Element::F32, e.diagnostics);
  INFO(e.messages());
  REQUIRE(g);
  Tensor raw = Tensor::zeros(table);
  for (int64_t i = 0; i < raw.type.count(); ++i) raw.set(i, static_cast<double>(i % 65 == 64 ? i / 65 : i % 17));
  auto out = evaluate(*g, {{"table", raw}});
  CHECK(to_string(out.at("image").type) == "f32[3, 64]");
  CHECK(to_string(out.at("label").type) == "int[3]");
  CHECK(out.at("image").at(5) == 5.0 / 16);
  CHECK(all(out.at("label")) == std::vector<double>{0, 1, 2});
}

TEST_CASE("every example and workload has a typed graph, for training and for evaluation") {
  for (std::string name : {"examples/xor", "examples/linear_regression", "examples/logistic_regression", "examples/digits", "tests/bench/workloads/tiny",
                           "tests/bench/workloads/mlp", "tests/bench/workloads/mlp_wide", "tests/bench/workloads/elementwise", "tests/bench/workloads/pinn", "tests/bench/workloads/lstm"}) {
    for (bool training : {true, false}) {
      ElaborateRequest request;
      request.training = request.update = training;
      request.dims = {{"N", 4}};
      INFO(name);
      Elaborated e = load(name + ".grad", request);
      CHECK(e.result->metrics[0] == "loss");
      for (const ParameterInfo& p : e.result->parameters) CHECK(p.used);
      for (const StateInfo& s : e.result->states) CHECK(s.optimizer);
    }
  }
}

TEST_CASE("the rows of an example become its inputs") {
  Elaborated e = load("examples/xor.grad", f64_request({{"N", 4}}));
  auto g = e.program->elaborate_data(*e.program->train()->data, {}, {}, Element::F64, e.diagnostics);
  REQUIRE(g);
  auto out = evaluate(*g, {});
  CHECK(all(out.at("x")) == std::vector<double>{0, 0, 0, 1, 1, 0, 1, 1});
  CHECK(to_string(out.at("y").type) == "f64[4, 1]");
}
