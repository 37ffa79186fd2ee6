#pragma once

#include <string>
#include <vector>

#include "compiler/graph/graph.h"

namespace gradc {

// One pass over the graph: a group of rules, or an analysis such as common subexpressions.
struct RewritePass {
  const char* name;  // "fold", "algebra", "cse", "stability", "shape", "dead-code", "softmax", "fma"
  const char* doc;
  Graph (*run)(const Graph& graph);
};
const std::vector<RewritePass>& rewrite_passes();  // in the order of the default pipeline

struct RewriteOptions {
  std::vector<std::string> disabled;  // names of passes or of single rules
  int limit = -1;                     // stop after so many rule applications (bisecting)
};

struct RewriteStats {
  struct Entry {
    std::string pass, rule;
    int count;
  };
  std::vector<Entry> applied;
  int64_t visits = 0;  // of nodes, by all passes together
};

// One rule, for documentation. Where the caveat is empty, the rewritten graph gives the same bits.
struct RewriteRule {
  const char *pass, *name, *identity, *caveat;
};
const std::vector<RewriteRule>& rewrite_rules();
std::string rules_table();  // the same as a Markdown table

// Runs the passes to a fixed point, StopGradient and WithDerivative removed at the start. Names of outputs and of user-named nodes survive.
Graph optimize(const Graph& graph, const RewriteOptions& options = {}, RewriteStats* stats = nullptr);

}  // namespace gradc
