#include "compiler/schedule/windows.h"

#include <algorithm>
#include <numeric>

namespace gradc {
namespace {

using Column = std::vector<int64_t>;

class Finder {
 public:
  explicit Finder(const Contraction& c) : c_(c) {
    for (const Stmt& s : c.lhs) {
      if (s.kind == StmtKind::Load && !first_) first_ = &s.access.at;
      add(s.access.at);
      for (const Guard& g : s.access.guards) add(g.at);
    }
  }

  std::optional<Windows> run() {
    if (!first_ || !is_float(c_.element) || dims_of(DimRole::N).size() > 1) return {};
    pair_up();
    if (std::none_of(w_.axes.begin(), w_.axes.end(), [](const ImageAxis& a) { return a.window(); })) return {};
    add_lone_axes();
    std::stable_sort(w_.axes.begin(), w_.axes.end(), [](const ImageAxis& a, const ImageAxis& b) { return a.stride > b.stride; });
    int64_t rows = 1, summed = 1;
    for (const ImageAxis& a : w_.axes) {
      if (!a.window()) continue;
      rows *= extent(a.m);
      summed *= extent(a.k);
    }
    w_.sums_places = summed > rows;
    find_line();
    return std::move(w_);
  }

 private:
  void add(const Affine& at) {
    if (!at.strides.empty()) forms_.push_back(&at);
  }
  int64_t extent(int dim) const { return c_.dims[static_cast<size_t>(dim)].extent; }

  std::vector<int> dims_of(DimRole role) const {
    std::vector<int> dims;
    for (size_t d = 0; d < c_.dims.size(); ++d) {
      if (c_.roles[d] == role && c_.dims[d].extent > 1) dims.push_back(static_cast<int>(d));
    }
    return dims;
  }

  Column column(int dim) const {
    Column result;
    for (const Affine* f : forms_) result.push_back(f->strides[static_cast<size_t>(dim)]);
    return result;
  }

  // Where every index moves along m and k in one ratio, they are one place: and a window, if places meet.
  std::optional<ImageAxis> pair(int m, int k) const {
    const Column of_m = column(m), of_k = column(k);
    int64_t a = 0, b = 0;
    for (size_t i = 0; i < of_m.size(); ++i) {
      if ((of_m[i] == 0) != (of_k[i] == 0)) return {};
      if (of_m[i] == 0) continue;
      const int64_t divisor = std::gcd(of_m[i], of_k[i]);
      if (a == 0) a = of_m[i] / divisor, b = of_k[i] / divisor;
      if (of_m[i] * b != of_k[i] * a) return {};
    }
    if (a == 0) return {};
    int64_t stride = first_->strides[static_cast<size_t>(m)] / a;
    if (stride < 0) a = -a, b = -b, stride = -stride;
    const int64_t places = std::abs(a) * (extent(m) - 1) + std::abs(b) * (extent(k) - 1) + 1;
    if (stride == 0 || places >= extent(m) * extent(k)) return {};
    return ImageAxis{.m = m, .k = k, .m_step = a, .k_step = b, .stride = stride};
  }

  void pair_up() {
    std::vector<int> ks = dims_of(DimRole::K);
    for (int m : dims_of(DimRole::M)) {
      for (size_t i = 0; i < ks.size(); ++i) {
        auto axis = pair(m, ks[i]);
        if (!axis) continue;
        w_.axes.push_back(*axis);
        ks.erase(ks.begin() + static_cast<std::ptrdiff_t>(i));
        break;
      }
    }
  }

  bool moves(int dim) const {
    const Column c = column(dim);
    return std::any_of(c.begin(), c.end(), [](int64_t stride) { return stride != 0; });
  }

  void add_lone_axes() {
    const size_t pairs = w_.axes.size();
    for (DimRole role : {DimRole::M, DimRole::K}) {
      for (int d : dims_of(role)) {
        if (!moves(d) || std::any_of(w_.axes.begin(), w_.axes.begin() + static_cast<std::ptrdiff_t>(pairs),
                                     [&](const ImageAxis& a) { return a.m == d || a.k == d; })) {
          continue;
        }
        const int64_t stride = first_->strides[static_cast<size_t>(d)], sign = stride < 0 ? -1 : 1;
        ImageAxis axis{.stride = std::abs(stride)};
        (role == DimRole::M ? axis.m : axis.k) = d;
        (role == DimRole::M ? axis.m_step : axis.k_step) = sign;
        w_.axes.push_back(axis);
      }
    }
  }

  // Elements of the whole image between neighbours along a dim.
  int64_t image_stride(int dim) const {
    int64_t stride = 1, result = 0;
    for (size_t i = w_.axes.size(); i-- > 0;) {
      const ImageAxis& a = w_.axes[i];
      result += a.step_of(dim) * stride;
      stride *= (a.m >= 0 ? std::abs(a.m_step) * (extent(a.m) - 1) : 0) + (a.k >= 0 ? std::abs(a.k_step) * (extent(a.k) - 1) : 0) + 1;
    }
    return result;
  }

  void find_line() {
    std::vector<int> rows = dims_of(DimRole::M);
    while (!rows.empty()) {
      const int d = rows.back();
      if (!w_.line.empty() && image_stride(d) != image_stride(w_.line.front()) * extent(w_.line.front())) break;
      w_.line.insert(w_.line.begin(), d);
      w_.line_extent *= extent(d);
      rows.pop_back();
    }
  }

  const Contraction& c_;
  const Affine* first_ = nullptr;
  std::vector<const Affine*> forms_;  // all that the operand depends on
  Windows w_;
};

}  // namespace

std::optional<Windows> find_windows(const Contraction& contraction) { return Finder(contraction).run(); }

std::optional<Stretch> stretch_of(const std::vector<int64_t>& extents, int64_t count) {
  for (size_t i = extents.size(); i-- > 0;) {
    if (i == 0) return Stretch{0, std::min(count, extents[0])};
    if (count % extents[i] == 0) {
      count /= extents[i];
      if (count == 1) return Stretch{i, extents[i]};
      continue;
    }
    if (extents[i] % count != 0) return {};
    return Stretch{i, count};
  }
  return count == 1 ? std::optional(Stretch{}) : std::nullopt;
}

Stretch longest_stretch(const std::vector<int64_t>& extents, int64_t most) {
  int64_t inner = 1;
  for (size_t i = extents.size(); i-- > 0;) {
    if (i > 0 && inner * extents[i] <= most) {
      inner *= extents[i];
      continue;
    }
    const int64_t longest = std::clamp<int64_t>(most / inner, 1, extents[i]);
    const int64_t parts = (extents[i] + longest - 1) / longest;
    return {i, (extents[i] + parts - 1) / parts};
  }
  return {};
}

}  // namespace gradc
