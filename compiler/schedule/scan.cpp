#include <algorithm>

#include "compiler/graph/scan.h"
#include "compiler/schedule/buffers.h"
#include "compiler/schedule/graph_scheduler.h"
#include "compiler/schedule/panels.h"

// How a scan becomes a loop: its body is a graph that is scheduled by itself, whose inputs and outputs are windows of buffers that move
// from trip to trip. A scan in reverse moves backwards.
namespace gradc::scheduling {
namespace {

int64_t bytes_of(const Type& type) { return type.count() * static_cast<int64_t>(byte_size(type.element)); }

Type with_rows(Type row, int64_t rows) {
  row.dims.insert(row.dims.begin(), Dim{rows, {}});
  return row;
}

// One row after the other in the order of the scan.
SlotPlace row_by_row(const ScanLayout& scan, int64_t first_row, int64_t bytes, int32_t loop) {
  if (bytes == 0) return {first_row * bytes};
  if (scan.reverse) return {(first_row + scan.length - 1) * bytes, {{loop, -bytes}}};
  return {first_row * bytes, {{loop, bytes}}};
}

}  // namespace

std::vector<NodeId> GraphScheduler::results_of(NodeId scan, size_t index) const {
  std::vector<NodeId> out;
  for (size_t i = scan.at() + 1; i < graph_.size(); ++i) {
    const Node& n = graph_[NodeId(i)];
    bool picks = n.op->kind == OpKind::Result && n.operands[0] == scan && n.attrs.integer("index") == static_cast<int64_t>(index);
    if (picks && work_.is_live(NodeId(i))) out.push_back(NodeId(i));
  }
  return out;
}

// Whether the item that gives an initial value can store it where the carry begins. Rows that are kept are never written again; of others
// nobody else may want the old value.
bool GraphScheduler::compute_in_place(const Item& item, size_t k, bool kept) const {
  const Node& n = graph_[item.node];
  NodeId initial = n.operands[k];
  int own = work_.item_of[initial.at()];
  if (own < 0 || storage_.of_node[initial.at()] || graph_[initial].op->kind == OpKind::Result) return false;
  if (kept) return true;
  const std::vector<int>& users = clusters_.users(own);
  return users.size() == 1 && work_.items[static_cast<size_t>(users.front())].node == item.node;
}

// `shared`: emissions that are rows of carries are added.
CarryPlan GraphScheduler::plan_carry(const Item& item, size_t k, std::set<size_t>& shared) {
  const Node& n = graph_[item.node];
  const Graph& body = *n.body;
  const ScanLayout scan(n);
  const NodeId next = body.outputs[k].node;
  const Type& type = graph_[n.operands[k]].type;
  CarryPlan c;
  c.bytes = bytes_of(type);
  std::vector<std::pair<size_t, bool>> rows;  // emissions of the value before or after the step
  for (size_t j = scan.carries; j < scan.results(); ++j) {
    const NodeId emitted = body.outputs[j].node;
    const bool before = emitted == NodeId(k), after = emitted == next && body[next].op->kind != OpKind::Input;
    const std::vector<NodeId> results = results_of(item.node, j);
    const bool free = !results.empty() && std::none_of(results.begin(), results.end(), [&](NodeId r) { return bool(storage_.of_node[r.at()]); });
    if ((before || after) && free && shared.insert(j).second) rows.push_back({j, after});
  }
  c.kept = !rows.empty();
  const std::string name = body.label(NodeId(k));
  c.rows = storage_.add({Symbol(name + ".rows"), BufferKind::Temporary, with_rows(type, c.kept ? scan.length + 1 : 2), 0, {}});
  const int64_t first = c.kept && scan.reverse ? scan.length : 0, last = !c.kept ? scan.length % 2 : scan.reverse ? 0 : scan.length;
  c.initial = step_.memory.add_window(Symbol(name + ".first"), type, c.rows, {first * c.bytes});
  c.last = step_.memory.add_window(Symbol(name + ".last"), type, c.rows, {last * c.bytes});
  for (const auto& [j, after] : rows) {
    for (NodeId r : results_of(item.node, j)) {
      const int64_t offset = after != scan.reverse ? c.bytes : 0;
      storage_.of_node[r.at()] = step_.memory.add_window(Symbol(graph_.label(r)), graph_[r].type, c.rows, {offset});
    }
  }
  c.computed = compute_in_place(item, k, c.kept);
  if (c.computed) storage_.of_node[n.operands[k].at()] = c.initial;
  return c;
}

ScanPlan GraphScheduler::plan_scan(const Item& item) {
  const Node& n = graph_[item.node];
  const ScanLayout scan(n);
  ScanPlan plan;
  std::set<size_t> shared;
  for (size_t k = 0; k < scan.carries; ++k) plan.carries.push_back(plan_carry(item, k, shared));
  plan.results.resize(scan.results());
  for (size_t j = 0; j < scan.results(); ++j) {
    const std::vector<NodeId> results = results_of(item.node, j);
    if (results.empty() || shared.count(j)) continue;
    std::vector<BufferId>& to = plan.results[j];
    for (NodeId r : results) {
      if (BufferId home = storage_.of_node[r.at()]) to.push_back(home);
      if (auto more = storage_.copies.find(r); more != storage_.copies.end()) to.insert(to.end(), more->second.begin(), more->second.end());
    }
    BufferId home;
    if (j < scan.carries) {
      home = plan.carries[j].last;
    } else if (to.empty()) {
      home = storage_.add({Symbol(graph_.label(results.front())), BufferKind::Temporary, graph_[results.front()].type, 0, {}});
      to.push_back(home);
    } else {
      home = to.front();
    }
    for (NodeId r : results) {
      if (!storage_.of_node[r.at()]) storage_.of_node[r.at()] = home;
    }
  }
  return plan;
}

void GraphScheduler::copy(NodeId node, BufferId from, const std::vector<BufferId>& to, const std::string& name) {
  if (to.empty() || graph_[node].type.count() == 0) return;
  RawKernel k = build_copy(input(), node, from, to);
  k.name = step_.unique(name);
  step_.kernels.push_back(std::move(k));
}

void GraphScheduler::build_scan(int index) {
  const NodeId id = work_.items[static_cast<size_t>(index)].node;
  const Node& n = graph_[id];
  const ScanLayout scan(n);
  const ScanPlan& plan = scans_.at(index);
  for (size_t k = 0; k < scan.carries; ++k) {
    if (!plan.carries[k].computed) copy(n.operands[k], {}, {plan.carries[k].initial}, n.body->label(NodeId(k)) + ".first");
  }
  if (scan.length > 0) build_loop(id, plan);
  for (size_t k = 0; k < scan.carries; ++k) {
    const std::vector<NodeId> results = results_of(id, k);
    if (!results.empty()) copy(results.front(), plan.carries[k].last, plan.results[k], n.body->label(NodeId(k)) + ".last");
  }
}

void GraphScheduler::build_loop(NodeId id, const ScanPlan& plan) {
  const Node& n = graph_[id];
  const ScanLayout scan(n);
  // What nobody reads is not computed, and what a carry's rows hold is not stored again.
  Graph body = *n.body;
  body.outputs.resize(scan.carries);
  for (size_t k = 0; k < scan.carries; ++k) body.outputs[k].name = body.label(NodeId(k));
  for (size_t j = scan.carries; j < scan.results(); ++j) {
    if (plan.results[j].empty()) continue;
    body.outputs.push_back(n.body->outputs[j]);
    body.outputs.back().name = graph_.label(results_of(id, j).front());
  }
  const size_t loop = step_.loops.size(), first = step_.kernels.size();
  step_.loops.push_back({Symbol(graph_.label(id)), static_cast<int32_t>(first), static_cast<int32_t>(first), scan.length});
  const auto number = static_cast<int32_t>(loop);
  GraphScheduler inner(body, step_);
  std::vector<std::pair<BufferId, BufferId>> changing;
  for (size_t k = scan.carries; k < scan.operands(); ++k) bind_operand(inner, id, k, number);
  // All inputs before any output, which may be one of them.
  for (size_t k = 0; k < scan.carries; ++k) changing.push_back(bind_carry(inner, n, plan.carries[k], k, number));
  for (size_t k = 0; k < scan.carries; ++k) inner.bind_output(body.outputs[k].node, changing[k].second);
  for (size_t j = scan.carries; j < scan.results(); ++j) {
    for (BufferId whole : plan.results[j]) {
      const NodeId emitted = n.body->outputs[j].node;
      const Type& type = body[emitted].type;
      inner.bind_output(emitted, step_.memory.add_window(Symbol(body.label(emitted)), type, whole, row_by_row(scan, 0, bytes_of(type), number)));
    }
  }
  ++step_.depth;
  inner.run();
  --step_.depth;
  step_.loops[loop].end = static_cast<int32_t>(step_.kernels.size());
  if (step_.kernels.size() == first) return step_.loops.pop_back();  // carries and emissions without elements
  for (size_t k = 0; k < scan.carries; ++k) {
    if (!plan.carries[k].kept) settle_carry(plan.carries[k], changing[k].first, changing[k].second, first);
  }
  if (step_.depth == 0 && step_.options.fuse) hoist_panels(step_, loop);
}

// The windows of a carry's value before and after a trip.
std::pair<BufferId, BufferId> GraphScheduler::bind_carry(GraphScheduler& inner, const Node& n, const CarryPlan& c, size_t k, int32_t loop) {
  const ScanLayout scan(n);
  const Graph& body = *n.body;
  const Type& type = body[NodeId(k)].type;
  SlotPlace before, after;
  if (c.kept) {
    before = row_by_row(scan, scan.reverse ? 1 : 0, c.bytes, loop);
    after = row_by_row(scan, scan.reverse ? 0 : 1, c.bytes, loop);
  } else {
    before.moves = {{loop, c.bytes, 0, 2}};
    after.moves = {{loop, c.bytes, 1, 2}};
  }
  const std::string name = body.label(NodeId(k));
  const BufferId current = step_.memory.add_window(Symbol(name), type, c.rows, before);
  const BufferId next = step_.memory.add_window(Symbol(name + ".next"), type, c.rows, after);
  inner.bind_input(NodeId(k), current);
  return {current, next};
}

// Sequences and constants, through the views between them and what is stored.
void GraphScheduler::bind_operand(GraphScheduler& inner, NodeId id, size_t k, int32_t loop) {
  const Node& n = graph_[id];
  const ScanLayout scan(n);
  const Seen seen = work_.behind(id, k);
  const Type &whole = graph_[n.operands[k]].type, &type = (*n.body)[NodeId(k)].type;
  const Affine at = storage_.address(graph_, seen.base, seen.place, whole.rank()).at;
  const auto bytes = static_cast<int64_t>(byte_size(type.element));
  const bool sequence = k < scan.constant(0);
  SlotPlace place{at.offset * bytes};
  std::vector<int64_t> strides = at.strides;
  if (sequence) {
    const SlotPlace rows = row_by_row(scan, 0, strides.front() * bytes, loop);
    place.offset += rows.offset;
    place.moves = rows.moves;
    strides.erase(strides.begin());
  }
  for (size_t i = 0; i < strides.size(); ++i) {
    if (type.size(i) <= 1) strides[i] = type.strides()[i];  // nothing moves along it
  }
  if (strides == type.strides()) strides.clear();
  BufferId b = storage_.of_node[seen.base.at()];
  if (place != SlotPlace{}) b = step_.memory.add_window(Symbol(n.body->label(NodeId(k))), type, b, place);
  inner.bind_input(NodeId(k), b, std::move(strides));
}

// One place does for a carry whose old elements are read for the last time where the new ones are stored.
void GraphScheduler::settle_carry(const CarryPlan& c, BufferId current, BufferId next, size_t first) {
  if (!carry_in_place(step_.memory, step_.kernels, first, current, next)) return;
  step_.memory.windows.at(current).place = {};
  step_.memory.windows.at(c.last).place = {};
  step_.memory.buffers[c.rows.at()].type.dims.front().size = 1;
}

}  // namespace gradc::scheduling
