// Whole models as their authors write them: they elaborate, own the parameters that their text says, and differentiate.
#include <cmath>

#include <catch2/catch.hpp>

#include "tests/sema/elaborated.h"
#include "tests/support/golden.h"

using namespace gradc;
using namespace gradc::test;

namespace {

Elaborated step_of(const std::string& name) {
  ElaborateRequest r;
  r.update = true;
  r.dims = {{"N", 2}, {"M", 3}, {"T", 8}};
  r.epoch_steps = 100;
  Elaborated e(read_text("tests/sema/models/" + name + ".grad"), r, {}, name + ".grad");
  INFO(e.messages());
  REQUIRE(e.result);
  CHECK(e.messages() == "");
  CHECK(verify(e.graph(), true) == std::vector<std::string>{});
  AutodiffResult expanded = expand_gradients(e.graph());
  CHECK(expanded.problems.empty());
  CHECK(verify(expanded.graph, true) == std::vector<std::string>{});
  return e;
}

std::vector<std::string> paths(const Elaborated& e) {
  std::vector<std::string> out;
  for (const ParameterInfo& p : e.result->parameters) out.push_back(p.path.str());
  return out;
}
bool owns(const Elaborated& e, const std::string& path) {
  std::vector<std::string> all = paths(e);
  return std::find(all.begin(), all.end(), path) != all.end();
}
size_t updates(const Elaborated& e) {
  return static_cast<size_t>(std::count_if(e.graph().outputs.begin(), e.graph().outputs.end(), [](const Output& o) { return o.kind == OutputKind::Update; }));
}

}  // namespace

TEST_CASE("whole models: ResNet-20") {
  Elaborated e = step_of("resnet20");
  for (const char* p : {"x.W", "x.1.gamma", "x[0][0].a.W", "x[0][0].a.1.gamma", "x[1][0].skip.W", "x[2][2].b.1.beta", "logits.W"}) {
    INFO(p);
    CHECK(owns(e, p));
  }
  CHECK_FALSE(owns(e, "x[0][0].skip.W"));
  size_t count = 0;
  for (const ParameterInfo& p : e.result->parameters) count += static_cast<size_t>(p.type.count());
  CHECK(count == 272474);
}

TEST_CASE("whole models: a transformer over bytes") {
  Elaborated e = step_of("gpt");
  for (const char* p : {"x.table", "x.1.table", "x[0].attended.gamma", "x[3].attended.1.q.W", "x[3].out.1.b", "logits.1.W"}) {
    INFO(p);
    CHECK(owns(e, p));
  }
}

TEST_CASE("whole models: a physics-informed network has one set of parameters, called four times") {
  Elaborated e = step_of("burgers");
  CHECK(paths(e).size() == 8);
  CHECK(owns(e, "net.0.W"));
  CHECK(owns(e, "net.6.b"));
}

TEST_CASE("whole models: a recurrence written out") {
  Elaborated e = step_of("char_lstm");
  CHECK(paths(e) == std::vector<std::string>{"h.table", "h.1.Wx", "h.1.Wh", "h.1.b", "logits.W", "logits.b"});
}

TEST_CASE("whole models: two networks against each other") {
  Elaborated e = step_of("gan");
  CHECK(e.result->metrics == std::vector<Symbol>{"critic_loss", "generator_loss"});
  CHECK(paths(e).size() == 8);
  CHECK(updates(e) == 8 * 3);  // parameters and both moments
}
