#include "compiler/codegen/contraction_window_plan.h"

#include <algorithm>

#include "compiler/codegen/rounding.h"

namespace gradc {
namespace {

class Planner {
 public:
  Planner(const Contraction& c, const Target& target) : c_(c), target_(target), bytes_(static_cast<int64_t>(byte_size(c.element))) {}

  std::optional<WindowPlan> run() {
    auto windows = find_windows(c_);
    if (!windows) return {};
    p_.windows = std::move(*windows);
    collect_dims();
    if (p_.M * p_.N * p_.K == 0 || !choose_blocks()) return {};
    choose_tile();
    if (p_.N <= p_.lanes / 4) return {};  // the other way round, rows fill the lanes

    choose_pieces();
    if (!lay_out_box()) return {};
    choose_rhs();
    place_scratch();
    return std::move(p_);
  }

 private:
  int64_t extent(int dim) const { return c_.dims[static_cast<size_t>(dim)].extent; }
  std::vector<int64_t> extents(const std::vector<int>& dims) const {
    std::vector<int64_t> result;
    for (int d : dims) result.push_back(extent(d));
    return result;
  }

  void collect_dims() {
    for (size_t i = 0; i < c_.dims.size(); ++i) {
      const int d = static_cast<int>(i);
      const int64_t size = extent(d);
      switch (c_.roles[i]) {
        case DimRole::Batch: p_.batches *= size; break;
        case DimRole::M: p_.M *= size; break;
        case DimRole::N: p_.N *= size; break;
        case DimRole::K: p_.K *= size; break;
      }
      if (size == 1) continue;
      const std::vector<int>& line = p_.windows.line;
      if (c_.roles[i] == DimRole::Batch) p_.batch.push_back(d);
      if (c_.roles[i] == DimRole::N) p_.n = d;
      if (c_.roles[i] == DimRole::K) p_.k.push_back(d);
      if (c_.roles[i] == DimRole::M && std::find(line.begin(), line.end(), d) == line.end()) p_.outer.push_back(d);
    }
    p_.row_extents = extents(p_.outer);
    p_.row_extents.push_back(p_.windows.line_extent);
  }

  bool choose_blocks() {
    p_.block_m = std::clamp<int64_t>(c_.block_m, 1, p_.M);
    p_.block_n = std::clamp<int64_t>(c_.block_n, 1, p_.N);
    p_.blocks_m = ceil_div(p_.M, p_.block_m);
    p_.blocks_n = ceil_div(p_.N, p_.block_n);
    auto block = stretch_of(p_.row_extents, p_.block_m);
    if (!block) return false;
    p_.block = *block;
    p_.run = p_.block.axis == p_.outer.size() ? p_.block.length : p_.windows.line_extent;
    return p_.windows.line_extent % p_.run == 0;
  }

  void choose_tile() {
    p_.lanes = static_cast<int>(target_.vector_bytes / bytes_);
    p_.nr = std::min(round_up(std::max<int64_t>(c_.nr, 1), p_.lanes), round_up(p_.N, p_.lanes));
    p_.nr = std::min<int64_t>(p_.nr, target_.vector_registers / 4 * p_.lanes);
    const int64_t vectors = p_.nr / p_.lanes;
    p_.mr = std::clamp<int64_t>((target_.vector_registers - vectors - 1) / vectors, 1, std::max<int64_t>(c_.mr, 1));
    p_.mr = std::min(p_.mr, p_.run);
  }

  void choose_pieces() {
    p_.piece = longest_stretch(extents(p_.k), std::max<int64_t>(c_.kc, 1));
    p_.pieces = 1, p_.piece_terms = p_.k.empty() ? 1 : p_.piece.length;
    for (size_t i = 0; i < p_.k.size(); ++i) {
      if (i < p_.piece.axis) p_.pieces *= extent(p_.k[i]);
      if (i == p_.piece.axis) p_.pieces *= ceil_div(extent(p_.k[i]), p_.piece.length);
      if (i > p_.piece.axis) p_.piece_terms *= extent(p_.k[i]);
    }
    // About as many rows of the image as half of L2 holds.
    int64_t per_row = bytes_;
    for (const ImageAxis& a : p_.windows.axes) {
      if (a.m < 0 || std::find(p_.outer.begin(), p_.outer.end(), a.m) == p_.outer.end()) {
        per_row *= (a.m >= 0 ? std::abs(a.m_step) * (extent(a.m) - 1) : 0) + (a.k >= 0 ? std::abs(a.k_step) * (extent(a.k) - 1) : 0) + 1;
      }
    }
    p_.box = longest_stretch(extents(p_.outer), std::max<int64_t>(1, target_.l2_bytes / 4 / std::max<int64_t>(per_row, 1)));
    if (p_.block.axis < p_.outer.size()) {
      if (p_.block.axis > p_.box.axis) p_.box = p_.block;
      if (p_.block.axis == p_.box.axis) p_.box.length = std::min(p_.box.length, p_.block.length);
    } else if (!p_.outer.empty()) {
      p_.box = {p_.outer.size() - 1, 1};
    }
  }

  // How many indices of a dim one box covers, and whether that may be fewer at the end.
  int64_t covered(int dim, bool& ragged) const {
    auto within = [&](const std::vector<int>& dims, const Stretch& stretch) {
      const auto i = static_cast<size_t>(std::find(dims.begin(), dims.end(), dim) - dims.begin());
      if (i < stretch.axis) return int64_t{1};
      if (i > stretch.axis) return extent(dim);
      const bool rest_of_block = &dims == &p_.outer && p_.block.axis == stretch.axis && p_.block.length % stretch.length != 0;
      ragged = rest_of_block || extent(dim) % stretch.length != 0;
      return stretch.length;
    };
    ragged = false;
    if (std::find(p_.outer.begin(), p_.outer.end(), dim) != p_.outer.end()) {
      return within(p_.outer, p_.windows.sums_places ? p_.block : p_.box);
    }
    const bool summed = std::find(p_.k.begin(), p_.k.end(), dim) != p_.k.end();
    return summed && p_.windows.sums_places ? within(p_.k, p_.piece) : extent(dim);
  }

  bool lay_out_box() {
    const auto& axes = p_.windows.axes;
    p_.axis_stride.assign(axes.size(), 1);
    p_.axis_extent.assign(axes.size(), 1);
    p_.dim_stride.assign(c_.dims.size(), 0);
    int64_t stride = 1;
    for (size_t i = axes.size(); i-- > 0;) {
      const ImageAxis& a = axes[i];
      p_.axis_stride[i] = stride;
      for (int d : {a.m, a.k}) {
        if (d < 0) continue;
        bool ragged = false;
        const int64_t reach = a.step_of(d) * (covered(d, ragged) - 1);
        if (ragged && a.step_of(d) < 0) return false;  // the box would begin elsewhere
        p_.axis_extent[i] += std::abs(reach);
        p_.lowest += std::max<int64_t>(0, -reach) * stride;
        p_.dim_stride[static_cast<size_t>(d)] = a.step_of(d) * stride;
      }
      stride *= p_.axis_extent[i];
    }
    const std::vector<int>& line = p_.windows.line;
    p_.line_stride = line.empty() ? 0 : p_.dim_stride[static_cast<size_t>(line.back())];
    for (size_t i = 0; i + 1 < line.size(); ++i) {
      if (p_.dim_stride[static_cast<size_t>(line[i])] != p_.dim_stride[static_cast<size_t>(line[i + 1])] * extent(line[i + 1])) return false;
    }
    return true;
  }

  void choose_rhs() {
    int64_t along_n = 0, along_k = 0;
    for (const Stmt& s : c_.rhs) {
      if (s.kind != StmtKind::Load) continue;
      if (p_.n >= 0) along_n += s.access.at.strides[static_cast<size_t>(p_.n)] == 1;
      if (!p_.k.empty()) along_k += s.access.at.strides[static_cast<size_t>(p_.k.back())] == 1;
    }
    p_.transposes = along_k > along_n;
    p_.direct = lies_ready();
    p_.rhs_stride.assign(c_.dims.size(), 0);
    int64_t row = p_.nr;
    for (size_t i = p_.k.size(); i-- > 0;) {
      const auto d = static_cast<size_t>(p_.k[i]);
      p_.rhs_stride[d] = p_.direct ? c_.rhs[0].access.at.strides[d] : row;
      row *= i == p_.piece.axis ? p_.piece.length : extent(p_.k[i]);
    }
    p_.resident = !p_.direct && !p_.windows.sums_places && p_.K * round_up(p_.block_n, p_.nr) * bytes_ <= target_.l2_bytes;
  }

  // Nothing but a load, of rows as long as a panel is wide, or read by few tiles.
  bool lies_ready() const {
    if (c_.rhs.size() != 2 || c_.rhs[0].kind != StmtKind::Load || c_.rhs[1].kind != StmtKind::Yield || p_.n < 0 || p_.N % p_.lanes != 0) return false;
    const Access& a = c_.rhs[0].access;
    if (!a.guards.empty() || !a.indirect.empty() || c_.rhs[0].type != c_.element || a.at.strides[static_cast<size_t>(p_.n)] != 1) return false;
    return p_.N == p_.nr || p_.block_m <= 4 * p_.mr;
  }

  void place_scratch() {
    const int64_t line = 64;
    int64_t at = 0;
    auto take = [&](int64_t elements) {
      const int64_t begin = at;
      at = round_up(at + elements * bytes_, 4 * line);
      return begin;
    };
    int64_t image = 1;
    for (int64_t e : p_.axis_extent) image *= e;
    const int64_t columns = round_up(p_.block_n, p_.nr), chunk = std::max<int64_t>(1, 16 / bytes_);
    p_.image_at = take(image + p_.lanes);
    const int64_t terms = p_.windows.sums_places ? p_.piece_terms : p_.K;
    if (!p_.direct) p_.rhs_at = take((terms + chunk) * (p_.resident ? columns : p_.nr));
    if (p_.transposes && !p_.direct) {
      p_.temp_row = round_up(extent(p_.k.back()) + p_.lanes, p_.lanes) + line / bytes_;
      p_.temp_at = take(p_.nr * p_.temp_row);
    }
    p_.sums_at = take(p_.windows.sums_places ? p_.block_m * columns : p_.run * p_.nr);
    p_.bytes = at;
  }

  const Contraction& c_;
  const Target& target_;
  const int64_t bytes_;
  WindowPlan p_;
};

}  // namespace

std::optional<WindowPlan> plan_windows(const Contraction& contraction, const Target& target) { return Planner(contraction, target).run(); }

}  // namespace gradc
