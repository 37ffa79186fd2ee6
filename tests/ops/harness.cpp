#include "tests/ops/harness.h"

#include <cmath>
#include <stdexcept>

#include <fmt/format.h>

#include "compiler/autodiff/autodiff.h"
#include "compiler/ops/ops.h"

namespace gradc::test {

Tensor tensor(const Type& type, const std::vector<double>& values) {
  Tensor t = Tensor::zeros(type);
  for (size_t i = 0; i < values.size(); ++i) t.set(static_cast<int64_t>(i), values[i]);
  return t;
}

std::vector<double> values(const Tensor& t) {
  std::vector<double> v;
  for (int64_t i = 0; i < t.type.count(); ++i) v.push_back(t.at(i));
  return v;
}

Expr Fixture::input(const Type& type, const std::vector<double>& values) {
  Symbol name("x" + std::to_string(inputs.size()));
  inputs[name] = tensor(type, values);
  return gradc::input(builder, name, role::data, type);
}

std::vector<double> Fixture::eval(Expr e) {
  graph.outputs = {{"result", OutputKind::Value, e.id}};
  AutodiffResult expanded = expand_gradients(graph);
  if (!expanded.problems.empty()) throw std::runtime_error("no gradient: " + expanded.problems[0].reason);
  return values(evaluate(expanded.graph, inputs).at("result"));
}

const SampleDomain& domain(const Op& op, size_t i) {
  return op.samples[std::min(i, op.samples.size() - 1)];
}

double draw(const SampleDomain& d, Element element, Numbers& numbers, bool smooth) {
  for (;;) {
    double x = numbers.uniform(d.low, d.high);
    if (element == Element::Bool) return numbers.below(2) != 0;
    if (element == Element::Int) return std::round(x);
    if (element == Element::F32) x = static_cast<float>(x);
    bool near_kink = false;
    for (double k : d.kinks) near_kink = near_kink || std::fabs(x - k) < 1e-3;
    if (!smooth || !near_kink) return x;
  }
}

std::vector<OpExample> signatures(const Op& op) {
  if (op.examples) return op.examples();
  std::vector<OpExample> list;
  for (Element e : {Element::F64, Element::F32, Element::Int, Element::Bool}) {
    std::vector<Type> operands(static_cast<size_t>(op.arity), Type{e, {{5, {}}}});
    if (op.infer(operands, {}).type) list.push_back({operands, {}});
  }
  return list;
}

std::string describe(const Op& op, const OpExample& e) {
  std::string out = op.name;
  for (const Type& t : e.operands) out += " " + to_string(t);
  return out;
}

}  // namespace gradc::test
