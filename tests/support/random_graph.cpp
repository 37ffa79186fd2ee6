#include "tests/support/random_graph.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "compiler/autodiff/dependence.h"
#include "compiler/ops/expr.h"
#include "compiler/ops/ops.h"
#include "compiler/support/error.h"
#include "tests/support/random_graph_ops.h"

namespace gradc::test {

uint64_t Rng::next() {
  uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

double Rng::uniform(double low, double high) {
  return low + (high - low) * (static_cast<double>(next() >> 11) * 0x1p-53);
}

// ---- the pool ----

Generator::Generator(const RandomGraphOptions& o) : options(o), rng(o.seed), b(out.graph) {
  out.seed = o.seed;
  std::string text = fmt::format("random graph, seed {}\n", o.seed);
  FileId file = out.sources.add("random", text);
  out.graph.name = "random";
  b.provenance = out.graph.provenance.from(
      out.graph.provenance.add(Origin{{file, 0, static_cast<uint32_t>(text.size() - 1)}, {}, {}}));
}

Expr Generator::new_input(const Type& type, const std::function<double()>& sample, Symbol role) {
  Symbol name = fmt::format("{}{}", role == Symbol(role::parameter) ? "p" : "x", out.inputs.size());
  Tensor t = Tensor::zeros(type);
  for (int64_t i = 0; i < type.count(); ++i) t.set(i, sample());
  out.inputs.emplace(name, std::move(t));
  return input(b, name, role, type);
}

Expr Generator::float_input(const std::vector<int64_t>& sizes) {
  Type type{options.element, {}};
  for (int64_t s : sizes) type.dims.push_back({s, {}});
  double scale = rng.uniform(0.3, 2);
  return new_input(type, [&] { return rng.uniform(-scale, scale); }, rng.chance(0.5) ? role::parameter : role::data);
}

Expr Generator::scalar_input(const char* role, Element element, double value) {
  Expr& e = role == role::seed ? seed_input_ : step_input_;
  if (!e) {
    Type type{element, {}};
    Tensor t = Tensor::zeros(type);
    t.set(0, value);
    out.inputs.emplace(Symbol(role), std::move(t));
    e = input(b, role, role, type);
  }
  return e;
}

bool Generator::track() {
  bool sane = true;
  for (size_t i = values_.size(); i < b.graph().size(); ++i) {
    const Node& n = b[NodeId(i)];
    if (n.op->kind == OpKind::Input) {
      values_.push_back(out.inputs.at(n.attrs.text("name")));
    } else {
      std::vector<const Tensor*> operands;
      for (NodeId operand : n.operands) operands.push_back(&values_[operand.at()]);
      values_.push_back(evaluate_node(n, operands));
    }
    const Tensor& v = values_.back();
    for (int64_t k = 0; k < n.type.count() && sane && n.type.element != Element::None; ++k) sane = std::abs(v.at(k)) <= max_magnitude;
  }
  return sane;
}

Range Generator::range(Expr e) {
  track();
  const Tensor& v = values_[e.id.at()];
  Range r{v.at(0), v.at(0)};
  for (int64_t i = 1; i < v.type.count(); ++i) r = {std::min(r.low, v.at(i)), std::max(r.high, v.at(i))};
  return r;
}

void Generator::admit(Expr e) {
  if (!track() || e.type().count() > max_count || e.type().count() == 0) return;
  if (rng.chance(0.2) && !b[e.id].name) b.graph().edit(e.id).name = fmt::format("h{}", e.id.index);
  pool_.push_back(e.id);
}

// Newer nodes are likelier, so that graphs get deep.
std::optional<Expr> Generator::some(const std::function<bool(const Type&)>& accept) {
  std::vector<NodeId> fit;
  for (NodeId id : pool_) {
    if (accept(b.type(id))) fit.push_back(id);
  }
  if (fit.empty()) return std::nullopt;
  auto back = static_cast<size_t>(std::pow(rng.uniform(0, 1), 2.0) * static_cast<double>(fit.size()));
  return Expr(b, fit[fit.size() - 1 - std::min(back, fit.size() - 1)]);
}

Expr Generator::some_float(size_t min_rank) {
  auto e = some([&](const Type& t) { return t.element == options.element && t.rank() >= min_rank; });
  if (e) return *e;
  Expr fresh = float_input(sizes_of_rank(rng.between(static_cast<int64_t>(min_rank), 3)));
  admit(fresh);
  return fresh;
}

std::vector<int64_t> Generator::sizes_of_rank(int64_t rank) {
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < rank; ++i) sizes.push_back(rng.chance(0.2) ? 1 : rng.between(2, rank > 3 ? 3 : 5));
  if (options.wide && rank && rng.chance(0.3)) sizes[static_cast<size_t>(rng.below(rank))] = rng.between(17, 130);
  return sizes;
}

Expr Generator::of_type(const Type& t) {
  if (rng.chance(0.8)) {
    if (auto e = some([&](const Type& other) { return other == t; })) return *e;
  }
  Expr e = t.element == Element::Bool ? make_bool(t) : t.element == Element::Int ? make_int(t, 5) : make_float(t);
  admit(e);
  return e;
}

Expr Generator::make_float(const Type& t) {
  switch (rng.below(5)) {
    case 0: return cast(float_constant(t), t.element);
    case 1:
      if (auto e = some([&](const Type& o) { return o.element == t.element && o.count() == t.count(); })) {
        return reshape(*e, t.sizes());
      }
      break;
    case 2:
      if (auto e = some([&](const Type& o) { return o.element == t.element && o.rank() == 0; })) {
        return broadcast(*e, {}, t.sizes());
      }
      break;
    case 3:
      if (t.rank()) {
        auto axis = static_cast<size_t>(rng.below(static_cast<int64_t>(t.rank())));
        auto fits = [&](const Type& o) { return o.element == t.element && o.rank() == 1 && o.size(0) == t.size(axis); };
        if (auto e = some(fits)) return broadcast(*e, {static_cast<int64_t>(axis)}, t.sizes());
      }
      break;
    default: break;
  }
  return t.element == options.element ? float_input(t.sizes()) : cast(float_input(t.sizes()), t.element);
}

Expr Generator::float_constant(const Type& t) {
  return constant(b, rng.pick(std::vector<double>{0.5, 1, 2, -1, 0.25, -0.75, 3, 0}), t);
}

// Whole numbers in [0, limit).
Expr Generator::make_int(const Type& t, int64_t limit) {
  for (int64_t axis = 0; axis < static_cast<int64_t>(t.rank()); ++axis) {
    if (t.size(static_cast<size_t>(axis)) <= limit && rng.chance(0.2)) return iota(b, axis, t);
  }
  if (rng.chance(0.2)) return constant(b, static_cast<double>(rng.below(limit)), t);
  return new_input(t, [&] { return static_cast<double>(rng.below(limit)); }, role::data);
}

Expr Generator::make_bool(const Type& t) {
  Type f = t.with(options.element);
  Expr x = of_type(f);
  return rng.chance(0.5) ? lt(x, rng.uniform(-0.5, 0.5)) : gt(x, of_type(f));
}

// ---- growing ----

// A scalar of several of the newest values. The ends come first, so that little of the graph is dead.
Expr Generator::loss() {
  std::vector<bool> used(b.graph().size(), false);
  for (NodeId id : pool_) {
    for (NodeId operand : b[id].operands) used[operand.at()] = true;
  }
  std::vector<NodeId> ends;
  for (NodeId id : pool_) {
    if (!used[id.at()] && b.type(id).element == options.element) ends.push_back(id);
  }
  while (ends.size() > 4) ends.erase(ends.begin() + rng.below(static_cast<int64_t>(ends.size())));
  if (ends.empty()) ends.push_back(some_float(0).id);
  std::optional<Expr> sum;
  for (NodeId id : ends) {
    Expr e(b, id);
    Expr weighted = rng.chance(0.5) ? e * rng.uniform(0.2, 1.5) : e;
    Expr term = reduce_sum(weighted, all_axes(weighted));
    sum = sum ? *sum + term : term;
  }
  if (b[sum->id].op->kind == OpKind::Input) sum = *sum * 0.5;
  b.graph().edit(sum->id).name = "loss";
  return *sum;
}

std::vector<NodeId> Generator::inputs_behind(NodeId y) const {
  Dependence open(Dependence::Open);
  std::vector<NodeId> inputs;
  for (size_t i = y.at() + 1; i-- > 0;) {
    const Node& n = out.graph[NodeId(i)];
    if (n.op->kind == OpKind::Input && is_float(n.type.element) && !open.path(out.graph, y, NodeId(i)).empty()) inputs.push_back(NodeId(i));
  }
  return inputs;
}

void Generator::add_gradients(Expr y) {
  for (NodeId id : inputs_behind(y.id)) {
    Expr x(b, id), g = grad(y, x);
    Symbol name = b[id].attrs.text("name");
    b.graph().outputs.push_back({fmt::format("grad(loss, {})", name.str()), OutputKind::Value, g.id});
    if (b[id].attrs.text("role") == Symbol(role::parameter)) {
      b.graph().outputs.push_back({name, OutputKind::Update, (x - 0.1 * g).id});
    }
  }
}

RandomGraph Generator::run() {
  std::vector<const Op*> ops = drawable_operations(options);
  for (int64_t i = rng.between(2, 3); i > 0; --i) admit(float_input(sizes_of_rank(rng.between(i == 1 ? 1 : 0, 3))));
  for (int i = 0; i < options.operations; ++i) {
    if (auto e = draw_any(*this, ops)) admit(*e);
  }
  Expr y = loss();
  out.graph.outputs.push_back({"loss", OutputKind::Value, y.id});
  for (int i = 0; i < 2; ++i) out.graph.outputs.push_back({fmt::format("out{}", i), OutputKind::Value, rng.pick(pool_)});
  if (options.gradients) add_gradients(y);
  out.graph = out.graph.compacted();
  keep_used_inputs(out);
  return std::move(out);
}

std::vector<const Op*> drawable_operations(const RandomGraphOptions& options) {
  std::vector<const Op*> ops;
  for (const Op* op : op_registry().all()) {
    if (drawable(*op, options) && (!options.allow || options.allow(*op))) ops.push_back(op);
  }
  GRADC_ASSERT(!ops.empty(), "no operation may be drawn");
  return ops;
}

void keep_used_inputs(RandomGraph& g) {
  std::map<Symbol, Tensor> used;
  for (size_t i = 0; i < g.graph.size(); ++i) {
    const Node& n = g.graph[NodeId(i)];
    if (n.op->kind == OpKind::Input) used.insert(*g.inputs.find(n.attrs.text("name")));
  }
  g.inputs = std::move(used);
}

RandomGraph random_graph(const RandomGraphOptions& options) { return Generator(options).run(); }

}  // namespace gradc::test
