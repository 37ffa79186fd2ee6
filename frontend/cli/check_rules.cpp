#include "frontend/cli/check_rules.h"

#include <fmt/format.h>

#include "compiler/ops/expr.h"

namespace gradc::cli {
namespace {

constexpr int rule_directions = 6, most_calls = 4;  // of one function

std::string input_name(size_t i) { return fmt::format("input {}", i); }
std::string rule_name(size_t i) { return fmt::format("rule {}", i); }

// The function and its rule as a graph of their own: inputs "input 0", ... and "cotangent", outputs "value", "rule 0", ...
class Extract {
 public:
  Extract(const Graph& from, NodeId call) : from_(from), operands_(from[call].operands), renamed_(from.size()) {}

  Graph run() {
    for (size_t i = 3; i < operands_.size(); i += 2) cut(operands_[i], input_name((i - 3) / 2));
    cut(operands_[2], "cotangent");
    std::vector<bool> needed(from_.size());
    auto need = [&](NodeId id) { needed[id.at()] = true; };
    need(operands_[0]);
    for (size_t i = 4; i < operands_.size(); i += 2) need(operands_[i]);
    for (size_t i = from_.size(); i-- > 0;) {
      if (!needed[i] || renamed_[i]) continue;
      for (NodeId o : from_[NodeId(i)].operands) need(o);
    }
    for (size_t i = 0; i < from_.size(); ++i) {
      if (!needed[i] || renamed_[i]) continue;
      if (NodeId(i) == operands_[1]) {  // the value's stand-in
        renamed_[i] = renamed_[operands_[0].at()];
        continue;
      }
      Node n = from_[NodeId(i)];
      for (NodeId& o : n.operands) o = renamed_[o.at()];
      renamed_[i] = out_.add(std::move(n));
    }
    out_.outputs.push_back({"value", OutputKind::Value, renamed_[operands_[0].at()]});
    for (size_t i = 4; i < operands_.size(); i += 2) out_.outputs.push_back({rule_name((i - 4) / 2), OutputKind::Value, renamed_[operands_[i].at()]});
    return std::move(out_);
  }

 private:
  void cut(NodeId at, const std::string& name) {
    if (renamed_[at.at()]) return;  // one value for two arguments
    GraphBuilder b(out_);
    renamed_[at.at()] = input(b, name, role::data, from_[at].type).id;
  }

  const Graph& from_;
  std::vector<NodeId> operands_;
  std::vector<NodeId> renamed_;
  Graph out_;
};

class RuleCheck {
 public:
  RuleCheck(const Graph& graph, NodeId call, const std::map<Symbol, Tensor>& inputs, Draws& draws)
      : operands_(graph[call].operands), rule_(Extract(graph, call).run()), values_(inputs), draws_(draws) {
    Interpreter at(graph, inputs);
    for (size_t i = 3; i < operands_.size(); i += 2) values_.insert_or_assign(input_name((i - 3) / 2), at.value(operands_[i]));
    Tensor ct = Tensor::zeros(graph[call].type);
    for (int64_t i = 0; i < ct.type.count(); ++i) ct.set(i, 2 * draws_.uniform() - 1);
    values_.insert_or_assign("cotangent", ct);
  }

  void compare(size_t input, RuleResult& result) {
    if (operands_[3 + 2 * input] != first_of(input)) return;
    const Tensor base = values_.at(input_name(input)), rule = evaluate(rule_, values_).at(rule_name(input)), ct = values_.at("cotangent");
    int64_t n = base.type.count();
    double largest = 0;
    for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(rule.at(i)));
    for (int k = 0; k < rule_directions; ++k) {
      std::vector<double> direction(static_cast<size_t>(n));
      double expected = 0, norm = 0;
      for (double& d : direction) d = 2 * draws_.uniform() - 1, norm += d * d;
      for (int64_t i = 0; i < n; ++i) expected += rule.at(i) * (direction[static_cast<size_t>(i)] /= std::sqrt(norm));
      Difference d = differentiate(
          [&](double s) {
            Tensor& x = values_.at(input_name(input));
            for (int64_t i = 0; i < n; ++i) x.set(i, base.at(i) + s * direction[static_cast<size_t>(i)]);
            Tensor y = evaluate(rule_, values_).at("value");
            double sum = 0;
            for (int64_t i = 0; i < y.type.count(); ++i) sum += y.at(i) * ct.at(i);
            return sum;
          },
          1.0);
      values_.at(input_name(input)) = base;
      const double scale = std::max(1e-3 * largest, 1e-9);
      if (d.at_kink(scale)) ++result.kinks;
      else result.max_rel_err = std::max(result.max_rel_err, d.error_of(expected, scale)), ++result.compared;
    }
  }

 private:
  // Of arguments that are one value, only the first is moved: the differences cannot tell them apart.
  NodeId first_of(size_t input) const {
    size_t same = 0;
    for (size_t i = 3; i < operands_.size(); i += 2) same += operands_[i] == operands_[3 + 2 * input];
    return same == 1 ? operands_[3 + 2 * input] : NodeId();
  }

  std::vector<NodeId> operands_;
  Graph rule_;
  std::map<Symbol, Tensor> values_;
  Draws& draws_;
};

}  // namespace

std::vector<RuleResult> check_rules(const Graph& graph, const std::map<Symbol, Tensor>& inputs, Draws& draws) {
  std::vector<RuleResult> results;
  std::map<Symbol, int> calls;
  for (size_t i = 0; i < graph.size(); ++i) {
    const Node& n = graph[NodeId(i)];
    if (n.op->kind != OpKind::WithDerivative || calls[n.attrs.text("function")]++ >= most_calls) continue;
    RuleCheck check(graph, NodeId(i), inputs, draws);
    for (size_t k = 0; 3 + 2 * k < n.operands.size(); ++k) {
      RuleResult r{fmt::format("derivative {} by {}", n.attrs.text("function"), graph.label(n.operands[3 + 2 * k]))};
      check.compare(k, r);
      results.push_back(std::move(r));
    }
  }
  return results;
}

}  // namespace gradc::cli
