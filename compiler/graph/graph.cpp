#include "compiler/graph/graph.h"

#include <fmt/format.h>

#include "compiler/support/error.h"

namespace gradc {

const char* name(Combiner c) {
  constexpr const char* names[] = {"sum", "prod", "max", "min"};
  return names[static_cast<size_t>(c)];
}

NodeId Graph::add(Node node) {
  for (NodeId operand : node.operands) GRADC_ASSERT(operand && operand.at() < nodes_.size(), "operand comes later");
  nodes_.push_back(std::move(node));
  return NodeId(nodes_.size() - 1);
}

namespace {

bool is_body_input(const Node& n) {
  static const Symbol roles[] = {role::carry, role::element, role::constant};
  if (n.op->kind != OpKind::Input || !n.attrs.has("role")) return false;
  Symbol role = n.attrs.text("role");
  return role == roles[0] || role == roles[1] || role == roles[2];
}

}  // namespace

std::vector<bool> Graph::live() const {
  std::vector<bool> live(nodes_.size(), false);
  for (size_t i = 0; i < nodes_.size() && is_body_input(nodes_[i]); ++i) live[i] = true;  // they come first
  for (const Output& o : outputs) live[o.node.at()] = true;
  for (size_t i = nodes_.size(); i-- > 0;) {
    if (!live[i]) continue;
    for (NodeId operand : nodes_[i].operands) live[operand.at()] = true;
  }
  return live;
}

Graph Graph::compacted() const {
  std::vector<bool> keep = live();
  std::vector<NodeId> renamed(nodes_.size());
  Graph out;
  out.name = name;
  out.provenance = provenance;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!keep[i]) continue;
    Node copy = nodes_[i];
    for (NodeId& operand : copy.operands) operand = renamed[operand.at()];
    renamed[i] = out.add(std::move(copy));
  }
  for (const Output& o : outputs) out.outputs.push_back({o.name, o.kind, renamed[o.node.at()]});
  return out;
}

std::string Graph::label(NodeId id) const {
  const Node& n = nodes_[id.at()];
  return n.name ? n.name.str() : fmt::format("%{}", id.index);
}

const Graph* Graph::scope(const std::vector<NodeId>& operands, const Graph* own) const {
  return own || operands.size() != 1 ? own : nodes_[operands[0].at()].body.get();
}

NodeId GraphBuilder::add(const Op& op, std::vector<NodeId> operands, Attrs attrs, std::shared_ptr<const Graph> body) {
  std::vector<Type> types;
  types.reserve(operands.size());
  for (NodeId id : operands) types.push_back(graph_[id].type);
  TypeResult result = op.infer(types, attrs, graph_.scope(operands, body.get()));
  GRADC_ASSERT(result.type, "{}: {}", op.name, result.error);
  return graph_.add({&op, std::move(operands), std::move(attrs), std::move(*result.type), {}, provenance, std::move(body)});
}

}  // namespace gradc
