#include "frontend/sema/scan_body.h"

#include <algorithm>

#include "compiler/support/error.h"

namespace gradc::sema {
namespace {

class Extraction {
 public:
  Extraction(const Graph& g, const ScanRegion& r) : graph_(g), region_(r), inside_(g.size(), false), input_(g.size(), false) {
    for (NodeId id : r.carries) input_[id.at()] = true;
    for (NodeId id : r.elements) input_[id.at()] = true;
  }

  ScanBody run() {
    for (NodeId id : region_.outputs) enter(id);
    for (size_t k = 0; k < gradients_.size(); ++k) enter_between(graph_[gradients_[k]].operands[0], graph_[gradients_[k]].operands[1]);
    find_constants();
    build();
    for (const auto& [input, value] : region_.constant) out_.moved.push_back(input);
    for (size_t i = region_.begin; i < graph_.size(); ++i) {
      if (computed(NodeId(i)) || input_[i]) out_.moved.push_back(NodeId(i));
    }
    return std::move(out_);
  }

 private:
  // Not an input or a random number: those of a body are made outside.
  bool computed(NodeId id) const {
    OpKind kind = graph_[id].op->kind;
    return id.at() >= region_.begin && kind != OpKind::Input && kind != OpKind::Random;
  }
  bool is_source(NodeId id) const {
    OpKind kind = graph_[id].op->kind;
    return kind == OpKind::Constant || kind == OpKind::Iota;
  }
  NodeId resolve(NodeId id) const {
    for (auto it = region_.constant.find(id); it != region_.constant.end(); it = region_.constant.find(id)) id = it->second;
    return id;
  }
  void enter(NodeId id) {
    if (id = resolve(id); computed(id) || is_source(id)) move(id);
  }
  void move(NodeId root) {
    std::vector<NodeId> stack{root};
    while (!stack.empty()) {
      NodeId id = stack.back();
      stack.pop_back();
      if (inside_[id.at()]) continue;
      inside_[id.at()] = true;
      if (graph_[id].op->kind == OpKind::Grad) gradients_.push_back(id);
      for (NodeId o : graph_[id].operands) {
        if (o = resolve(o); computed(o) || is_source(o)) stack.push_back(o);
      }
    }
  }
  // All on paths from x to y but x itself.
  void enter_between(NodeId y, NodeId x) {
    y = resolve(y);
    x = resolve(x);
    if (y <= x) return;
    std::vector<bool> depends(y.at() + 1, false), reached(y.at() + 1, false);
    depends[x.at()] = reached[y.at()] = true;
    for (size_t i = x.at() + 1; i <= y.at(); ++i) {
      for (NodeId o : graph_[NodeId(i)].operands) depends[i] = depends[i] || depends[resolve(o).at()];
    }
    for (size_t i = y.at(); i > x.at(); --i) {
      if (!reached[i]) continue;
      for (NodeId o : graph_[NodeId(i)].operands) reached[resolve(o).at()] = true;
      if (depends[i]) move(NodeId(i));
    }
  }
  void find_constants() {
    std::vector<bool> used(graph_.size(), false);
    auto use = [&](NodeId id) {
      id = resolve(id);
      used[id.at()] = used[id.at()] || (!inside_[id.at()] && !input_[id.at()]);
    };
    for (NodeId id : region_.outputs) use(id);
    for (size_t i = 0; i < graph_.size(); ++i) {
      if (!inside_[i]) continue;
      for (NodeId o : graph_[NodeId(i)].operands) use(o);
    }
    for (size_t i = 0; i < graph_.size(); ++i) {
      if (used[i]) out_.constants.push_back(NodeId(i));
    }
  }
  void build() {
    auto body = std::make_shared<Graph>();
    GraphBuilder b(*body);
    std::vector<NodeId> moved(graph_.size());
    auto add = [&](const std::vector<NodeId>& ids, const char* role) {
      for (NodeId id : ids) {
        const Node& n = graph_[id];
        b.provenance = n.provenance;
        moved[id.at()] = body_input(b, role, body->size(), n.type, n.name).id;
      }
    };
    add(region_.carries, role::carry);
    add(region_.elements, role::element);
    add(out_.constants, role::constant);
    for (size_t i = 0; i < graph_.size(); ++i) {
      if (!inside_[i]) continue;
      Node n = graph_[NodeId(i)];
      for (NodeId& o : n.operands) o = moved[resolve(o).at()];
      moved[i] = body->add(std::move(n));
    }
    for (NodeId id : region_.outputs)
      body->outputs.push_back({body_output_name(body->outputs.size(), region_.carries.size()), OutputKind::Value, moved[resolve(id).at()]});
    out_.graph = std::move(body);
  }

  const Graph& graph_;
  const ScanRegion& region_;
  std::vector<bool> inside_, input_;
  std::vector<NodeId> gradients_;
  ScanBody out_;
};

ScanResults plain_loop(const LoopOperands& o, const std::shared_ptr<const Graph>& body, const ScanBuilder::Options& options) {
  std::vector<NodeId> operands;
  GraphBuilder* b = nullptr;
  for (auto* group : {&o.first, &o.sequences, &o.constants}) {
    for (const Expr& e : *group) {
      operands.push_back(e.id);
      b = &e.builder();
    }
  }
  GRADC_ASSERT(b, "a scan has operands");
  return scan(*b, operands, body, o.first.size(), o.sequences.size(), options);
}

Expr steps(Expr x, int64_t from, int64_t to) {
  std::vector<int64_t> starts(x.rank(), 0), limits = x.sizes();
  starts[0] = from;
  limits[0] = to;
  return slice(x, starts, limits);
}

Expr in_segments(Expr x, int64_t segment) {
  std::vector<int64_t> sizes = x.sizes();
  sizes[0] /= segment;
  sizes.insert(sizes.begin() + 1, segment);
  return reshape(x, sizes);
}

Expr joined(Expr x) {
  std::vector<int64_t> sizes = x.sizes();
  sizes[1] *= sizes[0];
  sizes.erase(sizes.begin());
  return reshape(x, sizes);
}

// A scan over segments whose body is a scan over the steps of one.
ScanResults segments(const LoopOperands& o, const std::shared_ptr<const Graph>& body, const ScanBuilder::Options& options, int64_t segment) {
  int64_t count = options.length / segment;
  ScanBuilder outer(o.first.empty() ? o.sequences[0].builder() : o.first[0].builder(), {count, options.reverse, true});
  auto name = [&](size_t i) { return (*body)[NodeId(i)].name; };
  LoopOperands inner;
  for (const Expr& e : o.first) inner.first.push_back(outer.carry(e, name(inner.first.size())));
  for (const Expr& e : o.sequences) inner.sequences.push_back(outer.element(in_segments(e, segment), name(o.first.size() + inner.sequences.size())));
  for (const Expr& e : o.constants) inner.constants.push_back(outer.inside(e));
  ScanResults r = plain_loop(inner, body, {segment, options.reverse, false});
  for (size_t k = 0; k < r.carries.size(); ++k) outer.next(inner.first[k], r.carries[k]);
  for (const Expr& e : r.emissions) outer.emit(e);
  r = outer.finish();
  for (Expr& e : r.emissions) e = joined(e);
  return r;
}

}  // namespace

ScanBody extract_body(const Graph& graph, const ScanRegion& region) { return Extraction(graph, region).run(); }

ScanResults scan_loop(const LoopOperands& operands, const std::shared_ptr<const Graph>& body, const ScanBuilder::Options& options, int64_t segment) {
  if (segment == 1) return plain_loop(operands, body, {options.length, options.reverse, true});
  if (segment <= 0 || segment >= options.length) return plain_loop(operands, body, options);
  int64_t rest = options.length % segment;
  if (rest == 0) return segments(operands, body, options, segment);
  // The odd steps are those that come last in time; a reversed scan begins with them.
  int64_t whole = options.length - rest;
  LoopOperands front = operands, back = operands;
  for (Expr& e : front.sequences) e = steps(e, 0, whole);
  for (Expr& e : back.sequences) e = steps(e, whole, options.length);
  auto run_front = [&] { return segments(front, body, {whole, options.reverse, false}, segment); };
  auto run_back = [&] { return plain_loop(back, body, {rest, options.reverse, false}); };
  ScanResults early, late;
  if (options.reverse) {
    late = run_back();
    front.first = late.carries;
    early = run_front();
  } else {
    early = run_front();
    back.first = early.carries;
    late = run_back();
  }
  ScanResults r = options.reverse ? early : late;
  for (size_t k = 0; k < r.emissions.size(); ++k) r.emissions[k] = concatenate({early.emissions[k], late.emissions[k]}, 0);
  return r;
}

}  // namespace gradc::sema
