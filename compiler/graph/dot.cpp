#include "compiler/graph/dot.h"

#include <fmt/format.h>

#include "compiler/support/text.h"

namespace gradc {
namespace {

std::string escaped(std::string_view s) {
  std::string out;
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else if (static_cast<unsigned char>(c) >= 0x20)
      out += c;
  }
  return out;
}

bool drawn_inside(const Node& n) {
  return n.op->kind == OpKind::Constant;
}

// "max(·, 0)": operands that are drawn as edges are dots; empty where all are.
std::string inline_constants(const Graph& g, const Node& n) {
  std::string out;
  bool any = false;
  for (NodeId id : n.operands) {
    const Node& operand = g[id];
    if (!out.empty()) out += ", ";
    out += drawn_inside(operand) ? shortest(operand.attrs.number("value")) : "·";
    any = any || drawn_inside(operand);
  }
  return any ? "(" + out + ")" : "";
}

const char* style(const Node& n) {
  switch (n.op->kind) {
    case OpKind::Input:
      return n.attrs.text("role") == Symbol(role::parameter) ? "shape=box, style=filled, fillcolor=\"#fde8c8\""
                                                             : "shape=box, style=filled, fillcolor=\"#d8e8f8\"";
    case OpKind::Contraction: return "shape=box, style=\"rounded,filled\", fillcolor=\"#e0f0dc\"";
    case OpKind::Reduction:
    case OpKind::ArgReduction: return "shape=invtrapezium";
    case OpKind::Pointwise: return "shape=box, style=rounded";
    default: return "shape=box, style=\"rounded,dashed\"";
  }
}

std::string tooltip(const Graph& g, const Node& n, const SourceManager& sources) {
  std::string out;
  if (!n.provenance) return out;
  const Provenance& p = g.provenance.get(n.provenance);
  for (OriginId o : p.origins) {
    SourceSpan span = g.provenance.user_span(o, sources);
    std::string place = sources.describe(span ? span : g.provenance.origin(o).span);
    if (!place.empty()) out += (out.empty() ? "" : "\n") + place;
  }
  for (const Derivation& d : p.derivations) out += fmt::format("{}{} ({})", out.empty() ? "" : "\n", d.rule, d.primal);
  return out;
}

std::string box(const Graph& g, NodeId id, const SourceManager& sources) {
  const Node& n = g[id];
  std::string title =
      n.op->kind == OpKind::Input ? n.attrs.text("name").str() : std::string(n.op->name) + inline_constants(g, n);
  if (n.name && n.op->kind != OpKind::Input) title = n.name.str() + "\n" + title;
  return fmt::format("  n{} [label=\"{}\\n{}\", tooltip=\"{}\", {}];\n", id.index, escaped(title),
                     escaped(to_string(n.type)), escaped(tooltip(g, n, sources)), style(n));
}

}  // namespace

std::string to_dot(const Graph& g, const SourceManager& sources) {
  std::string out =
      fmt::format("digraph \"{}\" {{\n  node [fontname=\"Helvetica\", fontsize=11];\n", escaped(g.name.str()));
  for (size_t i = 0; i < g.size(); ++i) {
    const Node& n = g[NodeId(i)];
    if (drawn_inside(n)) continue;
    out += box(g, NodeId(i), sources);
    for (size_t k = 0; k < n.operands.size(); ++k) {
      if (drawn_inside(g[n.operands[k]])) continue;
      out += fmt::format("  n{} -> n{}{};\n", n.operands[k].index, i,
                         n.operands.size() > 1 ? fmt::format(" [headlabel=\"{}\"]", k) : "");
    }
  }
  for (size_t i = 0; i < g.outputs.size(); ++i) {
    const Output& o = g.outputs[i];
    const Node& n = g[o.node];
    // A constant result has no box of its own.
    if (drawn_inside(n)) out += box(g, o.node, sources);
    out += fmt::format("  o{} [label=\"{}{}\", shape=plaintext];\n  n{} -> o{};\n", i,
                       o.kind == OutputKind::Update ? "update " : "", escaped(o.name.str()), o.node.index, i);
  }
  return out + "}\n";
}

}  // namespace gradc
