#pragma once

#include <functional>
#include <vector>

#include "compiler/ops/expr.h"
#include "compiler/rewrite/pattern.h"

namespace gradc::rewrite {

class Rebuild;

// What matched, as conditions and replacements see it. Expressions made from it are new nodes of the graph.
class Match {
 public:
  using Ints = std::vector<int64_t>;

  Match(Rebuild& rebuild, GraphBuilder& builder, const Node& root_node)
      : root(root_node), rebuild_(rebuild), builder_(builder) {}

  const Node& root;  // stays valid while nodes are added
  Expr operator[](const Var& v) const { return expr(bound_[static_cast<size_t>(v.slot)]); }
  Expr operand(size_t i) const { return expr(root.operands[i]); }
  Expr expr(NodeId id) const { return {builder_, id}; }
  // Copies, except for node and type: references into the graph die when a node is added.
  Ints ints(const Var& v, Symbol key) const { return node(v).attrs.integers(key); }
  Ints ints(Symbol key) const { return root.attrs.integers(key); }  // of the root
  double value(const Var& v) const { return node(v).attrs.number("value"); }  // of a constant
  const Node& node(const Var& v) const { return node((*this)[v].id); }
  const Type& type(const Var& v) const { return node(v).type; }
  const Node& node(NodeId id) const { return builder_[id]; }

  bool is_float() const { return gradc::is_float(root.type.element); }
  // No other live value and no output reads the node.
  bool single_use(const Var& v) const;

  Expr number(double value) const { return gradc::constant(builder_, value, root.type); }
  // A replacement of point-wise operations; its numbers take the root's type.
  Expr build(const Term& term) const;
  // The replacement stands for this node as well as for those that the pattern names.
  void consume(NodeId id) { matched_.push_back(id); }

 private:
  friend class Matcher;
  friend class Rewriter;
  Rebuild& rebuild_;
  GraphBuilder& builder_;
  std::array<NodeId, max_slots> bound_{};
  std::vector<NodeId> matched_;
};

// How a replacement's value relates to what it replaces. Tests hold every rule against its claim.
enum class Accuracy : uint8_t {
  Exact,     // the same bits (any NaN counts as any other)
  Rounding,  // differs by at most `ulps` units in the last place (of the sum of magnitudes, where there is a sum)
  Better,    // closer to the mathematical value: where the original overflows, cancels or is 0/0, this is not
};

// A rewrite: data, and its proof in words beside it.
struct Rule {
  const char* name;
  const char* identity;     // in mathematics
  Accuracy accuracy = Accuracy::Exact;
  double ulps = 0;
  const char* caveat = "";  // where and how bits may differ, and why that is allowed
  Term pattern{};
  Term replacement{};                        // exactly one of replacement and build is set
  std::function<bool(const Match&)> when{};  // a condition on what matched
  std::function<Expr(Match&)> build{};       // no expression, and nothing added, where the rule does not apply after all
};

// One group of rules, tried in order on each node.
struct RuleSet {
  const char* name;
  const char* doc;
  std::vector<Rule> rules;
};
const RuleSet& fold_rules();
const RuleSet& algebra_rules();
const RuleSet& shape_rules();
const RuleSet& stability_rules();
const RuleSet& softmax_rules();
const RuleSet& fma_rules();
const std::vector<const RuleSet*>& rule_sets();

}  // namespace gradc::rewrite
