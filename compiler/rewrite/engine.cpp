#include "compiler/rewrite/engine.h"

#include <bit>

#include "compiler/support/error.h"

namespace gradc::rewrite {
namespace {

// Rules tried one after the other on the same value before it is left to the next round.
constexpr int max_steps = 32;

bool same_bits(double a, double b) { return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b); }

}  // namespace

// Finds bindings for a pattern, trying both orders of commutative operations until the rule's condition holds as well.
class Matcher {
 public:
  Matcher(const Rule& rule, const Graph& graph, Match& match) : rule_(rule), graph_(graph), match_(match) {}

  bool run() { return accepts(*rule_.pattern, match_.root) && solve_operands(*rule_.pattern, match_.root, nullptr); }

 private:
  // What is still to be matched: a list on the stack.
  struct Goal {
    const Term::Body* term;
    NodeId id;
    const Goal* next;
  };

  static bool accepts(const Term::Body& t, const Node& n) {
    switch (t.kind) {
      case Term::Kind::Any: return true;
      case Term::Kind::Constant: return n.op->kind == OpKind::Constant;
      case Term::Kind::Number: return n.op->kind == OpKind::Constant && same_bits(n.attrs.number("value"), t.number);
      case Term::Kind::Apply: return n.op == t.op;
      case Term::Kind::OfKind: return n.op->kind == t.of_kind;
    }
    return false;
  }

  // Constants are never merged with each other, so equal ones count as the same value.
  bool same_value(NodeId a, NodeId b) const {
    const Node &x = graph_[a], &y = graph_[b];
    return a == b || (x.op == y.op && x.op->kind == OpKind::Constant && x.attrs == y.attrs);
  }

  bool solve(const Goal* goal) {
    if (!goal) return !rule_.when || rule_.when(match_);
    const Term::Body& t = *goal->term;
    const Node& n = graph_[goal->id];
    if (!accepts(t, n)) return false;
    bool named = t.kind != Term::Kind::Any;
    bool binds = false;
    if (t.slot >= 0) {
      NodeId& bound = match_.bound_[static_cast<size_t>(t.slot)];
      if (bound && !same_value(bound, goal->id)) return false;
      binds = !bound;
      bound = goal->id;
    }
    if (named) match_.matched_.push_back(goal->id);
    if (solve_operands(t, n, goal->next)) return true;
    if (named) match_.matched_.pop_back();
    if (binds) match_.bound_[static_cast<size_t>(t.slot)] = {};
    return false;
  }

  bool solve_operands(const Term::Body& t, const Node& n, const Goal* next) {
    size_t count = t.operands.size();
    if (count == 0) return solve(next);
    GRADC_ASSERT(count <= 3 && n.operands.size() == count, "operands of {}", n.op->name);
    std::array<Goal, 3> goals;
    for (int order = 0; order < (n.op->commutative && count == 2 ? 2 : 1); ++order) {
      for (size_t i = count; i-- > 0;) {
        goals[i] = {&*t.operands[i], n.operands[order ? count - 1 - i : i], i + 1 < count ? &goals[i + 1] : next};
      }
      if (solve(&goals[0])) return true;
    }
    return false;
  }

  const Rule& rule_;
  const Graph& graph_;
  Match& match_;
};

bool Match::single_use(const Var& v) const { return rebuild_.uses((*this)[v].id) == 1; }

Expr Match::build(const Term& term) const {
  if (term->kind == Term::Kind::Number) return number(term->number);
  if (term->kind != Term::Kind::Apply) return expr(bound_[static_cast<size_t>(term->slot)]);
  std::vector<Expr> operands;
  for (const Term& t : term->operands) operands.push_back(build(t));
  return gradc::apply(*term->op, operands);
}

Graph Rewriter::run() {
  for (size_t i = 0; i < rebuild_.input_size(); ++i) {
    Node n = rebuild_.take(i);
    Trails::Id trail = rebuild_.leaf(n);
    rebuild_.define(i, rebuild_.live(i) ? simplify(std::move(n), trail) : rebuild_.append(std::move(n), trail));
  }
  return rebuild_.finish();
}

NodeId Rewriter::simplify(Node node, Trails::Id trail) {
  Value value = try_rules(node, trail);
  if (!value.id) return rebuild_.append(std::move(node), trail);
  for (int step = 1; value.fresh && step < max_steps; ++step) {
    Node next = rebuild_.out[value.id];  // a copy: rules add to the graph
    Value further = try_rules(next, rebuild_.trail(value.id));
    if (!further.id) break;
    value = further;
  }
  rebuild_.inherit(value.id, node.name, node.type);
  return value.id;
}

Rewriter::Value Rewriter::try_rules(const Node& node, Trails::Id trail) {
  for (const Rule* rule : rules_for(*node.op)) {
    if (ledger_.exhausted()) return {};
    Match match(rebuild_, builder_, node);
    if (!Matcher(*rule, rebuild_.out, match).run()) continue;
    if (Value value = apply(*rule, match, trail); value.id) return value;
  }
  return {};
}

Rewriter::Value Rewriter::apply(const Rule& rule, Match& match, Trails::Id trail) {
  size_t before = rebuild_.out.size();
  NodeId id = (rule.build ? rule.build(match) : match.build(rule.replacement)).id;
  if (!id) return {};
  const Type& type = rebuild_.out[id].type;
  GRADC_ASSERT(type == match.root.type, "rule {} turns {} into {}", rule.name, to_string(match.root.type), to_string(type));
  ledger_.book(rules_.name, rule.name);
  for (NodeId matched : match.matched_) trail = rebuild_.trails.join(trail, rebuild_.trail(matched));
  trail = rebuild_.trails.through(trail, rule.name);
  rebuild_.adopt(before, trail);
  bool fresh = id.at() >= before;
  if (!fresh) rebuild_.join(id, trail);
  return {id, fresh};
}

const std::vector<const Rule*>& Rewriter::rules_for(const Op& op) {
  auto [it, fresh] = by_op_.try_emplace(&op);
  if (fresh) {
    for (const Rule& rule : rules_.rules) {
      const Term::Body& root = *rule.pattern;
      bool fits = root.kind == Term::Kind::OfKind ? root.of_kind == op.kind : root.op == &op;
      if (fits && ledger_.enabled(rule.name)) it->second.push_back(&rule);
    }
  }
  return it->second;
}

void Ledger::book(const char* pass, const char* rule) {
  auto [it, fresh] = rows_.try_emplace(rule, applied_.size());
  if (fresh) applied_.push_back({pass, rule, 0});
  ++applied_[it->second].count;
  ++total_;
  if (remaining_ > 0) --remaining_;
}

}  // namespace gradc::rewrite
