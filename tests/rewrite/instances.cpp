#include "tests/rewrite/instances.h"

#include <algorithm>
#include <cmath>

#include "compiler/ops/ops.h"
#include "compiler/rewrite/axes.h"
#include "compiler/rewrite/engine.h"
#include "compiler/support/error.h"

namespace gradc::test {
namespace {

using rewrite::Axes;
using rewrite::Term;

Type typed(Element e, const Axes& sizes) {
  Type t{e, {}};
  for (int64_t s : sizes) t.dims.push_back({s, {}});
  return t;
}

class Grower {
 public:
  Grower(Element element, Rng& rng) : element_(element), rng_(rng), b_(instance.graph) {
    file_ = instance.sources.add("instance", std::string(4096, 'x'));
    // Operands of one shape everywhere, and one source for the operations that any operands fit.
    style_ = static_cast<int>(rng.below(5));
  }

  Expr term(const Term& t, const Type& want) {
    Expr made = body(*t, want);
    if (t->slot >= 0) bound_[t->slot] = made;
    return made;
  }

  Type root_type(const Term& root) {
    parts_matter_ = root->op == &op<ops::Concatenate>() || root->of_kind == OpKind::Concatenate;
    Axes sizes = some_sizes(3);
    Element e = element_;
    if (root->kind == Term::Kind::Apply) {
      const Op& o = *root->op;
      if (o.kind == OpKind::ArgReduction) e = Element::Int;
      if (std::string(o.name) == "and" || std::string(o.name) == "or" || std::string(o.name) == "not") e = Element::Bool;
      if (o.kind == OpKind::Reduction && rng_.chance(0.3)) sizes.clear();
    }
    if (root->kind == Term::Kind::OfKind && root->of_kind == OpKind::ArgReduction) e = Element::Int;
    if (root->kind == Term::Kind::OfKind && root->of_kind == OpKind::Reduction && rng_.chance(0.4)) sizes.clear();
    return typed(e, sizes);
  }

  Instance instance;

 private:
  Axes some_sizes(int64_t max_rank) {
    Axes sizes;
    for (int64_t r = rng_.below(max_rank + 1); r > 0; --r) sizes.push_back(rng_.between(1, 3));
    return sizes;
  }

  static int64_t axis_count(const Type& t) {
    if (t.rank() == 0) GRADC_BUG("a scalar has no axis");
    return static_cast<int64_t>(t.rank());
  }

  // Each node has an origin of its own, so that a lost one shows.
  void next_origin(bool of_pattern) {
    uint32_t at = next_++;
    OriginId origin = b_.graph().provenance.add(Origin{{file_, at, at + 1}, {}, {}});
    b_.provenance = b_.graph().provenance.from(origin);
    if (of_pattern) instance.of_pattern.insert(origin);
  }

  Expr body(const Term::Body& t, const Type& want) {
    switch (t.kind) {
      case Term::Kind::Any:
        if (auto it = bound_.find(t.slot); it != bound_.end()) return it->second;
        return leaf(want);
      case Term::Kind::Constant:
        if (auto it = bound_.find(t.slot); it != bound_.end()) return it->second;
        next_origin(true);
        return constant(b_, any_constant(), want);
      case Term::Kind::Number: next_origin(true); return constant(b_, t.number, want);
      case Term::Kind::Apply: return operation(*t.op, t.operands, want);
      case Term::Kind::OfKind: return operation(of_kind(t.of_kind, t.operands.size(), want), t.operands, want);
    }
    return {};
  }

  double any_constant() { return rng_.pick(std::vector<double>{0, 1, -1, 2, 0.5, -4, 3, 1.25, -0.7, 10}); }

  const Op& of_kind(OpKind kind, size_t operands, const Type& want) {
    std::vector<const Op*> fit;
    for (const Op* o : op_registry().all()) {
      if (o->kind == kind && (operands == 0 || o->arity == static_cast<int>(operands))) fit.push_back(o);
    }
    // Reductions of reductions want the same one twice.
    if (kind == OpKind::Reduction && last_reduction_ && rng_.chance(0.8)) return *last_reduction_;
    const Op& chosen = *rng_.pick(fit);
    if (kind == OpKind::Reduction) last_reduction_ = &chosen;
    (void)want;
    return chosen;
  }

  Expr input_of(const Type& type) {
    next_origin(false);
    return input(b_, "x" + std::to_string(inputs_++), role::data, type);
  }

  // A wildcard: mostly an input, now and then what a rule's condition may want to see.
  Expr leaf(const Type& want) {
    bool plain = !is_float(want.element) || rng_.chance(0.5);
    if (plain) return rng_.chance(0.8) ? input_of(want) : broadcast_of(want);
    next_origin(false);
    switch (rng_.below(6)) {
      case 5: return largest_of(want);
      case 0: return abs(input_of(want));
      case 1: return sigmoid(input_of(want));
      case 2: return constant(b_, any_constant(), want);
      case 3: return exp(input_of(want));
      default: return broadcast_of(want);
    }
  }
  Expr largest_of(const Type& want) {
    Axes sizes = want.sizes();
    sizes.push_back(2);
    return reduce_max(input_of(typed(want.element, sizes)), {static_cast<int64_t>(want.rank())});
  }
  Expr broadcast_of(const Type& want) {
    Axes axes;
    for (int64_t axis : rewrite::range(want.rank())) {
      if (rng_.chance(0.5)) axes.push_back(axis);
    }
    return broadcast(input_of(typed(want.element, rewrite::pick(want.sizes(), axes))), axes, want.sizes());
  }

  // An operand of an operation whose operands the pattern leaves open: the rules for those look for something in all of them.
  Expr open_operand(const Type& want) {
    if (rng_.chance(0.2)) return next_origin(true), constant(b_, any_constant(), want);
    switch (style_) {
      case 0: return next_origin(true), constant(b_, any_constant(), want);
      case 1: return broadcast_of(want);
      case 2: return transposed(want);
      case 3: return reshape(input_of(typed(want.element, {want.count()})), want.sizes());
      default: return rng_.chance(0.5) ? transposed(want) : broadcast_of(want);
    }
  }
  Expr transposed(const Type& want) {
    Axes perm = rewrite::range(want.rank());
    std::rotate(perm.begin(), perm.begin() + (perm.empty() ? 0 : 1), perm.end());
    Axes sizes(want.rank());
    for (size_t j = 0; j < perm.size(); ++j) sizes[static_cast<size_t>(perm[j])] = want.size(j);
    return transpose(input_of(typed(want.element, sizes)), perm);
  }

  Expr operand(const std::vector<Term>& operands, size_t i, const Type& want) {
    return operands.empty() ? open_operand(want) : term(operands[i], want);
  }

  Expr finish(const Op& o, std::vector<Expr> operands, Attrs attrs = {}) {
    next_origin(true);
    std::vector<NodeId> ids;
    for (const Expr& e : operands) ids.push_back(e.id);
    return {b_, b_.add(o, std::move(ids), std::move(attrs))};
  }

  Expr operation(const Op& o, const std::vector<Term>& operands, const Type& want) {
    switch (o.kind) {
      case OpKind::Pointwise: return pointwise(o, operands, want);
      case OpKind::View:
      case OpKind::Reshape:
      case OpKind::Pad: return view(o, operands, want);
      case OpKind::Reduction:
      case OpKind::ArgReduction: return reduction(o, operands, want);
      case OpKind::Contraction: return contraction(operands, want);
      case OpKind::Concatenate: return concatenation(want);
      case OpKind::Iota: return next_origin(true), iota(b_, rng_.below(axis_count(want)), want);
      case OpKind::Gather:
      case OpKind::ScatterAdd: return indexed(o, operands, want);
      default: GRADC_BUG("no instance of {}", o.name);
    }
  }

  Expr pointwise(const Op& o, const std::vector<Term>& operands, const Type& want) {
    std::string name = o.name;
    std::vector<Expr> args;
    for (int i = 0; i < o.arity; ++i) {
      Element e = want.element;
      if (name == "select" && i == 0) e = Element::Bool;
      if (name == "cast") e = rng_.pick(std::vector<Element>{Element::Bool, Element::Int, Element::F32, Element::F64});
      if (want.element == Element::Bool && name != "and" && name != "or" && name != "not" && name != "select" && name != "cast") e = element_;
      args.push_back(operand(operands, static_cast<size_t>(i), want.with(e)));
    }
    Attrs attrs;
    if (name == "cast") attrs = {{"element", Symbol(gradc::name(want.element))}};
    return finish(o, args, attrs);
  }

  Expr view(const Op& o, const std::vector<Term>& operands, const Type& want) {
    std::string name = o.name;
    size_t rank = want.rank();
    Axes axes = rewrite::range(rank), sizes = want.sizes();
    auto x = [&](const Axes& of) { return operand(operands, 0, typed(want.element, of)); };
    if (name == "broadcast") {
      Axes kept;
      for (int64_t axis : axes) {
        if (rng_.chance(0.6)) kept.push_back(axis);
      }
      if (kept.size() > 1 && rng_.chance(0.2)) std::swap(kept[0], kept[1]);
      Expr e = x(rewrite::pick(sizes, kept));
      return finish(o, {e}, {{"axes", kept}, {"sizes", sizes}});
    }
    if (name == "transpose") {
      Axes perm = axes, of(rank);
      for (size_t i = rank; i > 1; --i) std::swap(perm[i - 1], perm[static_cast<size_t>(rng_.below(static_cast<int64_t>(i)))]);
      for (size_t j = 0; j < rank; ++j) of[static_cast<size_t>(perm[j])] = sizes[j];
      Expr e = x(of);
      return finish(o, {e}, {{"perm", perm}});
    }
    if (name == "reverse") {
      Axes back;
      for (int64_t axis : axes) {
        if (rng_.chance(0.6)) back.push_back(axis);
      }
      Expr e = x(sizes);
      return finish(o, {e}, {{"axes", back}});
    }
    if (name == "reshape") {
      Axes of = sizes;
      if (rng_.chance(0.4)) of.insert(of.begin() + rng_.between(0, static_cast<int64_t>(of.size())), 1);
      else if (rng_.chance(0.6)) of = {want.count()};
      Expr e = x(of);
      return finish(o, {e}, {{"sizes", sizes}});
    }
    if (name == "skew") return skewed(o, operands, want);
    Axes low(rank), high(rank), step(rank), of(rank);
    for (size_t i = 0; i < rank; ++i) {
      if (name == "pad") {
        of[i] = rng_.between(1, sizes[i]);
        low[i] = rng_.between(0, sizes[i] - of[i]);
        high[i] = sizes[i] - of[i] - low[i];
      } else {
        low[i] = rng_.between(0, 2);
        step[i] = rng_.between(1, 2);
        high[i] = low[i] + (sizes[i] - 1) * step[i] + 1;
        of[i] = high[i] + rng_.between(0, 2);
        if (rng_.chance(0.3)) low[i] = 0, step[i] = 1, high[i] = of[i] = sizes[i];
      }
    }
    Expr e = x(of);
    if (name == "pad") return finish(o, {e}, {{"low", low}, {"high", high}, {"interior", Axes(rank, 0)}, {"value", rng_.chance(0.5) ? 0.0 : 1.0}});
    return finish(o, {e}, {{"starts", low}, {"limits", high}, {"strides", step}});
  }

  // Mostly by an axis that is summed, as windows are.
  Expr skewed(const Op& o, const std::vector<Term>& operands, const Type& want) {
    int64_t rank = axis_count(want), axis = rng_.below(rank), by = rng_.below(rank), step = rng_.between(-2, 2);
    if (!reduced_.empty() && rng_.chance(0.8)) by = rng_.pick(reduced_);
    Axes of = want.sizes();
    int64_t far = std::abs(step) * (want.size(static_cast<size_t>(by)) - 1), before = rng_.between(0, 1), size = want.size(static_cast<size_t>(axis));
    of[static_cast<size_t>(axis)] = before + far + size + rng_.between(0, 1);
    Expr e = operand(operands, 0, typed(want.element, of));
    return finish(o, {e}, {{"axes", Axes{axis}}, {"by", Axes{by}}, {"steps", Axes{step}}, {"starts", Axes{before + (step < 0 ? far : 0)}}, {"sizes", Axes{size}}});
  }

  Expr reduction(const Op& o, const std::vector<Term>& operands, const Type& want) {
    Element e = o.kind == OpKind::ArgReduction ? element_ : want.element;
    Axes sizes = want.sizes(), over;
    for (int64_t n = o.kind == OpKind::ArgReduction ? 1 : rng_.between(1, 2); n > 0; --n) {
      int64_t axis = rng_.between(0, static_cast<int64_t>(sizes.size()));
      sizes.insert(sizes.begin() + axis, rng_.between(1, 3));
      for (int64_t& other : over) other += other >= axis;
      over.push_back(axis);
    }
    reduced_ = over;
    Expr x = operand(operands, 0, typed(e, sizes));
    if (o.kind == OpKind::ArgReduction) return finish(o, {x}, {{"axis", over[0]}});
    return finish(o, {x}, {{"axes", rewrite::sorted(over)}});
  }

  // Labels of the result are 0, 1, ..; those summed follow.
  Expr contraction(const std::vector<Term>& operands, const Type& want) {
    Axes out = rewrite::range(want.rank()), lhs, rhs, sizes = want.sizes();
    for (int64_t label : out) {
      int64_t where = rng_.below(3);
      if (where != 0) lhs.push_back(label);
      if (where != 1) rhs.push_back(label);
    }
    for (int64_t n = rng_.below(3); n > 0; --n) {
      auto label = static_cast<int64_t>(sizes.size());
      sizes.push_back(rng_.between(1, 3));
      lhs.insert(lhs.begin() + rng_.between(0, static_cast<int64_t>(lhs.size())), label);
      rhs.push_back(label);
    }
    Expr a = operand(operands, 0, typed(want.element, rewrite::pick(sizes, lhs)));
    Expr b = operand(operands, 1, typed(want.element, rewrite::pick(sizes, rhs)));
    return finish(op<ops::Contraction>(), {a, b}, {{"lhs", lhs}, {"rhs", rhs}, {"out", out}});
  }

  // Parts of any kind, neighbouring slices of one value, or equal constants.
  Expr concatenation(const Type& want) {
    int64_t axis = rng_.below(axis_count(want)), begin = 0;
    auto along = static_cast<size_t>(axis);
    bool one = rng_.chance(0.5);
    Axes whole_sizes = want.sizes();
    whole_sizes[along] += 1;
    Expr whole = input_of(typed(want.element, whole_sizes));
    double value = any_constant();
    std::vector<Expr> parts;
    while (begin < want.size(along)) {
      int64_t end = rng_.between(begin + 1, want.size(along));
      Axes starts(want.rank(), 0), limits = want.sizes(), sizes = want.sizes();
      starts[along] = begin + 1, limits[along] = end + 1, sizes[along] = end - begin;
      if (style_ != 0 && !one) {
        parts.push_back(input_of(typed(want.element, sizes)));
      } else {
        next_origin(parts_matter_);
        parts.push_back(style_ == 0 ? constant(b_, value, typed(want.element, sizes)) : slice(whole, starts, limits));
      }
      begin = end;
    }
    return finish(op<ops::Concatenate>(), parts, {{"axis", axis}});
  }

  Expr indexed(const Op& o, const std::vector<Term>& operands, const Type& want) {
    int64_t axis = rng_.below(axis_count(want));
    auto along = static_cast<size_t>(axis);
    Axes sizes = want.sizes();
    if (o.kind == OpKind::Gather) {
      Type indices = typed(Element::Int, {sizes[along]});
      sizes[along] = rng_.between(1, 4);
      Expr x = operand(operands, 0, typed(want.element, sizes));
      return finish(o, {x, operand(operands, 1, indices)}, {{"axis", axis}});
    }
    int64_t size = sizes[along];
    sizes[along] = rng_.between(1, 4);
    Expr indices = operand(operands, 0, typed(Element::Int, {sizes[along]}));
    return finish(o, {indices, operand(operands, 1, typed(want.element, sizes))}, {{"axis", axis}, {"size", size}});
  }

  Element element_;
  Rng& rng_;
  GraphBuilder b_;
  FileId file_;
  std::map<int, Expr> bound_;
  const Op* last_reduction_ = nullptr;
  Axes reduced_;  // by the last reduction
  bool parts_matter_ = false;  // a slice of a concatenation may well lose the other parts
  uint32_t next_ = 0;
  int inputs_ = 0, style_ = 0;
};

}  // namespace

std::optional<Instance> grow(const rewrite::Rule& rule, Element element, Rng& rng) {
  Grower g(element, rng);
  try {
    Expr y = g.term(rule.pattern, g.root_type(rule.pattern));
    g.instance.graph.edit(y.id).name = "root";
    g.instance.graph.outputs.push_back({"y", OutputKind::Value, y.id});
    return std::move(g.instance);
  } catch (const InternalError&) {
    return std::nullopt;  // types that do not fit, which the builder refuses
  }
}

Applied apply_alone(const rewrite::Rule& rule, const Graph& graph) {
  rewrite::RuleSet only{"alone", "", {rule}};
  rewrite::Ledger ledger;
  Graph result = rewrite::Rewriter(Graph(graph), only, ledger).run();
  return {std::move(result), ledger.total()};
}

std::map<Symbol, Tensor> draw_inputs(const Graph& graph, const std::function<double()>& sample) {
  std::map<Symbol, Tensor> inputs;
  for (size_t i = 0; i < graph.size(); ++i) {
    const Node& n = graph[NodeId(i)];
    if (n.op->kind != OpKind::Input) continue;
    Tensor t = Tensor::zeros(n.type);
    for (int64_t k = 0; k < n.type.count(); ++k) t.set(k, sample());
    inputs.emplace(n.attrs.text("name"), std::move(t));
  }
  return inputs;
}

Tensor magnitudes(const Graph& graph, const std::map<Symbol, Tensor>& inputs) {
  Graph g;
  GraphBuilder b(g);
  std::vector<NodeId> to;
  for (size_t i = 0; i < graph.size(); ++i) {
    const Node& n = graph[NodeId(i)];
    std::vector<NodeId> operands;
    for (NodeId id : n.operands) operands.push_back(to[id.at()]);
    if (n.op == &op<ops::Neg>()) to.push_back(operands[0]);
    else if (n.op == &op<ops::Sub>()) to.push_back(b.add(op<ops::Add>(), operands));
    else if (n.op->kind == OpKind::Constant) to.push_back(constant(b, std::abs(n.attrs.number("value")), n.type).id);
    else to.push_back(b.add(*n.op, operands, n.attrs));
  }
  std::map<Symbol, Tensor> absolute = inputs;
  for (auto& [name, t] : absolute) {
    for (int64_t k = 0; k < t.type.count(); ++k) t.set(k, std::abs(t.at(k)));
  }
  return Interpreter(g, absolute).value(to[graph.outputs[0].node.at()]);
}

}  // namespace gradc::test
