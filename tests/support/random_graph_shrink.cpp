#include <cmath>

#include <fmt/format.h>

#include "compiler/ops/expr.h"
#include "compiler/support/text.h"
#include "tests/support/random_graph_ops.h"

namespace gradc::test {
namespace {

// The graph with `victim` replaced by one of its operands.
RandomGraph bypass(const RandomGraph& g, NodeId victim, NodeId by) {
  RandomGraph out = g;
  out.graph = Graph{};
  out.graph.name = g.graph.name;
  out.graph.provenance = g.graph.provenance;
  std::vector<NodeId> renamed(g.graph.size());
  for (size_t i = 0; i < g.graph.size(); ++i) {
    if (NodeId(i) == victim) {
      renamed[i] = renamed[by.at()];
      continue;
    }
    Node n = g.graph[NodeId(i)];
    for (NodeId& operand : n.operands) operand = renamed[operand.at()];
    renamed[i] = out.graph.add(std::move(n));
  }
  for (const Output& o : g.graph.outputs) out.graph.outputs.push_back({o.name, o.kind, renamed[o.node.at()]});
  out.graph = out.graph.compacted();
  keep_used_inputs(out);
  return out;
}

// The graph with `victim` turned into an input that has its value.
RandomGraph cut(const RandomGraph& g, NodeId victim, const Tensor& value) {
  RandomGraph out = g;
  out.graph = Graph{};
  out.graph.name = g.graph.name;
  out.graph.provenance = g.graph.provenance;
  GraphBuilder b(out.graph);
  for (size_t i = 0; i < g.graph.size(); ++i) {
    Node n = g.graph[NodeId(i)];
    if (NodeId(i) != victim) {
      out.graph.add(std::move(n));
      continue;
    }
    Symbol name = fmt::format("cut{}", g.inputs.size());
    b.provenance = n.provenance;
    input(b, name, role::data, n.type);
    out.inputs[name] = value;
  }
  out.graph.outputs = g.graph.outputs;
  out.graph = out.graph.compacted();
  keep_used_inputs(out);
  return out;
}

RandomGraph without_output(const RandomGraph& g, size_t index) {
  RandomGraph out = g;
  out.graph.outputs.erase(out.graph.outputs.begin() + static_cast<std::ptrdiff_t>(index));
  out.graph = out.graph.compacted();
  keep_used_inputs(out);
  return out;
}

// Whether a Grad lies at or below each node: those have no value to cut at.
std::vector<bool> behind_grad(const Graph& g) {
  std::vector<bool> behind(g.size(), false);
  for (size_t i = 0; i < g.size(); ++i) {
    behind[i] = g[NodeId(i)].op->kind == OpKind::Grad;
    for (NodeId operand : g[NodeId(i)].operands) behind[i] = behind[i] || behind[operand.at()];
  }
  return behind;
}

std::vector<RandomGraph> smaller(const RandomGraph& g, NodeId id, bool has_value) {
  const Node& n = g.graph[id];
  std::vector<RandomGraph> list;
  if (n.operands.empty() || n.type.element == Element::None) return list;
  if (has_value) list.push_back(cut(g, id, Interpreter(g.graph, g.inputs).value(id)));
  for (NodeId operand : n.operands) {
    if (g.graph[operand].type == n.type) list.push_back(bypass(g, id, operand));
  }
  return list;
}

std::optional<RandomGraph> step(const RandomGraph& g, const std::function<bool(const RandomGraph&)>& fails) {
  for (size_t i = 0; g.graph.outputs.size() > 1 && i < g.graph.outputs.size(); ++i) {
    RandomGraph candidate = without_output(g, i);
    if (fails(candidate)) return candidate;
  }
  std::vector<bool> no_value = behind_grad(g.graph);
  for (size_t i = g.graph.size(); i-- > 0;) {
    for (RandomGraph& candidate : smaller(g, NodeId(i), !no_value[i])) {
      if (fails(candidate)) return std::move(candidate);
    }
  }
  return std::nullopt;
}

}  // namespace

RandomGraph shrink(RandomGraph g, const std::function<bool(const RandomGraph&)>& fails) {
  // Every step removes an output or an operation, so this ends.
  while (std::optional<RandomGraph> next = step(g, fails)) g = std::move(*next);
  return g;
}

std::string show(const RandomGraph& g) {
  std::string text = fmt::format("; seed {}\n{}", g.seed, print(g.graph, g.sources));
  for (const auto& [name, value] : g.inputs) {
    text += fmt::format("; {}: {} =", name, to_string(value.type));
    for (int64_t i = 0; i < value.type.count(); ++i) text += " " + shortest(value.at(i));
    text += "\n";
  }
  return text;
}

}  // namespace gradc::test
