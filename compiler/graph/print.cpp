#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "compiler/graph/graph.h"
#include "compiler/graph/text_form.h"

namespace gradc {
namespace {

using text_form::spell;

// The part of the provenance table that the graph uses, renumbered without gaps. Numbers keep their order, so that
// printing what was parsed gives the same text.
class UsedProvenance {
 public:
  explicit UsedProvenance(const Graph& g) : table_(g.provenance) {
    add_nodes(g);
    for (ProvenanceId id : sets_) {
      for (OriginId origin : table_.get(id).origins) add(origin);
    }
  }

  size_t number(ProvenanceId id) const { return position(sets_, id); }

  std::string print(const SourceManager& sources) const {
    std::string out;
    for (FileId file : files_) {
      const SourceFile& f = sources.file(file);
      out += fmt::format("  file {} = {}{}\n", position(files_, file), quoted(f.name), f.library ? " library" : "");
    }
    for (OriginId id : origins_) out += origin(id, sources);
    for (ProvenanceId id : sets_) out += set(id);
    return out;
  }

 private:
  template <class Id>
  static size_t position(const std::set<Id>& ids, Id id) {
    return static_cast<size_t>(std::distance(ids.begin(), ids.find(id)));
  }
  static std::string quoted(const std::string& s) {
    std::string spelt = spell(Symbol(s));
    return spelt[0] == '"' ? spelt : '"' + spelt + '"';
  }

  void add_nodes(const Graph& g) {
    for (size_t i = 0; i < g.size(); ++i) {
      const Node& n = g[NodeId(i)];
      if (n.provenance) sets_.insert(n.provenance);
      if (n.body) add_nodes(*n.body);
    }
  }
  void add(OriginId id) {
    for (; id && origins_.insert(id).second; id = table_.origin(id).caller) {
      if (FileId file = table_.origin(id).span.file) files_.insert(file);
    }
  }

  std::string origin(OriginId id, const SourceManager& sources) const {
    const Origin& o = table_.origin(id);
    std::string out = fmt::format("  origin {} =", position(origins_, id));
    if (o.span) {
      LineColumn begin = sources.place(o.span.file, o.span.begin), end = sources.place(o.span.file, o.span.end);
      out += fmt::format(" file {} {}:{} to {}:{}", position(files_, o.span.file), begin.line, begin.column, end.line,
                         end.column);
    }
    if (o.callee) out += " in " + spell(o.callee);
    if (o.caller) out += fmt::format(" from {}", position(origins_, o.caller));
    return out + "\n";
  }

  std::string set(ProvenanceId id) const {
    const Provenance& p = table_.get(id);
    std::string out = fmt::format("  set {} =", number(id));
    for (OriginId o : p.origins) out += fmt::format(" origin {}", position(origins_, o));
    for (const Derivation& d : p.derivations) out += fmt::format(" derived {} by {}", spell(d.primal), spell(d.rule));
    for (Symbol r : p.rewrites) out += " rewritten " + spell(r);
    return out + "\n";
  }

  const ProvenanceTable& table_;
  std::set<ProvenanceId> sets_;
  std::set<OriginId> origins_;
  std::set<FileId> files_;
};

// "a, b +3": the first few of a list.
std::string few(const std::vector<std::string>& list) {
  constexpr size_t shown = 2;
  std::string out = fmt::format(
      "{}", fmt::join(list.begin(), list.begin() + static_cast<ptrdiff_t>(std::min(shown, list.size())), ", "));
  return list.size() > shown ? fmt::format("{} +{}", out, list.size() - shown) : out;
}

// For people: the user's lines, the rule that derived the node, the rewrites.
std::string comment(const ProvenanceTable& table, ProvenanceId id, const SourceManager& sources) {
  if (!id) return {};
  const Provenance& p = table.get(id);
  std::vector<std::string> places, rules, rewrites;
  for (OriginId o : p.origins) {
    SourceSpan span = table.user_span(o, sources);
    std::string place = sources.describe(span ? span : table.origin(o).span);
    if (!place.empty() && std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);
  }
  for (const Derivation& d : p.derivations) rules.push_back(fmt::format("{} ({})", d.rule, d.primal));
  for (Symbol r : p.rewrites) rewrites.push_back(r.str());
  std::string out = few(places);
  if (!rules.empty()) out += "; " + few(rules);
  if (!rewrites.empty()) out += "; rewritten: " + few(rewrites);
  for (char& c : out) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return out;
}

std::string statement(const Graph& g, NodeId id, const UsedProvenance& used) {
  const Node& n = g[id];
  std::string out = fmt::format("%{}{} : {} = {}", id.index, n.name ? " " + spell(n.name) : "", spell(n.type), n.op->name);
  for (size_t i = 0; i < n.operands.size(); ++i) out += fmt::format("{} %{}", i ? "," : "", n.operands[i].index);
  out += spell(n.attrs);
  if (n.provenance) out += fmt::format(" @{}", used.number(n.provenance));
  return n.body ? out + " {" : out;
}

struct Printer {
  const ProvenanceTable& table;
  const UsedProvenance& used;
  const SourceManager& sources;

  // The lines of a graph or, further in, of a scan's body.
  void lines(const Graph& g, const std::string& indent, std::string& out) const {
    constexpr size_t comment_column = 72;
    for (size_t i = 0; i < g.size(); ++i) {
      const Node& n = g[NodeId(i)];
      std::string line = indent + statement(g, NodeId(i), used), note = comment(table, n.provenance, sources);
      if (!note.empty())
        line += std::string(line.size() < comment_column ? comment_column - line.size() : 1, ' ') + " ; " + note;
      out += line + "\n";
      if (!n.body) continue;
      lines(*n.body, indent + "  ", out);
      out += indent + "}\n";
    }
    for (const Output& o : g.outputs)
      out += fmt::format("{}{} {} = %{}\n", indent, o.kind == OutputKind::Update ? "update" : "output", spell(o.name), o.node.index);
  }
};

}  // namespace

std::string print(const Graph& g, const SourceManager& sources) {
  UsedProvenance used(g);
  std::string out = fmt::format("graph {} {{\n", spell(g.name));
  Printer{g.provenance, used, sources}.lines(g, "  ", out);
  out += "}\n";
  std::string table = used.print(sources);
  return table.empty() ? out : out + "provenance {\n" + table + "}\n";
}

}  // namespace gradc
