#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compiler/graph/scan.h"

namespace gradc {

// Why no derivative passes from a node to one of its operands.
enum class Barrier : uint8_t { None, NotFloat, IndexOperand, StopGradient, NotDifferentiable };
Barrier barrier(const Graph& g, NodeId node, size_t operand);

// Whether a cotangent travels from a node to an operand. Floating-point operations without a derivative stay on the path, so
// that a cotangent arrives there and is refused; those that yield integers or conditions end it.
bool carries_cotangent(const Graph& g, NodeId node, size_t operand);

// Which values depend on which: along all edges, or only along those on which a cotangent travels. A scan is looked into:
// each of its results depends on the operands that reach it within a step or by way of carries.
class Dependence {
 public:
  enum Edges { All, Open };
  explicit Dependence(Edges edges) : open_(edges == Open) {}

  // table[i][k]: result k of a scan depends on operand i, in as many steps as it makes.
  using Table = std::vector<std::vector<bool>>;
  const Table& through(const Node& scan) { return entry(scan).through; }
  // table[i][k]: output k of the body depends on operand i in some step, of a loop that is long enough.
  const Table& in_some_step(const Node& scan) { return entry(scan).in_some_step; }
  // The operands of a scan that a node of its body depends on, itself included where it is an input.
  std::vector<bool> operands_behind(const Node& scan, NodeId body_node);

  // Whether a node depends on a marked value through its operands. The marks of a scan node mean nothing.
  bool depends(const Graph& g, NodeId node, const std::vector<bool>& marked);
  // The nodes of one path from y down to x, both included; empty where there is none.
  std::vector<NodeId> path(const Graph& g, NodeId y, NodeId x);

 private:
  struct Entry {
    std::shared_ptr<const Graph> body;
    Table inputs_of;  // of each node of the body: the inputs that it depends on within a step
    Table through, in_some_step;
  };
  const Entry& entry(const Node& scan);
  Table inputs_within_step(const Graph& body, size_t inputs);
  bool passes(const Graph& g, NodeId node, size_t operand) const { return !open_ || carries_cotangent(g, node, operand); }

  bool open_;
  std::map<std::pair<const Graph*, int64_t>, Entry> known_;  // by body and length
};

// "loss", else "sum(u)" where all operands have names, else "%12".
std::string describe(const Graph& g, NodeId id);

}  // namespace gradc
