#include <catch2/catch.hpp>

#include "compiler/ops/ops.h"
#include "compiler/pipeline/pipeline.h"
#include "compiler/support/error.h"
#include "tests/support/random_graph.h"
#include "tests/support/run_program.h"

using namespace gradc;

namespace {

CompileOptions options_for(const char* cpu = "native") {
  std::string error;
  const auto target = make_target(cpu, error);
  REQUIRE(target);
  return {.target = *target, .rewrite = {}, .schedule = {}, .jit = {}, .jit_code = true, .verify = true};
}

test::RandomGraph some_graph(uint64_t seed = 3) { return test::random_graph({.seed = seed, .operations = 12, .gradients = true, .allow = {}}); }

std::vector<std::string> names_of(const Compiled& compiled) {
  std::vector<std::string> names;
  for (const auto& [name, ms] : compiled.stage_ms) {
    CHECK(ms >= 0);
    names.push_back(name);
  }
  return names;
}

}  // namespace

TEST_CASE("each stage leaves its form and its time") {
  const auto g = some_graph();
  const Compiled compiled = compile(g.graph, options_for());
  REQUIRE(compiled.problems.empty());
  CHECK(names_of(compiled) == std::vector<std::string>{"autodiff", "rewrite", "schedule", "codegen"});
  CHECK(print(compiled.typed, g.sources) == print(g.graph, g.sources));
  for (size_t i = 0; i < compiled.backward.size(); ++i) CHECK(compiled.backward[NodeId(i)].op->kind != OpKind::Grad);
  CHECK(verify(compiled.optimized, true).empty());
  CHECK(verify(compiled.kernels).empty());
  CHECK(compiled.step->entry() != nullptr);
  CHECK(compiled.step->times().compiled == static_cast<int>(compiled.kernels.bodies.size()));
}

TEST_CASE("without machine code the stages end at kernels") {
  CompileOptions options = options_for();
  options.jit_code = false;
  const Compiled compiled = compile(some_graph().graph, options);
  CHECK(names_of(compiled) == std::vector<std::string>{"autodiff", "rewrite", "schedule"});
  CHECK(compiled.step == nullptr);
  CHECK(!compiled.kernels.instances.empty());
}

TEST_CASE("a gradient that cannot be had stops the stages") {
  Graph graph;
  graph.name = "bad";
  SourceManager sources;
  const FileId file = sources.add("bad.grad", "y = x\n");
  GraphBuilder b(graph);
  b.provenance = graph.provenance.from(graph.provenance.add({{file, 0, 1}, {}, {}}));
  const Type vector{Element::F64, {{3, "n"}}};
  const auto& registry = op_registry();
  // grad of a value that is no scalar
  auto parsed = parse_graph(print(some_graph().graph, some_graph().sources), registry, sources);
  REQUIRE(parsed.graph);
  Graph g = *parsed.graph;
  NodeId wide, source;
  for (size_t i = 0; i < g.size(); ++i) {
    const Node& n = g[NodeId(i)];
    if (n.op->kind == OpKind::Input && is_float(n.type.element) && n.type.count() > 1) source = NodeId(i);
  }
  REQUIRE(source);
  GraphBuilder builder(g);
  builder.provenance = g[source].provenance;
  wide = builder.add(*registry.find("grad"), {source, source});
  g.outputs = {{"d", OutputKind::Value, wide}};
  const Compiled compiled = compile(g, options_for());
  REQUIRE(compiled.problems.size() == 1);
  CHECK(compiled.problems[0].kind == AutodiffProblem::NotScalar);
  CHECK(compiled.step == nullptr);
  CHECK(compiled.kernels.instances.empty());
}

TEST_CASE("switching fusion or rewriting off changes nothing but the way") {
  for (uint64_t seed : {3, 8, 12}) {
    const auto g = some_graph(seed);
    const auto expected = evaluate(compile(g.graph, options_for()).backward, g.inputs);
    for (bool fuse : {false, true})
      for (int limit : {0, 3}) {
        CompileOptions options = options_for();
        options.schedule.fuse = fuse;
        options.rewrite.limit = limit;
        const Compiled compiled = compile(g.graph, options);
        const auto result = test::run_program(compiled.kernels, *compiled.step, g.inputs);
        const Tensor& loss = result.outputs.at("loss");
        CHECK(loss.at(0) == Approx(expected.at("loss").at(0)).epsilon(1e-9));
      }
  }
}

TEST_CASE("the names of the stages are those of the command line") {
  CHECK(stage_names() == std::vector<std::string>{"graph", "backward", "optimized", "kernels", "llvm", "asm"});
}
