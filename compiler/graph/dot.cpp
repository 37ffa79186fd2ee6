#include "compiler/graph/dot.h"

#include <fmt/format.h>

#include "compiler/graph/scan.h"
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

std::string tooltip(const ProvenanceTable& table, const Node& n, const SourceManager& sources) {
  std::string out;
  if (!n.provenance) return out;
  const Provenance& p = table.get(n.provenance);
  for (OriginId o : p.origins) {
    SourceSpan span = table.user_span(o, sources);
    std::string place = sources.describe(span ? span : table.origin(o).span);
    if (!place.empty()) out += (out.empty() ? "" : "\n") + place;
  }
  for (const Derivation& d : p.derivations) out += fmt::format("{}{} ({})", out.empty() ? "" : "\n", d.rule, d.primal);
  return out;
}

// Draws a graph and, as clusters, the bodies of its scans. Boxes are called by their path: n7_3 is node 3 of the body of %7.
class Drawing {
 public:
  Drawing(const ProvenanceTable& table, const SourceManager& sources) : table_(table), sources_(sources) {}

  void nodes(const Graph& g, const std::string& path) {
    for (size_t i = 0; i < g.size(); ++i) {
      const Node& n = g[NodeId(i)];
      if (drawn_inside(n)) continue;
      if (n.op->kind == OpKind::Scan) {
        scan(g, NodeId(i), path);
        continue;
      }
      text += box(g, NodeId(i), path);
      if (n.op->kind == OpKind::Result) {
        size_t index = static_cast<size_t>(n.attrs.integer("index"));
        std::string inner = box_name(path, n.operands[0]);
        text += fmt::format("  {} -> {};\n", box_name(inner, g[n.operands[0]].body->outputs[index].node), box_name(path, NodeId(i)));
        continue;
      }
      for (size_t k = 0; k < n.operands.size(); ++k) {
        if (drawn_inside(g[n.operands[k]])) continue;
        text += fmt::format("  {} -> {}{};\n", box_name(path, n.operands[k]), box_name(path, NodeId(i)),
                            n.operands.size() > 1 ? fmt::format(" [headlabel=\"{}\"]", k) : "");
      }
    }
  }

  std::string box(const Graph& g, NodeId id, const std::string& path) const {
    const Node& n = g[id];
    std::string title = n.op->kind != OpKind::Input ? std::string(n.op->name) + inline_constants(g, n)
                        : path != "n" && n.name     ? n.name.str()
                                                    : n.attrs.text("name").str();
    if (n.name && n.op->kind != OpKind::Input) title = n.name.str() + "\n" + title;
    return fmt::format("  {} [label=\"{}\\n{}\", tooltip=\"{}\", {}];\n", box_name(path, id), escaped(title),
                       escaped(to_string(n.type)), escaped(tooltip(table_, n, sources_)), style(n));
  }

  static std::string box_name(const std::string& path, NodeId id) {
    return path == "n" ? fmt::format("n{}", id.index) : fmt::format("{}_{}", path, id.index);
  }

  std::string text;

 private:
  // Operands lead to the body's inputs; carries lead back, dashed.
  void scan(const Graph& g, NodeId id, const std::string& path) {
    const Node& n = g[id];
    ScanLayout l(n);
    std::string inner = box_name(path, id);
    text += fmt::format("  subgraph \"cluster_{}\" {{\n  label=\"scan, {} steps{}\";\n", inner, l.length, l.reverse ? ", from the last" : "");
    nodes(*n.body, inner);
    for (const Output& o : n.body->outputs) {
      if (drawn_inside((*n.body)[o.node])) text += box(*n.body, o.node, inner);
    }
    text += "  }\n";
    for (size_t k = 0; k < n.operands.size(); ++k) {
      if (drawn_inside(g[n.operands[k]])) text += box(g, n.operands[k], path);
      text += fmt::format("  {} -> {};\n", box_name(path, n.operands[k]), box_name(inner, NodeId(k)));
    }
    for (size_t k = 0; k < l.carries; ++k)
      text += fmt::format("  {} -> {} [style=dashed, constraint=false];\n", box_name(inner, n.body->outputs[k].node), box_name(inner, NodeId(k)));
  }

  const ProvenanceTable& table_;
  const SourceManager& sources_;
};

}  // namespace

std::string to_dot(const Graph& g, const SourceManager& sources) {
  std::string out =
      fmt::format("digraph \"{}\" {{\n  node [fontname=\"Helvetica\", fontsize=11];\n", escaped(g.name.str()));
  Drawing drawing(g.provenance, sources);
  drawing.nodes(g, "n");
  out += drawing.text;
  for (size_t i = 0; i < g.outputs.size(); ++i) {
    const Output& o = g.outputs[i];
    // A constant result has no box of its own.
    if (drawn_inside(g[o.node])) out += drawing.box(g, o.node, "n");
    out += fmt::format("  o{} [label=\"{}{}\", shape=plaintext];\n  n{} -> o{};\n", i,
                       o.kind == OutputKind::Update ? "update " : "", escaped(o.name.str()), o.node.index, i);
  }
  return out + "}\n";
}

}  // namespace gradc
