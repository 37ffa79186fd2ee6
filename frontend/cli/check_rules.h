#pragma once

#include <map>
#include <string>
#include <vector>

#include "compiler/eval/eval.h"
#include "frontend/cli/differences.h"

namespace gradc::cli {

// A derivative of the user's own against differences of its function, where the model calls it: one row for each function and input.
struct RuleResult {
  std::string name;  // "derivative clipped by 'h1'"
  double max_rel_err = 0;
  int compared = 0, kinks = 0;
};
// `graph` is the backward form, in f64; `inputs` are all of its inputs.
std::vector<RuleResult> check_rules(const Graph& graph, const std::map<Symbol, Tensor>& inputs, Draws& draws);

}  // namespace gradc::cli
