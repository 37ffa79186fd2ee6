#pragma once

#include <functional>
#include <map>
#include <set>

#include "compiler/autodiff/swept_body.h"
#include "compiler/ops/expr.h"

namespace gradc {

// Sums over the steps of a scan of values of its body. What is linear in the summed values is done once, after the loop: a product
// of two values that vary becomes one product with time as one more summed label, and scattered rows are scattered all at once.
// Both read their operands for all steps ("stacked"). Where nothing is gained like that, the value itself is added up in a carry.
class OverTime {
 public:
  // Without `stacking` nothing is read for all steps.
  OverTime(const SweptBody& body, int64_t length, bool stacking);

  void plan(const std::vector<NodeId>& sums);
  const std::set<NodeId>& stacked() const { return stacked_; }
  const std::set<NodeId>& totals() const { return totals_; }  // to be added up in carries

  // Values of the graph around the scan.
  struct Outside {
    GraphBuilder& builder;
    std::function<Expr(NodeId)> invariant;  // a value that does not vary
    std::function<Expr(NodeId)> all_steps;  // of those in stacked(), along a new axis 0
    std::function<Expr(NodeId)> total;      // of those in totals()
  };
  Expr sum(NodeId node, const Outside& outside);

 private:
  enum class How : uint8_t { Repeated, Linear, Product, Scatter, Stacked, StackedAxes, Total };
  How classify(NodeId id) const;
  bool summed(const Node& n, size_t operand) const;
  bool linear(const Node& n) const;
  void classify_all();
  void collect(NodeId id);
  Expr build(NodeId id, const Outside& outside);

  const SweptBody& body_;
  int64_t length_;
  bool stacking_;
  std::vector<How> how_;
  std::set<NodeId> stacked_, totals_, seen_;
  std::map<NodeId, Expr> built_;
};

}  // namespace gradc
