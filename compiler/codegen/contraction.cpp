#include "compiler/codegen/contraction.h"

#include <algorithm>
#include <set>

#include <llvm/Analysis/ValueTracking.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/Intrinsics.h>

#include "compiler/codegen/contraction_dot.h"
#include "compiler/codegen/contraction_emitter.h"
#include "compiler/codegen/contraction_exact.h"
#include "compiler/codegen/contraction_loops.h"
#include "compiler/codegen/contraction_overlap.h"
#include "compiler/codegen/contraction_plan.h"
#include "compiler/codegen/contraction_tile.h"
#include "compiler/codegen/contraction_transpose.h"
#include "compiler/codegen/contraction_window.h"

namespace gradc {
namespace {

using llvm::Value;
using Axes = ContractionPlan::Axes;

// Packed, blocked, register-tiled products of floating-point numbers.
//
// Per block of the grid: for rows of lhs that fit in cache, for blocks of k: put the rows where the tile reads them; for panels of
// nr columns: put the panel in place and run the tiles down its rows. The last block of k hands each tile to the epilogue.
// Sums go through memory between tile and epilogue: it costs a store and a load per nr * kc products and lets the epilogue
// be emitted once, for any height, and again in the breaks of a tile where it runs beside the products of the next (contraction_overlap).
class FloatContraction : ContractionEmitter {
 public:
  FloatContraction(const Contraction& form, BodyContext& context)
      : ContractionEmitter(form, context), p_(plan(form, context.target)),
        element_(statements_.memory_type(form.element)), bytes_(static_cast<int64_t>(byte_size(form.element))),
        vector_(llvm::FixedVectorType::get(element_, static_cast<unsigned>(p_.lanes))) {}

  void emit() {
    emit_tiles();
    if (p_.table > 0) for_loop(b_, i64(0), i64(p_.table), 1, [&](Value* i) { b_.CreateStore(context_.scratch, b_.CreateGEP(b_.getPtrTy(), table(), i)); });
    if (p_.turned) clear(scratch(p_.sums_at, i64(0)), (p_.turned_at - p_.sums_at) / bytes_);
    for_loop(b_, context_.begin, context_.end, 1, [&](Value* block) { emit_block(block); });
  }

 private:
  // A run of one role's flattened index. `whole`: its length is always a multiple of the vector length.
  struct Range {
    const Axes& axes;
    Value *from, *count;
    bool vector, whole;
  };

  const std::vector<Stmt>& lhs() const { return p_.swapped ? form_.rhs : form_.lhs; }
  const std::vector<Stmt>& rhs() const { return p_.swapped ? form_.lhs : form_.rhs; }

  using Tiles = std::map<int64_t, llvm::Function*>;  // by tile_key

  void emit_tiles() {
    const auto rows = tile_heights(p_), widths = panel_widths(p_);
    TileBreaks breaks{.count = p_.breaks, .steps = p_.break_steps, .k = p_.k_blocks == 1 ? p_.K : 0, .work = {}};
    if (p_.finishes_above) breaks.work.push_back(&behind_.emplace(form_, p_, context_));
    if (p_.places_ahead) breaks.work.push_back(&ahead_.emplace(form_, p_));
    const bool few = rows.size() * widths.size() <= 2;  // else twice as many tiles take too long to compile
    copies_panels_ = p_.rhs == OperandForm::AlongFree && p_.first_tile_copies && few && !p_.places_ahead;
    llvm::Module& module = *context_.function->getParent();
    for (int64_t height : rows)
      for (int64_t columns : widths) {
        if (p_.dot) {
          tiles_[tile_key(height, columns)] = emit_dot_tile(module, {.element = form_.element, .lanes = p_.lanes, .rows = static_cast<int>(height), .columns = static_cast<int>(columns),
                                                                     .lhs_row = p_.lhs_row, .rhs_row = p_.rhs_row, .adds = p_.k_blocks > 1, .whole = k_is_whole()});
          continue;
        }
        const int64_t width = (columns + p_.lanes - 1) / p_.lanes * p_.lanes;
        TileShape shape{.element = form_.element, .lanes = p_.lanes, .rows = static_cast<int>(height), .width = width, .valid = width, .lhs_row = p_.lhs_row,
                        .lhs_k = p_.lhs_k, .rhs_k = p_.rhs_k, .sums_row = p_.stores_sums ? p_.out_row : p_.nr, .adds = p_.k_blocks > 1,
                        .asks = p_.asks, .table = p_.table};
        if (p_.rhs == OperandForm::Direct) shape.valid = columns;
        if (p_.stores_sums && context_.lines) shape.owner = context_.function->getName();
        tiles_[tile_key(height, columns)] = emit_tile(module, shape, columns == p_.nr ? breaks : TileBreaks{});
        if (!copies_panels_) continue;
        shape.valid = columns, shape.rhs_k = p_.source_k, shape.copy_row = p_.nr;
        copying_tiles_[tile_key(height, columns)] = emit_tile(module, shape);
      }
    if (p_.stores_sums && context_.lines) {
      for (const Tiles* tiles : {&tiles_, &copying_tiles_})
        for (const auto& [key, tile] : *tiles) locate_stores(*tile);
    }
  }

  // The stores of a tile's sums are the epilogue's statement.
  void locate_stores(llvm::Function& tile) {
    auto* scope = context_.lines->add(tile);
    auto* place = llvm::DILocation::get(b_.getContext(), statements_.line_of(form_.epilogue.back()), 0, scope);
    for (llvm::Instruction& i : llvm::instructions(tile)) {
      if (auto* store = llvm::dyn_cast<llvm::StoreInst>(&i); store && llvm::getUnderlyingObject(store->getPointerOperand()) == tile.getArg(2)) store->setDebugLoc(place);
    }
  }

  int64_t tile_key(int64_t rows, int64_t columns) const { return rows * (p_.nr + 1) + columns; }

  Value* scratch(int64_t at, Value* elements) {
    auto* base = b_.CreateConstGEP1_64(b_.getInt8Ty(), context_.scratch, static_cast<uint64_t>(at));
    return b_.CreateGEP(element_, base, elements);
  }

  void emit_block(Value* block) {
    auto* n_and_batch = b_.CreateUDiv(block, i64(p_.blocks_m));
    auto* block_m = b_.CreateURem(block, i64(p_.blocks_m));
    auto* block_n = b_.CreateURem(n_and_batch, i64(p_.blocks_n));
    point_.set(p_.batch, b_.CreateUDiv(n_and_batch, i64(p_.blocks_n)));
    auto* last_n = b_.CreateICmpEQ(block_n, i64(p_.blocks_n - 1));
    auto* last_m = b_.CreateICmpEQ(block_m, i64(p_.blocks_m - 1));
    first_column_ = times(block_n, p_.block_n);
    columns_ = choose(last_n, last_length(p_.N, p_.block_n), p_.block_n);
    first_row_ = times(block_m, p_.block_m);

    const int64_t rows = p_.block_m, rows_last = last_length(p_.M, p_.block_m);
    auto* tiles = choose(last_m, tiles_in(p_, rows_last), tiles_in(p_, rows));
    tile_rows_ = choose(last_m, smaller_tile(p_, rows_last), smaller_tile(p_, rows));
    taller_tiles_ = choose(last_m, rows_last % tiles_in(p_, rows_last), rows % tiles_in(p_, rows));
    const int64_t per_chunk = std::max<int64_t>(1, p_.chunk_rows / p_.mr);
    for_loop(b_, i64(0), tiles, per_chunk, [&](Value* first) { emit_chunk(first, minimum(b_.CreateAdd(first, i64(per_chunk)), tiles)); });
  }

  Value* height_of(Value* tile) { return b_.CreateSub(row_of(b_.CreateAdd(tile, i64(1))), row_of(tile)); }
  // Row, within the block, at which a tile begins: the first tiles are one row taller.
  Value* row_of(Value* tile) { return b_.CreateAdd(b_.CreateMul(tile, tile_rows_), minimum(tile, taller_tiles_)); }

  void emit_chunk(Value* first_tile, Value* end_tile) {
    chunk_row_ = row_of(first_tile);
    auto* rows = b_.CreateSub(row_of(end_tile), chunk_row_);
    if (p_.k_blocks > 1) clear(scratch(p_.sums_at, i64(0)), p_.chunk_rows * ((p_.block_n + p_.nr - 1) / p_.nr * p_.nr));
    // A sum over nothing is one empty block.
    for_loop(b_, i64(0), i64(p_.k_blocks), 1, [&](Value* k_block) {
      k_from_ = times(k_block, p_.kc);
      auto* last = b_.CreateICmpEQ(k_block, i64(p_.k_blocks - 1));
      k_count_ = choose(last, p_.K - (p_.k_blocks - 1) * p_.kc, p_.kc);
      place_lhs(rows);
      if (p_.rows_whole) return emit_rows(first_tile, end_tile, last);
      for_loop(b_, i64(0), columns_, p_.nr, [&](Value* column) {
        auto* width = panel_width(column);
        first_of_column_ = first_tile, last_of_column_ = b_.CreateSub(end_tile, i64(1));
        const Rhs rhs = place_rhs(column, width);
        for_loop(b_, first_tile, end_tile, 1, [&](Value* tile) { emit_one_tile(tile, column, width, rhs, last, b_.CreateICmpEQ(tile, first_tile)); });
      });
    });
  }

  // The panels of all columns stay in place, so a row of tiles is finished before the next is begun.
  void emit_rows(Value* first_tile, Value* end_tile, Value* last) {
    auto panel = [&](Value* column) { return scratch(p_.rhs_at, times(b_.CreateUDiv(column, i64(p_.nr)), p_.rhs_bytes / bytes_)); };
    if (!copies_panels_)
      for_loop(b_, i64(0), columns_, p_.nr, [&](Value* column) { place_panel(b_.CreateAdd(first_column_, column), panel_width(column), panel(column)); });
    for_loop(b_, first_tile, end_tile, 1, [&](Value* tile) {
      for_loop(b_, i64(0), columns_, p_.nr, [&](Value* column) {
        const Rhs rhs{panel(column), copies_panels_ ? panel_source(column) : nullptr};
        emit_one_tile(tile, column, panel_width(column), rhs, last, b_.CreateICmpEQ(tile, first_tile));
      });
    });
  }

  Value* panel_width(Value* column) {
    return p_.N % p_.nr == 0 && p_.block_n % p_.nr == 0 ? i64(p_.nr) : minimum(i64(p_.nr), b_.CreateSub(columns_, column));
  }

  void clear(Value* elements, int64_t count) {
    b_.CreateMemSet(elements, b_.getInt8(0), i64(count * bytes_), llvm::Align(64));
  }

  // Every block of k is so many vectors.
  bool k_is_whole() const { return p_.K % p_.lanes == 0 && (p_.k_blocks == 1 || p_.kc % p_.lanes == 0); }
  Range k_range() { return {p_.k, k_from_, k_count_, p_.vector_k && p_.K > 1, k_is_whole()}; }

  // Evaluates an operand into rows of scratch memory, vectorised along `columns`. Rows have room for a last whole vector.
  void evaluate_rows(const std::vector<Stmt>& stmts, const Range& rows, const Range& columns, Value* to, int64_t row_length) {
    for_loop(b_, i64(0), rows.count, 1, [&](Value* row) {
      point_.set(rows.axes, b_.CreateAdd(rows.from, row));
      auto* out = b_.CreateGEP(element_, to, times(row, row_length));
      auto element = [&](Value* column, const Lanes& lanes) {
        point_.set(columns.axes, b_.CreateAdd(columns.from, column));
        Value* value = statements_.spread(evaluate(stmts, lanes), lanes.width);
        b_.CreateAlignedStore(value, b_.CreateGEP(element_, out, column), llvm::Align(static_cast<uint64_t>(bytes_)));
      };
      for_lanes(columns, element, stmts.size() <= 4 ? 4 : 0);
    });
  }

  // A known few of vectors need no loop.
  template <class F>
  void for_lanes(const Range& range, F emit, int64_t most_straight = 0) {
    if (!range.vector) return for_loop(b_, i64(0), range.count, 1, [&](Value* i) { emit(i, Lanes{}); });
    const Lanes full{.dim = range.axes.back().dim, .width = p_.lanes, .mask = nullptr};
    auto* whole = range.whole ? range.count : b_.CreateAnd(range.count, i64(-p_.lanes));
    if (auto* known = llvm::dyn_cast<llvm::ConstantInt>(range.count); known && range.whole && known->getSExtValue() <= most_straight * p_.lanes) {
      for (int64_t i = 0; i < known->getSExtValue(); i += p_.lanes) emit(i64(i), full);
      return;
    }
    for_loop(b_, i64(0), whole, p_.lanes, [&](Value* i) { emit(i, full); });
    if (range.whole) return;
    if_then(b_, b_.CreateICmpSLT(whole, range.count), [&] {
      auto* left = b_.CreateVectorSplat(static_cast<unsigned>(p_.lanes), b_.CreateSub(range.count, whole));
      auto* lane = b_.CreateStepVector(llvm::FixedVectorType::get(b_.getInt64Ty(), static_cast<unsigned>(p_.lanes)));
      emit(whole, Lanes{.dim = full.dim, .width = p_.lanes, .mask = b_.CreateICmpSLT(lane, left)});
    });
  }

  void place_lhs(Value* rows) {
    const Range m{p_.m, b_.CreateAdd(first_row_, chunk_row_), rows, p_.vector_m && p_.M > 1, false};
    if (p_.lhs == OperandForm::AlongK) evaluate_rows(lhs(), m, k_range(), scratch(p_.lhs_at, i64(0)), p_.lhs_row);
    if (p_.lhs == OperandForm::AlongFree) evaluate_rows(lhs(), k_range(), m, scratch(p_.lhs_at, i64(0)), p_.lhs_k);
    if (p_.lhs == OperandForm::TilePanels) place_tile_panels(m);
  }

  // As many rows at a time as a vector has lanes, which may be several tiles' or a part of one's.
  void place_tile_panels(const Range& m) {
    const bool whole = p_.M % p_.lanes == 0 && p_.block_m % p_.lanes == 0 && p_.chunk_rows % p_.lanes == 0;
    const int64_t together = whole ? p_.lanes : std::min<int64_t>(p_.lanes, p_.mr), run = std::min(together, p_.mr);
    const Lanes lanes{.dim = m.axes.back().dim, .width = static_cast<int>(together), .mask = nullptr};
    for_loop(b_, i64(0), m.count, together, [&](Value* row) {
      auto* out = scratch(p_.lhs_at, b_.CreateAdd(tile_panel(row), b_.CreateURem(row, i64(p_.mr))));
      for_loop(b_, i64(0), k_count_, 1, [&](Value* k) {
        point_.set(p_.k, b_.CreateAdd(k_from_, k));
        point_.set(m.axes, b_.CreateAdd(m.from, row));
        Value* rows = statements_.spread(evaluate(lhs(), lanes), lanes.width);
        for (int64_t first = 0; first < together; first += run) {
          llvm::SmallVector<int, 16> own;
          for (int64_t r = first; r < first + run; ++r) own.push_back(static_cast<int>(r));
          auto* to = b_.CreateGEP(element_, out, b_.CreateAdd(times(k, p_.mr), i64(first / p_.mr * p_.lhs_panel)));
          b_.CreateAlignedStore(b_.CreateShuffleVector(rows, own), to, llvm::Align(static_cast<uint64_t>(bytes_)));
        }
      });
    });
  }

  // Where the panel of the tile begins that has this row of the chunk.
  Value* tile_panel(Value* row) { return times(b_.CreateUDiv(row, i64(p_.mr)), p_.lhs_panel); }

  // Where the tiles read it.
  struct Rhs {
    Value *at, *source;  // source: where the first tile reads it
  };

  // Of the columns from `from` on, which one panel of the right operand holds, from the first k of this block.
  Value* panel_address(Value* from) {
    auto* panel = b_.CreateMul(b_.CreateUDiv(from, i64(p_.panels)), i64(p_.K));
    auto* at = b_.CreateAdd(times(b_.CreateAdd(panel, k_from_), p_.panels), b_.CreateURem(from, i64(p_.panels)));
    return b_.CreateGEP(element_, statements_.slot_pointer(rhs()[0].access.slot), at);
  }

  Rhs place_rhs(Value* column, Value* width) {
    auto* from = b_.CreateAdd(first_column_, column);
    if (p_.panels > 0) return {panel_address(from), nullptr};
    if (p_.places_ahead) return {place_rest(column, width), nullptr};
    if (p_.rhs != OperandForm::Direct && !copies_panels_) return {place_panel(from, width, scratch(p_.rhs_at, i64(0))), nullptr};
    auto* source = panel_source(column);
    return p_.rhs == OperandForm::Direct ? Rhs{source, nullptr} : Rhs{scratch(p_.rhs_at, i64(0)), source};
  }

  // Both of them have a place: tiles read one while the other is made.
  Value* panel_place(Value* column) {
    auto* odd = b_.CreateURem(b_.CreateUDiv(column, i64(p_.nr)), i64(2));
    return scratch(p_.rhs_at, times(odd, p_.rhs_bytes / bytes_));
  }
  Value* panel_source(Value* column) {
    point_.set(p_.k, k_from_);
    point_.set(p_.n, b_.CreateAdd(first_column_, column));
    return point_.address(rhs()[0].access.slot, rhs()[0].access.at);
  }

  // What the tiles of the panel before have not put in place: all of the first panel, and of one that is not whole.
  Value* place_rest(Value* column, Value* width) {
    auto* panel = panel_place(column);
    if_else(b_, b_.CreateICmpEQ(width, i64(p_.nr)), [&] {
      auto* tiles = b_.CreateAdd(b_.CreateSub(last_of_column_, first_of_column_), i64(1));
      auto* done = b_.CreateSelect(b_.CreateICmpEQ(column, i64(0)), i64(0), times(tiles, p_.breaks));
      auto* source = panel_source(column);
      for_loop(b_, done, k_count_, 1, [&](Value* row) { ahead_->emit_row(b_, source, panel, row, k_count_); });
    }, [&] { place_panel(b_.CreateAdd(first_column_, column), width, panel); });
    return panel;
  }

  // How the tile's breaks go on with the next panel, where there is a whole one.
  std::vector<Value*> place_ahead(Value* tile, Value* column) {
    auto* next = b_.CreateAdd(column, i64(p_.nr));
    auto* there = b_.CreateICmpSLE(b_.CreateAdd(next, i64(p_.nr)), columns_);
    auto* first = times(b_.CreateSub(tile, first_of_column_), p_.breaks);
    return PanelAhead::arguments(panel_source(next), panel_place(next), first, b_.CreateSelect(there, k_count_, i64(0)));
  }

  Value* place_panel(Value* from, Value* width, Value* panel) {
    const bool whole = p_.N % p_.lanes == 0 && p_.block_n % p_.lanes == 0;
    const Range n{p_.n, from, width, p_.vector_n && p_.N > 1, whole};
    if (p_.rhs == OperandForm::AlongK) {
      evaluate_rows(rhs(), n, k_range(), panel, p_.rhs_row);
      return panel;
    }
    if (p_.rhs == OperandForm::AlongFree) {
      evaluate_rows(rhs(), k_range(), n, panel, p_.nr);
      return panel;
    }
    if (p_.rhs == OperandForm::TurnedAlongK) {
      turn({panel_source(i64(0)), p_.source_k, k_count_, i64(p_.N)}, p_.N % chunk() == 0, panel, p_.rhs_row);
      return panel;
    }
    if (p_.source_n > 0) {
      turn({panel_source(b_.CreateSub(from, first_column_)), p_.source_n, width, k_count_}, p_.K % chunk() == 0, panel, p_.nr);
      return panel;
    }
    auto* rows = scratch(p_.temp_at, i64(0));
    evaluate_rows(rhs(), n, k_range(), rows, p_.temp_row);
    auto* padded = whole ? width : b_.CreateAnd(b_.CreateAdd(width, i64(p_.lanes - 1)), i64(-p_.lanes));
    // Lanes of columns that do not exist are computed and thrown away: zeros, because stray subnormals would be slow.
    if (!whole)
      for_loop(b_, width, padded, 1, [&](Value* row) {
        b_.CreateMemSet(b_.CreateGEP(element_, rows, times(row, p_.temp_row)), b_.getInt8(0), times(k_count_, bytes_), llvm::Align(4));
      });
    turn({rows, p_.temp_row, padded, k_count_}, true, panel, p_.nr);
    return panel;
  }

  int64_t chunk() const { return std::max<int64_t>(1, 16 / bytes_); }
  void turn(const StoredMatrix& rows, bool padded, Value* out, int64_t out_row) { transpose(b_, element_, p_.lanes, rows, padded, out, out_row); }

  Value* lhs_address(Value* row) {
    if (p_.lhs == OperandForm::Direct) {
      point_.set(p_.k, k_from_);
      point_.set(p_.m, b_.CreateAdd(first_row_, row));
      return point_.address(lhs()[0].access.slot, lhs()[0].access.at);
    }
    auto* in_chunk = b_.CreateSub(row, chunk_row_);
    if (p_.lhs == OperandForm::TilePanels) return scratch(p_.lhs_at, tile_panel(in_chunk));
    return scratch(p_.lhs_at, times(in_chunk, p_.lhs_row));
  }

  void emit_one_tile(Value* tile, Value* column, Value* width, const Rhs& rhs, Value* last, Value* first) {
    auto *row = row_of(tile), *height = height_of(tile);
    Value* at = i64(0);
    if (p_.k_blocks > 1) {
      at = b_.CreateSub(row, chunk_row_);
      at = b_.CreateAdd(times(column, p_.chunk_rows), times(at, p_.nr));
    }
    auto* sums = p_.stores_sums ? out_address(row, column) : scratch(p_.sums_at, at);
    if (p_.asks > 0) if_then(b_, last, [&] { list_streams(b_.CreateAdd(first_row_, row), height, b_.CreateAdd(first_column_, column)); });
    if (p_.K == 0) {
      clear(sums, p_.mr * p_.nr);
    } else {
      llvm::SmallVector<Value*, 12> arguments{lhs_address(row), rhs.at, sums, k_count_};
      if (p_.asks > 0) arguments.push_back(table());
      auto copying = arguments;
      copying[1] = rhs.source;
      copying.push_back(rhs.at);
      if (behind_) {
        auto* above = b_.CreateSelect(first, i64(0), height_of(b_.CreateSub(tile, i64(1))));
        for (Value* v : behind_->arguments(b_.CreateAdd(first_row_, row), b_.CreateAdd(first_column_, column), above)) arguments.push_back(v);
      }
      if (ahead_) {
        for (Value* v : place_ahead(tile, column)) arguments.push_back(v);
      }
      auto* copies = rhs.source ? first : b_.getFalse();
      if_else(b_, copies, [&] { call_tile(copying_tiles_, height, width, copying); }, [&] { call_tile(tiles_, height, width, arguments); });
    }
    if (p_.stores_sums) return;
    auto* own = last;  // the epilogue of a whole tile is the next one's to do, where there is one
    if (behind_) own = b_.CreateOr(b_.CreateICmpEQ(tile, last_of_column_), b_.CreateICmpNE(width, i64(p_.nr)));
    if_then(b_, own, [&] { finish_tile(tile, column, width, sums); });
  }

  Value* out_address(Value* row, Value* column) {
    point_.set(p_.m, b_.CreateAdd(first_row_, row));
    point_.set(p_.n, b_.CreateAdd(first_column_, column));
    const Stmt& store = form_.epilogue.back();
    return point_.address(store.access.slot, store.access.at);
  }

  void finish_tile(Value* tile, Value* column, Value* width, Value* sums) {
    emit_epilogue(b_.CreateAdd(first_row_, row_of(tile)), height_of(tile), b_.CreateAdd(first_column_, column), width, sums);
  }

  // The addresses that the tile asks for while it computes. Where a tile is lower than others, the rest is what an earlier one had.
  void list_streams(Value* first_row, Value* height, Value* first_column) {
    constexpr int64_t line = 64;
    int64_t lines = 0;
    for (const Access& a : p_.streams) lines += (p_.nr * slot_bytes(a) + line - 1) / line;
    for_loop(b_, i64(0), height, 1, [&](Value* row) {
      point_.set(p_.m, b_.CreateAdd(first_row, row));
      point_.set(p_.n, first_column);
      auto* to = b_.CreateGEP(b_.getPtrTy(), table(), times(row, lines));
      for (const Access& a : p_.streams) {
        auto* from = point_.address(a.slot, a.at);
        for (int64_t at = 0; at < p_.nr * slot_bytes(a); at += line) {
          b_.CreateStore(b_.CreateConstGEP1_64(b_.getInt8Ty(), from, static_cast<uint64_t>(at)), to);
          to = b_.CreateConstGEP1_64(b_.getPtrTy(), to, 1);
        }
      }
    });
  }

  int64_t slot_bytes(const Access& a) const { return static_cast<int64_t>(byte_size(statements_.body().slots[static_cast<size_t>(a.slot)].element)); }
  Value* table() { return b_.CreateConstGEP1_64(b_.getInt8Ty(), context_.scratch, static_cast<uint64_t>(p_.table_at)); }

  // Tiles without breaks take the first of the arguments.
  void call_tile(const Tiles& tiles, Value* height, Value* width, llvm::ArrayRef<Value*> arguments) {
    auto call = [&](llvm::Function* tile) { b_.CreateCall(tile, arguments.take_front(tile->arg_size())); };
    if (tiles.size() == 1) {
      call(tiles.begin()->second);
      return;
    }
    auto* key = b_.CreateAdd(b_.CreateMul(height, i64(p_.nr + 1)), width);
    auto* from = b_.GetInsertBlock();
    auto* after = llvm::BasicBlock::Create(b_.getContext(), "tile.done", context_.function);
    std::vector<std::pair<int64_t, llvm::BasicBlock*>> cases;
    for (const auto& [number, function] : tiles) {
      cases.emplace_back(number, llvm::BasicBlock::Create(b_.getContext(), "tile", context_.function, after));
      b_.SetInsertPoint(cases.back().second);
      call(function);
      b_.CreateBr(after);
    }
    b_.SetInsertPoint(from);
    auto* choice = b_.CreateSwitch(key, cases[0].second, static_cast<unsigned>(cases.size()));
    for (size_t i = 1; i < cases.size(); ++i) choice->addCase(b_.getInt64(static_cast<uint64_t>(cases[i].first)), cases[i].second);
    b_.SetInsertPoint(after);
  }

  // Rows of the tile are columns of the product. Vectors that reach beyond a row come before what belongs there.
  void emit_turned_epilogue(Value* first_column, Value* columns, Value* first_row, Value* rows, Value* sums) {
    const int64_t length = p_.flat_epilogue ? p_.M : turned_row(p_);
    auto* turned = scratch(p_.turned_at, i64(0));
    for_loop(b_, i64(0), rows, chunk(), [&](Value* row) {
      for (int64_t from = turned_row(p_) - p_.lanes; from >= 0; from -= p_.lanes) {
        auto* in = b_.CreateGEP(element_, sums, b_.CreateAdd(row, i64(from * p_.nr)));
        transpose_rows(b_, element_, p_.lanes, static_cast<int>(chunk()), in, p_.nr, b_.CreateGEP(element_, turned, b_.CreateAdd(times(row, length), i64(from))), length);
      }
    });
    if (p_.flat_epilogue) return emit_flat(p_.n, first_row, rows, p_.m, p_.M, turned);
    for_loop(b_, i64(0), rows, 1, [&](Value* row) {
      point_.set(p_.n, b_.CreateAdd(first_row, row));
      emit_row({p_.m, first_column, columns, true, false}, b_.CreateGEP(element_, turned, times(row, length)));
    });
  }

  // Rows of sums behind each other, as one.
  void emit_flat(const Axes& rows, Value* first_row, Value* count, const Axes& columns, int64_t length, Value* sums) {
    point_.set(rows, first_row);
    emit_row({columns, i64(0), times(count, length), true, false}, sums);
  }

  // The epilogue of a row of sums.
  void emit_row(const Range& range, Value* sums) {
    for_lanes(range, [&](Value* column, const Lanes& lanes) {
      point_.set(range.axes, b_.CreateAdd(range.from, column));
      llvm::Type* type = lanes.width > 1 ? static_cast<llvm::Type*>(vector_) : element_;
      finish_point(b_.CreateAlignedLoad(type, b_.CreateGEP(element_, sums, column), llvm::Align(static_cast<uint64_t>(bytes_))), lanes);
    });
  }

  void emit_epilogue(Value* first_row, Value* height, Value* first_column, Value* width, Value* sums) {
    if (p_.turned) return emit_turned_epilogue(first_row, height, first_column, width, sums);
    if (p_.flat_epilogue) return emit_flat(p_.m, first_row, height, p_.n, p_.N, sums);
    const bool whole = p_.N % p_.lanes == 0 && p_.block_n % p_.lanes == 0;
    for_loop(b_, i64(0), height, 1, [&](Value* row) {
      point_.set(p_.m, b_.CreateAdd(first_row, row));
      emit_row({p_.n, first_column, width, p_.vector_n && p_.N > 1, whole}, b_.CreateGEP(element_, sums, times(row, p_.nr)));
    });
  }

  const ContractionPlan p_;
  llvm::Type* const element_;
  const int64_t bytes_;
  llvm::FixedVectorType* const vector_;
  Tiles tiles_, copying_tiles_;
  std::optional<EpilogueBehind> behind_;
  std::optional<PanelAhead> ahead_;
  bool copies_panels_ = false;  // the first tile of rows does
  // Where the emitted code is.
  Value *first_row_ = nullptr, *first_column_ = nullptr, *columns_ = nullptr;       // of the block
  Value *tile_rows_ = nullptr, *taller_tiles_ = nullptr;                            // in the block
  Value *first_of_column_ = nullptr, *last_of_column_ = nullptr;                    // tiles
  Value *chunk_row_ = nullptr, *k_from_ = nullptr, *k_count_ = nullptr;
};

}  // namespace

void emit_contraction(const Contraction& contraction, BodyContext& context) {
  if (auto windows = plan_windows(contraction, context.target)) return emit_window_contraction(contraction, *windows, context);
  if (is_float(contraction.element)) return FloatContraction(contraction, context).emit();
  emit_exact_contraction(contraction, context);
}

int64_t contraction_scratch_bytes(const Contraction& contraction, const Target& target) {
  if (auto windows = plan_windows(contraction, target)) return windows->bytes;
  return is_float(contraction.element) ? plan(contraction, target).bytes : 0;
}

}  // namespace gradc
