// Shapes, indices and constant tensors.
#include <algorithm>
#include <numeric>

#include "frontend/sema/builtins.h"

namespace gradc::sema {
namespace {

std::vector<int64_t> sizes_of(const std::vector<Dim>& dims) {
  std::vector<int64_t> out;
  for (const Dim& d : dims) out.push_back(d.size);
  return out;
}

Expr shaped(Expr x, const std::vector<Dim>& dims) { return with_dims(reshape(x, sizes_of(dims)), dims); }

// A size that is left open as 1.
std::vector<Dim> closed(std::vector<Dim> dims) {
  for (Dim& d : dims) d.size = d.size == -1 ? 1 : d.size;
  return dims;
}

Value reshape_to(const BuiltinCall& c) {
  Expr x = c.tensor(0);
  std::vector<Dim> dims = c.sema.shape_of(c.value(1), c.at(1), true);
  int64_t known = 1, open = 0;
  for (const Dim& d : dims) {
    if (d.size == -1) ++open;
    else if (d.size == 0 || known > (int64_t{1} << 48) / d.size) c.sema.check_size(closed(dims), c.at(1));
    else known *= d.size;
  }
  int64_t count = x.type().count();
  bool fits = open == 0 ? known == count : open == 1 && known > 0 && count % known == 0;
  if (!fits) {
    c.sema.note_origin(c.sema.report(DiagnosticKind::ReshapeCount, c.span, c.sema.quote(c.at(0)), to_string(x.type()), count, shape_to_string({Element::F32, dims})), c.value(0), c.at(0));
    c.sema.abort();
  }
  for (Dim& d : dims) {
    if (d.size == -1) d.size = count / known;
  }
  return c.sema.wrap(shaped(x, dims));
}

Value transposed(const BuiltinCall& c) {
  Expr x = c.tensor(0);
  std::vector<int64_t> perm(x.rank());
  std::iota(perm.begin(), perm.end(), 0);
  if (c.has(1)) {
    const ListValue* list = c.value(1).list();
    std::vector<int64_t> axes = c.sema.axes_of(c.value(1), x.type(), c.at(1));
    if (!list || axes.size() != x.rank()) {
      c.sema.report(DiagnosticKind::WrongCount, c.at(1), x.rank(), c.sema.quote(c.at(1)), fmt::format("{} axes", axes.size()));
      c.sema.abort();
    }
    for (size_t i = 0; i < perm.size(); ++i) perm[i] = c.sema.axis_of(list->items[i], x.type(), c.at(1));
  } else if (perm.size() >= 2) {
    std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  }
  return c.sema.wrap(transpose(x, perm));
}

Value concat(const BuiltinCall& c) {
  auto [values, spans] = values_of(c);
  std::vector<Expr> parts;
  for (size_t i = 0; i < values.size(); ++i) parts.push_back(i == 0 ? c.sema.expr(values[0], spans[0]) : c.sema.expr(values[i], spans[i], parts[0].element()));
  int64_t axis = c.sema.axis_of(c.has(1) ? c.value(1) : number(-1), parts[0].type(), c.at(1));
  std::vector<Dim> dims = parts[0].type().dims;
  Dim& along = dims[static_cast<size_t>(axis)];
  for (size_t i = 1; i < parts.size(); ++i) {
    Type t = parts[i].type();
    bool fits = t.rank() == dims.size();
    for (size_t k = 0; fits && k < dims.size(); ++k) fits = static_cast<int64_t>(k) == axis || t.size(k) == dims[k].size;
    if (!fits) {
      Diagnostic& d = c.sema.report(DiagnosticKind::ShapesDoNotMatch, c.span, c.builtin.name, c.sema.quote(spans[0]), c.sema.describe(values[0]), c.sema.quote(spans[i]), c.sema.describe(values[i]));
      c.sema.note_origin(d, values[0], spans[0]);
      c.sema.note_origin(d, values[i], spans[i]);
      c.sema.abort();
    }
    along.size += t.size(static_cast<size_t>(axis));
    along.name = {};
  }
  c.sema.check_size(dims, c.span);
  return c.sema.wrap(parts.size() == 1 ? parts[0] : concatenate(parts, axis));
}

Expr part(Expr x, int64_t axis, int64_t from, int64_t to) {
  std::vector<int64_t> starts(x.rank(), 0), limits = x.sizes();
  starts[static_cast<size_t>(axis)] = from;
  limits[static_cast<size_t>(axis)] = to;
  return slice(x, starts, limits);
}

Expr without_axis(Expr x, int64_t axis) {
  std::vector<Dim> dims = x.type().dims;
  dims.erase(dims.begin() + axis);
  return shaped(x, dims);
}

// split(x, 4): that many equal parts along an axis.
Value split(const BuiltinCall& c) {
  Expr x = c.tensor(0);
  int64_t axis = c.sema.axis_of(c.has(2) ? c.value(2) : number(-1), x.type(), c.at(2));
  int64_t parts = c.sema.integer_of(c.value(1), c.at(1), "a number of parts"), size = x.size(static_cast<size_t>(axis));
  if (parts <= 0 || size % parts != 0) {
    c.sema.report(DiagnosticKind::UnevenSplit, c.span, c.sema.quote(c.at(0)), to_string(x.type()), axis, parts);
    c.sema.abort();
  }
  std::vector<Value> out;
  for (int64_t i = 0; i < parts; ++i) out.push_back(c.sema.wrap(part(x, axis, i * (size / parts), (i + 1) * (size / parts))));
  return list_of(std::move(out));
}

Value unstack(const BuiltinCall& c) {
  Expr x = c.tensor(0);
  int64_t axis = c.sema.axis_of(c.has(1) ? c.value(1) : number(0), x.type(), c.at(1));
  std::vector<Value> out;
  for (int64_t i = 0; i < x.size(static_cast<size_t>(axis)); ++i) out.push_back(c.sema.wrap(without_axis(part(x, axis, i, i + 1), axis)));
  return list_of(std::move(out));
}

Value pad_by(const BuiltinCall& c) {
  if (c.sema.data_input() && !c.has(1) && !c.has(2)) return pad_to_input(c);
  for (size_t i : {1, 2}) {
    if (c.has(i)) continue;
    c.sema.report(DiagnosticKind::MissingArgument, c.span, c.builtin.name, i == 1 ? "low" : "high").note("only in the block of a data reader the input's shape says how wide the border is");
    c.sema.abort();
  }
  Expr x = c.tensor(0);
  std::vector<int64_t> low, high;
  for (size_t i : {1, 2}) {
    std::vector<int64_t>& side = i == 1 ? low : high;
    for (const Dim& d : c.sema.shape_of(c.value(i), c.at(i))) side.push_back(d.size);
    if (side.size() == x.rank()) continue;
    c.sema.report(DiagnosticKind::WrongCount, c.at(i), x.rank(), c.sema.quote(c.at(i)), fmt::format("{} values", side.size()));
    c.sema.abort();
  }
  std::vector<Dim> dims = x.type().dims;
  for (size_t i = 0; i < dims.size(); ++i) dims[i].size = std::max<int64_t>(0, dims[i].size + low[i] + high[i]);
  c.sema.check_size(dims, c.span);
  return c.sema.wrap(pad(x, low, high, c.number(3, 0)));
}

Value flatten(const BuiltinCall& c) {
  Expr x = c.tensor(0);
  if (x.rank() == 0) return c.sema.wrap(reshape(x, {1}));
  int64_t rest = 1;
  for (size_t i = 1; i < x.rank(); ++i) rest *= x.size(i);
  return c.sema.wrap(shaped(x, {x.type().dims[0], {rest, {}}}));
}

Value squeeze(const BuiltinCall& c) {
  Expr x = c.tensor(0);
  int64_t axis = c.sema.axis_of(c.value(1), x.type(), c.at(1));
  if (x.size(static_cast<size_t>(axis)) != 1) {
    c.sema.report(DiagnosticKind::SqueezeSize, c.span, axis, c.sema.quote(c.at(0)), to_string(x.type()));
    c.sema.abort();
  }
  return c.sema.wrap(without_axis(x, axis));
}

Value expand(const BuiltinCall& c) {
  Expr x = c.tensor(0);
  Type wider = x.type();
  wider.dims.push_back({1, {}});
  int64_t axis = c.sema.axis_of(c.value(1), wider, c.at(1));
  std::vector<Dim> dims = x.type().dims;
  dims.insert(dims.begin() + axis, Dim{1, {}});
  return c.sema.wrap(shaped(x, dims));
}

Expr indices(const BuiltinCall& c, size_t i) {
  Expr x = c.tensor(i);
  if (x.element() == Element::Int) return x;
  c.sema.report(DiagnosticKind::IndexNotInt, c.at(i), c.sema.quote(c.at(i)), to_string(x.type()));
  c.sema.abort();
}

// What an index points into, by the user's name for it.
std::string subject(const BuiltinCall& c) {
  auto* t = c.value(0).as<TensorRef>();
  Symbol name = t ? c.sema.builder()[t->node].name : Symbol();
  return fmt::format("'{}'", name ? name.str() : c.sema.quote(c.at(0)));
}

// Where the index along a new last axis of `size` equals `index`.
Expr hits(Elaborator& sema, Expr index, Dim last, SourceSpan at) {
  std::vector<Dim> dims = index.type().dims;
  dims.push_back(last);
  sema.check_size(dims, at);
  std::vector<int64_t> axes(index.rank());
  std::iota(axes.begin(), axes.end(), 0);
  Expr wide = with_dims(broadcast(index, axes, sizes_of(dims)), dims);
  return eq(wide, iota(sema.builder(), static_cast<int64_t>(index.rank()), {Element::Int, dims}));
}

Value one_hot(const BuiltinCall& c) {
  Expr index = indices(c, 0);
  std::vector<Dim> size = c.sema.shape_of(c.value(1), c.at(1));
  c.sema.limit_index(c.value(0), size.at(0).size, fmt::format("the {} classes of one_hot", size[0].size), c.span);
  return c.sema.wrap(cast(hits(c.sema, index, size[0], c.span), c.sema.model_element()));
}

// x[..., index]: one element of every row, as a sum over the row, so that its derivative is a selection too.
Value pick(const BuiltinCall& c) {
  Expr x = c.tensor(0), index = indices(c, 1);
  Type rows = x.type();
  if (rows.rank() > 0) rows.dims.pop_back();
  if (x.rank() == 0 || !rows.same_shape(index.type())) {
    Diagnostic& d = c.sema.report(DiagnosticKind::PickShapes, c.span, c.sema.quote(c.at(1)), to_string(index.type()), c.sema.quote(c.at(0)), to_string(x.type()));
    c.sema.note_origin(d, c.value(0), c.at(0));
    c.sema.note_origin(d, c.value(1), c.at(1));
    c.sema.abort();
  }
  Dim last = x.type().dims.back();
  c.sema.limit_index(c.value(1), last.size, fmt::format("the {} columns of {}", last.size, subject(c)), c.span);
  Expr zero = x.literal(0);
  return c.sema.wrap(reduce_sum(select(hits(c.sema, index, last, c.span), x, zero), {static_cast<int64_t>(x.rank()) - 1}));
}

Value gather_rows(const BuiltinCall& c) {
  Expr x = c.tensor(0), index = indices(c, 1);
  int64_t axis = c.sema.axis_of(c.has(2) ? c.value(2) : number(0), x.type(), c.at(2));
  std::vector<Dim> dims = x.type().dims, idx = index.type().dims;
  int64_t size = dims[static_cast<size_t>(axis)].size;
  dims.erase(dims.begin() + axis);
  dims.insert(dims.begin() + axis, idx.begin(), idx.end());
  c.sema.check_size(dims, c.span);
  c.sema.limit_index(c.value(1), size, fmt::format("the {} rows of {}", size, subject(c)), c.span);
  return c.sema.wrap(with_dims(gather(x, index, axis), dims));
}

// The shape that is asked for, or that of the parameter being declared.
std::pair<std::vector<Dim>, Element> target(const BuiltinCall& c, size_t shape) {
  const Type* expected = c.sema.expected_shape();
  if (c.has(shape)) return {c.sema.shape_of(c.value(shape), c.at(shape)), expected ? expected->element : c.sema.model_element()};
  if (expected) return {expected->dims, expected->element};
  c.sema.report(DiagnosticKind::ShapeNeeded, c.span, c.builtin.name);
  c.sema.abort();
}

Value filled(const BuiltinCall& c, double value, size_t shape) {
  auto [dims, element] = target(c, shape);
  return c.sema.wrap(c.sema.constant_like(value, element, dims, c.span));
}

Value like(const BuiltinCall& c, double value) {
  Expr x = c.tensor(0);
  return c.sema.wrap(x.literal(value));
}

Value range(const BuiltinCall& c) {
  int64_t n = c.sema.integer_of(c.value(0), c.at(0), "a size");
  std::vector<Dim> dims = c.sema.shape_of(number(static_cast<double>(std::max<int64_t>(n, 0)), c.value(0).as<Num>()->dim), c.at(0));
  c.sema.check_size(dims, c.span);
  return c.sema.wrap(iota(c.sema.builder(), 0, {Element::Int, dims}));
}

Value causal(const BuiltinCall& c) {
  std::vector<Dim> n = c.sema.shape_of(c.value(0), c.at(0));
  Type square{Element::Int, {n.at(0), {n[0].size, {}}}};
  c.sema.check_size(square.dims, c.span);
  return c.sema.wrap(ge(iota(c.sema.builder(), 0, square), iota(c.sema.builder(), 1, square)));
}

Value shape_list(const BuiltinCall& c) {
  std::vector<Value> out;
  for (const Dim& d : c.tensor(0).type().dims) out.push_back(number(static_cast<double>(d.size), d.name));
  return list_of(std::move(out));
}

}  // namespace

const std::vector<Builtin>& shape_builtins() {
  static const std::vector<Builtin> table = {
      {"reshape", "x, shape", "the same elements in row-major order; one size may be -1", reshape_to},
      {"transpose", "x, axes?", "axes in another order, the last two swapped by default", transposed},
      {"concat", "xs..., axis?", "one after the other, along the last axis by default", concat},
      {"split", "x, parts, axis?", "equal parts, along the last axis by default", split},
      {"unstack", "x, axis?", "the slices along an axis, the first by default", unstack},
      {"pad", "x, low?, high?, value?", "a border of a value, 0 by default; widths per axis, in data implied by the input", pad_by},
      {"flatten", "x", "all axes but the first as one", flatten},
      {"squeeze", "x, axis", "without an axis of size 1", squeeze},
      {"expand", "x, axis", "with an axis of size 1", expand},
      {"reverse", "x, axis", "backwards along an axis", [](const BuiltinCall& c) {
         Expr x = c.tensor(0);
         return c.sema.wrap(reverse(x, c.sema.axes_of(c.value(1), x.type(), c.at(1))));
       }},
      {"one_hot", "index, size", "1 at the index along a new last axis, 0 elsewhere", one_hot},
      {"pick", "x, index", "the element of each row of x at its index", pick},
      {"gather", "x, index, axis?", "slices of x by index, along the first axis by default", gather_rows},
      {"zeros", "shape?", "all 0; the shape is implied in an initial value", [](const BuiltinCall& c) { return filled(c, 0, 0); }},
      {"ones", "shape?", "all 1; the shape is implied in an initial value", [](const BuiltinCall& c) { return filled(c, 1, 0); }},
      {"full", "value, shape?", "all the same; the shape is implied in an initial value", [](const BuiltinCall& c) { return filled(c, c.number(0, 0), 1); }},
      {"zeros_like", "x", "0 in the shape of x", [](const BuiltinCall& c) { return like(c, 0); }},
      {"ones_like", "x", "1 in the shape of x", [](const BuiltinCall& c) { return like(c, 1); }},
      {"range", "n", "the whole numbers from 0 to n - 1", range},
      {"causal", "n", "[n, n], true on and below the diagonal", causal},
      {"shape", "x", "the sizes of x", shape_list},
      {"size", "x", "the number of elements of x", [](const BuiltinCall& c) -> Value { return number(static_cast<double>(c.tensor(0).type().count())); }},
      {"rank", "x", "the number of axes of x", [](const BuiltinCall& c) -> Value { return number(static_cast<double>(c.tensor(0).rank())); }},
  };
  return table;
}

}  // namespace gradc::sema
