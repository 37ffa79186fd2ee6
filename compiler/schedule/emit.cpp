#include "compiler/schedule/emit.h"

#include <algorithm>
#include <bit>

#include "compiler/support/error.h"

namespace gradc::scheduling {

int RawKernel::slot(BufferId buffer, Element element, bool written) {
  auto it = std::find(buffers.begin(), buffers.end(), buffer);
  if (it == buffers.end()) {
    buffers.push_back(buffer);
    body.slots.push_back({element, false});
    it = buffers.end() - 1;
  }
  auto i = static_cast<size_t>(it - buffers.begin());
  body.slots[i].written |= written;
  return static_cast<int>(i);
}

int RawKernel::site(uint32_t site) {
  auto it = std::find(sites.begin(), sites.end(), site);
  if (it == sites.end()) it = sites.insert(it, site);
  return static_cast<int>(it - sites.begin());
}

namespace {

template <class Body, class Visitor>
void each_list(Body& body, Visitor visit) {
  if (Nest* n = std::get_if<Nest>(&body.form)) {
    for (Section& s : n->sections) visit(s.stmts);
  } else {
    auto& c = std::get<Contraction>(body.form);
    visit(c.lhs), visit(c.rhs), visit(c.epilogue);
  }
}

}  // namespace

void RawKernel::drop_if_unused(int slot) {
  for (const Stmt* s : statements(body)) {
    if (touches_memory(*s) && s->access.slot == slot) return;
  }
  each_list(body, [&](std::vector<Stmt>& list) {
    for (Stmt& s : list) {
      if (touches_memory(s) && s.access.slot > slot) --s.access.slot;
    }
  });
  body.slots.erase(body.slots.begin() + slot);
  buffers.erase(buffers.begin() + slot);
}

BufferId Memory::add_window(Symbol name, const Type& type, BufferId of, SlotPlace place) {
  BufferId b = add({name, BufferKind::Temporary, type, 0, {}});
  windows[b] = {of, std::move(place)};
  return b;
}

Window Memory::behind(BufferId b) const {
  Window w{b, {}};
  for (auto it = windows.find(b); it != windows.end(); it = windows.find(w.of)) {
    w.of = it->second.of;
    w.place.offset += it->second.place.offset;
    w.place.moves.insert(w.place.moves.end(), it->second.place.moves.begin(), it->second.place.moves.end());
  }
  return w;
}

bool Memory::is_part(BufferId part, BufferId whole) const {
  for (auto it = windows.find(part); it != windows.end(); it = windows.find(it->second.of)) {
    if (it->second.of == whole) return true;
  }
  return false;
}

AxisIndex Storage::address(const Graph& graph, NodeId node, const Place& place, size_t kernel_dims) const {
  auto own = strides.find(node);
  const Type& type = graph[node].type;
  return own == strides.end() ? flat(place, type, kernel_dims) : flat(place, type, own->second, kernel_dims);
}

void Emitter::begin(StmtList& row, StmtList& full) {
  row_ = &row;
  full_ = &full;
  full_values_.clear();
  full_stmts_.clear();
}

void Emitter::begin_apart(StmtList& list) {
  begin(list, list);
  row_values_.clear();
  row_stmts_.clear();
  ready_.clear();
}

bool Emitter::is_row(const Affine& a) const {
  for (size_t d = 0; d < a.strides.size(); ++d) {
    if (a.strides[d] != 0 && (inner_ & bit_of(static_cast<int>(d)))) return false;
  }
  return true;
}

bool Emitter::is_row(const Place& place) const {
  for (const AxisIndex& i : place.axes) {
    if (!is_row(i.at)) return false;
    for (const Indirect& p : i.picks) {
      if (of_full_.count(p.index)) return false;
    }
  }
  return std::all_of(place.guards.begin(), place.guards.end(), [&](const Guard& g) { return is_row(g.at); });
}

ValueId Emitter::emit(Stmt s, NodeId origin, bool row, bool labelled) {
  bool defines = s.kind != StmtKind::Store && s.kind != StmtKind::Accumulate && s.kind != StmtKind::Yield;
  std::vector<int64_t> key;
  if (s.kind == StmtKind::Compute) {
    key = {static_cast<int64_t>(s.op), static_cast<int64_t>(s.type), s.args[0], s.args[1], s.args[2], std::bit_cast<int64_t>(s.constant)};
    if (auto it = row_stmts_.find(key); it != row_stmts_.end()) return it->second;
    if (auto it = full_stmts_.find(key); !row && it != full_stmts_.end()) return it->second;
  }
  if (defines) s.value = next_++;
  if (!row && defines) of_full_.insert(s.value);
  if (!key.empty()) (row ? row_stmts_ : full_stmts_)[key] = s.value;
  const Node& n = graph_[origin];
  list(row).push_back({std::move(s), n.provenance, labelled ? n.name : Symbol()});
  return list(row).back().stmt.value;
}

ValueId Emitter::constant(Element element, double value, NodeId origin) {
  return emit({.kind = StmtKind::Compute, .op = ScalarOp::Const, .type = element, .constant = value}, origin, true, false);
}

ValueId Emitter::binary(ScalarOp op, ValueId a, ValueId b, Element operand, NodeId origin, bool row) {
  return emit({.kind = StmtKind::Compute, .op = op, .type = result_element(op, operand), .args = {a, b, -1}}, origin, row, false);
}

ValueId Emitter::load_at(BufferId buffer, Element element, const AxisIndex& at, const std::vector<Guard>& guards, double fill, NodeId origin) {
  Stmt s{.kind = StmtKind::Load, .type = element};
  s.access.slot = kernel_.slot(buffer, element, false);
  s.access.at = at.at;
  s.access.indirect = at.picks;
  s.access.guards = guards;
  s.access.fill = guards.empty() ? 0 : fill;
  Place p{{at}, guards};
  return emit(s, origin, is_row(p));
}

ValueId Emitter::load(BufferId buffer, const Type& type, const Place& place, NodeId origin) {
  return load_at(buffer, type.element, flat(place, type, dims()), place.guards, 0, origin);
}

ValueId Emitter::load(NodeId node, const Place& place) {
  return load_at(storage_.of_node[node.at()], graph_[node].type.element, storage_.address(graph_, node, place, dims()), place.guards, 0, node);
}

ValueId Emitter::value(NodeId node, const Place& place) {
  if (auto it = ready_.find(node); it != ready_.end()) return it->second;
  PlaceKey key = key_of(node, place);
  for (const auto* known : {&row_values_, &full_values_}) {
    if (auto it = known->find(key); it != known->end()) return it->second;
  }
  BufferId buffer = storage_.of_node[node.at()];
  ValueId v = -1;
  if (auto kept = kept_.find(node); kept != kept_.end()) {
    Stmt s{.kind = StmtKind::Load, .type = graph_[node].type.element};
    s.access = kept->second;
    v = emit(s, node, is_row(place));
  } else {
    v = buffer && !local_.count(node) ? load(node, place) : compute(node, place);
  }
  (of_full_.count(v) ? full_values_ : row_values_)[key] = v;
  return v;
}

ValueId Emitter::compute(NodeId node, const Place& place) {
  const Node& n = graph_[node];
  switch (n.op->kind) {
    case OpKind::Input: return load(node, place);
    case OpKind::Constant: return constant(n.type.element, n.attrs.number("value"), node);
    case OpKind::Iota: return iota(node, place);
    case OpKind::Random: return random(node, place);
    case OpKind::Pointwise: return pointwise(node, place);
    case OpKind::StopGradient:
    case OpKind::WithDerivative: return value(n.operands[0], place);
    case OpKind::View:
      return value(n.operands[0], through_view(place, n.op->view(graph_[n.operands[0]].type, n.type, n.attrs), dims()));
    case OpKind::Reshape: return reshape(node, place);
    case OpKind::Pad: return pad(node, place);
    case OpKind::Concatenate: return concatenate(node, place);
    case OpKind::Gather: return gather(node, place);
    case OpKind::Reduction:
    case OpKind::ArgReduction:
    case OpKind::Contraction: return unsummed(node, place);
    default: GRADC_BUG("{} is not computed point by point", n.op->name);
  }
}

ValueId Emitter::pointwise(NodeId node, const Place& place) {
  const Node& n = graph_[node];
  ScalarProgram program = program_of(graph_, node);
  bool row = is_row(place);
  std::vector<ValueId> values;
  for (NodeId o : n.operands) values.push_back(value(o, place));
  for (size_t i = 0; i < program.insts.size(); ++i) {
    const ScalarInst& inst = program.insts[i];
    if (inst.op == ScalarOp::Const) {
      values.push_back(constant(inst.type, inst.constant, node));
      continue;
    }
    Stmt s{.kind = StmtKind::Compute, .op = inst.op, .type = inst.type};
    for (size_t a = 0; a < static_cast<size_t>(arity(inst.op)); ++a) s.args[a] = values[static_cast<size_t>(inst.args[a])];
    bool last = static_cast<size_t>(program.result) == values.size();
    values.push_back(emit(s, node, row, last));
  }
  return values[static_cast<size_t>(program.result)];
}

ValueId Emitter::product(NodeId contraction, const Place& own) {
  const Node& n = graph_[contraction];
  ValueId a = value(n.operands[0], work_.operand_place(contraction, 0, own, extents_));
  ValueId b = value(n.operands[1], work_.operand_place(contraction, 1, own, extents_));
  return binary(ScalarOp::Mul, a, b, n.type.element, contraction, is_row(own));
}

// A sum over axes of size 1 only.
ValueId Emitter::unsummed(NodeId node, const Place& place) {
  const Node& n = graph_[node];
  if (n.op->kind == OpKind::ArgReduction) return constant(Element::Int, 0, node);
  Place own{place.axes, place.guards};
  if (n.op->kind == OpKind::Contraction) {
    own.axes.resize(contraction_labels(n).size(), {fixed(dims(), 0), {}});
    return product(node, own);
  }
  for (int64_t axis : n.attrs.integers("axes")) {
    GRADC_ASSERT(graph_[n.operands[0]].type.size(static_cast<size_t>(axis)) == 1, "{} is not computed point by point", graph_.label(node));
    own.axes.insert(own.axes.begin() + static_cast<std::ptrdiff_t>(axis), {fixed(dims(), 0), {}});
  }
  return value(n.operands[0], own);
}

// What memory holds the elements of a node in row-major order, seen through reshapes.
BufferId Emitter::memory_behind(NodeId node) const {
  while (!storage_.of_node[node.at()] || local_.count(node)) {
    GRADC_ASSERT(graph_[node].op->kind == OpKind::Reshape, "{} is not in memory", graph_.label(node));
    node = graph_[node].operands[0];
  }
  return storage_.of_node[node.at()];
}

ValueId Emitter::reshape(NodeId node, const Place& place) {
  const Node& n = graph_[node];
  NodeId from = n.operands[0];
  if (auto p = through_reshape(place, n.type, graph_[from].type, extents_)) return value(from, *p);
  return load_at(memory_behind(from), n.type.element, flat(place, n.type, dims()), place.guards, 0, from);
}

// All guards hold, as a Bool.
ValueId Emitter::within(const std::vector<Guard>& guards, NodeId origin) {
  ValueId all = -1;
  for (const Guard& g : guards) {
    bool row = is_row(g.at);
    Stmt index{.kind = StmtKind::Index, .type = Element::Int};
    index.access.at = g.at;
    ValueId at = emit(index, origin, row, false);
    ValueId low = binary(ScalarOp::Le, constant(Element::Int, 0, origin), at, Element::Int, origin, row);
    ValueId high = binary(ScalarOp::Lt, at, constant(Element::Int, static_cast<double>(g.limit), origin), Element::Int, origin, row);
    for (ValueId c : {low, high}) {
      bool both_row = !of_full_.count(c) && !of_full_.count(all);
      all = all < 0 ? c : binary(ScalarOp::And, all, c, Element::Bool, origin, both_row);
    }
  }
  return all;
}

ValueId Emitter::pad(NodeId node, const Place& place) {
  const Node& n = graph_[node];
  NodeId from = n.operands[0];
  const Type& t = graph_[from].type;
  Place p = place;
  for (size_t axis = 0; axis < t.rank(); ++axis) {
    if (t.size(axis) == n.type.size(axis)) continue;
    bool ok = through_window(p, axis, work_.pad(node, "low")[axis], t.size(axis));
    GRADC_ASSERT(ok, "a picked row of a pad");
  }
  double fill = n.attrs.number("value");
  std::vector<Guard> own(p.guards.begin() + static_cast<std::ptrdiff_t>(place.guards.size()), p.guards.end());
  if (own.empty()) return value(from, p);
  if (storage_.of_node[from.at()] && !local_.count(from)) {
    return load_at(storage_.of_node[from.at()], t.element, storage_.address(graph_, from, p, dims()), p.guards, fill, from);
  }
  ValueId inside = value(from, p), outside = constant(t.element, fill, node), where = within(own, node);
  Stmt s{.kind = StmtKind::Compute, .op = ScalarOp::Select, .type = t.element, .args = {where, inside, outside}};
  return emit(s, node, is_row(place));
}

ValueId Emitter::concatenate(NodeId node, const Place& place) {
  const Node& n = graph_[node];
  auto axis = static_cast<size_t>(n.attrs.integer("axis"));
  ValueId result = -1;
  // From the last part to the first: each takes over where the index is below its end.
  int64_t end = n.type.size(axis);
  for (size_t i = n.operands.size(); i-- > 0;) {
    NodeId part = n.operands[i];
    int64_t size = graph_[part].type.size(axis), start = end - size;
    end = start;
    if (size == 0) continue;
    Place p = place;
    bool ok = true;
    if (size != n.type.size(axis)) ok = through_window(p, axis, start, size);
    GRADC_ASSERT(ok, "a picked row of a concatenation");
    std::vector<Guard> own(p.guards.begin() + static_cast<std::ptrdiff_t>(place.guards.size()), p.guards.end());
    ValueId v = value(part, p);
    if (result < 0) {
      result = v;
      continue;
    }
    ValueId where = within(own, node);
    result = emit({.kind = StmtKind::Compute, .op = ScalarOp::Select, .type = n.type.element, .args = {where, v, result}}, node, is_row(place), i == 0);
  }
  GRADC_ASSERT(result >= 0, "a concatenation of nothing");
  return result;
}

ValueId Emitter::gather(NodeId node, const Place& place) {
  const Node& n = graph_[node];
  ValueId index = value(n.operands[1], work_.operand_place(node, 1, place, extents_));
  Place p = work_.operand_place(node, 0, place, extents_);
  p.axes[static_cast<size_t>(n.attrs.integer("axis"))].picks[0].index = index;
  return value(n.operands[0], p);
}

ValueId Emitter::random(NodeId node, const Place& place) {
  const Node& n = graph_[node];
  Stmt s{.kind = StmtKind::Random, .type = n.type.element, .site = kernel_.site(static_cast<uint32_t>(n.attrs.integer("site")))};
  s.args = {value(n.operands[0], {}), value(n.operands[1], {}), -1};
  AxisIndex at = flat(place, n.type, dims());
  GRADC_ASSERT(at.picks.empty(), "a picked random number");
  s.access.at = at.at;
  return emit(s, node, is_row(place));
}

ValueId Emitter::iota(NodeId node, const Place& place) {
  const Node& n = graph_[node];
  const AxisIndex& index = place.axes[static_cast<size_t>(n.attrs.integer("axis"))];
  Place only{{index}, {}};
  bool row = is_row(only);
  bool picked = !index.picks.empty();
  Stmt s{.kind = StmtKind::Index, .type = picked ? Element::Int : n.type.element};
  s.access.at = index.at;
  ValueId v = emit(s, node, is_row(index.at), !picked);
  for (const Indirect& p : index.picks) {
    ValueId clamped = binary(ScalarOp::Max, p.index, constant(Element::Int, 0, node), Element::Int, node, row);
    clamped = binary(ScalarOp::Min, clamped, constant(Element::Int, static_cast<double>(p.limit - 1), node), Element::Int, node, row);
    clamped = binary(ScalarOp::Mul, clamped, constant(Element::Int, static_cast<double>(p.stride), node), Element::Int, node, row);
    v = binary(ScalarOp::Add, v, clamped, Element::Int, node, row);
  }
  if (picked && n.type.element != Element::Int) {
    v = emit({.kind = StmtKind::Compute, .op = ScalarOp::Cast, .type = n.type.element, .args = {v, -1, -1}}, node, row);
  }
  return v;
}

}  // namespace gradc::scheduling
