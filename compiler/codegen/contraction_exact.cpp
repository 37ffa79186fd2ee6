#include "compiler/codegen/contraction_exact.h"

#include <algorithm>

#include "compiler/codegen/contraction_emitter.h"
#include "compiler/codegen/contraction_loops.h"

namespace gradc {
namespace {

using llvm::Value;
using Axes = ContractionPlan::Axes;

class ExactContraction : ContractionEmitter {
 public:
  ExactContraction(const Contraction& form, BodyContext& context) : ContractionEmitter(form, context) {}

  void emit() {
    int64_t m = 1, n = 1;
    for (size_t d = 0; d < form_.dims.size(); ++d) {
      Axes& axes = axes_[static_cast<size_t>(form_.roles[d])];
      axes.push_back({static_cast<int>(d), form_.dims[d].extent});
      if (form_.roles[d] == DimRole::M) m *= form_.dims[d].extent;
      if (form_.roles[d] == DimRole::N) n *= form_.dims[d].extent;
      if (form_.roles[d] == DimRole::K) k_ *= form_.dims[d].extent;
    }
    const int64_t block_m = std::clamp<int64_t>(form_.block_m, 1, std::max<int64_t>(m, 1));
    const int64_t block_n = std::clamp<int64_t>(form_.block_n, 1, std::max<int64_t>(n, 1));
    const int64_t blocks_m = (m + block_m - 1) / block_m, blocks_n = (n + block_n - 1) / block_n;
    if (blocks_m * blocks_n == 0) return;
    for_loop(b_, context_.begin, context_.end, 1, [&](Value* block) {
      auto* rest = b_.CreateUDiv(block, i64(blocks_m));
      point_.set(axes(DimRole::Batch), b_.CreateUDiv(rest, i64(blocks_n)));
      auto* row = times(b_.CreateURem(block, i64(blocks_m)), block_m);
      auto* column = times(b_.CreateURem(rest, i64(blocks_n)), block_n);
      for_loop(b_, row, minimum(b_.CreateAdd(row, i64(block_m)), i64(m)), 1, [&](Value* i) {
        for_loop(b_, column, minimum(b_.CreateAdd(column, i64(block_n)), i64(n)), 1, [&](Value* j) {
          point_.set(axes(DimRole::M), i);
          point_.set(axes(DimRole::N), j);
          finish_point(emit_sum(), Lanes{});
        });
      });
    });
  }

 private:
  const Axes& axes(DimRole role) const { return axes_[static_cast<size_t>(role)]; }

  Value* emit_sum() {
    auto* type = statements_.register_type(form_.element);
    auto* zero = llvm::Constant::getNullValue(type);
    return for_sum(b_, i64(0), i64(k_), zero, [&](Value* k, Value* sum) {
      point_.set(axes(DimRole::K), k);
      Value* lhs = evaluate(form_.lhs, Lanes{});
      Value* rhs = evaluate(form_.rhs, Lanes{});
      if (form_.element == Element::Bool) return b_.CreateOr(sum, b_.CreateAnd(lhs, rhs));
      return b_.CreateAdd(sum, b_.CreateMul(lhs, rhs));
    });
  }

  Axes axes_[4];
  int64_t k_ = 1;
};

}  // namespace

void emit_exact_contraction(const Contraction& contraction, BodyContext& context) { ExactContraction(contraction, context).emit(); }

}  // namespace gradc
