// What every stage prints for the examples, held against files. --update rewrites them; the reviewed difference is the test.
// Kernels, LLVM and assembly are printed for one fixed processor, so that the files are the same on every machine.
#include <catch2/catch.hpp>

#include "tests/support/golden.h"
#include "tests/support/process.h"

using namespace gradc::test;

namespace {

void check_stage(const std::string& model, const std::string& stage, const std::vector<std::string>& more = {}, const std::string& suffix = "") {
  std::string name = model.substr(model.rfind('/') + 1);
  std::string file = "tests/golden/expected/" + name.substr(0, name.rfind('.')) + suffix + "." + stage + ".txt";
  INFO(file);
  std::vector<std::string> command{GRADC_PROGRAM, "inspect", model, "--stage", stage, "--cpu", "x86-64-v3", "--threads", "2", "--no-cache"};
  command.insert(command.end(), more.begin(), more.end());
  ProcessResult r = run_process(command, source("."));
  INFO(r.err);
  REQUIRE(r.code == 0);
  check_golden(file, r.out);
}

}  // namespace

TEST_CASE("one hidden neuron: all stages but machine code") {
  for (const char* stage : {"ast", "graph", "backward", "optimized", "kernels", "memory", "llvm"}) check_stage("examples/one_hidden_neuron.grad", stage);
}

TEST_CASE("one hidden neuron: one gradient, as text, as a form that parses back, and as a picture") {
  check_stage("examples/one_hidden_neuron.grad", "backward", {"--wrt", "w1"}, ".w1");
  check_stage("examples/one_hidden_neuron.grad", "backward", {"--wrt", "w1", "--format", "ir"}, ".w1.ir");
  check_stage("examples/one_hidden_neuron.grad", "backward", {"--wrt", "w1", "--format", "dot"}, ".w1.dot");
}

TEST_CASE("two inputs: the derivation and its kernels") {
  for (const char* stage : {"backward", "optimized", "kernels"}) check_stage("examples/two_inputs.grad", stage);
}

TEST_CASE("digits: the gradient of the first layer, and the fused kernels of the whole step") {
  check_stage("examples/digits.grad", "backward", {"--wrt", "h1.W"}, ".h1.W");
  check_stage("examples/digits.grad", "optimized", {"--wrt", "h1.W"}, ".h1.W");
  check_stage("examples/digits.grad", "kernels");
}

TEST_CASE("a recurrent network: the loop and its body, and the loop that is its derivative") {
  check_stage("tests/bench/workloads/lstm.grad", "graph");
  check_stage("tests/bench/workloads/lstm.grad", "backward", {"--wrt", "hs.Wh"}, ".hs.Wh");
}

TEST_CASE("what a loop keeps for its derivative, and what is left of it where steps are computed again") {
  check_stage("tests/bench/workloads/lstm.grad", "memory", {"--wrt", "hs.Wh"}, ".hs.Wh");
  check_stage("tests/golden/recompute.grad", "memory", {"--wrt", "Wh"});
}

TEST_CASE("workloads: what is fused with what") {
  for (const char* model : {"tiny", "mlp", "elementwise"}) check_stage(std::string("tests/bench/workloads/") + model + ".grad", "kernels");
}
