#pragma once

#include "compiler/codegen/contraction_plan.h"
#include "compiler/codegen/contraction_point.h"
#include "compiler/codegen/contraction_tile.h"

namespace gradc {

// The epilogue of one tile in the breaks of the tile below it. A root and a division keep their unit busy for many cycles, and weights come
// from far away; between multiply-adds, which wait for neither, both cost next to nothing.
class EpilogueBehind final : public TileWork {
 public:
  EpilogueBehind(const Contraction& form, const ContractionPlan& plan, const BodyContext& context) : form_(form), plan_(plan), context_(context) {}

  // What a tile is called with: its place, and how many rows the tile above has (0: there is none).
  std::vector<llvm::Value*> arguments(llvm::Value* row, llvm::Value* column, llvm::Value* rows_above) const;

  std::string name() const override { return context_.function->getName().str(); }
  std::vector<llvm::Type*> parameters(Builder& builder) const override;
  void enter(Builder& builder, llvm::Function& tile, unsigned first) override;
  void emit(Builder& builder, llvm::Value* number) override;

 private:
  void emit_vector(Builder& builder, llvm::Value* number);
  void ask(Builder& builder);

  const Contraction& form_;
  const ContractionPlan& plan_;
  const BodyContext& context_;
  // In the tile that is being emitted.
  std::optional<StatementEmitter> statements_;
  std::optional<FlatPoint> point_;
  llvm::Value *sums_ = nullptr, *row_ = nullptr, *column_ = nullptr, *rows_above_ = nullptr;
};

// The next panel of the right operand, put in place row by row of k in the breaks of the tiles that read this one: where the rows lie far apart,
// fetching them takes as long as a tenth of the products.
class PanelAhead final : public TileWork {
 public:
  PanelAhead(const Contraction& form, const ContractionPlan& plan) : form_(form), plan_(plan) {}

  // What a tile is called with: the source's first element and the panel's, both of the panel ahead; the first row that is its to place, and that behind the last.
  static std::vector<llvm::Value*> arguments(llvm::Value* source, llvm::Value* panel, llvm::Value* first, llvm::Value* end) { return {source, panel, first, end}; }

  std::string name() const override;
  std::vector<llvm::Type*> parameters(Builder& builder) const override;
  void enter(Builder& builder, llvm::Function& tile, unsigned first) override;
  void emit(Builder& builder, llvm::Value* number) override;
  // One row, anywhere; `end`: behind the panel's last.
  void emit_row(Builder& builder, llvm::Value* source, llvm::Value* panel, llvm::Value* row, llvm::Value* end) const;

 private:
  llvm::Value* at(Builder& builder, llvm::Value* base, llvm::Value* index) const;

  const Contraction& form_;
  const ContractionPlan& plan_;
  llvm::Value *source_ = nullptr, *panel_ = nullptr, *first_ = nullptr, *end_ = nullptr;  // in the tile that is being emitted
};

}  // namespace gradc
