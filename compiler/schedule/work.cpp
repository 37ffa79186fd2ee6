#include "compiler/schedule/work.h"

#include <algorithm>
#include <utility>

#include "compiler/graph/scan.h"
#include "compiler/support/error.h"

namespace gradc::scheduling {

namespace {

// Below this many products a contraction is plain loops: packing and register tiles would cost more than they save.
constexpr int64_t smallest_contraction = 4096;
// So is one that sums fewer products than this, whatever its size.
constexpr int64_t shortest_sum = 5;
// An expression of inputs up to this cost is computed again wherever it is wanted, and so is one of a single value that is stored anyway.
constexpr double cheap = 3;
// Work::basis_ of constants, and of what is made from several values or not point by point.
constexpr int no_basis = -1, several = -2;

bool is_view(OpKind k) {
  return k == OpKind::View || k == OpKind::Reshape || k == OpKind::Pad || k == OpKind::Concatenate || k == OpKind::StopGradient;
}

bool spreads(const Node& n) {
  if (n.op->kind != OpKind::Pad) return false;
  const auto& interior = n.attrs.integers("interior");
  return std::any_of(interior.begin(), interior.end(), [](int64_t i) { return i != 0; });
}

int64_t position(const std::vector<int64_t>& labels, int64_t label) {
  auto it = std::find(labels.begin(), labels.end(), label);
  return it == labels.end() ? -1 : it - labels.begin();
}

}  // namespace

double cost_of(const ScalarProgram& program) {
  double cost = 0;
  for (const ScalarInst& i : program.insts) {
    switch (i.op) {
      case ScalarOp::Const: break;
      case ScalarOp::Exp:
      case ScalarOp::Expm1:
      case ScalarOp::Log:
      case ScalarOp::Log1p:
      case ScalarOp::Sin:
      case ScalarOp::Cos:
      case ScalarOp::Tanh:
      case ScalarOp::Erf: cost += 10; break;
      case ScalarOp::Pow: cost += 25; break;
      case ScalarOp::Div:
      case ScalarOp::Rem:
      case ScalarOp::Sqrt:
      case ScalarOp::Rsqrt: cost += 4; break;
      default: cost += 1;
    }
  }
  return cost;
}

ScalarProgram program_of(const Graph& graph, NodeId node) {
  const Node& n = graph[node];
  std::vector<Element> elements;
  for (NodeId o : n.operands) elements.push_back(graph[o].type.element);
  return n.op->program(elements, n.attrs);
}

std::vector<int64_t> contraction_labels(const Node& n) {
  std::vector<int64_t> labels = n.attrs.integers("out");
  for (int64_t l : n.attrs.integers("lhs")) {
    if (position(labels, l) < 0) labels.push_back(l);
  }
  return labels;
}

bool Item::reduces() const { return std::find(reduced.begin(), reduced.end(), true) != reduced.end(); }

Work::Work(const Graph& g, const ScheduleOptions& options) : graph(g), fuse(options.fuse) {
  assign_roles();
  force_copies();
  item_of.assign(g.size(), -1);
  for (size_t i = 0; i < g.size(); ++i) {
    if (role_[i] != Role::Real && !(role_[i] == Role::Leaf && output_[i])) continue;
    if (graph[NodeId(i)].op->kind == OpKind::Result) {
      item_of[i] = item_of[graph[NodeId(i)].operands[0].at()];
      continue;
    }
    if (role_[i] == Role::Real) item_of[i] = static_cast<int>(items.size());
    items.push_back(make_item(NodeId(i)));
  }
  for (Item& item : items) {
    reach_operands(item.node, [&](NodeId n, const Place* place) {
      Use use{n, false, {}};
      std::optional<std::vector<int>> dims = place ? plain_dims(*place) : std::nullopt;
      if (dims) use.plain = true, use.dims = *dims;
      item.uses.push_back(use);
    });
    if (role_[item.node.at()] == Role::Leaf) item.uses.push_back({item.node, true, item.result});
  }
}

int Work::output_item(NodeId node) const {
  if (item_of[node.at()] >= 0) return item_of[node.at()];
  auto copy = std::find_if(items.begin(), items.end(), [&](const Item& i) { return i.node == node; });
  GRADC_ASSERT(copy != items.end(), "nothing stores {}", graph.label(node));
  return static_cast<int>(copy - items.begin());
}

void Work::assign_roles() {
  std::vector<bool> live = graph.live();
  role_.assign(graph.size(), Role::Dead);
  output_.assign(graph.size(), false);
  inline_cost_.assign(graph.size(), 0);
  basis_.assign(graph.size(), no_basis);
  find_factors();
  for (const Output& o : graph.outputs) output_[o.node.at()] = true;
  for (size_t i = 0; i < graph.size(); ++i) {
    if (!live[i]) continue;
    OpKind k = graph[NodeId(i)].op->kind;
    GRADC_ASSERT(k != OpKind::Grad, "grad has to be expanded before a graph is scheduled");
    if (k == OpKind::Input) {
      role_[i] = Role::Leaf;
    } else if (k == OpKind::Constant || (fuse && (k == OpKind::Iota || is_view(k)) && !spreads(graph[NodeId(i)]))) {
      role_[i] = Role::Inline;
      for (NodeId o : graph[NodeId(i)].operands) inline_cost_[i] += inline_cost_[o.at()];
    } else {
      role_[i] = fuse && k == OpKind::Pointwise && cheap_inline(NodeId(i)) ? Role::Inline : Role::Real;
      if (role_[i] == Role::Inline) {
        inline_cost_[i] = cost_of(program_of(graph, NodeId(i)));
        for (NodeId o : graph[NodeId(i)].operands) inline_cost_[i] += inline_cost_[o.at()];
      }
    }
    if (output_[i] && role_[i] == Role::Inline) make_real(NodeId(i));
    basis_[i] = role_[i] == Role::Inline ? basis_of(NodeId(i)) : static_cast<int>(i);
  }
}

void Work::find_factors() {
  std::vector<bool> live = graph.live();
  factor_.assign(graph.size(), false);
  for (size_t i = 0; i < graph.size(); ++i) {
    const Node& n = graph[NodeId(i)];
    if (!live[i] || n.op->kind != OpKind::Contraction) continue;
    for (NodeId o : n.operands) factor_[o.at()] = true;
  }
}

int Work::basis_of(NodeId node) const {
  const Node& n = graph[node];
  int basis = no_basis;
  for (NodeId o : n.operands) {
    int b = basis_[o.at()];
    if (b == no_basis || b == basis) continue;
    basis = basis == no_basis && n.op->kind == OpKind::Pointwise ? b : several;
  }
  return basis;
}

// Made from one value, which an item stores.
bool Work::of_stored(NodeId node) const {
  int basis = basis_[node.at()];
  return basis >= 0 && role_[static_cast<size_t>(basis)] == Role::Real;
}

// Little arithmetic over inputs, constants and indices, which would cost more to store than to compute again; or over a single value
// that memory holds anyway because a product wants it (1 - y * y of a tanh), which is read in its place.
bool Work::cheap_inline(NodeId node) const {
  const Node& n = graph[node];
  double cost = cost_of(program_of(graph, node));
  bool of_inputs = true;
  for (NodeId o : n.operands) {
    of_inputs &= role_[o.at()] == Role::Leaf || (role_[o.at()] == Role::Inline && !of_stored(o));
    cost += inline_cost_[o.at()];
  }
  if (of_inputs || cost > cheap) return cost <= cheap;
  int basis = basis_of(node);
  if (basis < 0 || !factor_[static_cast<size_t>(basis)] || factor_[node.at()]) return false;
  const Type& t = graph[NodeId(static_cast<size_t>(basis))].type;
  return t.count() == n.type.count() && byte_size(t.element) <= byte_size(n.type.element);
}

void Work::make_real(NodeId node) {
  if (role_[node.at()] != Role::Inline) return;
  role_[node.at()] = Role::Real;
  pending_.push_back(node);
}

// What an access can't express is copied: operands of reshapes that are no affine views of them, windows of picked rows.
void Work::force_copies() {
  for (size_t i = 0; i < graph.size(); ++i) {
    if (role_[i] == Role::Real) pending_.push_back(NodeId(i));
  }
  while (!pending_.empty()) {
    NodeId node = pending_.back();
    pending_.pop_back();
    reach_operands(node, [&](NodeId n, const Place*) { make_real(n); });
  }
}

void Work::reach_operands(NodeId node, const Visitor& visitor) {
  if (role_[node.at()] == Role::Leaf || graph[node].op->kind == OpKind::Result) return;
  if (graph[node].op->kind == OpKind::Scan) return reach_scan(node, visitor);
  Item item;
  own_space(node, item);
  std::vector<int> all;
  for (size_t d = 0; d < item.extents.size(); ++d) all.push_back(item.extents[d] == 1 ? -1 : static_cast<int>(d));
  Place own = place_along(item.extents.size(), all);
  const Node& n = graph[node];
  if (is_view(n.op->kind) && !spreads(n)) {
    // Walked as others would walk through it.
    Role kept = role_[node.at()];
    role_[node.at()] = Role::Inline;
    reach(node, own, item.extents, visitor);
    role_[node.at()] = kept;
    return;
  }
  for (size_t k = 0; k < n.operands.size(); ++k) {
    reach(n.operands[k], operand_place(node, k, own, item.extents), item.extents, visitor);
  }
}

// Initial values are computed where they are wanted; everything else has to be in memory.
void Work::reach_scan(NodeId node, const Visitor& visitor) {
  const Node& n = graph[node];
  const ScanLayout layout(n);
  for (size_t k = 0; k < n.operands.size(); ++k) {
    if (k >= layout.carries) {
      visitor(behind(node, k).base, nullptr);
      continue;
    }
    const Type& type = graph[n.operands[k]].type;
    std::vector<int> dims;
    std::vector<int64_t> extents;
    for (size_t i = 0; i < type.rank(); ++i) {
      dims.push_back(type.size(i) == 1 ? -1 : static_cast<int>(i));
      extents.push_back(type.size(i));
    }
    reach(n.operands[k], place_along(type.rank(), dims), extents, [&](NodeId used, const Place*) { visitor(used, nullptr); });
  }
}

namespace {

// Whether the steps of a scan take an operand's elements by their position in memory, or hand it on to a scan of their own.
bool wants_row_major(const Graph& body, NodeId input) {
  for (size_t i = 0; i < body.size(); ++i) {
    const Node& n = body[NodeId(i)];
    if (n.op->kind != OpKind::Reshape && n.op->kind != OpKind::Scan) continue;
    if (std::find(n.operands.begin(), n.operands.end(), input) != n.operands.end()) return true;
  }
  return false;
}

}  // namespace

Seen Work::behind(NodeId scan, size_t k) const {
  const Node& n = graph[scan];
  const NodeId operand = n.operands[k];
  const Type& type = graph[operand].type;
  std::vector<int> axes;
  std::vector<int64_t> extents;
  for (size_t i = 0; i < type.rank(); ++i) {
    axes.push_back(static_cast<int>(i));
    extents.push_back(type.size(i));
  }
  const Seen whole{operand, place_along(type.rank(), axes)};
  Seen seen = whole;
  while (role_[seen.base.at()] == Role::Inline) {
    const Node& v = graph[seen.base];
    if (v.op->kind == OpKind::View) {
      seen.place = through_view(seen.place, v.op->view(graph[v.operands[0]].type, v.type, v.attrs), type.rank());
    } else if (v.op->kind == OpKind::Reshape) {
      std::optional<Place> p = through_reshape(seen.place, v.type, graph[v.operands[0]].type, extents);
      if (!p) break;
      seen.place = *p;
    } else {
      break;
    }
    seen.base = v.operands[0];
  }
  if (seen.base == operand) return seen;
  // A step reads along its last axis. Where that is not how memory lies, the view is stored once instead.
  const Affine at = flat(seen.place, graph[seen.base].type, type.rank()).at;
  const std::vector<int64_t> row_major = type.strides();
  const bool rows = wants_row_major(*n.body, NodeId(k));
  const size_t first = k < ScanLayout(n).constant(0) ? 1 : 0;  // a sequence moves along its first axis in any case
  bool last = true;
  for (size_t i = type.rank(); i-- > first;) {
    if (type.size(i) == 1) continue;
    if (rows && at.strides[i] != row_major[i]) return whole;
    if (std::exchange(last, false) && at.strides[i] != 0 && at.strides[i] != 1) return whole;
  }
  return seen;
}

// Follows a place through what is computed inline to the values it needs; without a place where only their position in memory
// is known.
void Work::reach(NodeId node, const Place& place, const std::vector<int64_t>& extents, const Visitor& visitor) {
  const Node& n = graph[node];
  if (role_[node.at()] != Role::Inline) return visitor(node, &place);
  switch (n.op->kind) {
    case OpKind::View: {
      auto terms = n.op->view(graph[n.operands[0]].type, n.type, n.attrs);
      return reach(n.operands[0], through_view(place, terms, extents.size()), extents, visitor);
    }
    case OpKind::Reshape: {
      if (auto p = through_reshape(place, n.type, graph[n.operands[0]].type, extents)) return reach(n.operands[0], *p, extents, visitor);
      NodeId base = n.operands[0];
      while (role_[base.at()] == Role::Inline && graph[base].op->kind == OpKind::Reshape) base = graph[base].operands[0];
      return visitor(base, nullptr);
    }
    case OpKind::Pad:
    case OpKind::Concatenate: {
      bool pad_kind = n.op->kind == OpKind::Pad;
      int64_t start = 0;
      for (NodeId o : n.operands) {
        const Type& t = graph[o].type;
        Place p = place;
        bool ok = true;
        for (size_t axis = 0; axis < t.rank() && ok; ++axis) {
          bool moved = pad_kind ? t.size(axis) != n.type.size(axis) : n.attrs.integer("axis") == static_cast<int64_t>(axis);
          if (moved) ok = through_window(p, axis, pad_kind ? pad(node, "low")[axis] : start, t.size(axis));
        }
        if (!ok) return visitor(node, nullptr);
        reach(o, p, extents, visitor);
        if (!pad_kind) start += t.size(static_cast<size_t>(n.attrs.integer("axis")));
      }
      return;
    }
    default:
      for (NodeId o : n.operands) reach(o, place, extents, visitor);
  }
}

Place Work::operand_place(NodeId node, size_t k, const Place& own, const std::vector<int64_t>& extents) const {
  const Node& n = graph[node];
  Place p;
  p.guards = own.guards;
  switch (n.op->kind) {
    case OpKind::Contraction: {
      std::vector<int64_t> labels = contraction_labels(n);
      for (int64_t l : n.attrs.integers(k == 0 ? "lhs" : "rhs")) p.axes.push_back(own.axes[static_cast<size_t>(position(labels, l))]);
      return p;
    }
    case OpKind::Random: return p;
    case OpKind::Gather:
    case OpKind::ScatterAdd: {
      bool gather = n.op->kind == OpKind::Gather;
      auto axis = static_cast<size_t>(n.attrs.integer("axis"));
      NodeId indices = n.operands[gather ? 1 : 0];
      auto first = own.axes.begin() + static_cast<std::ptrdiff_t>(axis), last = first + static_cast<std::ptrdiff_t>(graph[indices].type.rank());
      if (k == (gather ? 1u : 0u)) {
        p.axes.assign(first, last);
      } else if (gather) {
        // The picked value's number is filled in by the emitter.
        p.axes.assign(own.axes.begin(), first);
        p.axes.push_back({fixed(extents.size(), 0), {{0, 1, graph[n.operands[0]].type.size(axis)}}});
        p.axes.insert(p.axes.end(), last, own.axes.end());
      } else {
        p = own;
      }
      return p;
    }
    default: return own;
  }
}

void Work::contraction_space(const Node& n, Item& item) const {
  const auto &lhs = n.attrs.integers("lhs"), &rhs = n.attrs.integers("rhs"), &out = n.attrs.integers("out");
  for (int64_t l : contraction_labels(n)) {
    int64_t in_lhs = position(lhs, l);
    const Type& t = graph[n.operands[in_lhs >= 0 ? 0 : 1]].type;
    const Dim& d = t.dims[static_cast<size_t>(in_lhs >= 0 ? in_lhs : position(rhs, l))];
    bool summed = position(out, l) < 0;
    if (!summed) item.result.push_back(static_cast<int>(item.extents.size()));
    item.extents.push_back(d.size);
    item.names.push_back(d.name);
    item.reduced.push_back(summed);
  }
}

// Extents, names, result and reduced: axes of size 1 stay as dims of extent 1 that nothing moves along.
void Work::own_space(NodeId node, Item& item) const {
  const Node& n = graph[node];
  if (n.op->kind == OpKind::Contraction) {
    contraction_space(n, item);
  } else {
    bool reduction = n.op->kind == OpKind::Reduction || n.op->kind == OpKind::ArgReduction;
    bool of_operand = reduction || n.op->kind == OpKind::ScatterAdd || spreads(n);
    const Type& t = of_operand ? graph[n.operands[n.op->kind == OpKind::ScatterAdd ? 1 : 0]].type : n.type;
    std::vector<int64_t> axes;
    if (n.op->kind == OpKind::Reduction) axes = n.attrs.integers("axes");
    if (n.op->kind == OpKind::ArgReduction) axes = {n.attrs.integer("axis")};
    for (size_t i = 0; i < t.rank(); ++i) {
      bool summed = position(axes, static_cast<int64_t>(i)) >= 0;
      item.extents.push_back(t.size(i));
      item.names.push_back(t.dims[i].name);
      item.reduced.push_back(summed);
      if (!summed) item.result.push_back(static_cast<int>(i));
    }
  }
  for (size_t d = 0; d < item.extents.size(); ++d) {
    if (item.extents[d] == 1) item.reduced[d] = false;
  }
  for (int& d : item.result) {
    if (item.extents[static_cast<size_t>(d)] == 1) d = -1;
  }
}

ItemKind Work::kind_of(const Item& item) const {
  const Node& n = graph[item.node];
  if (n.op->kind == OpKind::Scan) return ItemKind::Loop;
  if (n.op->kind == OpKind::ScatterAdd) return ItemKind::Scatter;
  if (spreads(n)) return ItemKind::Spread;
  if (n.op->kind != OpKind::Contraction) return ItemKind::Nest;
  int64_t m = 1, columns = 1, k = 1, all = 1;
  const auto &lhs = n.attrs.integers("lhs"), &rhs = n.attrs.integers("rhs");
  std::vector<int64_t> labels = contraction_labels(n);
  for (size_t d = 0; d < labels.size(); ++d) {
    bool left = position(lhs, labels[d]) >= 0, right = position(rhs, labels[d]) >= 0;
    all *= item.extents[d];
    if (item.reduced[d]) k *= item.extents[d];
    if (left && !right) m *= item.extents[d];
    if (right && !left) columns *= item.extents[d];
  }
  if (!fuse) return all > 0 && k > 1 && m > 1 && columns > 1 ? ItemKind::Contraction : ItemKind::Nest;
  return k >= shortest_sum && m > 1 && columns > 1 && all > smallest_contraction ? ItemKind::Contraction : ItemKind::Nest;
}

Item Work::make_item(NodeId node) const {
  Item item;
  item.node = node;
  const Node& n = graph[node];
  if (n.op->kind == OpKind::Input) {
    for (size_t i = 0; i < n.type.rank(); ++i) {
      item.extents.push_back(n.type.size(i));
      item.names.push_back(n.type.dims[i].name);
      item.reduced.push_back(false);
      item.result.push_back(n.type.size(i) == 1 ? -1 : static_cast<int>(i));
    }
  } else {
    own_space(node, item);
  }
  item.kind = kind_of(item);
  item.fuses = fuse && item.kind != ItemKind::Scatter && item.kind != ItemKind::Spread && item.kind != ItemKind::Loop &&
               std::find(item.extents.begin(), item.extents.end(), 0) == item.extents.end();
  if (item.kind == ItemKind::Scatter || item.kind == ItemKind::Spread || item.kind == ItemKind::Loop) item.result.clear();
  if (n.op->kind == OpKind::Pointwise) item.cost = cost_of(program_of(graph, node));
  if (n.op->kind == OpKind::Random) item.cost = 30;
  return item;
}

int Work::add_finish(int i, int64_t partials) {
  items[static_cast<size_t>(i)].partials = partials;
  const Item from = items[static_cast<size_t>(i)];
  Item item;
  item.node = from.node;
  item.finishes = i;
  item.extents = {partials};
  item.names = {Symbol()};
  item.reduced = {true};
  const Type& t = graph[from.node].type;
  for (size_t a = 0; a < t.rank(); ++a) {
    item.result.push_back(t.size(a) == 1 ? -1 : static_cast<int>(item.extents.size()));
    item.extents.push_back(t.size(a));
    item.names.push_back(t.dims[a].name);
    item.reduced.push_back(false);
  }
  item_of[from.node.at()] = static_cast<int>(items.size());
  items.push_back(std::move(item));
  return static_cast<int>(items.size()) - 1;
}

}  // namespace gradc::scheduling
