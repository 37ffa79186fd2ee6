#pragma once

#include <optional>

#include "compiler/ops/expr.h"
#include "tests/support/random_graph.h"

// The inside of the generator: a pool of values to draw operands from.
namespace gradc::test {

struct Range {
  double low, high;
};

class Generator {
 public:
  static constexpr double max_magnitude = 100;
  static constexpr int64_t max_count = 4096;

  explicit Generator(const RandomGraphOptions& options);
  RandomGraph run();

  // A value from the pool, if one fits.
  std::optional<Expr> some(const std::function<bool(const Type&)>& accept);
  Expr some_float(size_t min_rank);
  Expr of_type(const Type& t);  // from the pool or newly made
  Expr make_int(const Type& t, int64_t limit);
  Expr new_input(const Type& type, const std::function<double()>& sample, Symbol role);
  Expr scalar_input(const char* role, Element element, double value);  // seed and step
  std::vector<int64_t> sizes_of_rank(int64_t rank);
  Range range(Expr e);
  const Tensor& value(Expr e) {
    track();
    return values_[e.id.at()];
  }
  // Evaluates what was added since the last call. False where a value is out of bounds; such nodes stay out of the pool.
  bool track();
  void admit(Expr e);

  RandomGraphOptions options;
  Rng rng;
  RandomGraph out;
  GraphBuilder b;

 private:
  Expr float_input(const std::vector<int64_t>& sizes);
  Expr float_constant(const Type& t);
  Expr make_float(const Type& t);
  Expr make_bool(const Type& t);
  Expr loss();
  std::vector<NodeId> inputs_behind(NodeId y) const;
  void add_gradients(Expr y);

  std::vector<Tensor> values_;  // of every node
  std::vector<NodeId> pool_;    // with sane values
  Expr seed_input_, step_input_;
};

bool drawable(const Op& op, const RandomGraphOptions& options);
std::vector<const Op*> drawable_operations(const RandomGraphOptions& options);
std::optional<Expr> draw_scan(Generator& g);
// Any of these operations; where there are scans, one in eight is one.
std::optional<Expr> draw_any(Generator& g, const std::vector<const Op*>& ops);
// A node of this operation on random operands; nothing where none fit. Every operation of the registry is known.
std::optional<Expr> draw(Generator& g, const Op& op);
void keep_used_inputs(RandomGraph& g);

}  // namespace gradc::test
