#pragma once

#include "compiler/codegen/contraction_loops.h"
#include "compiler/codegen/contraction_window_plan.h"
#include "compiler/codegen/emitter.h"

// Shared by the parts of a contraction over windows.

namespace gradc {

// A point given by an index for each dim (null: 0).
class IndexPoint : public Point {
 public:
  IndexPoint(StatementEmitter& statements, size_t dims) : index(dims, nullptr), statements_(statements), b_(statements.builder()) {}

  std::vector<llvm::Value*> index;

  llvm::Value* linear(const Affine& at) override;
  llvm::Value* address(int slot, const Affine& at) override;
  llvm::Value* block_times(int64_t) override;

 protected:
  llvm::Value* plus(llvm::Value* sum, llvm::Value* index_value, int64_t stride);

  StatementEmitter& statements_;
  Builder& b_;
};

// A point of the image: a place along each axis; `index` holds the batch's.
class ImagePoint final : public IndexPoint {
 public:
  ImagePoint(StatementEmitter& statements, size_t dims, const std::vector<ImageAxis>& axes)
      : IndexPoint(statements, dims), place(axes.size(), nullptr), axes_(axes) {}

  std::vector<llvm::Value*> place;

  llvm::Value* linear(const Affine& at) override;
  // How far an index moves with one place along an axis.
  int64_t step(const Affine& at, size_t axis) const;

 private:
  const std::vector<ImageAxis>& axes_;
};

// Code that both operands and the tiles need.
class WindowCode {
 public:
  // The indices of a dim that are worked on where the emitted code is.
  struct Range {
    llvm::Value *start = nullptr, *count = nullptr;
  };

 protected:
  WindowCode(const Contraction& form, const WindowPlan& plan, BodyContext& context);

  llvm::Value* i64(int64_t value) { return b_.getInt64(static_cast<uint64_t>(value)); }
  llvm::Value* minimum(llvm::Value* a, llvm::Value* c) { return b_.CreateSelect(b_.CreateICmpSLT(a, c), a, c); }
  llvm::Value* maximum(llvm::Value* a, llvm::Value* c) { return b_.CreateSelect(b_.CreateICmpSLT(a, c), c, a); }
  llvm::Value* times(llvm::Value* a, int64_t c) { return c == 1 ? a : b_.CreateMul(a, i64(c)); }
  llvm::Value* offset(llvm::Value* base, llvm::Value* elements) { return b_.CreateGEP(element_, base, elements); }
  llvm::Align align() const { return llvm::Align(static_cast<uint64_t>(bytes_)); }
  llvm::Value* scratch(int64_t at) { return b_.CreateConstGEP1_64(b_.getInt8Ty(), context_.scratch, static_cast<uint64_t>(at)); }
  int64_t extent(int dim) const { return form_.dims[static_cast<size_t>(dim)].extent; }

  llvm::Value* evaluate(const std::vector<Stmt>& stmts, Point& point, const Lanes& lanes);
  void store_operand(const std::vector<Stmt>& stmts, Point& point, const Lanes& lanes, llvm::Value* to);

  // Vectors along `dim` (-1: one by one) over `count` places from 0; the last one masked.
  template <class F>
  void for_lanes(llvm::Value* count, int dim, F emit) {
    if (dim < 0) return for_loop(b_, i64(0), count, 1, [&](llvm::Value* i) { emit(i, Lanes{}); });
    const Lanes full{.dim = dim, .width = p_.lanes, .mask = nullptr};
    auto* whole = b_.CreateAnd(count, i64(-p_.lanes));
    const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(whole);
    if (!constant || !constant->isZero()) for_loop(b_, i64(0), whole, p_.lanes, [&](llvm::Value* i) { emit(i, full); });
    if_then(b_, b_.CreateICmpSLT(whole, count), [&] {
      auto* left = b_.CreateVectorSplat(static_cast<unsigned>(p_.lanes), b_.CreateSub(count, whole));
      auto* lane = b_.CreateStepVector(llvm::FixedVectorType::get(b_.getInt64Ty(), static_cast<unsigned>(p_.lanes)));
      emit(whole, Lanes{.dim = dim, .width = p_.lanes, .mask = b_.CreateICmpSLT(lane, left)});
    });
  }

  const Contraction& form_;
  const WindowPlan& p_;
  BodyContext& context_;
  Builder& b_;
  StatementEmitter& statements_;
  llvm::Type* const element_;
  const int64_t bytes_;
  llvm::FixedVectorType* const vector_;
};

// Puts the part of the image that the given ranges of dims see into scratch. Rows follow each other without gaps: what a last vector
// writes beyond its row is written again with the next.
class ImagePacker : WindowCode {
 public:
  ImagePacker(const Contraction& form, const WindowPlan& plan, BodyContext& context);

  void set_batch(int dim, llvm::Value* index) { point_.index[static_cast<size_t>(dim)] = index; }
  void pack(const std::vector<Range>& ranges, llvm::Value* to);

 private:
  struct Places {
    llvm::Value *first = nullptr, *count = nullptr;
  };

  Places places(const ImageAxis& axis, const std::vector<Range>& ranges);
  void evaluate_axis(size_t x, llvm::Value* to);
  bool copies() const;
  bool guarded(size_t x) const;
  bool runs(size_t x) const;
  void copy_axis(size_t x, llvm::Value* to);
  void copy_places(size_t x, llvm::Value* from, llvm::Value* end, llvm::Value* to);
  void fill(size_t x, llvm::Value* from, llvm::Value* end, llvm::Value* to);

  ImagePoint point_;
  std::vector<Places> places_;
  const Access* source_ = nullptr;  // where the operand is nothing but what lies there, or is filled with
};

}  // namespace gradc
