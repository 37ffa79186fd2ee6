#pragma once

#include "compiler/codegen/contraction_plan.h"
#include "compiler/codegen/contraction_point.h"
#include "compiler/codegen/contraction_tile.h"

namespace gradc {

// The epilogue of one tile in the breaks of the tile below it. A root and a division keep their unit busy for many cycles, and weights come
// from far away; between multiply-adds, which wait for neither, both cost next to nothing.
class EpilogueBehind final : public TileBreaks {
 public:
  EpilogueBehind(const Contraction& form, const ContractionPlan& plan, const BodyContext& context);

  // What a tile is called with behind its own arguments: its place, and how many rows the tile above has (0: there is none).
  std::vector<llvm::Value*> arguments(llvm::Value* row, llvm::Value* column, llvm::Value* rows_above) const;

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

}  // namespace gradc
