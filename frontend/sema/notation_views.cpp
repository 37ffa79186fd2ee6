// Reads in index notation as views: x[n, i + u - 1] has an axis for each of n, i and u.
#include <algorithm>

#include "frontend/sema/notation.h"

namespace gradc::sema {
namespace {

// One axis of the tensor that is read. `main` is the index that the axis itself counts; the others skew it.
struct Axis {
  Affine at;
  Label main = -1;
  int64_t stride = 1, count = 1;  // of main
  bool late = false;              // skewed by an axis that is a window itself

  std::vector<Affine::Term> others() const {
    std::vector<Affine::Term> out;
    std::copy_if(at.terms.begin(), at.terms.end(), std::back_inserter(out), [&](const Affine::Term& t) { return t.label != main; });
    return out;
  }
};

}  // namespace

Labelled Notation::view(const Read& read, const ast::Expr& at) {
  At here(sema_, at.span);
  Expr x = sema_.expr(read.base, at.span);
  const ast::Index& syntax = *at.as<ast::Index>();
  std::vector<Axis> axes;
  for (const Affine& f : read.axes) axes.push_back({.at = f});

  // Who owns which index: axes with a plain index first, then free indices before summed ones.
  std::vector<Label> owned;
  for (Axis& a : axes) {
    if (a.at.plain() && position(owned, a.at.terms[0].label) < 0) owned.push_back(a.main = a.at.terms[0].label);
  }
  if (owned.size() == axes.size()) return {read.base, owned};  // nothing but names
  std::vector<Label> plain = owned, added;
  for (Axis& a : axes) {
    if (a.main >= 0) continue;
    for (int pass = 0; pass < 2 && a.main < 0; ++pass) {
      for (const Affine::Term& t : a.at.terms) {
        if (a.main < 0 && position(owned, t.label) < 0 && (pass == 1 || !info(t.label).summed)) a.main = t.label;
      }
    }
    for (const Affine::Term& t : a.at.terms) {
      if (t.label == a.main) continue;
      if (position(owned, t.label) < 0) owned.push_back(t.label), added.push_back(t.label);
      a.late = a.late || (position(plain, t.label) < 0 && position(added, t.label) < 0);
    }
    if (a.main >= 0) owned.push_back(a.main);
    a.late = a.late || a.main < 0;
  }

  // Constants are cut out, backward indices reversed, what is read outside is 0.
  std::vector<int64_t> starts(x.rank(), 0), limits = x.sizes(), backward, low(x.rank(), 0), high(x.rank(), 0);
  std::vector<Dim> wide = x.type().dims;
  for (size_t i = 0; i < axes.size(); ++i) {
    Affine& f = axes[i].at;
    int64_t extent = x.size(i);
    if (f.terms.empty()) {
      if (f.offset < 0) f.offset += extent;
      if (f.offset < 0 || f.offset >= extent) {
        sema_.report(DiagnosticKind::SliceOutOfRange, f.span, sema_.quote(f.span), sema_.quote(syntax.base->span), extent);
        sema_.abort();
      }
      starts[i] = f.offset, limits[i] = f.offset + 1;
      f.offset = 0;
      continue;
    }
    int64_t lowest = f.offset, highest = f.offset;
    for (const Affine::Term& t : f.terms) {
      int64_t far = t.scale * (size(t.label) - 1);
      (far < 0 ? lowest : highest) += far;
    }
    if (highest < 0 || lowest >= extent) {
      Diagnostic& d = sema_.report(DiagnosticKind::WindowOutOfRange, f.span, sema_.quote(f.span), lowest, highest, sema_.quote(syntax.base->span), i, extent);
      sema_.note_origin(d, read.base, syntax.base->span);
      sema_.abort();
    }
    auto main = std::find_if(f.terms.begin(), f.terms.end(), [&](const Affine::Term& t) { return t.label == axes[i].main; });
    if (main != f.terms.end() && main->scale < 0) {
      backward.push_back(static_cast<int64_t>(i));
      for (Affine::Term& t : f.terms) t.scale = -t.scale;
      f.offset = extent - 1 - f.offset;
      std::tie(lowest, highest) = std::pair(extent - 1 - highest, extent - 1 - lowest);
    }
    low[i] = std::max<int64_t>(0, -lowest);
    high[i] = std::max<int64_t>(0, highest - extent + 1);
    f.offset += low[i];
    wide[i].size += low[i] + high[i];
    if (main != f.terms.end()) axes[i].stride = main->scale, axes[i].count = size(main->label);
  }
  sema_.check_size(wide, at.span);
  x = slice(x, starts, limits);
  if (!backward.empty()) x = reverse(x, backward);
  x = pad(x, low, high);

  // New axes for indices that skew and own none, behind the last window.
  std::vector<Label> labels;
  size_t behind = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    labels.push_back(axes[i].main);
    if (!axes[i].at.plain()) behind = i + 1;
  }
  std::vector<int64_t> places, sizes = x.sizes();
  for (size_t i = 0; i < x.rank(); ++i) places.push_back(static_cast<int64_t>(i < behind ? i : i + added.size()));
  for (size_t k = 0; k < added.size(); ++k) {
    labels.insert(labels.begin() + static_cast<std::ptrdiff_t>(behind + k), added[k]);
    sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(behind + k), size(added[k]));
  }
  std::vector<Dim> shape;
  for (int64_t s : sizes) shape.push_back({s, {}});
  sema_.check_size(shape, at.span);
  x = broadcast(x, places, sizes);

  // Skews and strides: all that depend on axes in their final form at once, the others one after the other.
  auto finish = [&](const std::vector<size_t>& which) {
    size_t rounds = 0;
    for (size_t i : which) rounds = std::max(rounds, axes[i].others().size());
    for (size_t r = 0; r < rounds; ++r) {
      std::vector<int64_t> skewed, by, steps, begin, width;
      for (size_t i : which) {
        Axis& a = axes[i];
        std::vector<Affine::Term> others = a.others();
        if (r >= others.size()) continue;
        int64_t lowest = 0, highest = (a.count - 1) * a.stride;  // of what is left after this skew
        for (size_t k = r + 1; k < others.size(); ++k) {
          int64_t far = others[k].scale * (size(others[k].label) - 1);
          (far < 0 ? lowest : highest) += far;
        }
        skewed.push_back(places[i]);
        by.push_back(position(labels, others[r].label));
        steps.push_back(others[r].scale);
        begin.push_back(a.at.offset + lowest);
        width.push_back(highest - lowest + 1);
        a.at.offset = -lowest;
      }
      x = skew(x, skewed, by, steps, begin, width);
    }
    std::vector<int64_t> from(x.rank(), 0), to = x.sizes(), strides(x.rank(), 1);
    for (size_t i : which) {
      auto axis = static_cast<size_t>(places[i]);
      from[axis] = axes[i].at.offset;
      to[axis] = from[axis] + (axes[i].count - 1) * axes[i].stride + 1;
      strides[axis] = axes[i].stride;
    }
    x = slice(x, from, to, strides);
  };
  std::vector<size_t> early;
  for (size_t i = 0; i < axes.size(); ++i) {
    if (!axes[i].at.terms.empty() && !axes[i].late) early.push_back(i);
  }
  finish(early);
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i].late && !axes[i].at.terms.empty()) finish({i});
  }

  // Axes without an index of their own have one element by now.
  std::vector<Label> named;
  std::copy_if(labels.begin(), labels.end(), std::back_inserter(named), [](Label l) { return l >= 0; });
  std::vector<Dim> dims = dims_of(named);
  std::vector<int64_t> final_sizes;
  for (const Dim& d : dims) final_sizes.push_back(d.size);
  return {sema_.wrap(with_dims(reshape(x, final_sizes), dims)), named};
}

}  // namespace gradc::sema
