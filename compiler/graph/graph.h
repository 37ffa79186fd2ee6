#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compiler/graph/op.h"
#include "compiler/graph/provenance.h"

namespace gradc {

class Graph;

// One value. Operands always come earlier in the graph's vector, so ascending ids are a topological order.
struct Node {
  const Op* op = nullptr;
  std::vector<NodeId> operands;
  Attrs attrs;
  Type type;
  Symbol name;  // the user's name for it ("h1", "logits"); empty for intermediate values. A hint: names may repeat.
  ProvenanceId provenance;
  std::shared_ptr<const Graph> body{};  // of a Scan: see scan.h. Shared by copies of the graph, never changed in place.
};

// Roles of Input nodes (attribute "role"): "data", "parameter", "state", and the scalars "step" (f64, from 1) and "seed" (int).
namespace role {
inline constexpr const char *data = "data", *parameter = "parameter", *state = "state", *step = "step", *seed = "seed";
// Of the inputs of a scan's body.
inline constexpr const char *carry = "carry", *element = "element", *constant = "constant";
}

// A root of the graph. An Update is stored into the parameter or state called `name` when the step ends.
enum class OutputKind : uint8_t { Value, Update };
struct Output {
  Symbol name;
  OutputKind kind = OutputKind::Value;
  NodeId node;
};

// A pure, statically shaped dataflow graph in SSA form; append-only. Passes build a new graph or append and re-root,
// then compact().
class Graph {
 public:
  Symbol name;
  std::vector<Output> outputs;
  ProvenanceTable provenance;

  NodeId add(Node node);
  const Node& operator[](NodeId id) const { return nodes_[id.at()]; }
  // Name, names of dims, provenance; a body by one of the same meaning. Structure never changes.
  Node& edit(NodeId id) { return nodes_[id.at()]; }
  size_t size() const { return nodes_.size(); }

  // Reachable from outputs. The inputs of a scan's body stand for its operands: they are live even where nothing reads them.
  std::vector<bool> live() const;
  // A copy without dead nodes, order kept. Inputs that no output needs go too.
  Graph compacted() const;
  // "h1" if the node has a name, else "%12".
  std::string label(NodeId id) const;
  // The body that the type rule of an operation on these operands looks at: a scan's own, or that of the scan which a
  // result picks from.
  const Graph* scope(const std::vector<NodeId>& operands, const Graph* own) const;

 private:
  std::vector<Node> nodes_;
};

// Appends nodes to a graph: infers types, and gives every new node the current provenance.
class GraphBuilder {
 public:
  explicit GraphBuilder(Graph& g) : graph_(g) {}
  Graph& graph() { return graph_; }
  const Node& operator[](NodeId id) const { return graph_[id]; }
  const Type& type(NodeId id) const { return graph_[id].type; }

  // Throws InternalError where the operation does not accept these operands: callers check users' input first.
  NodeId add(const Op& op, std::vector<NodeId> operands, Attrs attrs = {}, std::shared_ptr<const Graph> body = {});

  ProvenanceId provenance;  // of nodes made from here on

 private:
  Graph& graph_;
};

// Finds operations by name; ops/ provides the one instance. print, parse and verify take it, so that graph/ knows no operation.
class OpRegistry {
 public:
  virtual ~OpRegistry() = default;
  virtual const Op* find(std::string_view name) const = 0;
  virtual const std::vector<const Op*>& all() const = 0;
};

// The text form; parse(print(g)) prints the same text. With sources, each line ends in a comment naming its source line.
std::string print(const Graph& g, const SourceManager& sources);
struct GraphParseResult {
  std::optional<Graph> graph;
  std::string error;  // "line 3: unknown operation 'ad'"
};
GraphParseResult parse_graph(std::string_view text, const OpRegistry& ops, SourceManager& sources);

// Broken invariants, one sentence each; empty for a well-formed graph. Checks operand order, arity, attributes,
// inferred types, output nodes, update targets, bodies of scans, and (where asked) that no origin set is empty.
std::vector<std::string> verify(const Graph& g, bool demand_provenance);

}  // namespace gradc
