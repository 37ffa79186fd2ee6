#include "tests/support/unroll.h"

#include <map>

#include "compiler/graph/scan.h"
#include "compiler/ops/expr.h"
#include "compiler/ops/ops.h"

namespace gradc::test {
namespace {

class Unroller {
 public:
  explicit Unroller(GraphBuilder& b) : b_(b) {}

  // Adds nodes of g from `first` on; `to` maps those before.
  void copy(const Graph& g, size_t first, std::vector<NodeId>& to) {
    std::map<NodeId, std::vector<NodeId>> results;
    to.resize(g.size());
    for (size_t i = first; i < g.size(); ++i) {
      Node n = g[NodeId(i)];
      for (NodeId& operand : n.operands) operand = to[operand.at()];
      b_.provenance = n.provenance;
      if (n.op->kind == OpKind::Scan) {
        results[NodeId(i)] = scan(n);
      } else if (n.op->kind == OpKind::Result) {
        to[i] = results.at(g[NodeId(i)].operands[0])[static_cast<size_t>(n.attrs.integer("index"))];
      } else {
        to[i] = b_.graph().add(std::move(n));
      }
    }
  }

 private:
  std::vector<NodeId> scan(const Node& n) {
    ScanLayout l(n);
    std::vector<NodeId> values(n.operands.begin(), n.operands.begin() + static_cast<std::ptrdiff_t>(l.carries));
    std::vector<std::vector<Expr>> emitted(l.emissions, std::vector<Expr>(static_cast<size_t>(l.length)));
    for (int64_t step = 0; step < l.length; ++step) {
      int64_t at = l.reverse ? l.length - 1 - step : step;
      std::vector<NodeId> to;
      for (size_t i = 0; i < l.operands(); ++i) {
        Expr value(b_, i < l.carries ? values[i] : n.operands[i]);
        to.push_back(own(i >= l.carries && i < l.constant(0) ? element(value, at) : value).id);
      }
      copy(*n.body, l.operands(), to);
      for (size_t k = 0; k < l.carries; ++k) values[k] = to[n.body->outputs[k].node.at()];
      for (size_t k = 0; k < l.emissions; ++k) emitted[k][static_cast<size_t>(at)] = row({b_, to[n.body->outputs[l.emission(k)].node.at()]});
    }
    for (const std::vector<Expr>& rows : emitted) values.push_back(concatenate(rows, 0).id);
    return values;
  }

  static Expr element(Expr sequence, int64_t at) {
    std::vector<int64_t> starts(sequence.rank(), 0), limits = sequence.sizes(), sizes(limits.begin() + 1, limits.end());
    starts[0] = at;
    limits[0] = at + 1;
    return reshape(slice(sequence, starts, limits), sizes);
  }
  static Expr row(Expr value) {
    std::vector<int64_t> sizes = value.sizes();
    sizes.insert(sizes.begin(), 1);
    return reshape(value, sizes);
  }
  // A node of this step, so that a derivative by it is one of this step.
  static Expr own(Expr value) { return is_float(value.element()) ? value * 1.0 : value; }

  GraphBuilder& b_;
};

}  // namespace

Graph unrolled(const Graph& g) {
  Graph out;
  out.name = g.name;
  out.provenance = g.provenance;
  GraphBuilder b(out);
  std::vector<NodeId> to;
  Unroller(b).copy(g, 0, to);
  for (const Output& o : g.outputs) out.outputs.push_back({o.name, o.kind, to[o.node.at()]});
  return out;
}

}  // namespace gradc::test
