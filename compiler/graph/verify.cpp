#include <map>
#include <set>

#include <fmt/format.h>

#include "compiler/graph/graph.h"

namespace gradc {
namespace {

class Verifier {
 public:
  // Bodies of scans have the provenance table of the graph around them.
  Verifier(const Graph& g, const ProvenanceTable& table, bool in_scan, bool demand_provenance)
      : g_(g), table_(table), in_scan_(in_scan), demand_provenance_(demand_provenance) {}

  std::vector<std::string> run() {
    for (size_t i = 0; i < g_.size(); ++i) node(NodeId(i));
    for (const Output& o : g_.outputs) output(o);
    return std::move(problems_);
  }

 private:
  template <class... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    problems_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  bool exists(NodeId id) const { return id && id.at() < g_.size(); }

  void node(NodeId id) {
    const Node& n = g_[id];
    if (!n.op) return problem("%{} has no operation", id.index);
    for (NodeId operand : n.operands) {
      if (!exists(operand) || operand >= id)
        return problem("%{} ({}) uses %{}, which is not above it", id.index, n.op->name, operand.index);
    }
    if (n.body) body(id);
    types(id);
    provenance(id);
    if (n.op->kind == OpKind::Input && n.attrs.has("name")) input(id);
  }

  void types(NodeId id) {
    const Node& n = g_[id];
    std::vector<Type> operands;
    for (NodeId operand : n.operands) operands.push_back(g_[operand].type);
    TypeResult inferred = n.op->infer(operands, n.attrs, g_.scope(n.operands, n.body.get()));
    if (!inferred.type)
      problem("%{} ({}): {}", id.index, n.op->name, inferred.error);
    else if (!(*inferred.type == n.type))
      problem("%{} ({}) is {}, not {}", id.index, n.op->name, to_string(*inferred.type), to_string(n.type));
  }

  void body(NodeId id) {
    const Graph& inner = *g_[id].body;
    if (g_[id].op->kind != OpKind::Scan) return problem("%{} ({}) has a body", id.index, g_[id].op->name);
    if (inner.provenance.size()) problem("%{} ({}): the body has a provenance table of its own", id.index, g_[id].op->name);
    for (const std::string& p : Verifier(inner, table_, true, demand_provenance_).run()) problem("%{} ({}), body: {}", id.index, g_[id].op->name, p);
  }

  void provenance(NodeId id) {
    const Node& n = g_[id];
    if (n.provenance && n.provenance.at() >= table_.size())
      return problem("%{} ({}) has an unknown provenance", id.index, n.op->name);
    if (demand_provenance_ && (!n.provenance || table_.get(n.provenance).origins.empty())) {
      problem("%{} ({}) comes from nowhere: its origin set is empty", id.index, n.op->name);
    }
  }

  void input(NodeId id) {
    Symbol name = g_[id].attrs.text("name"), r = g_[id].attrs.has("role") ? g_[id].attrs.text("role") : Symbol();
    bool of_body = r == Symbol(role::carry) || r == Symbol(role::element) || r == Symbol(role::constant);
    if (r && of_body != in_scan_) problem("%{} (input) has the role {} {} a scan", id.index, r, in_scan_ ? "inside" : "outside");
    if (!inputs_.emplace(name, id).second) problem("two inputs are called '{}'", name);
  }

  void output(const Output& o) {
    if (!exists(o.node)) return problem("output '{}' names no node", o.name);
    if (g_[o.node].type.element == Element::None) problem("output '{}' is a scan, which is no value", o.name);
    if (!seen_.emplace(o.kind, o.name).second)
      problem("two {} are called '{}'", o.kind == OutputKind::Update ? "updates" : "outputs", o.name);
    // A target that nothing reads has no input node any more.
    auto target = inputs_.find(o.name);
    if (o.kind != OutputKind::Update || target == inputs_.end()) return;
    const Node& n = g_[target->second];
    if (!n.attrs.has("role")) return;
    Symbol r = n.attrs.text("role");
    if (r != Symbol(role::parameter) && r != Symbol(role::state)) problem("update of '{}', which is {}", o.name, r);
    if (!(n.type == g_[o.node].type))
      problem("update of '{}' is {}, not {}", o.name, to_string(g_[o.node].type), to_string(n.type));
  }

  const Graph& g_;
  const ProvenanceTable& table_;
  bool in_scan_;
  bool demand_provenance_;
  std::vector<std::string> problems_;
  std::map<Symbol, NodeId> inputs_;
  std::set<std::pair<OutputKind, Symbol>> seen_;
};

}  // namespace

std::vector<std::string> verify(const Graph& g, bool demand_provenance) {
  return Verifier(g, g.provenance, false, demand_provenance).run();
}

}  // namespace gradc
