#include "compiler/autodiff/scan.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/autodiff/over_time.h"
#include "compiler/autodiff/residuals.h"
#include "compiler/ops/scan_builder.h"
#include "compiler/support/error.h"

namespace gradc {
namespace {

// Builds the reversed scan from the swept body.
class Reversal {
 public:
  Reversal(GraphBuilder& b, NodeId scan, const std::vector<NodeId>& results, SweptBody body, Symbol of)
      : outer_(b), scan_(scan), layout_(b[scan]), results_(results), of_(of), body_(std::move(body)),
        sums_(body_, layout_.length, !layout_.recompute) {}

  std::vector<NodeId> run() {
    plan_sums();
    choose_residuals();
    keep_residuals();
    build();
    return cotangents();
  }

 private:
  bool is_sequence(size_t operand) const { return operand >= layout_.carries && operand < layout_.constant(0); }

  void plan_sums() {
    std::vector<NodeId> constants;
    for (size_t i = layout_.constant(0); i < layout_.operands(); ++i) {
      if (body_.of_input[i]) constants.push_back(body_.of_input[i]);
    }
    sums_.plan(constants);
    for (NodeId id : sums_.stacked()) {
      bool sequence = id.at() < layout_.operands() && is_sequence(id.at());
      if (!body_.varies[id.at()] || sequence) continue;
      (body_.is_primal(id) ? stacked_primal_ : stacked_).insert(id);
    }
  }

  // What the reversed scan computes: the sweep's nodes that lead to its outputs. The primal values that those read are residuals.
  void choose_residuals() {
    std::vector<NodeId> roots(stacked_.begin(), stacked_.end());
    roots.insert(roots.end(), sums_.totals().begin(), sums_.totals().end());
    for (size_t c : body_.carries) roots.push_back(body_.of_input[c]);
    for (size_t i = layout_.carries; i < layout_.constant(0); ++i) roots.push_back(body_.of_input[i]);
    std::set<NodeId> read;
    needed_.resize(body_.graph.size());
    for (NodeId id : roots) {
      if (id) need(id, read);
    }
    for (size_t i = needed_.size(); i-- > 0;) {
      if (!needed_[i]) continue;
      for (NodeId operand : body_.graph[NodeId(i)].operands) need(operand, read);
    }
    residuals_.emplace(body_, layout_, stacked_primal_, layout_.recompute);
    residuals_->require(read);
    find_read(read);
  }
  void find_read(const std::set<NodeId>& read) {
    read_.resize(body_.graph.size());
    for (NodeId id : read) read_[id.at()] = true;
    for (size_t i = 0; i < read_.size(); ++i) {
      if (residuals_->source(NodeId(i)) != Residuals::Source::Again) continue;
      for (NodeId operand : body_.graph[NodeId(i)].operands) read_[operand.at()] = true;
    }
  }
  void need(NodeId id, std::set<NodeId>& read) {
    if (body_.is_primal(id)) read.insert(id);
    else needed_[id.at()] = true;
  }

  // Gives the scan emissions of what is kept. Where it emits a value already, that one serves.
  void keep_residuals() {
    if (residuals_->emitted().empty()) return;
    auto body = std::make_shared<Graph>(*outer_[scan_].body);
    std::map<NodeId, size_t> emitted;
    for (size_t k = layout_.carries; k < body->outputs.size(); ++k) emitted.emplace(body->outputs[k].node, k);
    for (NodeId id : residuals_->emitted()) {
      auto [it, fresh] = emitted.try_emplace(id, body->outputs.size());
      if (fresh) body->outputs.push_back({body_output_name(it->second, layout_.carries), OutputKind::Value, in_body(*body, id)});
    }
    size_t before = outer_[scan_].body->outputs.size();
    outer_.graph().edit(scan_).body = std::move(body);
    for (NodeId id : residuals_->emitted()) kept_[id] = kept_value(id, emitted.at(id), before);
  }

  // A primal node in the scan's own body. Further results of a scan inside come with the emissions that the sweep gave that one.
  NodeId in_body(Graph& body, NodeId id) {
    if (id.at() < body_.primal) return id;
    Node picked = body_.graph[id];
    body.edit(picked.operands[0]).body = body_.graph[picked.operands[0]].body;
    return body.add(std::move(picked));
  }

  Expr kept_value(NodeId id, size_t index, size_t results_before) {
    for (size_t i = scan_.at() + 1; index < results_before && i < outer_.graph().size(); ++i) {
      const Node& n = outer_[NodeId(i)];
      if (n.op->kind == OpKind::Result && n.operands[0] == scan_ && n.attrs.integer("index") == static_cast<int64_t>(index)) return {outer_, NodeId(i)};
    }
    Expr kept = result(Expr(outer_, scan_), index);
    const Node& n = body_.graph[id];
    outer_.graph().edit(kept.id).name = fmt::format("kept({})", n.name ? n.name.str() : fmt::format("%{} {}", id.index, n.op->name));
    return kept;
  }

  Expr zeros(const Type& type) { return constant(outer_, 0, type); }
  Expr operand(size_t i) const { return {outer_, outer_[scan_].operands[i]}; }
  Symbol name_of(NodeId id) const { return body_.graph[id].name; }
  Symbol name_of_cotangent(NodeId primal) const {
    Symbol name = name_of(primal);
    return name ? Symbol(fmt::format("d({})/d({})", of_, name)) : Symbol();
  }

  void build() {
    ScanBuilder::Options options{.length = layout_.length, .reverse = !layout_.reverse, .recompute = layout_.recompute};
    ScanBuilder s(outer_, options);
    values_.resize(body_.graph.size());
    std::vector<Expr> carries;
    for (size_t c : body_.carries) {
      NodeId from = body_.of_output[c];
      Expr initial = results_[c] ? Expr(outer_, results_[c]) : zeros(body_.graph[from].type);
      carries.push_back(values_[from.at()] = s.carry(initial, body_.of_input[c] ? name_of(body_.of_input[c]) : Symbol()));
    }
    std::map<NodeId, Expr> accumulators;
    for (NodeId id : sums_.totals()) accumulators[id] = s.carry(zeros(body_.graph[id].type), name_of(id));
    for (size_t k = layout_.carries; k < layout_.results(); ++k) {
      if (NodeId from = body_.of_output[k]) values_[from.at()] = s.element(Expr(outer_, results_[k]), name_of_cotangent(body_.graph.outputs[k].node));
    }
    for (size_t i = 0; i < values_.size(); ++i) place(s, NodeId(i));

    for (size_t j = 0; j < body_.carries.size(); ++j) {
      NodeId next = body_.of_input[body_.carries[j]];
      s.next(carries[j], next ? value(next) : s.inside(zeros(carries[j].type())));
    }
    for (auto& [id, accumulator] : accumulators) s.next(accumulator, accumulator + value(id));
    emit_all(s);
    if (carries.empty() && accumulators.empty() && emissions_.empty()) return;  // every sum is of values that never change
    finish(s, accumulators);
  }

  // Makes a value of the swept body a value of the reversed scan's body, where that needs it.
  void place(ScanBuilder& s, NodeId id) {
    const Node& n = body_.graph[id];
    Expr& to = values_[id.at()];
    if (to) return;
    switch (residuals_->source(id)) {
      case Residuals::Source::Read: to = is_sequence(id.at()) ? s.element(operand(id.at()), n.name) : s.inside(operand(id.at())); return;
      case Residuals::Source::Emitted:
        // Stacked for the sums alone, it is not read here.
        if (read_[id.at()]) to = s.element(kept_.at(id), n.name);
        return;
      case Residuals::Source::None:
        if (!needed_[id.at()]) return;
        break;
      case Residuals::Source::Again: break;
    }
    Node copy = n;
    for (NodeId& o : copy.operands) o = value(o).id;
    to = Expr(s.body(), s.body().graph().add(std::move(copy)));
  }

  Expr value(NodeId id) const {
    Expr e = values_[id.at()];
    GRADC_ASSERT(e, "%{} ({}) has no value in the reversed scan", id.index, body_.graph[id].op->name);
    return e;
  }

  void emit_all(ScanBuilder& s) {
    for (size_t i = layout_.carries; i < layout_.constant(0); ++i) {
      if (NodeId id = body_.of_input[i]) emissions_.try_emplace(id, emissions_.size());
    }
    size_t of_sequences = emissions_.size();  // named by the sweep around, after the sequence
    for (NodeId id : stacked_) emissions_.try_emplace(id, emissions_.size());
    std::vector<NodeId> order(emissions_.size());
    for (const auto& [id, index] : emissions_) order[index] = id;
    for (size_t k = 0; k < order.size(); ++k) s.emit(value(order[k]), k < of_sequences ? Symbol() : name_of(order[k]));
  }

  void finish(ScanBuilder& s, const std::map<NodeId, Expr>& accumulators) {
    made_ = s.finish();
    size_t next = body_.carries.size();
    for (const auto& entry : accumulators) totals_[entry.first] = made_.carries[next++];
  }

  std::vector<NodeId> cotangents() {
    std::vector<NodeId> out(layout_.operands());
    for (size_t j = 0; j < body_.carries.size(); ++j) {
      if (body_.of_input[body_.carries[j]]) out[body_.carries[j]] = made_.carries[j].id;
    }
    for (size_t i = layout_.carries; i < out.size(); ++i) {
      NodeId id = body_.of_input[i];
      if (id) out[i] = is_sequence(i) ? made_.emissions[emissions_.at(id)].id : sum(id);
    }
    return out;
  }

  NodeId sum(NodeId id) {
    OverTime::Outside outside{outer_, [&](NodeId n) { return invariant(n); }, [&](NodeId n) { return all_steps(n); },
                              [&](NodeId n) { return totals_.at(n); }};
    return sums_.sum(id, outside).id;
  }

  // A value that is the same in each step, computed once in the graph around.
  Expr invariant(NodeId id) {
    if (id.at() < layout_.operands()) return operand(id.at());
    auto known = invariants_.find(id);
    if (known != invariants_.end()) return known->second;
    Node copy = body_.graph[id];
    for (NodeId& o : copy.operands) o = invariant(o).id;
    Expr made(outer_, outer_.graph().add(std::move(copy)));
    invariants_.emplace(id, made);
    return made;
  }

  Expr all_steps(NodeId id) {
    if (!body_.varies[id.at()]) {
      Expr once = invariant(id);
      std::vector<int64_t> axes, sizes = once.sizes();
      for (size_t i = 0; i < sizes.size(); ++i) axes.push_back(static_cast<int64_t>(i) + 1);
      sizes.insert(sizes.begin(), layout_.length);
      return broadcast(once, axes, sizes);
    }
    if (id.at() < layout_.operands() && is_sequence(id.at())) return operand(id.at());
    return body_.is_primal(id) ? kept_.at(id) : made_.emissions[emissions_.at(id)];
  }

  GraphBuilder& outer_;
  NodeId scan_;
  ScanLayout layout_;
  const std::vector<NodeId>& results_;
  Symbol of_;
  SweptBody body_;
  OverTime sums_;
  std::set<NodeId> stacked_primal_, stacked_;  // values that sums read for all steps
  std::vector<bool> needed_;                   // nodes of the sweep that the reversed scan computes
  std::optional<Residuals> residuals_;
  std::vector<bool> read_;                     // primal values that the reversed scan reads
  std::map<NodeId, Expr> kept_;                // primal values that the scan emits, for all steps
  std::vector<Expr> values_;                   // in the body of the reversed scan
  std::map<NodeId, size_t> emissions_;         // of the reversed scan
  std::map<NodeId, Expr> totals_, invariants_;
  ScanResults made_;
};

}  // namespace

ScanCotangents differentiate_scan(GraphBuilder& b, NodeId scan, const std::vector<NodeId>& results, const std::vector<bool>& wanted, Symbol of) {
  SweptBody body = sweep_body(b, scan, results, wanted, of);
  ScanCotangents out{std::vector<NodeId>(wanted.size()), body.refused};
  if (body.of_input.empty()) return out;
  out.operands = Reversal(b, scan, results, std::move(body), of).run();
  return out;
}

}  // namespace gradc
