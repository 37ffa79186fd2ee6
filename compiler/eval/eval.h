#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <vector>

#include "compiler/graph/graph.h"

namespace gradc {

// A dense row-major tensor in host memory.
struct Tensor {
  Type type;
  std::vector<std::byte> bytes;
  std::vector<Tensor> results{};  // of a scan, which has no bytes of its own

  static Tensor zeros(const Type& type);
  template <class T>
  T* as() { return reinterpret_cast<T*>(bytes.data()); }
  template <class T>
  const T* as() const { return reinterpret_cast<const T*>(bytes.data()); }
  double at(int64_t i) const;        // any element type, as a double
  void set(int64_t i, double value); // rounded to the element type
};

// The reference interpreter: the meaning of the graph, slow and obvious, independent of the code generator. Each f32 value is
// rounded to f32 as the graph says; sums of reductions and contractions accumulate in double, whatever the element.
class Interpreter {
 public:
  // `inputs` by the name of the Input node. Throws InternalError where one is missing or of the wrong type.
  Interpreter(const Graph& graph, std::map<Symbol, Tensor> inputs);
  // Evaluates what is needed for the node, keeping intermediate values.
  const Tensor& value(NodeId id);

 private:
  const Graph& graph_;
  std::map<Symbol, Tensor> inputs_;
  std::vector<std::optional<Tensor>> values_;
};

// The value of one node from its operands' values, in order (also for constant folding). Input and Grad nodes have none.
Tensor evaluate_node(const Node& node, const std::vector<const Tensor*>& operands);

// Uniform in [0, 1) from Philox 4x32-10 (Salmon et al. 2011): 24 bits for f32, 53 for f64.
// Key = (seed low, seed high); counter = (index low, index high, site, step). Independent of the code generator's version.
// f32 takes the upper bits of word 0; f64 the upper bits of word 1 * 2^32 + word 0.
double philox_uniform(uint64_t seed, uint32_t step, uint32_t site, uint64_t index, Element element);

// All outputs of a graph.
std::map<Symbol, Tensor> evaluate(const Graph& graph, const std::map<Symbol, Tensor>& inputs);

}  // namespace gradc
