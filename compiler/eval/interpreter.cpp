#include "compiler/eval/eval.h"
#include "compiler/support/error.h"

namespace gradc {
namespace {

// The nodes still without a value that `root` needs, in ascending order.
std::vector<NodeId> pending(const Graph& graph, const std::vector<std::optional<Tensor>>& values, NodeId root) {
  std::vector<bool> needed(root.at() + 1, false);
  std::vector<NodeId> list;
  needed[root.at()] = true;
  for (size_t i = needed.size(); i-- > 0;) {
    if (!needed[i] || values[i]) continue;
    list.push_back(NodeId(i));
    for (NodeId operand : graph[NodeId(i)].operands) needed[operand.at()] = true;
  }
  return {list.rbegin(), list.rend()};
}

const Tensor& input_value(const Node& n, const std::map<Symbol, Tensor>& inputs) {
  Symbol key = n.attrs.text("name");
  auto it = inputs.find(key);
  GRADC_ASSERT(it != inputs.end(), "no value for input '{}'", key);
  GRADC_ASSERT(it->second.type == n.type, "input '{}' is {}, its value {}", key, to_string(n.type), to_string(it->second.type));
  return it->second;
}

}  // namespace

Interpreter::Interpreter(const Graph& graph, std::map<Symbol, Tensor> inputs)
    : graph_(graph), inputs_(std::move(inputs)), values_(graph.size()) {}

const Tensor& Interpreter::value(NodeId id) {
  if (values_[id.at()]) return *values_[id.at()];
  for (NodeId i : pending(graph_, values_, id)) {
    const Node& n = graph_[i];
    if (n.op->kind == OpKind::Input) {
      values_[i.at()] = input_value(n, inputs_);
      continue;
    }
    std::vector<const Tensor*> operands;
    for (NodeId operand : n.operands) operands.push_back(&*values_[operand.at()]);
    values_[i.at()] = evaluate_node(n, operands);
  }
  return *values_[id.at()];
}

std::map<Symbol, Tensor> evaluate(const Graph& graph, const std::map<Symbol, Tensor>& inputs) {
  Interpreter interpreter(graph, inputs);
  std::map<Symbol, Tensor> results;
  for (const Output& o : graph.outputs) results[o.name] = interpreter.value(o.node);
  return results;
}

}  // namespace gradc
