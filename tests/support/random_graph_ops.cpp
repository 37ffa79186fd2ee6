#include "tests/support/random_graph_ops.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "compiler/ops/ops.h"
#include "compiler/support/error.h"

// One drawing function per kind of operation; point-wise ones follow from their type rule and sampling domain.
namespace gradc::test {
namespace {

int64_t rank_of(Expr x) { return static_cast<int64_t>(x.rank()); }
size_t uz(int64_t i) { return static_cast<size_t>(i); }

std::vector<int64_t> shuffled(Rng& rng, int64_t n) {
  std::vector<int64_t> v(uz(n));
  std::iota(v.begin(), v.end(), 0);
  for (size_t i = v.size(); i > 1; --i) std::swap(v[i - 1], v[uz(rng.below(static_cast<int64_t>(i)))]);
  return v;
}

// A sorted subset of `count` axes out of `rank`.
std::vector<int64_t> axes(Rng& rng, int64_t rank, int64_t count) {
  std::vector<int64_t> v = shuffled(rng, rank);
  v.resize(uz(count));
  std::sort(v.begin(), v.end());
  return v;
}

Type unnamed(Element e, const std::vector<int64_t>& sizes) {
  Type t{e, {}};
  for (int64_t s : sizes) t.dims.push_back({s, {}});
  return t;
}

// ---- point-wise ----

using Signatures = std::vector<std::vector<Element>>;

// Elements that the type rule accepts, tried on scalars.
Signatures try_signatures(const Op& op, Element element) {
  Signatures found;
  const Element choices[] = {Element::Bool, Element::Int, element, element};  // floats are likelier
  std::vector<size_t> at(uz(op.arity), 0);
  while (true) {
    std::vector<Type> types;
    std::vector<Element> elements;
    for (size_t i : at) {
      types.push_back({choices[i], {}});
      elements.push_back(choices[i]);
    }
    if (op.infer(types, {}).type) found.push_back(elements);
    size_t i = 0;
    while (i < at.size() && ++at[i] == std::size(choices)) at[i++] = 0;
    if (i == at.size()) return found;
  }
}

const Signatures& signatures(const Op& op, Element element) {
  thread_local std::map<std::pair<const Op*, Element>, Signatures> known;
  auto [it, fresh] = known.try_emplace({&op, element});
  if (fresh) it->second = try_signatures(op, element);
  return it->second;
}

// A bare minimum or maximum has no domain: its samples only keep away from ties.
bool unrestricted(const Op& op, Element element) {
  if (op.arity != 2) return false;
  ScalarProgram p = op.program({element, element}, {});
  return p.insts.size() == 1 && (p.insts[0].op == ScalarOp::Min || p.insts[0].op == ScalarOp::Max);
}

// x, squeezed where it leaves the domain.
Expr inside(Generator& g, Expr x, const SampleDomain& d) {
  if (!is_float(x.element())) return x;
  double low = std::max(d.low, -20.0), high = std::min(d.high, 20.0);
  bool restricted = d.low > -2.5;
  Range r = g.range(x);
  if (restricted ? r.low >= low && r.high <= high : r.low >= -20 && r.high <= 20) return x;
  low = std::max(low, -4.0);
  high = std::min(high, 4.0);
  return 0.5 * (low + high) + 0.49 * (high - low) * tanh(x);
}

Expr draw_pointwise(Generator& g, const Op& op) {
  const Signatures& accepted = signatures(op, g.options.element);
  GRADC_ASSERT(!accepted.empty(), "{} accepts no elements", op.name);
  const std::vector<Element>& elements = g.rng.pick(accepted);
  Type shape = (g.rng.chance(0.2) ? g.some([](const Type&) { return true; }).value() : g.some_float(0)).type();
  std::vector<Expr> operands;
  for (size_t i = 0; i < elements.size(); ++i) {
    Expr x = g.of_type(shape.with(elements[i]));
    bool has_domain = !op.samples.empty() && !unrestricted(op, elements.back());
    operands.push_back(has_domain ? inside(g, x, op.samples[std::min(i, op.samples.size() - 1)]) : x);
  }
  Expr y = gradc::apply(op, operands);
  // Steps are constants to derivatives; said so, they may lie on the way to a loss.
  bool step = op.not_differentiable && is_float(y.element());
  return step && g.options.gradients ? stop_gradient(y) : y;
}

Expr draw_cast(Generator& g) {
  Expr x = g.some([](const Type&) { return true; }).value();
  std::vector<Element> targets = {Element::Bool, Element::Int};
  if (!is_float(x.element()) && !g.options.smooth) targets = {g.options.element};
  if (is_float(x.element()) && !g.options.smooth && g.rng.chance(0.5)) {
    Element other = g.options.element == Element::F32 ? Element::F64 : Element::F32;
    return cast(cast(x, other), g.options.element);
  }
  return cast(x, g.rng.pick(targets));
}

// ---- shapes ----

Expr draw_broadcast(Generator& g) {
  auto found = g.some([](const Type& t) { return t.rank() < 4 && t.count() <= 64; });
  Expr x = found ? *found : g.of_type({g.options.element, {}});
  int64_t rank = g.rng.between(rank_of(x) + 1, 4);
  std::vector<int64_t> sizes, to = shuffled(g.rng, rank);
  to.resize(x.rank());
  if (g.rng.chance(0.7)) std::sort(to.begin(), to.end());
  for (int64_t i = 0; i < rank; ++i) sizes.push_back(g.rng.between(1, 3));
  for (size_t i = 0; i < to.size(); ++i) sizes[uz(to[i])] = x.size(i);
  return broadcast(x, to, sizes);
}

Expr draw_slice(Generator& g) {
  Expr x = g.some_float(1);
  std::vector<int64_t> starts, limits, strides;
  for (int64_t size : x.sizes()) {
    starts.push_back(g.rng.below(size));
    limits.push_back(g.rng.between(starts.back() + 1, size));
    strides.push_back(g.rng.between(1, 2));
  }
  return slice(x, starts, limits, strides);
}

// Another factorisation of the number of elements.
Expr draw_reshape(Generator& g) {
  Expr x = g.some_float(0);
  std::vector<int64_t> sizes(uz(g.rng.between(1, 4)), 1);
  int64_t rest = x.type().count();
  for (int64_t p = 2; rest > 1; ++p) {
    for (; rest % p == 0; rest /= p) sizes[uz(g.rng.below(static_cast<int64_t>(sizes.size())))] *= p;
  }
  return reshape(x, sizes);
}

Expr draw_pad(Generator& g) {
  Expr x = g.some_float(1);
  std::vector<int64_t> low, high, interior;
  for (size_t i = 0; i < x.rank(); ++i) {
    low.push_back(g.rng.between(0, 2));
    high.push_back(g.rng.between(0, 2));
    interior.push_back(g.rng.chance(0.2) ? 1 : 0);
  }
  return pad(x, low, high, g.rng.chance(0.7) ? 0 : 0.5, interior);
}

Expr draw_concatenate(Generator& g) {
  Expr x = g.some_float(1);
  int64_t axis = g.rng.below(rank_of(x));
  std::vector<Expr> parts = {x};
  for (int64_t i = g.rng.between(1, 2); i > 0; --i) {
    Type t = x.type();
    if (g.rng.chance(0.5)) t.dims[uz(axis)].size = g.rng.between(1, 3);
    parts.push_back(g.of_type(t));
  }
  return concatenate(parts, axis);
}

// ---- reductions, products, indices ----

Expr draw_reduction(Generator& g, const Op& op) {
  Expr x = g.some_float(1);
  return gradc::apply(op, {x}, {{"axes", axes(g.rng, rank_of(x), g.rng.between(1, rank_of(x)))}});
}

// Each axis of x is shared or free; what is shared is summed or kept.
std::optional<Expr> draw_contraction(Generator& g) {
  Expr x = g.some_float(1);
  std::vector<int64_t> lhs(x.rank()), rhs, out;
  std::iota(lhs.begin(), lhs.end(), 0);
  std::vector<int64_t> sizes = x.sizes();
  for (int64_t label : lhs) {
    bool shared = g.rng.chance(0.6), summed = shared && g.rng.chance(0.7);
    if (shared) rhs.push_back(label);
    if (!summed) out.push_back(label);
  }
  for (int64_t i = g.rng.below(3); i > 0 && out.size() < 4; --i) {
    auto label = static_cast<int64_t>(sizes.size());
    sizes.push_back(g.options.wide && g.rng.chance(0.3) ? g.rng.between(17, 130) : g.rng.between(1, 4));
    rhs.push_back(label);
    out.push_back(label);
  }
  if (rhs.size() > 4 || out.size() > 4) return std::nullopt;
  std::vector<int64_t> order = shuffled(g.rng, static_cast<int64_t>(rhs.size())), y_labels, y_sizes;
  for (int64_t i : order) {
    y_labels.push_back(rhs[uz(i)]);
    y_sizes.push_back(sizes[uz(rhs[uz(i)])]);
  }
  if (g.rng.chance(0.5)) {
    std::vector<int64_t> shuffle = shuffled(g.rng, static_cast<int64_t>(out.size())), moved;
    for (int64_t i : shuffle) moved.push_back(out[uz(i)]);
    out = moved;
  }
  Expr y = g.of_type(unnamed(g.options.element, y_sizes));
  return g.rng.chance(0.5) ? contract(x, y, lhs, y_labels, out) : contract(y, x, y_labels, lhs, out);
}

// Indices into `rows` rows; now and then some lie outside and are clamped.
Expr indices(Generator& g, const std::vector<int64_t>& sizes, int64_t rows) {
  Type t = unnamed(Element::Int, sizes);
  if (g.rng.chance(0.9)) return g.make_int(t, rows);
  return g.new_input(t, [&] { return static_cast<double>(g.rng.between(-1, rows)); }, role::data);
}

Expr draw_gather(Generator& g) {
  Expr x = g.some_float(1);
  int64_t axis = g.rng.below(rank_of(x));
  Expr picks = indices(g, g.sizes_of_rank(g.rng.between(0, std::clamp<int64_t>(5 - rank_of(x), 0, 2))), x.size(uz(axis)));
  return gather(x, picks, axis);
}

Expr draw_scatter_add(Generator& g) {
  Expr updates = g.some_float(1);
  int64_t axis = g.rng.below(rank_of(updates)), size = g.rng.between(1, 4);
  int64_t index_rank = g.rng.between(0, std::min<int64_t>(2, rank_of(updates) - axis));
  std::vector<int64_t> sizes = updates.sizes();
  std::vector<int64_t> picked(sizes.begin() + axis, sizes.begin() + axis + index_rank);
  return scatter_add(indices(g, picked, size), updates, axis, size);
}

Expr draw_random(Generator& g) {
  Expr seed = g.scalar_input(role::seed, Element::Int, static_cast<double>(g.rng.below(1000)));
  Expr step = g.scalar_input(role::step, Element::F64, static_cast<double>(g.rng.between(1, 50)));
  return random(seed, step, g.rng.below(8), unnamed(g.options.element, g.sizes_of_rank(g.rng.between(0, 3))));
}

Expr draw_iota(Generator& g) {
  std::vector<int64_t> sizes = g.sizes_of_rank(g.rng.between(1, 3));
  Element e = g.rng.chance(0.3) ? Element::Int : g.options.element;
  return iota(g.b, g.rng.below(static_cast<int64_t>(sizes.size())), unnamed(e, sizes));
}

// Skews one axis by another as far as both ends allow.
Expr draw_skew(Generator& g) {
  Expr x = g.some_float(2);
  int64_t axis = g.rng.below(rank_of(x)), by = (axis + g.rng.between(1, rank_of(x) - 1)) % rank_of(x);
  int64_t size = x.size(uz(axis)), rows = x.size(uz(by)), step = g.rng.between(-2, 2);
  if (std::abs(step) * (rows - 1) >= size) step = 0;
  int64_t far = std::abs(step) * (rows - 1), kept = g.rng.between(1, size - far);
  int64_t start = g.rng.between(0, size - far - kept) + (step < 0 ? far : 0);
  return skew(x, {axis}, {by}, {step}, {start}, {kept});
}

Expr draw_view(Generator& g, const Op& op) {
  if (&op == &gradc::op<ops::Broadcast>()) return draw_broadcast(g);
  if (&op == &gradc::op<ops::Slice>()) return draw_slice(g);
  if (&op == &gradc::op<ops::Skew>()) return draw_skew(g);
  auto found = g.some([](const Type& t) { return t.rank() >= 1; });
  Expr x = found ? *found : g.some_float(1);
  if (&op == &gradc::op<ops::Transpose>()) return transpose(x, shuffled(g.rng, rank_of(x)));
  if (&op == &gradc::op<ops::Reverse>()) return reverse(x, axes(g.rng, rank_of(x), g.rng.between(1, rank_of(x))));
  GRADC_BUG("the generator does not know how to draw {}", op.name);
}

}  // namespace

bool drawable(const Op& op, const RandomGraphOptions& options) {
  if (op.kind == OpKind::Input || op.kind == OpKind::Grad || op.kind == OpKind::Result) return false;
  if (op.kind == OpKind::Scan) return options.scans > 0;
  bool step = op.kind == OpKind::StopGradient || (op.not_differentiable && op.kind == OpKind::Pointwise &&
                                                  !op.infer({{Element::Bool, {}}}, {}).type && op.arity == 1);
  return !(options.smooth && step);
}

std::optional<Expr> draw(Generator& g, const Op& op) {
  switch (op.kind) {
    case OpKind::Input:
    case OpKind::Grad:
    case OpKind::Result: return std::nullopt;
    case OpKind::Scan: return draw_scan(g);
    case OpKind::Constant:
      return constant(g.b, g.rng.uniform(-2, 2), unnamed(g.options.element, g.sizes_of_rank(g.rng.between(0, 3))));
    case OpKind::Iota: return draw_iota(g);
    case OpKind::Random: return draw_random(g);
    case OpKind::Pointwise: return op.attributes.empty() ? draw_pointwise(g, op) : draw_cast(g);
    case OpKind::View: return draw_view(g, op);
    case OpKind::Reshape: return draw_reshape(g);
    case OpKind::Pad: return draw_pad(g);
    case OpKind::Concatenate: return draw_concatenate(g);
    case OpKind::Reduction: return draw_reduction(g, op);
    case OpKind::ArgReduction: {
      Expr x = g.some_float(1);
      return gradc::apply(op, {x}, {{"axis", g.rng.below(rank_of(x))}});
    }
    case OpKind::Contraction: return draw_contraction(g);
    case OpKind::Gather: return draw_gather(g);
    case OpKind::ScatterAdd: return draw_scatter_add(g);
    case OpKind::StopGradient: return stop_gradient(g.some_float(0));
    case OpKind::WithDerivative: {  // the sine with the derivative it has
      Expr x = g.some_float(0), y = sin(x), cotangent = stop_gradient(x.literal(0));
      return with_derivative("sine", y, stop_gradient(y), cotangent, {{x, cotangent * cos(x)}});
    }
  }
  GRADC_BUG("unknown kind of operation");
}

}  // namespace gradc::test
