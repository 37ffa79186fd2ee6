#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include "compiler/rewrite/rebuild.h"
#include "compiler/rewrite/rewrite.h"
#include "compiler/rewrite/rule.h"

namespace gradc::rewrite {

// What one optimisation run may still do, and what it has done.
class Ledger {
 public:
  explicit Ledger(const RewriteOptions& options = {}) : disabled_(options.disabled.begin(), options.disabled.end()), remaining_(options.limit) {}
  bool enabled(const char* pass_or_rule) const { return !disabled_.count(pass_or_rule); }
  bool exhausted() const { return remaining_ == 0; }
  void book(const char* pass, const char* rule);
  int64_t total() const { return total_; }
  void visit(size_t nodes) { visits_ += static_cast<int64_t>(nodes); }
  int64_t visits() const { return visits_; }
  const std::vector<RewriteStats::Entry>& applied() const { return applied_; }

 private:
  std::set<std::string, std::less<>> disabled_;
  int remaining_;  // -1: without limit
  int64_t total_ = 0, visits_ = 0;
  std::map<const char*, size_t> rows_;  // by rule
  std::vector<RewriteStats::Entry> applied_;
};

// Applies a group of rules to every live node, operands first. A replacement's root is simplified further at once, its
// inner nodes in the next round.
class Rewriter {
 public:
  Rewriter(Graph&& graph, const RuleSet& rules, Ledger& ledger)
      : rebuild_(std::move(graph)), builder_(rebuild_.out), rules_(rules), ledger_(ledger) {}
  Graph run();

 private:
  struct Value {
    NodeId id;
    bool fresh = false;  // added by the rule
  };
  const std::vector<const Rule*>& rules_for(const Op& op);
  NodeId simplify(Node node, Trails::Id trail);
  Value try_rules(const Node& node, Trails::Id trail);
  Value apply(const Rule& rule, Match& match, Trails::Id trail);

  Rebuild rebuild_;
  GraphBuilder builder_;
  const RuleSet& rules_;
  Ledger& ledger_;
  std::unordered_map<const Op*, std::vector<const Rule*>> by_op_;
};

// The other passes.
Graph without_stop_gradient(Graph&& graph, Ledger& ledger);
Graph merge_common(Graph&& graph, Ledger& ledger);
Graph without_dead_code(Graph&& graph, Ledger& ledger);
Graph simplify_loops(Graph&& graph, Ledger& ledger);

}  // namespace gradc::rewrite
