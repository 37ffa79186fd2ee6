#include "compiler/codegen/contraction_window.h"

#include <algorithm>
#include <set>

#include "compiler/codegen/contraction_image.h"
#include "compiler/codegen/contraction_transpose.h"
#include "compiler/codegen/contraction_window_tile.h"
#include "compiler/support/error.h"

namespace gradc {
namespace {

using llvm::Value;

class WindowEmitter : WindowCode {
 public:
  WindowEmitter(const Contraction& form, const WindowPlan& plan, BodyContext& context)
      : WindowCode(form, plan, context), image_(form, plan, context), point_(context.statements, form.dims.size()), ranges_(form.dims.size()) {
    for (const Stmt& s : form.epilogue)
      GRADC_ASSERT(s.kind != StmtKind::Accumulate || s.first.empty(), "a contraction's epilogue runs once per element");
    for (size_t d = 0; d < ranges_.size(); ++d) ranges_[d] = {i64(0), i64(extent(static_cast<int>(d)))};
  }

  void emit() {
    emit_tiles();
    for_loop(b_, context_.begin, context_.end, 1, [&](Value* block) { emit_block(block); });
  }

 private:
  int64_t stride(int dim) const { return p_.dim_stride[static_cast<size_t>(dim)]; }
  Range& range(int dim) { return ranges_[static_cast<size_t>(dim)]; }
  void pack_image() { image_.pack(ranges_, scratch(p_.image_at)); }

  // ---- tiles

  int64_t tiles_in_line() const { return (p_.run + p_.mr - 1) / p_.mr; }
  int64_t smaller_tile() const { return p_.run / tiles_in_line(); }
  int64_t taller_tiles() const { return p_.run % tiles_in_line(); }

  std::vector<WindowTileShape::Loop> tile_loops() const {
    std::vector<WindowTileShape::Loop> loops{{1, 0, 0}};
    for (size_t i = p_.piece.axis; i < p_.k.size(); ++i) {
      const int d = p_.k[i];
      const int64_t lhs = stride(d), rhs = p_.rhs_stride[static_cast<size_t>(d)];
      if (i == p_.piece.axis) {
        loops[0] = {p_.piece.length, lhs, rhs};
      } else if (loops.size() > 1 && loops.back().lhs == lhs * extent(d) && loops.back().rhs == rhs * extent(d)) {
        loops.back() = {loops.back().extent * extent(d), lhs, rhs};
      } else {
        loops.push_back({extent(d), lhs, rhs});
      }
    }
    return loops;
  }

  std::set<int64_t> panel_widths() const {
    std::set<int64_t> result;
    for (int64_t columns : {p_.block_n, (p_.N - 1) % p_.block_n + 1}) {
      if (columns >= p_.nr) result.insert(p_.nr);
      if (columns % p_.nr != 0) result.insert(padded(columns % p_.nr));
    }
    return result;
  }
  int64_t padded(int64_t columns) const { return (columns + p_.lanes - 1) / p_.lanes * p_.lanes; }

  void emit_tiles() {
    std::set<int64_t> heights{smaller_tile()};
    if (taller_tiles() > 0) heights.insert(smaller_tile() + 1);
    for (int64_t rows : heights)
      for (int64_t width : panel_widths())
        tiles_[{rows, width}] = emit_window_tile(*context_.function->getParent(),
                                                 {.element = form_.element, .lanes = p_.lanes, .rows = static_cast<int>(rows), .width = width,
                                                  .row_stride = p_.line_stride, .nr = p_.nr, .loops = tile_loops()});
  }

  // ---- the grid

  void emit_block(Value* block) {
    auto* rest = b_.CreateUDiv(block, i64(p_.blocks_m));
    set_rows(b_.CreateURem(block, i64(p_.blocks_m)));
    auto* block_n = b_.CreateURem(rest, i64(p_.blocks_n));
    Value* batch = b_.CreateUDiv(rest, i64(p_.blocks_n));
    for (size_t i = p_.batch.size(); i-- > 0;) {
      auto* index = i == 0 ? batch : b_.CreateURem(batch, i64(extent(p_.batch[i])));
      image_.set_batch(p_.batch[i], index);
      point_.index[static_cast<size_t>(p_.batch[i])] = index;
      batch = b_.CreateUDiv(batch, i64(extent(p_.batch[i])));
    }
    first_column_ = times(block_n, p_.block_n);
    columns_ = p_.N % p_.block_n == 0 ? i64(p_.block_n) : minimum(i64(p_.block_n), b_.CreateSub(i64(p_.N), first_column_));
    if (p_.windows.sums_places) {
      emit_filter_sums();
    } else {
      emit_convolution();
    }
  }

  // The rows of a block: ranges of the outer dims, and where it begins in the line.
  void set_rows(Value* block_m) {
    const int64_t length = p_.block.length, size = p_.row_extents[p_.block.axis], parts = (size + length - 1) / length;
    auto* start = times(b_.CreateURem(block_m, i64(parts)), length);
    Value* singles = b_.CreateUDiv(block_m, i64(parts));
    first_in_line_ = i64(0);
    for (size_t i = 0; i < p_.outer.size(); ++i) range(p_.outer[i]) = {i64(0), i64(extent(p_.outer[i]))};
    if (p_.block.axis < p_.outer.size()) {
      range(p_.outer[p_.block.axis]) = {start, size % length == 0 ? i64(length) : minimum(i64(length), b_.CreateSub(i64(size), start))};
    } else {
      first_in_line_ = start;
    }
    for (size_t i = p_.block.axis; i-- > 0;) {
      range(p_.outer[i]) = {i == 0 ? singles : b_.CreateURem(singles, i64(extent(p_.outer[i]))), i64(1)};
      singles = b_.CreateUDiv(singles, i64(extent(p_.outer[i])));
    }
  }

  // Goes through the stretches of dims, narrowing their ranges.
  template <class F>
  void for_stretches(const std::vector<int>& dims, const Stretch& stretch, size_t i, F body) {
    if (i >= dims.size() || i > stretch.axis) return body();
    const Range all = range(dims[i]);
    auto* end = b_.CreateAdd(all.start, all.count);
    const int64_t length = i < stretch.axis ? 1 : stretch.length;
    auto* constant = llvm::dyn_cast<llvm::ConstantInt>(all.count);
    const bool divides = constant && constant->getSExtValue() % length == 0;
    for_loop(b_, all.start, end, length, [&](Value* at) {
      range(dims[i]) = {at, divides || length == 1 ? i64(length) : minimum(i64(length), b_.CreateSub(end, at))};
      for_stretches(dims, stretch, i + 1, body);
    });
    range(dims[i]) = all;
  }

  // Number of a piece's first summand among all, in the order in which panels hold them.
  Value* summand() {
    Value* sum = i64(0);
    int64_t inner = 1;
    for (size_t i = p_.k.size(); i-- > 0;) {
      sum = b_.CreateAdd(sum, times(range(p_.k[i]).start, inner));
      inner *= extent(p_.k[i]);
    }
    return sum;
  }

  Value* piece_count() { return p_.k.empty() ? i64(1) : range(p_.k[p_.piece.axis]).count; }

  template <class F>
  void for_panels(F body) {
    for_loop(b_, i64(0), columns_, p_.nr, [&](Value* column) {
      const bool even = p_.N % p_.nr == 0 && p_.block_n % p_.nr == 0;
      body(column, even ? i64(p_.nr) : minimum(i64(p_.nr), b_.CreateSub(columns_, column)));
    });
  }

  // ---- rows are places: forward and by the image

  void emit_convolution() {
    if (p_.resident) for_panels([&](Value* column, Value* width) { pack_panel(column, width, panel_at(column)); });
    for_stretches(p_.outer, p_.box, 0, [&] {
      pack_image();
      for_panels([&](Value* column, Value* width) {
        if (!p_.resident && !p_.direct) pack_panel(column, width, panel_at(column));
        for_lines(0, i64(p_.lowest), i64(0), [&](Value* place, Value*) {
          auto* sums = scratch(p_.sums_at);
          for_stretches(p_.k, p_.piece, 0, [&] {
            auto* k = summand();
            Value* from = place;
            for (int d : p_.k) from = b_.CreateAdd(from, times(range(d).start, stride(d)));
            auto* rhs = p_.direct ? right_operand(column) : offset(panel_at(column), times(k, p_.nr));
            run_line(from, rhs, sums, b_.CreateICmpNE(k, i64(0)), width);
          });
          finish_line(column, width, sums);
        });
      });
    });
  }

  Value* panel_at(Value* column) { return offset(scratch(p_.rhs_at), p_.resident ? times(column, p_.K) : i64(0)); }

  // Where it lies, for the current ranges.
  Value* right_operand(Value* column) {
    for (int d : p_.k) point_.index[static_cast<size_t>(d)] = range(d).start;
    point_.index[static_cast<size_t>(p_.n)] = b_.CreateAdd(first_column_, column);
    return point_.address(form_.rhs[0].access.slot, form_.rhs[0].access.at);
  }

  // ---- summed over places: by the filter

  void emit_filter_sums() {
    auto sums_at = [&](Value* column, Value* line) {
      auto* row = b_.CreateAdd(times(b_.CreateUDiv(column, i64(p_.nr)), p_.block_m), times(line, p_.run));
      return offset(scratch(p_.sums_at), times(row, p_.nr));
    };
    for_stretches(p_.k, p_.piece, 0, [&] {
      pack_image();
      auto* adds = b_.CreateICmpNE(summand(), i64(0));
      for_panels([&](Value* column, Value* width) {
        auto* panel = p_.direct ? right_operand(column) : scratch(p_.rhs_at);
        if (!p_.direct) pack_panel(column, width, panel);
        for_lines(0, i64(p_.lowest), i64(0), [&](Value* place, Value* line) { run_line(place, panel, sums_at(column, line), adds, width); });
      });
    });
    for_panels([&](Value* column, Value* width) {
      for_lines(0, i64(p_.lowest), i64(0), [&](Value*, Value* line) { finish_line(column, width, sums_at(column, line)); });
    });
  }

  // The lines of the current ranges: where each lies in the box, and its number.
  template <class F>
  void for_lines(size_t i, Value* place, Value* line, F body) {
    if (i == p_.outer.size()) return body(b_.CreateAdd(place, times(first_in_line_, p_.line_stride)), line);
    const int d = p_.outer[i];
    const Range r = range(d);
    for_loop(b_, i64(0), r.count, 1, [&](Value* at) {
      point_.index[static_cast<size_t>(d)] = b_.CreateAdd(r.start, at);
      auto* lines = b_.CreateAdd(b_.CreateMul(line, r.count), at);
      for_lines(i + 1, b_.CreateAdd(place, times(at, stride(d))), lines, body);
    });
  }

  void run_line(Value* place, Value* panel, Value* sums, Value* adds, Value* width) {
    auto* tile = i64(p_.lanes);
    if (llvm::isa<llvm::ConstantInt>(width)) {
      tile = i64(padded(llvm::cast<llvm::ConstantInt>(width)->getSExtValue()));
    } else {
      tile = b_.CreateAnd(b_.CreateAdd(width, i64(p_.lanes - 1)), i64(-p_.lanes));
    }
    auto* image = scratch(p_.image_at);
    auto call = [&](Value* row, int64_t rows) {
      auto* lhs = offset(image, b_.CreateAdd(place, times(row, p_.line_stride)));
      call_tile(rows, tile, {lhs, panel, offset(sums, times(row, p_.nr)), piece_count(), adds});
    };
    const int64_t taller = taller_tiles(), height = smaller_tile(), end_of_taller = taller * (height + 1);
    if (taller > 0) for_loop(b_, i64(0), i64(end_of_taller), height + 1, [&](Value* row) { call(row, height + 1); });
    for_loop(b_, i64(end_of_taller), i64(p_.run), height, [&](Value* row) { call(row, height); });
  }

  void call_tile(int64_t rows, Value* width, llvm::ArrayRef<Value*> arguments) {
    const std::set<int64_t> widths = panel_widths();
    for (int64_t w : widths) {
      auto* chosen = widths.size() == 1 ? b_.getTrue() : b_.CreateICmpEQ(width, i64(w));
      if_then(b_, chosen, [&] { b_.CreateCall(tiles_.at({rows, w}), arguments); });
    }
  }

  void finish_line(Value* column, Value* width, Value* sums) {
    for_loop(b_, i64(0), i64(p_.run), 1, [&](Value* row) {
      Value* at = b_.CreateAdd(first_in_line_, row);
      const std::vector<int>& line = p_.windows.line;
      for (size_t i = line.size(); i-- > 0;) {
        point_.index[static_cast<size_t>(line[i])] = i == 0 ? at : b_.CreateURem(at, i64(extent(line[i])));
        if (i > 0) at = b_.CreateUDiv(at, i64(extent(line[i])));
      }
      auto* in = offset(sums, times(row, p_.nr));
      for_lanes(width, p_.n, [&](Value* c, const Lanes& lanes) {
        if (p_.n >= 0) point_.index[static_cast<size_t>(p_.n)] = b_.CreateAdd(first_column_, b_.CreateAdd(column, c));
        llvm::Type* type = lanes.width > 1 ? static_cast<llvm::Type*>(vector_) : element_;
        auto* sum = b_.CreateAlignedLoad(type, offset(in, c), align());
        for (const Stmt& s : form_.epilogue)
          if (s.kind == StmtKind::Accumulator) statements_.values[static_cast<size_t>(s.value)] = sum;
        evaluate(form_.epilogue, point_, lanes);
      });
    });
  }

  // ---- the right operand

  // Columns of the right operand, for the summands of the current ranges: [summand][nr].
  void pack_panel(Value* column, Value* width, Value* to) {
    auto* first = b_.CreateAdd(first_column_, column);
    const size_t inner = p_.transposes ? p_.k.size() - 1 : p_.k.size();
    for_summands(0, inner, i64(0), [&](Value* summand) {
      if (p_.transposes) return turn_panel(first, width, offset(to, b_.CreateMul(summand, times(range(p_.k.back()).count, p_.nr))));
      auto* row = offset(to, times(summand, p_.nr));
      for_lanes(width, p_.n, [&](Value* c, const Lanes& lanes) {
        if (p_.n >= 0) point_.index[static_cast<size_t>(p_.n)] = b_.CreateAdd(first, c);
        store_operand(form_.rhs, point_, lanes, offset(row, c));
      });
    });
  }

  template <class F>
  void for_summands(size_t i, size_t end, Value* number, F body) {
    if (i == end) return body(number);
    const int d = p_.k[i];
    const Range r = range(d);
    for_loop(b_, i64(0), r.count, 1, [&](Value* at) {
      point_.index[static_cast<size_t>(d)] = b_.CreateAdd(r.start, at);
      for_summands(i + 1, end, b_.CreateAdd(b_.CreateMul(number, r.count), at), body);
    });
  }

  // All of the last dim of K: rows along it for each column, then turned. Up to `chunk` - 1 rows too many are written over by what follows.
  void turn_panel(Value* first, Value* width, Value* to) {
    const int last = p_.k.back();
    const Range r = range(last);
    auto* rows = scratch(p_.temp_at);
    for_loop(b_, i64(0), width, 1, [&](Value* column) {
      if (p_.n >= 0) point_.index[static_cast<size_t>(p_.n)] = b_.CreateAdd(first, column);
      auto* out = offset(rows, times(column, p_.temp_row));
      for_lanes(r.count, last, [&](Value* k, const Lanes& lanes) {
        point_.index[static_cast<size_t>(last)] = b_.CreateAdd(r.start, k);
        store_operand(form_.rhs, point_, lanes, offset(out, k));
      });
    });
    // Lanes of columns that do not exist are computed and thrown away: zeros, because stray subnormals would be slow.
    auto* end = b_.CreateAnd(b_.CreateAdd(width, i64(p_.lanes - 1)), i64(-p_.lanes));
    for_loop(b_, width, end, 1, [&](Value* row) {
      b_.CreateMemSet(offset(rows, times(row, p_.temp_row)), b_.getInt8(0), times(r.count, bytes_), llvm::Align(4));
    });
    transpose(b_, element_, p_.lanes, {rows, p_.temp_row, end, r.count}, true, to, p_.nr);
  }

  ImagePacker image_;
  IndexPoint point_;
  std::map<std::pair<int64_t, int64_t>, llvm::Function*> tiles_;  // by rows, columns
  // Where the emitted code is.
  std::vector<Range> ranges_;  // by dim
  Value *first_in_line_ = nullptr, *first_column_ = nullptr, *columns_ = nullptr;
};

}  // namespace

void emit_window_contraction(const Contraction& contraction, const WindowPlan& plan, BodyContext& context) {
  WindowEmitter(contraction, plan, context).emit();
}

}  // namespace gradc
