#include "compiler/schedule/access.h"

#include <algorithm>

namespace gradc::scheduling {

Affine fixed(size_t dims, int64_t value) { return {value, std::vector<int64_t>(dims, 0)}; }

Affine along(size_t dims, size_t dim) {
  Affine a = fixed(dims, 0);
  a.strides[dim] = 1;
  return a;
}

Affine scaled(Affine a, int64_t scale, int64_t offset) {
  a.offset = a.offset * scale + offset;
  for (int64_t& s : a.strides) s *= scale;
  return a;
}

Affine sum(Affine a, const Affine& b, int64_t scale) {
  a.offset += b.offset * scale;
  for (size_t d = 0; d < a.strides.size(); ++d) a.strides[d] += b.strides[d] * scale;
  return a;
}

namespace {

AxisIndex scaled(AxisIndex i, int64_t scale, int64_t offset) {
  i.at = scheduling::scaled(std::move(i.at), scale, offset);
  for (Indirect& p : i.picks) p.stride *= scale;
  return i;
}

void add(AxisIndex& to, const AxisIndex& i, int64_t scale) {
  to.at = sum(std::move(to.at), i.at, scale);
  for (Indirect p : i.picks) {
    p.stride *= scale;
    to.picks.push_back(p);
  }
}

// Splits flat = size * quotient + remainder with 0 <= remainder < size at every point, by sorting the terms.
struct Split {
  Affine quotient, remainder;
};
std::optional<Split> split(const Affine& flat, int64_t size, const std::vector<int64_t>& extents) {
  size_t n = flat.strides.size();
  Split s{fixed(n, 0), fixed(n, 0)};
  if (flat.offset < 0) return {};
  s.quotient.offset = flat.offset / size;
  s.remainder.offset = flat.offset % size;
  int64_t highest = s.remainder.offset;
  for (size_t d = 0; d < n; ++d) {
    int64_t stride = flat.strides[d];
    if (stride % size == 0) {
      s.quotient.strides[d] = stride / size;
    } else {
      if (stride < 0) return {};
      s.remainder.strides[d] = stride;
      highest += stride * (extents[d] - 1);
    }
  }
  if (highest >= size) return {};
  return s;
}

}  // namespace

Place place_along(size_t kernel_dims, const std::vector<int>& dims) {
  Place p;
  for (int d : dims) p.axes.push_back({d < 0 ? fixed(kernel_dims, 0) : along(kernel_dims, static_cast<size_t>(d)), {}});
  return p;
}

Place through_view(const Place& p, const std::vector<ViewTerm>& terms, size_t kernel_dims) {
  Place out;
  out.guards = p.guards;
  for (const ViewTerm& t : terms) {
    if (t.axis < 0) {
      out.axes.push_back({fixed(kernel_dims, t.offset), {}});
    } else {
      out.axes.push_back(scaled(p.axes[static_cast<size_t>(t.axis)], t.scale, t.offset));
    }
    if (t.by >= 0) add(out.axes.back(), p.axes[static_cast<size_t>(t.by)], t.by_scale);
  }
  return out;
}

std::optional<Place> through_reshape(const Place& p, const Type& result, const Type& operand, const std::vector<int64_t>& extents) {
  size_t n = extents.size(), out = 0;
  Place to;
  to.guards = p.guards;
  to.axes.assign(operand.rank(), {fixed(n, 0), {}});
  if (operand.count() == 0) return to;
  // Runs of axes with the same number of elements on both sides correspond; each is flattened and split again.
  for (size_t in = 0; in < operand.rank();) {
    size_t first = in, from = out;
    int64_t have = operand.size(in++), want = 1;
    while (want != have || (out < result.rank() && result.size(out) == 1)) {
      if (want < have || want == have) {
        want *= result.size(out++);
      } else {
        have *= operand.size(in++);
      }
    }
    AxisIndex run{fixed(n, 0), {}};
    int64_t stride = 1;
    for (size_t i = out; i-- > from; stride *= result.size(i)) add(run, p.axes[i], stride);
    for (size_t i = in; i-- > first;) {
      int64_t size = operand.size(i);
      if (size == 1) continue;
      if (size == have) {
        to.axes[i] = run;
        break;
      }
      if (!run.picks.empty()) return {};
      std::optional<Split> s = split(run.at, size, extents);
      if (!s) return {};
      to.axes[i].at = s->remainder;
      run.at = s->quotient;
      have /= size;
    }
  }
  return to;
}

AxisIndex flat(const Place& p, const Type& type, size_t kernel_dims) { return flat(p, type, type.strides(), kernel_dims); }

AxisIndex flat(const Place& p, const Type& type, const std::vector<int64_t>& strides, size_t kernel_dims) {
  AxisIndex out{fixed(kernel_dims, 0), {}};
  for (size_t i = 0; i < p.axes.size(); ++i) {
    if (type.size(i) > 1) add(out, p.axes[i], strides[i]);
  }
  return out;
}

bool through_window(Place& p, size_t axis, int64_t low, int64_t size) {
  AxisIndex& index = p.axes[axis];
  if (!index.picks.empty()) return false;
  index.at.offset -= low;
  p.guards.push_back({index.at, size, 1});
  return true;
}

std::optional<std::vector<int>> plain_dims(const Place& p) {
  if (!p.guards.empty()) return {};
  std::vector<int> dims;
  for (const AxisIndex& i : p.axes) {
    if (!i.picks.empty() || i.at.offset != 0) return {};
    int dim = -1;
    for (size_t d = 0; d < i.at.strides.size(); ++d) {
      if (i.at.strides[d] == 0) continue;
      if (dim >= 0 || i.at.strides[d] != 1) return {};
      dim = static_cast<int>(d);
    }
    if (dim >= 0 && std::find(dims.begin(), dims.end(), dim) != dims.end()) return {};
    dims.push_back(dim);
  }
  return dims;
}

PlaceKey key_of(NodeId node, const Place& p) {
  PlaceKey key{node.index};
  auto affine = [&](const Affine& a) {
    key.push_back(a.offset);
    key.insert(key.end(), a.strides.begin(), a.strides.end());
  };
  for (const AxisIndex& i : p.axes) {
    affine(i.at);
    key.push_back(static_cast<int64_t>(i.picks.size()));
    for (const Indirect& pick : i.picks) key.insert(key.end(), {pick.index, pick.stride, pick.limit});
  }
  for (const Guard& g : p.guards) {
    affine(g.at);
    key.insert(key.end(), {g.limit, g.step});
  }
  return key;
}

}  // namespace gradc::scheduling
