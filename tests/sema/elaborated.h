#pragma once

#include <optional>
#include <string>

#include "compiler/autodiff/autodiff.h"
#include "compiler/eval/eval.h"
#include "frontend/sema/program.h"
#include "frontend/syntax/parser.h"

namespace gradc::test {

// A model file from its text to its typed graph.
struct Elaborated {
  SourceManager sources;
  Diagnostics diagnostics;
  std::unique_ptr<ast::File> file;
  std::optional<Program> program;
  std::optional<Elaboration> result;

  explicit Elaborated(const std::string& text, ElaborateRequest request = {}, const std::map<std::string, std::string>& set = {},
                      const std::string& name = "model.grad") {
    file = parse(sources.add(name, text), sources, diagnostics);
    if (diagnostics.has_errors()) return;
    program = Program::analyze(*file, sources, set, diagnostics);
    if (program) result = program->elaborate(request, diagnostics);
  }

  std::string messages() const { return render_all(diagnostics, sources, false); }
  const Graph& graph() const { return result->graph; }
  const Node& output(Symbol name) const {
    for (const Output& o : graph().outputs) {
      if (o.name == name && o.kind == OutputKind::Value) return graph()[o.node];
    }
    throw std::runtime_error("no output " + name.str());
  }
  // The type of every parameter by path: "h1.W f32[n=4, units=3]".
  std::vector<std::string> parameters() const {
    std::vector<std::string> out;
    for (const ParameterInfo& p : result->parameters) out.push_back(p.path.str() + " " + to_string(p.type));
    return out;
  }
  // Whether some node carries the name.
  bool has_node(Symbol name) const {
    for (size_t i = 0; i < graph().size(); ++i) {
      if (graph()[NodeId(i)].name == name) return true;
    }
    return false;
  }

  // Values of all outputs; parameters and states from their initial values where `inputs` has none.
  std::map<Symbol, Tensor> evaluate(std::map<Symbol, Tensor> inputs = {}, uint64_t seed = 1, double step = 1) const {
    auto scalar = [](Element e, double v) {
      Tensor t = Tensor::zeros({e, {}});
      t.set(0, v);
      return t;
    };
    inputs.emplace("seed", scalar(Element::Int, static_cast<double>(seed)));
    inputs.emplace("step", scalar(Element::F64, step));
    for (auto& [name, value] : gradc::evaluate(result->init, inputs)) inputs.emplace(name, value);
    AutodiffResult expanded = expand_gradients(graph());
    if (!expanded.problems.empty()) throw std::runtime_error("no gradient: " + expanded.problems[0].reason);
    return gradc::evaluate(expanded.graph, inputs);
  }
};

inline Tensor tensor_of(Element e, const std::vector<int64_t>& sizes, const std::vector<double>& values) {
  Type t{e, {}};
  for (int64_t s : sizes) t.dims.push_back({s, {}});
  Tensor out = Tensor::zeros(t);
  for (size_t i = 0; i < values.size(); ++i) out.set(static_cast<int64_t>(i), values[i]);
  return out;
}

inline ElaborateRequest f64_request(std::map<Symbol, int64_t> dims = {}) {
  ElaborateRequest r;
  r.element = Element::F64;
  r.dims = std::move(dims);
  return r;
}

}  // namespace gradc::test
