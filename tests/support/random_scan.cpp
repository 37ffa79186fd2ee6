#include <algorithm>

#include "compiler/graph/scan.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/scan_builder.h"
#include "tests/support/random_graph_ops.h"

// Random scans: the body is a random graph whose inputs are carries, elements and captured values.
namespace gradc::test {
namespace {

// Values of the graph around, and the inputs of the body's generator that stand for them.
struct Bound {
  Expr outer, inner;
};

class ScanDrawer {
 public:
  explicit ScanDrawer(Generator& g) : g_(g), body_(body_options(g)) {}

  std::optional<Expr> run() {
    choose_sequences();
    choose_carries();
    if (sequences_.empty() && carries_.empty()) return std::nullopt;
    std::vector<const Op*> ops = drawable_operations(body_.options);
    for (int i = 0; i < body_.options.operations; ++i) {
      if (auto e = draw_any(body_, ops)) body_.admit(*e);
    }
    for (const Bound& c : carries_) nexts_.push_back(next(c.inner));
    for (int64_t i = g_.rng.between(carries_.empty() ? 1 : 0, 2); i > 0; --i) emissions_.push_back(body_.some([](const Type&) { return true; }).value());
    return build();
  }

 private:
  static RandomGraphOptions body_options(Generator& g) {
    RandomGraphOptions o = g.options;
    o.seed = g.rng.next();
    o.operations = static_cast<int>(g.rng.between(1, 5));
    o.scans = g.options.scans - 1;
    o.wide = false;
    return o;
  }

  static bool small(const Type& t) { return t.count() <= 64; }

  void choose_sequences() {
    auto first = g_.rng.chance(0.85) ? g_.some([](const Type& t) { return t.rank() > 0 && t.size(0) <= 5 && t.count() <= 256; }) : std::nullopt;
    length_ = first ? first->size(0) : g_.rng.between(1, 4);
    if (!first) return;
    add_sequence(*first);
    auto second = g_.rng.chance(0.4) ? g_.some([&](const Type& t) { return t.rank() > 0 && t.size(0) == length_ && t.count() <= 256; }) : std::nullopt;
    if (second) add_sequence(*second);
  }
  void add_sequence(Expr e) {
    const Tensor& all = g_.value(e);
    Type type = without_time(e.type());
    int64_t i = 0;
    sequences_.push_back({e, body_.new_input(type, [&] { return all.at(i++); }, role::data)});
    body_.admit(sequences_.back().inner);
  }
  void choose_carries() {
    for (int64_t i = g_.rng.between(sequences_.empty() ? 1 : 0, 2); i > 0; --i) {
      auto e = g_.some(small);
      if (!e) continue;
      const Tensor& initial = g_.value(*e);
      int64_t at = 0;
      carries_.push_back({*e, body_.new_input(e->type(), [&] { return initial.at(at++); }, role::data)});
      body_.admit(carries_.back().inner);
    }
  }

  // Stays within bounds however many steps there are.
  Expr next(Expr carry) {
    Expr e = body_.of_type(carry.type());
    if (e.element() == Element::Bool) return body_.rng.chance(0.5) ? logical_not(e) : e;
    if (e.element() == Element::Int) return max(min(e, 4), 0);
    if (body_.rng.chance(0.1)) return carry;
    return body_.rng.chance(0.5) ? tanh(e) : 0.5 * carry + tanh(e);
  }

  std::optional<Expr> build() {
    ScanBuilder s(g_.b, {.length = length_, .reverse = g_.rng.chance(0.3), .recompute = g_.rng.chance(0.2)});
    const Graph& from = body_.b.graph();
    std::vector<NodeId> to(from.size());
    for (const Bound& c : carries_) to[c.inner.id.at()] = s.carry(c.outer).id;
    for (const Bound& x : sequences_) to[x.inner.id.at()] = s.element(x.outer).id;
    std::vector<bool> needed(from.size());
    for (const std::vector<Expr>* list : {&nexts_, &emissions_}) {
      for (Expr e : *list) needed[e.id.at()] = true;
    }
    for (size_t i = from.size(); i-- > 0;) {
      for (NodeId operand : from[NodeId(i)].operands) needed[operand.at()] = needed[operand.at()] || needed[i];
    }
    for (size_t i = 0; i < from.size(); ++i) {
      if (needed[i] && !to[i]) to[i] = copy(s, from[NodeId(i)], to);
    }
    auto mapped = [&](Expr e) { return Expr(s.body(), to[e.id.at()]); };
    for (size_t k = 0; k < carries_.size(); ++k) s.next(mapped(carries_[k].inner), mapped(nexts_[k]));
    for (Expr e : emissions_) s.emit(mapped(e));
    ScanResults r = s.finish();
    std::vector<Expr> results = r.carries;
    results.insert(results.end(), r.emissions.begin(), r.emissions.end());
    if (!g_.track()) return std::nullopt;
    for (Expr e : results) {
      if (g_.rng.chance(0.7)) g_.admit(e);
    }
    return g_.rng.pick(results);
  }

  // What the body's generator made an input of is captured.
  NodeId copy(ScanBuilder& s, Node n, const std::vector<NodeId>& to) {
    if (n.op->kind != OpKind::Input) {
      for (NodeId& operand : n.operands) operand = to[operand.at()];
      n.provenance = g_.b.provenance;
      return s.body().graph().add(std::move(n));
    }
    const Tensor& value = body_.out.inputs.at(n.attrs.text("name"));
    Symbol r = n.attrs.text("role");
    int64_t i = 0;
    bool shared = r == Symbol(role::seed) || r == Symbol(role::step);
    Expr outer = shared ? g_.scalar_input(r == Symbol(role::seed) ? role::seed : role::step, n.type.element, value.at(0))
                        : g_.new_input(n.type, [&] { return value.at(i++); }, r);
    return s.inside(outer).id;
  }

  Generator& g_;
  Generator body_;
  int64_t length_ = 1;
  std::vector<Bound> carries_, sequences_;
  std::vector<Expr> nexts_, emissions_;
};

}  // namespace

std::optional<Expr> draw_scan(Generator& g) { return ScanDrawer(g).run(); }

std::optional<Expr> draw_any(Generator& g, const std::vector<const Op*>& ops) {
  if (g.options.scans > 0 && g.rng.chance(0.125)) return draw_scan(g);
  return draw(g, *g.rng.pick(ops));
}

}  // namespace gradc::test
