#include "frontend/cli/listing.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/graph/scan.h"
#include "compiler/support/text.h"

namespace gradc::cli {
namespace {

constexpr size_t longest_expression = 72, comment_column = 56, widest = 118;

enum Precedence { lowest, comparison, sum, product, prefix, power, atom };

struct Text {
  std::string text;
  int precedence = atom;
};

std::string in(const Text& t, int context) { return t.precedence < context ? "(" + t.text + ")" : t.text; }

// How a scalar opcode is spelt between its operands; nothing for functions.
struct Infix {
  const char* symbol;
  int precedence;
};
const Infix* infix(ScalarOp op) {
  static constexpr Infix add{"+", sum}, sub{"-", sum}, mul{"*", product}, div{"/", product}, lt{"<", comparison}, le{"<=", comparison},
      eq{"==", comparison}, ne{"!=", comparison}, pow{"**", power};
  switch (op) {
    case ScalarOp::Add: return &add;
    case ScalarOp::Sub: return &sub;
    case ScalarOp::Mul: return &mul;
    case ScalarOp::Div: return &div;
    case ScalarOp::Lt: return &lt;
    case ScalarOp::Le: return &le;
    case ScalarOp::Eq: return &eq;
    case ScalarOp::Ne: return &ne;
    case ScalarOp::Pow: return &pow;
    default: return nullptr;
  }
}

class Listing {
 public:
  Listing(const Graph& g, const SourceManager& sources) : Listing(g, sources, g.provenance, "") {}

  Listing(const Graph& g, const SourceManager& sources, const ProvenanceTable& table, std::string indent)
      : g_(g), sources_(sources), table_(table), indent_(std::move(indent)), live_(g.live()), uses_(g.size(), 0), texts_(g.size()), names_(g.size()) {
    for (size_t i = 0; i < g.size(); ++i) {
      if (!live_[i]) continue;
      for (NodeId operand : g[NodeId(i)].operands) ++uses_[operand.at()];
    }
    for (const Output& o : g.outputs) outputs_[o.node.at()].push_back(&o);
  }

  std::string write() {
    for (size_t i = 0; i < g_.size(); ++i) {
      if (live_[i]) add(NodeId(i));
    }
    for (const Output& o : g_.outputs) {
      if (o.kind == OutputKind::Update) out_ += fmt::format("update {} = {}\n", o.name, use(o.node, lowest));
      else if (use(o.node, lowest) != o.name.str()) out_ += fmt::format("output {} = {}\n", o.name, use(o.node, lowest));
    }
    return std::move(out_);
  }

  // The body of a scan whose operands are written so.
  std::string write_body(const ScanLayout& layout, const std::vector<std::string>& operands) {
    for (size_t i = 0; i < g_.size(); ++i) {
      if (i < operands.size()) add_input(NodeId(i), operands[i]);
      else if (live_[i]) add(NodeId(i));
    }
    for (size_t k = 0; k < g_.outputs.size(); ++k) {
      std::string value = use(g_.outputs[k].node, lowest);
      out_ += indent_ + (k < layout.carries ? fmt::format("next {} = {}\n", texts_[k].text, value) : fmt::format("emit {}\n", value));
    }
    return std::move(out_);
  }

 private:
  void add_input(NodeId id, const std::string& operand) {
    const Node& n = g_[id];
    std::string name = unique_name(id);
    texts_[id.at()] = {name, atom};
    std::string line = fmt::format("{} {} : {}", n.attrs.text("role"), name, to_string(n.type));
    if (operand != name) line += (n.attrs.text("role") == Symbol(role::element) ? " in " : " = ") + operand;
    finish(line, id);
  }

  void add_scan(NodeId id) {
    const Node& n = g_[id];
    ScanLayout layout(n);
    std::string name = fmt::format("%{}", id.index);
    texts_[id.at()] = {name, atom};
    std::vector<std::string> operands;
    for (NodeId o : n.operands) operands.push_back(use(o, lowest));
    finish(fmt::format("{} = scan of {} steps{}{} {{", name, layout.length, layout.reverse ? ", reversed" : "", layout.recompute ? ", recomputing" : ""), id);
    out_ += Listing(*n.body, sources_, table_, indent_ + "    ").write_body(layout, operands) + indent_ + "}\n";
  }

  // "h of %9" is what a scan emits, "last h of %9" what it carried.
  Text result(const Node& n) const {
    const Node& scan = g_[n.operands[0]];
    ScanLayout layout(scan);
    auto k = static_cast<size_t>(n.attrs.integer("index"));
    bool carry = k < layout.carries;
    Symbol name = (*scan.body)[carry ? NodeId(k) : scan.body->outputs[k].node].name;
    std::string what = name ? name.str() : carry ? fmt::format("carry {}", k) : fmt::format("emission {}", k - layout.carries);
    return {fmt::format("{}{} of {}", carry ? "last " : "", what, use(n.operands[0], atom)), lowest};
  }

  std::string use(NodeId id, int context) const { return in(texts_[id.at()], context); }

  void add(NodeId id) {
    const Node& n = g_[id];
    if (n.op->kind == OpKind::Scan) return add_scan(id);
    Text text = spell(id);
    bool from_outside = n.op->kind == OpKind::Input;
    if (!from_outside && !n.name && !outputs_.count(id.at()) && (uses_[id.at()] == 1 || cheap(n)) && text.text.size() <= longest_expression) {
      texts_[id.at()] = std::move(text);
      return;
    }
    std::string name = unique_name(id);
    texts_[id.at()] = {name, atom};
    std::string line = from_outside ? fmt::format("{} {} : {}", n.attrs.text("role"), name, to_string(n.type))
                                    : fmt::format("{} : {} = {}", name, shape_to_string(n.type), text.text);
    finish(line, id);
  }

  // Values that cost nothing to repeat in the text: constants, and views of something that has a name.
  bool cheap(const Node& n) const {
    return n.op->kind == OpKind::Constant || (n.op->kind == OpKind::View && texts_[n.operands[0].at()].precedence == atom);
  }

  std::string unique_name(NodeId id) {
    const Node& n = g_[id];
    if (!n.name) return fmt::format("%{}", id.index);
    int& count = taken_[n.name];
    return count++ == 0 ? n.name.str() : fmt::format("{}~{}", n.name, count);
  }

  void finish(const std::string& text, NodeId id) {
    std::string comment = origin(id);
    std::string line = indent_ + text;
    out_ += line;
    if (comment.empty()) out_ += "\n";
    else if (line.size() < comment_column) out_ += std::string(comment_column - line.size(), ' ') + "# " + comment + "\n";
    else if (line.size() + comment.size() + 4 <= widest) out_ += "  # " + comment + "\n";
    else out_ += "\n" + std::string(comment_column, ' ') + "# " + comment + "\n";
  }

  // The user's lines, then the rules of differentiation that led here.
  std::string origin(NodeId id) const {
    if (!g_[id].provenance) return {};
    const Provenance& p = table_.get(g_[id].provenance);
    std::vector<std::string> places;
    for (OriginId o : p.origins) {
      SourceSpan span = table_.user_span(o, sources_);
      if (!span || sources_.file(span.file).name.starts_with("output ")) continue;  // what the command line asked for
      std::string place = fmt::format("{}:{}", short_name(sources_.file(span.file).name), sources_.place(span.file, span.begin).line);
      if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);
    }
    std::string text = fmt::format("{}", fmt::join(places.begin(), places.begin() + static_cast<long>(std::min<size_t>(places.size(), 3)), ", "));
    if (places.size() > 3) text += fmt::format(" and {} more", places.size() - 3);
    if (!p.derivations.empty()) {
      const Derivation& d = p.derivations.front();
      // Values without a name of their own have numbers that mean nothing in another stage.
      text += d.primal.str().starts_with("%") ? fmt::format("  {}", d.rule) : fmt::format("  {} at {}", d.rule, d.primal);
      if (p.derivations.size() > 1) text += fmt::format(" (+{})", p.derivations.size() - 1);
    }
    return text;
  }

  static std::string short_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

  Text spell(NodeId id) const {
    const Node& n = g_[id];
    switch (n.op->kind) {
      case OpKind::Constant: return {constant(n)};
      case OpKind::Contraction: return contraction(n);
      case OpKind::Pointwise: return pointwise(n);
      case OpKind::Result: return result(n);
      case OpKind::View:
        // Broadcasting is implicit in the language, so it is here.
        if (n.type.count() >= g_[n.operands[0]].type.count() && !n.attrs.entries().empty() && n.attrs.has("axes") && n.attrs.has("sizes")) return texts_[n.operands[0].at()];
        break;
      case OpKind::Reshape:
        // Axes of size 1 that come and go only serve broadcasting.
        if (without_ones(n.type) == without_ones(g_[n.operands[0]].type)) return texts_[n.operands[0].at()];
        break;
      default: break;
    }
    return {call(n)};
  }

  static std::vector<int64_t> without_ones(const Type& t) {
    std::vector<int64_t> sizes = t.sizes();
    std::erase(sizes, 1);
    return sizes;
  }

  std::string constant(const Node& n) const {
    double v = n.attrs.number("value");
    if (n.type.element == Element::Bool) return v != 0 ? "true" : "false";
    return v < 0 ? fmt::format("({})", shortest(v)) : shortest(v);
  }

  Text pointwise(const Node& n) const {
    std::vector<Element> elements;
    for (NodeId o : n.operands) elements.push_back(g_[o].type.element);
    ScalarProgram program = n.op->program(elements, n.attrs);
    if (program.insts.size() == 1) {
      const ScalarInst& inst = program.insts[0];
      if (inst.op == ScalarOp::Neg) return {"-" + use(n.operands[0], prefix), prefix};
      if (inst.op == ScalarOp::Cast) return {fmt::format("{}({})", gradc::name(n.type.element), use(n.operands[0], lowest))};
      const Infix* i = infix(inst.op);
      if (i && inst.args[0] == 1 && i->precedence == comparison) {  // a > b is written as b < a
        return {fmt::format("{} {} {}", use(n.operands[0], sum), inst.op == ScalarOp::Lt ? ">" : ">=", use(n.operands[1], sum)), comparison};
      }
      if (i && inst.args[0] == 0) {
        return {fmt::format("{} {} {}", use(n.operands[0], i->precedence), i->symbol, use(n.operands[1], i->precedence + 1)), i->precedence};
      }
    }
    return {call(n)};
  }

  // Matrix products by their usual sign, transposed operands marked; everything else in index notation.
  Text contraction(const Node& n) const {
    const auto &l = n.attrs.integers("lhs"), &r = n.attrs.integers("rhs"), &o = n.attrs.integers("out");
    if (l.size() == 2 && r.size() == 2 && o.size() == 2) {
      std::string left = o[0] == l[0] ? use(n.operands[0], product) : o[0] == l[1] ? use(n.operands[0], atom) + "^T" : "";
      std::string right = o[1] == r[1] ? use(n.operands[1], prefix) : o[1] == r[0] ? use(n.operands[1], atom) + "^T" : "";
      if (!left.empty() && !right.empty()) return {fmt::format("{} @ {}", left, right), product};
    }
    auto letters = [](const std::vector<int64_t>& labels) {
      std::string text;
      for (int64_t label : labels) text += (text.empty() ? "" : ",") + std::string(1, static_cast<char>('a' + label % 26));
      return text;
    };
    std::vector<int64_t> summed;
    for (int64_t label : l) {
      if (std::find(o.begin(), o.end(), label) == o.end()) summed.push_back(label);
    }
    return {fmt::format("[{}] sum[{}]({}[{}] * {}[{}])", letters(o), letters(summed), use(n.operands[0], atom), letters(l), use(n.operands[1], atom), letters(r))};
  }

  std::string call(const Node& n) const {
    std::string text = std::string(n.op->name) + "(";
    for (size_t i = 0; i < n.operands.size(); ++i) text += (i ? ", " : "") + use(n.operands[i], lowest);
    bool first = n.operands.empty();
    for (const auto& [key, value] : n.attrs.entries()) {
      if (key == Symbol("element") || key == Symbol("sizes") || key == Symbol("names")) continue;  // the type says it
      text += first ? "" : ", ";
      first = false;
      text += key.str() + "=" + std::visit([](const auto& v) { return attribute(v); }, value);
    }
    return text + ")";
  }

  static std::string attribute(int64_t v) { return fmt::to_string(v); }
  static std::string attribute(double v) { return shortest(v); }
  static std::string attribute(Symbol v) { return v.str(); }
  static std::string attribute(const std::vector<int64_t>& v) { return fmt::format("[{}]", fmt::join(v, ", ")); }

  const Graph& g_;
  const SourceManager& sources_;
  const ProvenanceTable& table_;
  std::string indent_;  // of a body
  std::vector<bool> live_;
  std::vector<int> uses_;
  std::vector<Text> texts_;
  std::vector<std::string> names_;
  std::map<size_t, std::vector<const Output*>> outputs_;
  std::map<Symbol, int> taken_;
  std::string out_;
};

}  // namespace

std::string listing(const Graph& graph, const SourceManager& sources) { return Listing(graph, sources).write(); }

}  // namespace gradc::cli
