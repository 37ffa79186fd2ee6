#pragma once

#include <string>

#include "compiler/autodiff/autodiff.h"
#include "compiler/eval/eval.h"
#include "compiler/ops/expr.h"
#include "compiler/ops/ops.h"
#include "compiler/rewrite/rewrite.h"
#include "compiler/schedule/schedule.h"
#include "tests/support/kernel_interpreter.h"

namespace gradc::test {

// A model under construction.
struct Model {
  Graph graph;
  GraphBuilder b{graph};

  Model();

  Expr data(const char* name, std::vector<int64_t> sizes, Element e = Element::F32) { return tensor(name, role::data, sizes, e); }
  Expr parameter(const char* name, std::vector<int64_t> sizes, Element e = Element::F32) { return tensor(name, role::parameter, sizes, e); }
  Expr state(const char* name, std::vector<int64_t> sizes, Element e = Element::F32) { return tensor(name, role::state, sizes, e); }
  Expr tensor(const char* name, const char* role, const std::vector<int64_t>& sizes, Element e);
  Expr named(Expr x, const char* name);
  void output(const char* name, Expr x) { graph.outputs.push_back({name, OutputKind::Value, x.id}); }
  void update(const char* name, Expr x) { graph.outputs.push_back({name, OutputKind::Update, x.id}); }
  // The graph after the backward stage and the rewrites.
  Graph finished() const;
};

// [M, K] @ [K, N] + b, and b repeated along the first axes.
Expr matmul(Expr x, Expr w);
Expr repeated(Expr row, Expr like);
// Mean softmax cross entropy of [N, C] logits.
Expr cross_entropy(Expr logits, Expr labels);
void adam(Model& m, const char* parameter, Expr theta, Expr loss, Expr t);

// A multi-layer perceptron with a relu between layers, cross entropy and Adam.
Graph mlp(std::vector<int64_t> widths, int64_t batch);

std::map<Symbol, Tensor> random_inputs(const Graph& g, uint64_t seed);

// Schedules, verifies, runs and compares with the interpreter; one line for each disagreement.
std::vector<std::string> disagreements(const Graph& g, const std::map<Symbol, Tensor>& inputs, const Target& target, bool fuse, int64_t strips = 0);

std::string text(const KernelProgram& p);

}  // namespace gradc::test
