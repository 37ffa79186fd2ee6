#include "compiler/rewrite/rewrite.h"

#include <utility>

#include <fmt/format.h>

#include "compiler/graph/scan.h"
#include "compiler/rewrite/engine.h"
#include "compiler/rewrite/loop.h"
#include "compiler/support/error.h"

namespace gradc {
namespace rewrite {
namespace {

// Rounds until nothing changes. The rules leave nothing to do after a few; the bound is for rules that should not be.
constexpr size_t max_rounds = 64;

using Pass = Graph (*)(Graph&&, Ledger&);

// Runs a pass over a graph and the bodies of its scans, innermost last. A body is lent the provenance table meanwhile.
Graph with_bodies(Pass pass, Graph&& graph, Ledger& ledger) {
  ledger.visit(graph.size());
  Graph result = pass(std::move(graph), ledger);
  for (size_t i = 0; i < result.size(); ++i) {
    Node& n = result.edit(NodeId(i));
    if (!n.body) continue;
    Graph body = *n.body;
    body.provenance = std::move(result.provenance);
    int64_t before = ledger.total();
    body = with_bodies(pass, std::move(body), ledger);
    result.provenance = std::exchange(body.provenance, {});
    if (ledger.total() != before || !same_computation(body, *n.body)) n.body = std::make_shared<const Graph>(std::move(body));
  }
  return result;
}

template <const RuleSet& (*rules)()>
Graph with_rules(Graph&& graph, Ledger& ledger) {
  return Rewriter(std::move(graph), rules(), ledger).run();
}

template <Pass pass>
Graph once(const Graph& graph) {
  Ledger ledger;
  return with_bodies(pass, Graph(graph), ledger);
}

struct NamedPass {
  RewritePass info;
  Pass run;
};
template <Pass pass>
NamedPass named(const char* name, const char* doc) {
  return {{name, doc, once<pass>}, pass};
}

const std::vector<NamedPass>& passes() {
  static const std::vector<NamedPass> list{
      named<with_rules<fold_rules>>("fold", fold_rules().doc),
      named<with_rules<algebra_rules>>("algebra", algebra_rules().doc),
      named<merge_common>("cse", "merges nodes that compute the same value"),
      named<with_rules<stability_rules>>("stability", stability_rules().doc),
      named<with_rules<shape_rules>>("shape", shape_rules().doc),
      named<without_dead_code>("dead-code", "drops what no output needs"),
      named<simplify_loops>("loops", "moves work out of loops, and drops what of them can be done without"),
      named<with_rules<softmax_rules>>("softmax", softmax_rules().doc),
      named<with_rules<fma_rules>>("fma", fma_rules().doc),
  };
  return list;
}

void check([[maybe_unused]] const Graph& graph, [[maybe_unused]] const char* pass) {
#ifndef NDEBUG
  std::vector<std::string> problems = verify(graph, false);
  GRADC_ASSERT(problems.empty(), "after pass {}: {}", pass, problems[0]);
#endif
}

// Runs the first `count` passes in turn until a whole turn changes nothing. The first `settled` of them have nothing left to do.
Graph settle(Graph graph, size_t settled, size_t count, Ledger& ledger) {
  size_t quiet = settled;
  for (size_t turn = settled; quiet < count && turn < max_rounds * count; ++turn) {
    const NamedPass& pass = passes()[turn % count];
    int64_t before = ledger.total();
    if (ledger.enabled(pass.info.name) && !ledger.exhausted()) graph = with_bodies(pass.run, std::move(graph), ledger);
    bool changed = ledger.total() != before;
    if (changed) check(graph, pass.info.name);
    quiet = changed && pass.run != without_dead_code ? 0 : quiet + 1;  // no rule looks at dead code
  }
  return graph;
}

// The last two passes hide what others look for. They join in when there is nothing left to find: first softmax, then fma.
Graph settle_all(Graph graph, Ledger& ledger) {
  size_t settled = 0;
  for (size_t count = passes().size() - 2; count <= passes().size(); settled = count++) graph = settle(std::move(graph), settled, count, ledger);
  return graph;
}

}  // namespace

const std::vector<const RuleSet*>& rule_sets() {
  static const std::vector<const RuleSet*> sets{&fold_rules(), &algebra_rules(), &stability_rules(), &shape_rules(), &softmax_rules(), &fma_rules()};
  return sets;
}

}  // namespace rewrite

const std::vector<RewritePass>& rewrite_passes() {
  static const std::vector<RewritePass> list = [] {
    std::vector<RewritePass> passes;
    for (const rewrite::NamedPass& pass : rewrite::passes()) passes.push_back(pass.info);
    return passes;
  }();
  return list;
}

Graph optimize(const Graph& graph, const RewriteOptions& options, RewriteStats* stats) {
  rewrite::Ledger ledger(options);
  Graph result = rewrite::with_bodies(rewrite::without_stop_gradient, Graph(graph), ledger);
  result = rewrite::settle_all(std::move(result), ledger);
  if (stats) stats->applied.insert(stats->applied.end(), ledger.applied().begin(), ledger.applied().end());
  if (stats) stats->visits += ledger.visits();
  return result;
}

const std::vector<RewriteRule>& rewrite_rules() {
  static const std::vector<RewriteRule> list = [] {
    std::vector<RewriteRule> rules;
    for (const rewrite::RuleSet* set : rewrite::rule_sets()) {
      for (const rewrite::Rule& rule : set->rules) rules.push_back({set->name, rule.name, rule.identity, rule.caveat});
    }
    for (const rewrite::LoopRuleInfo& rule : rewrite::loop_rules()) rules.push_back(rule.info);
    return rules;
  }();
  return list;
}

std::string rules_table() {
  std::string table = "| rule | group | identity | floating point |\n|---|---|---|---|\n";
  auto cell = [](const char* text) {
    std::string escaped;
    for (const char* c = text; *c; ++c) escaped += *c == '|' ? "\\|" : std::string(1, *c);
    return escaped;
  };
  for (const RewriteRule& r : rewrite_rules()) {
    table += fmt::format("| {} | {} | {} | {} |\n", r.name, r.pass, cell(r.identity), *r.caveat ? cell(r.caveat) : "the same bits");
  }
  return table;
}

}  // namespace gradc
