#include <algorithm>

#include "compiler/schedule/build.h"

namespace gradc::scheduling {
namespace {

constexpr int64_t copy_weighs = 16;    // products that take as long as copying an element
constexpr int64_t summands_in_turn = 256;  // in one register: then it is added to what is there

class Chooser {
 public:
  Chooser(const Target& target, const Contraction& form, const Windows& windows, int64_t filter_blocks)
      : target_(target), form_(form), windows_(windows), filter_blocks_(filter_blocks) {
    for (size_t d = 0; d < form.dims.size(); ++d) {
      const int64_t size = form.dims[d].extent;
      (form.roles[d] == DimRole::Batch ? batch_ : form.roles[d] == DimRole::M ? m_ : form.roles[d] == DimRole::N ? n_ : k_) *= size;
      const bool in_line = std::find(windows.line.begin(), windows.line.end(), static_cast<int>(d)) != windows.line.end();
      if (form.roles[d] == DimRole::M && size > 1 && !in_line) outer_.push_back(size);
    }
  }

  Tiles run() {
    choose_registers();
    t_.kc = summands_in_turn;
    t_.block_m = m_, t_.block_n = n_;
    if (windows_.sums_places) {
      divide_filter();
    } else {
      divide_places();
    }
    t_.mr = tile_height(t_.block_m % windows_.line_extent == 0 ? windows_.line_extent : t_.block_m);
    return t_;
  }

 private:
  int64_t bytes() const { return static_cast<int64_t>(byte_size(form_.element)); }

  // Vectors of columns so that no panel is narrower than the others, and rows for the registers left.
  void choose_registers() {
    const int64_t lanes = std::max<int64_t>(1, target_.vector_bytes / bytes());
    const int64_t registers = target_.vector_registers, columns = ceil_div(std::max<int64_t>(n_, 1), lanes);
    vectors_ = columns == 1 ? 1 : columns % 2 == 0 ? 2 : columns % 3 == 0 ? 3 : 2;
    if (registers < 32 && columns % 3 == 0) vectors_ = 3;
    most_rows_ = std::min<int64_t>((registers - vectors_ - 1) / vectors_, 24);
    t_.nr = vectors_ * lanes;
  }

  // Of a line: a height that divides it, if that leaves few registers idle; else about equal heights.
  int64_t tile_height(int64_t line) const {
    for (int64_t rows = std::min(most_rows_, line); 3 * rows >= 2 * std::min(most_rows_, line); --rows) {
      if (line % rows == 0) return rows;
    }
    return ceil_div(line, ceil_div(line, most_rows_));
  }

  int64_t wanted() const {
    const double products = static_cast<double>(m_) * static_cast<double>(n_) * static_cast<double>(k_);
    return std::clamp<int64_t>(static_cast<int64_t>(products / products_per_block), 1, ceil_div(most_grid_blocks, batch_));
  }

  // Whole images to a block, or else parts of one.
  void divide_places() {
    while (k_ * round_up(t_.block_n, t_.nr) * bytes() > target_.l2_bytes / 2 && t_.block_n > t_.nr) t_.block_n = round_up(ceil_div(t_.block_n, 2), t_.nr);
    int64_t blocks = std::max<int64_t>(1, wanted() / ceil_div(n_, t_.block_n)), inner = windows_.line_extent;
    for (size_t i = 1; i < outer_.size(); ++i) inner *= outer_[i];
    if (outer_.empty()) return;
    if (blocks <= outer_[0]) {
      t_.block_m = ceil_div(outer_[0], blocks) * inner;
      return;
    }
    t_.block_m = inner;
    blocks = ceil_div(blocks, outer_[0]);
    for (size_t i = 1; i < outer_.size() && blocks > 1; ++i) {
      inner /= outer_[i];
      int64_t rows = ceil_div(outer_[i], blocks);
      while (outer_[i] % rows != 0) ++rows;
      t_.block_m = rows * inner;
      blocks = ceil_div(blocks, outer_[i]);
    }
  }

  // Columns first, then rows of the filter, then parts of its lines.
  void divide_filter() {
    const int64_t target_blocks = std::min(filter_blocks_, wanted());
    auto blocks = [&] { return batch_ * ceil_div(m_, t_.block_m) * ceil_div(n_, t_.block_n); };
    const int64_t line = windows_.line_extent, height = tile_height(line);
    std::vector<int64_t> sizes;  // of blocks of rows, falling
    int64_t size = m_;
    for (int64_t e : outer_) sizes.push_back(size /= e);
    for (int64_t parts = 2; line / parts >= height; ++parts) {
      if (line % parts == 0 && line / parts % height == 0) sizes.push_back(line / parts);
    }
    auto too_large = [&] { return t_.block_m * round_up(t_.block_n, t_.nr) * bytes() > target_.l2_bytes / 2; };
    for (size_t next = 0; blocks() < target_blocks || too_large();) {
      const bool columns = t_.block_n > t_.nr, rows = next < sizes.size() && sizes[next] * t_.block_n >= copy_weighs * elements_of_place();
      const bool enough = rows && blocks() * t_.block_m / sizes[next] >= target_blocks;
      if (columns && !enough) {
        t_.block_n = round_up(ceil_div(t_.block_n, 2), t_.nr);
      } else if (rows) {
        t_.block_m = sizes[next++];
      } else {
        return;
      }
    }
  }

  // Of the image, for each place that is summed.
  int64_t elements_of_place() const {
    int64_t elements = 1;
    for (const ImageAxis& a : windows_.axes) {
      if (a.window()) elements *= std::abs(a.k_step);
      if (a.m >= 0 && a.k < 0) elements *= form_.dims[static_cast<size_t>(a.m)].extent;
    }
    return elements;
  }

  const Target& target_;
  const Contraction& form_;
  const Windows& windows_;
  int64_t filter_blocks_;
  std::vector<int64_t> outer_;  // extents
  int64_t batch_ = 1, m_ = 1, n_ = 1, k_ = 1, vectors_ = 1, most_rows_ = 1;
  Tiles t_{};
};

}  // namespace

Tiles choose_window_tiles(const Target& target, const Contraction& form, const Windows& windows, int64_t filter_blocks) {
  return Chooser(target, form, windows, filter_blocks).run();
}

}  // namespace gradc::scheduling
