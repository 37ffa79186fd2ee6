#include "compiler/eval/scan.h"

#include <cstring>

#include "compiler/graph/scan.h"

namespace gradc {
namespace {

// The outputs of a body for values of its inputs.
std::vector<Tensor> run_body(const Graph& body, const std::vector<const Tensor*>& inputs) {
  std::vector<bool> needed = body.live();
  std::vector<Tensor> made(body.size());
  std::vector<const Tensor*> values(inputs);
  values.resize(body.size());
  for (size_t i = inputs.size(); i < body.size(); ++i) {
    if (!needed[i]) continue;
    std::vector<const Tensor*> operands;
    for (NodeId operand : body[NodeId(i)].operands) operands.push_back(values[operand.at()]);
    made[i] = evaluate_node(body[NodeId(i)], operands);
    values[i] = &made[i];
  }
  std::vector<Tensor> outputs;
  for (const Output& o : body.outputs) outputs.push_back(*values[o.node.at()]);
  return outputs;
}

Tensor element(const Tensor& sequence, int64_t at) {
  Tensor out = Tensor::zeros(without_time(sequence.type));
  if (!out.bytes.empty()) std::memcpy(out.bytes.data(), sequence.bytes.data() + static_cast<size_t>(at) * out.bytes.size(), out.bytes.size());
  return out;
}

void set_element(Tensor& sequence, int64_t at, const Tensor& value) {
  if (!value.bytes.empty()) std::memcpy(sequence.bytes.data() + static_cast<size_t>(at) * value.bytes.size(), value.bytes.data(), value.bytes.size());
}

}  // namespace

Tensor eval_scan(const Node& scan, const std::vector<const Tensor*>& operands) {
  ScanLayout l(scan);
  const Graph& body = *scan.body;
  Tensor out{scan.type, {}, {}};
  for (size_t k = 0; k < l.carries; ++k) out.results.push_back(*operands[k]);
  for (size_t k = 0; k < l.emissions; ++k)
    out.results.push_back(Tensor::zeros(over_time(body[body.outputs[l.emission(k)].node].type, scan.type.dims[0])));
  for (int64_t step = 0; step < l.length; ++step) {
    int64_t at = l.reverse ? l.length - 1 - step : step;
    std::vector<Tensor> elements;
    for (size_t k = 0; k < l.sequences; ++k) elements.push_back(element(*operands[l.sequence(k)], at));
    std::vector<const Tensor*> inputs(operands);
    for (size_t k = 0; k < l.carries; ++k) inputs[k] = &out.results[k];
    for (size_t k = 0; k < l.sequences; ++k) inputs[l.sequence(k)] = &elements[k];
    std::vector<Tensor> outputs = run_body(body, inputs);
    for (size_t k = 0; k < l.carries; ++k) out.results[k] = std::move(outputs[k]);
    for (size_t k = 0; k < l.emissions; ++k) set_element(out.results[l.emission(k)], at, outputs[l.emission(k)]);
  }
  return out;
}

}  // namespace gradc
