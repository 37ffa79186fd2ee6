// Convolution and pooling: windows of an image as views, which the products and reductions over them read in place.
#include <algorithm>
#include <limits>

#include "frontend/sema/builtins.h"

namespace gradc::sema {
namespace {

// One axis of an image under a window.
struct Window {
  int64_t size = 1, stride = 1, dilation = 1;
  int64_t low = 0, high = 0;  // padding
  int64_t out = 1;

  int64_t extent() const { return dilation * (size - 1) + 1; }
  bool tiles() const { return stride == size && dilation == 1 && low == 0 && high == 0; }
};
using Windows = std::vector<Window>;  // by spatial axis: those between the first and the last

int64_t at_least(const BuiltinCall& c, const Value& v, size_t i, int64_t least, const char* what) {
  int64_t n = c.sema.integer_of(v, c.at(i), what);
  if (n >= least && n <= (int64_t{1} << 30)) return n;
  c.sema.report(DiagnosticKind::OutOfBounds, c.at(i), what, least, n);
  c.sema.abort();
}

// A number for every spatial axis, or a list of one each.
std::vector<int64_t> per_axis(const BuiltinCall& c, size_t i, size_t axes, int64_t least, const char* what) {
  if (!c.has(i)) return std::vector<int64_t>(axes, 1);
  const ListValue* list = c.value(i).list();
  if (!list) return std::vector<int64_t>(axes, at_least(c, c.value(i), i, least, what));
  if (list->items.size() != axes) {
    c.sema.report(DiagnosticKind::WrongCount, c.at(i), axes, c.sema.quote(c.at(i)), fmt::format("{} values", list->items.size()));
    c.sema.abort();
  }
  std::vector<int64_t> out;
  for (const Value& v : list->items) out.push_back(at_least(c, v, i, least, what));
  return out;
}

// "valid": none. "same": as many elements out as strides in, the odd one behind. Numbers: on both sides.
void set_padding(const BuiltinCall& c, size_t i, const Type& x, Windows& windows) {
  const std::string* word = c.has(i) ? c.value(i).as<std::string>() : nullptr;
  if (word && *word != "same" && *word != "valid") {
    c.sema.report(DiagnosticKind::UnknownPadding, c.at(i), *word);
    c.sema.abort();
  }
  if (!c.has(i) || (word && *word == "valid")) return;
  std::vector<int64_t> given;
  if (!word) given = per_axis(c, i, windows.size(), 0, "padding");
  for (size_t a = 0; a < windows.size(); ++a) {
    Window& w = windows[a];
    int64_t n = x.size(a + 1), reach = ((n + w.stride - 1) / w.stride - 1) * w.stride + w.extent();
    w.low = word ? std::max<int64_t>(0, reach - n) / 2 : given[a];
    w.high = word ? std::max<int64_t>(0, reach - n) - w.low : given[a];
  }
}

void set_sizes(const BuiltinCall& c, const Type& x, Windows& windows) {
  for (size_t a = 0; a < windows.size(); ++a) {
    Window& w = windows[a];
    int64_t n = x.size(a + 1), room = n + w.low + w.high - w.extent();
    w.out = room < 0 ? -((-room + w.stride - 1) / w.stride) + 1 : room / w.stride + 1;
    if (room >= 0 && n > 0) continue;
    Diagnostic& d = c.sema.report(DiagnosticKind::WindowTooLarge, c.span, w.size, a + 1, c.sema.quote(c.at(0)), to_string(x));
    d.note(fmt::format("size + padding - dilation * (window - 1) - 1 = {} + {} - {} * ({} - 1) - 1 = {}, which must not be negative", n, w.low + w.high, w.dilation, w.size, room));
    c.sema.note_origin(d, c.value(0), c.at(0));
    c.sema.abort();
  }
}

Expr image(const BuiltinCall& c) {
  Expr x = c.floats(0);
  if (x.rank() >= 3) return x;
  c.sema.note_origin(c.sema.report(DiagnosticKind::NotAnImage, c.span, c.sema.quote(c.at(0)), to_string(x.type())), c.value(0), c.at(0));
  c.sema.abort();
}

Expr padded(Expr x, const Windows& windows, double value) {
  std::vector<int64_t> low(x.rank(), 0), high(x.rank(), 0);
  for (size_t a = 0; a < windows.size(); ++a) low[a + 1] = windows[a].low, high[a + 1] = windows[a].high;
  return pad(x, low, high, value);
}

// x[n, h, w, rest..] as [n, out_h, out_w, kh, kw, rest..]; windows of one element get no axis.
struct Windowed {
  Expr x;
  std::vector<int64_t> axes;  // where the elements of the windows stand
};
Windowed windowed(Expr x, const Windows& windows, double padding) {
  x = padded(x, windows, padding);
  size_t spatial = windows.size();
  std::vector<int64_t> axes, by, steps, cut, places, wide = x.sizes();
  for (size_t a = 0; a < spatial; ++a) {
    if (windows[a].size == 1) continue;
    axes.push_back(static_cast<int64_t>(a) + 1);
    by.push_back(static_cast<int64_t>(spatial + axes.size()));
    steps.push_back(windows[a].dilation);
    cut.push_back((windows[a].out - 1) * windows[a].stride + 1);
    wide.insert(wide.begin() + by.back(), windows[a].size);
  }
  for (size_t i = 0; i < x.rank(); ++i) places.push_back(static_cast<int64_t>(i <= spatial ? i : i + axes.size()));
  x = skew(broadcast(x, places, wide), axes, by, steps, std::vector<int64_t>(axes.size(), 0), cut);
  std::vector<int64_t> starts(x.rank(), 0), limits = x.sizes(), strides(x.rank(), 1);
  for (size_t a = 0; a < spatial; ++a) {
    limits[a + 1] = (windows[a].out - 1) * windows[a].stride + 1;
    strides[a + 1] = windows[a].stride;
  }
  return {slice(x, starts, limits, strides), by};
}

std::vector<int64_t> sizes_with(const Type& x, const Windows& windows, std::vector<int64_t> last) {
  std::vector<int64_t> sizes{x.size(0)};
  for (const Window& w : windows) sizes.push_back(w.out);
  sizes.insert(sizes.end(), last.begin(), last.end());
  return sizes;
}

[[noreturn]] void refuse_filter(const BuiltinCall& c, Expr x, Expr w, const std::string& shape) {
  Diagnostic& d = c.sema.report(DiagnosticKind::FilterShape, c.span, c.sema.quote(c.at(1)), to_string(w.type()), c.sema.quote(c.at(0)), to_string(x.type()));
  d.note(fmt::format("it has to be [{}{}", x.rank() == 3 ? "size, " : "height, width, ", shape));
  c.sema.note_origin(d, c.value(0), c.at(0));
  c.sema.note_origin(d, c.value(1), c.at(1));
  c.sema.abort();
}

// Sums over windows of x, channels last, times w[kept window axes.., channels, groups (where there are several), outputs of a group].
Value windows_times(const BuiltinCall& c, Expr x, Expr w, const Windows& windows, int64_t groups, int64_t outputs) {
  Type in = x.type();
  size_t spatial = windows.size();
  std::vector<int64_t> x_sizes = x.sizes();
  if (groups > 1) x_sizes.back() /= groups, x_sizes.insert(x_sizes.end() - 1, groups);
  Windowed view = windowed(reshape(x, x_sizes), windows, 0);
  // Labels: the axes of the view, then the outputs of a group.
  std::vector<int64_t> lhs = all_axes(view.x), rhs = view.axes, out(lhs.begin(), lhs.begin() + static_cast<std::ptrdiff_t>(spatial) + 1);
  auto group = static_cast<int64_t>(lhs.size()) - 2, channel = group + 1, output = group + 2;
  rhs.push_back(channel);
  if (groups > 1) rhs.push_back(group), out.push_back(group);
  rhs.push_back(output), out.push_back(output);
  Expr y = reshape(contract(view.x, w, lhs, rhs, out), sizes_with(in, windows, {outputs}));
  return c.sema.wrap(with_dims(y, {in.dims[0]}));
}

// Sizes of a filter without window axes of one element.
std::vector<int64_t> kept_axes(const Windows& windows, std::vector<int64_t> last) {
  std::vector<int64_t> sizes;
  for (const Window& each : windows) {
    if (each.size > 1) sizes.push_back(each.size);
  }
  sizes.insert(sizes.end(), last.begin(), last.end());
  return sizes;
}

// y[n, p.., o] = sum over k.., c of x[n, p stride + k dilation - padding, c] w[k.., c, o], each group of channels for itself.
Value convolution(const BuiltinCall& c) {
  Expr x = image(c), w = c.sema.expr(c.value(1), c.at(1), x.element());
  int64_t groups = c.has(5) ? at_least(c, c.value(5), 5, 1, "groups") : 1;
  if (w.rank() != x.rank() || w.size(w.rank() - 2) * groups != x.sizes().back() || w.sizes().back() % groups != 0) {
    refuse_filter(c, x, w, fmt::format("channels / groups = {} / {}, outputs], outputs a multiple of {}", x.sizes().back(), groups, groups));
  }
  Type in = x.type();
  size_t spatial = x.rank() - 2;
  Windows windows(spatial);
  std::vector<int64_t> strides = per_axis(c, 2, spatial, 1, "a stride"), dilations = per_axis(c, 4, spatial, 1, "a dilation");
  for (size_t a = 0; a < spatial; ++a) windows[a] = {.size = w.size(a), .stride = strides[a], .dilation = dilations[a]};
  set_padding(c, 3, in, windows);
  set_sizes(c, in, windows);

  int64_t channels = w.size(spatial), outputs = w.sizes().back();
  w = reshape(w, kept_axes(windows, groups > 1 ? std::vector<int64_t>{channels, groups, outputs / groups} : std::vector<int64_t>{channels, outputs}));
  return windows_times(c, x, w, windows, groups, outputs);
}

// The transpose of convolution as a linear map: what its derivative by the image computes. Every x[n, p.., c] adds x w[k.., c, o] to
// y[n, p stride + k dilation - padding, o]. So it is a convolution, by the filter backwards, of x with stride - 1 zeros between its
// elements and what padding leaves of the window round it.
Value transposed_convolution(const BuiltinCall& c) {
  Expr x = image(c), w = c.sema.expr(c.value(1), c.at(1), x.element());
  int64_t groups = c.has(5) ? at_least(c, c.value(5), 5, 1, "groups") : 1, channels = x.sizes().back();
  if (w.rank() != x.rank() || w.size(w.rank() - 2) != channels || channels % groups != 0) {
    refuse_filter(c, x, w, fmt::format("channels = {}, outputs / groups], channels a multiple of groups = {}", channels, groups));
  }
  size_t spatial = x.rank() - 2;
  std::vector<int64_t> strides = per_axis(c, 2, spatial, 1, "a stride"), dilations = per_axis(c, 4, spatial, 1, "a dilation");
  std::vector<int64_t> extra = c.has(6) ? per_axis(c, 6, spatial, 0, "output padding") : std::vector<int64_t>(spatial, 0);
  const std::string* word = c.has(3) ? c.value(3).as<std::string>() : nullptr;
  if (word && *word != "same" && *word != "valid") {
    c.sema.report(DiagnosticKind::UnknownPadding, c.at(3), *word);
    c.sema.abort();
  }
  std::vector<int64_t> padding = c.has(3) && !word ? per_axis(c, 3, spatial, 0, "padding") : std::vector<int64_t>(spatial, 0);
  Windows windows(spatial);
  std::vector<int64_t> low(x.rank(), 0), high(x.rank(), 0), interior(x.rank(), 0), starts(x.rank(), 0), limits, flipped;
  for (size_t a = 0; a < spatial; ++a) {
    int64_t n = x.size(a + 1), full = (n - 1) * strides[a] + dilations[a] * (w.size(a) - 1) + 1;
    int64_t before = padding[a], after = padding[a] - extra[a];
    if (word && *word == "same") {  // stride times as many elements, the odd one cut behind
      before = std::max<int64_t>(0, full - n * strides[a]) / 2;
      after = full - n * strides[a] - before - extra[a];
    }
    int64_t out = full - before - after;
    if (extra[a] >= std::max(strides[a], dilations[a]) || out < 1) {
      Diagnostic& d = c.sema.report(DiagnosticKind::TransposedSize, c.span, a + 1, c.sema.quote(c.at(0)), to_string(x.type()), out, extra[a]);
      if (out < 1) d.note(fmt::format("(size - 1) * stride + dilation * (window - 1) + 1 - padding + output padding = ({} - 1) * {} + {} * ({} - 1) + 1 - {} + {} = {}", n, strides[a], dilations[a],
                         w.size(a), before + after + extra[a], extra[a], out));
      else d.note(fmt::format("output padding has to be less than the stride or the dilation: {} against {} and {}", extra[a], strides[a], dilations[a]));
      c.sema.note_origin(d, c.value(0), c.at(0));
      c.sema.abort();
    }
    // Zeros that make every position a whole window; where padding cuts more than a window, x itself is cut.
    int64_t reach = dilations[a] * (w.size(a) - 1);
    low[a + 1] = std::max<int64_t>(0, reach - before), high[a + 1] = std::max<int64_t>(0, reach - after);
    interior[a + 1] = strides[a] - 1;
    starts[a + 1] = std::max<int64_t>(0, before - reach);
    windows[a] = {.size = w.size(a), .dilation = dilations[a], .out = out};
    flipped.push_back(static_cast<int64_t>(a));
  }
  std::vector<Dim> wide = x.type().dims;
  for (size_t i = 0; i < x.rank(); ++i) wide[i].size += low[i] + high[i] + interior[i] * (wide[i].size - 1);
  c.sema.check_size(wide, c.span);
  x = pad(x, low, high, 0, interior);
  limits = x.sizes();
  for (size_t a = 0; a < spatial; ++a) limits[a + 1] = starts[a + 1] + windows[a].out + windows[a].extent() - 1;
  x = slice(x, starts, limits);
  w = reverse(w, flipped);
  int64_t each = w.sizes().back();
  if (groups > 1) {  // [.., groups, channels / groups, each] -> [.., channels / groups, groups, each]
    w = reshape(w, kept_axes(windows, {groups, channels / groups, each}));
    std::vector<int64_t> perm = all_axes(w);
    std::swap(perm[w.rank() - 3], perm[w.rank() - 2]);
    w = transpose(w, perm);
  } else {
    w = reshape(w, kept_axes(windows, {channels, each}));
  }
  return windows_times(c, x, w, windows, groups, each * groups);
}

Windows pool_windows(const BuiltinCall& c, const Type& x) {
  size_t spatial = x.rank() - 2;
  Windows windows(spatial);
  std::vector<int64_t> sizes = per_axis(c, 1, spatial, 1, "a window"), strides = c.has(2) ? per_axis(c, 2, spatial, 1, "a stride") : sizes;
  for (size_t a = 0; a < spatial; ++a) windows[a] = {.size = sizes[a], .stride = strides[a]};
  set_padding(c, 3, x, windows);
  set_sizes(c, x, windows);
  return windows;
}

// Windows that lie side by side are a reshape, so that derivatives stay element by element too.
Windowed pooled(Expr x, const Windows& windows, double padding) {
  if (!std::all_of(windows.begin(), windows.end(), [](const Window& w) { return w.tiles(); })) return windowed(x, windows, padding);
  std::vector<int64_t> starts(x.rank(), 0), limits = x.sizes(), sizes{x.size(0)}, axes;
  for (size_t a = 0; a < windows.size(); ++a) {
    limits[a + 1] = windows[a].out * windows[a].size;
    sizes.push_back(windows[a].out);
    axes.push_back(static_cast<int64_t>(sizes.size()));
    sizes.push_back(windows[a].size);
  }
  sizes.push_back(x.sizes().back());
  return {reshape(slice(x, starts, limits), sizes), axes};
}

Value max_pool(const BuiltinCall& c) {
  Expr x = image(c);
  Windowed v = pooled(x, pool_windows(c, x.type()), -std::numeric_limits<double>::infinity());
  return c.sema.wrap(with_dims(reduce_max(v.x, v.axes), {x.type().dims[0]}));
}

Value avg_pool(const BuiltinCall& c) {
  Expr x = image(c);
  Windows windows = pool_windows(c, x.type());
  Windowed v = pooled(x, windows, 0);
  double count = 1;
  for (const Window& w : windows) count *= static_cast<double>(w.size);
  return c.sema.wrap(with_dims(reduce_sum(v.x, v.axes) / count, {x.type().dims[0]}));
}

// Channels that one filter reads: those of x, divided among the groups.
Value channels_of_group(const BuiltinCall& c) {
  Expr x = image(c);
  int64_t outputs = at_least(c, c.value(1), 1, 1, "a width"), groups = at_least(c, c.value(2), 2, 1, "groups"), channels = x.sizes().back();
  if (channels % groups == 0 && outputs % groups == 0) return number(static_cast<double>(channels / groups));
  Diagnostic& d = c.sema.report(DiagnosticKind::GroupsDoNotDivide, c.span, groups, channels, c.sema.quote(c.at(0)), to_string(x.type()), outputs);
  c.sema.note_origin(d, c.value(0), c.at(0));
  c.sema.abort();
}

}  // namespace

const std::vector<Builtin>& window_builtins() {
  static const std::vector<Builtin> table = {
      {"conv", "x, w, stride?, padding?, dilation?, groups?", "convolution of [N, sizes.., channels] with [sizes.., channels / groups, outputs]", convolution},
      {"conv_transpose", "x, w, stride?, padding?, dilation?, groups?, output_padding?",
       "the transpose of conv: [N, sizes.., channels] with [sizes.., channels, outputs / groups]", transposed_convolution},
      {"max_pool", "x, size, stride?, padding?", "the largest element of each window; windows lie side by side by default", max_pool},
      {"avg_pool", "x, size, stride?, padding?", "the mean of each window, padding counted; windows lie side by side by default", avg_pool},
      {"channels_of_group", "x, width, groups", "how many channels of x one of `width` filters reads", channels_of_group},
  };
  return table;
}

}  // namespace gradc::sema
