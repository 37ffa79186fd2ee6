#pragma once

#include <algorithm>

#include "compiler/codegen/contraction_plan.h"
#include "compiler/codegen/emitter.h"
#include "compiler/support/error.h"

namespace gradc {

// A point given by flattened indices per role. Indices set last come last in every sum, so that what does not change in the
// innermost loop is one value that the code generator can hoist.
class FlatPoint final : public Point {
 public:
  explicit FlatPoint(StatementEmitter& statements) : statements_(statements), b_(statements.builder()) {}

  void set(const ContractionPlan::Axes& axes, llvm::Value* flat) {
    std::erase_if(indices_, [&](const auto& entry) {
      return std::any_of(axes.begin(), axes.end(), [&](const auto& axis) { return axis.dim == entry.first; });
    });
    for (size_t i = axes.size(); i-- > 1;) {
      auto* extent = b_.getInt64(static_cast<uint64_t>(axes[i].extent));
      indices_.insert(indices_.end(), {axes[i].dim, b_.CreateURem(flat, extent)});
      flat = b_.CreateUDiv(flat, extent);
    }
    if (!axes.empty()) indices_.emplace_back(axes[0].dim, flat);
  }

  llvm::Value* linear(const Affine& at) override {
    llvm::Value* sum = b_.getInt64(static_cast<uint64_t>(at.offset));
    for (const auto& [dim, index] : indices_) {
      const int64_t stride = at.strides.empty() ? 0 : at.strides[static_cast<size_t>(dim)];
      if (stride != 0) sum = b_.CreateAdd(sum, stride == 1 ? index : b_.CreateMul(index, b_.getInt64(static_cast<uint64_t>(stride))));
    }
    return sum;
  }

  llvm::Value* address(int slot, const Affine& at) override {
    const Element element = statements_.body().slots[static_cast<size_t>(slot)].element;
    return b_.CreateGEP(statements_.memory_type(element), statements_.slot_pointer(slot), linear(at));
  }

  llvm::Value* block_times(int64_t) override { GRADC_BUG("a contraction stores no partial results by block"); }

 private:
  StatementEmitter& statements_;
  Builder& b_;
  std::vector<std::pair<int, llvm::Value*>> indices_;
};

}  // namespace gradc
