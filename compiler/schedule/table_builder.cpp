#include <algorithm>

#include "compiler/schedule/build.h"

// Results that are filled first and then stored into at places that the operands choose: scatter-add, and pads with gaps.
namespace gradc::scheduling {
namespace {

constexpr int64_t strip = 64;  // elements of a row that one block fills

const Member& only(const Cluster& c) { return c.members.front(); }

}  // namespace

// The updates run one after the other, so that equal indices add up in order whatever the number of threads; blocks share out the
// axes before the index's, or strips of the rows.
RawKernel build_scatter(const BuildInput& in, const Cluster& c) {
  const Item& item = in.work.items[static_cast<size_t>(only(c).item)];
  const Graph& graph = in.work.graph;
  const Node& n = graph[item.node];
  auto axis = static_cast<size_t>(n.attrs.integer("axis"));
  size_t width = graph[n.operands[0]].type.rank();
  // The updates' dims, and one that runs over the rows of the table.
  std::vector<int64_t> extents = c.extents;
  std::vector<Symbol> names = c.names;
  int table = static_cast<int>(extents.size());
  extents.push_back(n.type.size(axis));
  names.push_back(n.type.dims[axis].name);
  std::vector<int> before, index, after, zero_dims, add_dims;
  for (size_t i = 0; i <= item.extents.size(); ++i) {
    if (i == axis) zero_dims.push_back(table), add_dims.push_back(-1);
    if (i == item.extents.size()) break;
    int d = only(c).dims[i];
    bool indexed = i >= axis && i < axis + width;
    if (d >= 0) (i < axis ? before : indexed ? index : after).push_back(d);
    if (!indexed) zero_dims.push_back(d), add_dims.push_back(d);
  }

  RawKernel kernel;
  DimSet inner = bit_of(table);
  for (int d : index) inner |= bit_of(d);
  for (int d : after) inner |= bit_of(d);
  Emitter emitter(in.work, in.storage, kernel, extents, inner);
  emitter.set_local({item.node});
  Draft draft;
  for (size_t d = 0; d < extents.size(); ++d) draft.dims.push_back({extents[d], names[d]});
  draft.lists.resize(3);
  emitter.begin(draft.lists[0], draft.lists[1]);
  store(in, emitter, kernel, item.node, place_along(extents.size(), zero_dims), emitter.constant(n.type.element, 0, item.node));
  size_t zeros = draft.lists[1].size();
  emitter.begin(draft.lists[0], draft.lists[2]);
  Place own = place_along(extents.size(), only(c).dims);
  ValueId at = emitter.value(n.operands[0], in.work.operand_place(item.node, 0, own, extents));
  ValueId update = emitter.value(n.operands[1], own);
  for (size_t i = 0; i < zeros; ++i) {
    const Stmt filled = draft.lists[1][i].stmt;
    Stmt s{.kind = StmtKind::Accumulate, .type = n.type.element, .args = {update, -1, -1}};
    s.access.slot = filled.access.slot;
    s.access.at = flat(place_along(extents.size(), add_dims), n.type, extents.size()).at;
    s.access.indirect = {{at, n.type.strides()[axis], n.type.size(axis)}};
    emitter.emit(s, item.node, false);
  }

  auto groups = collapse(draft, {before, {table}, index, after});
  Nest nest;
  nest.dims = draft.dims;
  auto extent = [&](int d) { return nest.dims[static_cast<size_t>(d)].extent; };
  double operations = static_cast<double>(n.type.count() + graph[n.operands[1]].type.count());
  if (!groups[3].empty()) nest.vector_dim = groups[3].back();
  if (int64_t blocks = blocks_for(operations); blocks > 1 && !groups[0].empty()) {
    nest.outer.push_back({groups[0][0], ceil_div(extent(groups[0][0]), blocks)});
    nest.parallel = 1;
  } else if (blocks > 1 && !groups[3].empty() && extent(groups[3].back()) > strip) {
    nest.outer.push_back({groups[3].back(), strip});
    nest.parallel = 1;
  }
  for (int d : groups[0]) {
    if (nest.parallel == 0 || nest.outer[0].dim != d || nest.outer[0].step != 1) nest.outer.push_back({d, 1});
  }
  for (size_t list = 0; list < draft.lists.size(); ++list) {
    Section s;
    if (list > 0) {
      for (int d : groups[list]) s.inner.push_back({d, 1});
      for (int d : groups[3]) s.inner.push_back({d, 1});
    }
    s.stmts = take(kernel, std::move(draft.lists[list]));
    if (!s.stmts.empty()) nest.sections.push_back(std::move(s));
  }
  kernel.body.form = std::move(nest);
  return kernel;
}

RawKernel sweep(RawKernel kernel, Draft draft) {
  std::vector<int> all;
  for (size_t d = 0; d < draft.dims.size(); ++d) all.push_back(static_cast<int>(d));
  auto groups = collapse(draft, {all});
  Nest nest;
  nest.dims = draft.dims;
  double points = 1;
  for (const KernelDim& d : nest.dims) points *= static_cast<double>(d.extent);
  if (!groups[0].empty()) {
    nest.vector_dim = groups[0].back();
    int first = groups[0].front();
    int64_t extent = nest.dims[static_cast<size_t>(first)].extent;
    int64_t step = round_up(std::max<int64_t>(1, ceil_div(extent, blocks_for(2 * points))), first == nest.vector_dim ? strip : 1);
    if (step < extent) nest.outer.push_back({first, step}), nest.parallel = 1;
    for (int d : groups[0]) {
      if (d != first || nest.parallel == 0 || step != 1) nest.outer.push_back({d, 1});
    }
  }
  nest.sections.push_back({{}, take(kernel, std::move(draft.lists[0]))});
  kernel.body.form = std::move(nest);
  return kernel;
}

RawKernel build_copy(const BuildInput& in, NodeId node, BufferId from, const std::vector<BufferId>& to) {
  const Type& type = in.work.graph[node].type;
  RawKernel kernel;
  Draft draft{{}, std::vector<StmtList>(1)};
  std::vector<int64_t> extents;
  std::vector<int> dims;
  for (const Dim& d : type.dims) {
    dims.push_back(d.size == 1 ? -1 : static_cast<int>(extents.size()));
    if (d.size == 1) continue;
    draft.dims.push_back({d.size, d.name});
    extents.push_back(d.size);
  }
  Emitter emitter(in.work, in.storage, kernel, extents);
  emitter.begin(draft.lists[0], draft.lists[0]);
  const Place place = place_along(extents.size(), dims);
  ValueId v = from ? emitter.load(from, type, place, node) : emitter.value(node, place);
  for (BufferId b : to) {
    Stmt s{.kind = StmtKind::Store, .type = type.element, .args = {v, -1, -1}};
    s.access.slot = kernel.slot(b, type.element, true);
    s.access.at = flat(place, type, extents.size()).at;
    emitter.emit(s, node, false);
  }
  return sweep(std::move(kernel), std::move(draft));
}

std::vector<RawKernel> build_spread(const BuildInput& in, const Cluster& c) {
  const Item& item = in.work.items[static_cast<size_t>(only(c).item)];
  const Node& n = in.work.graph[item.node];
  std::vector<RawKernel> out;
  {
    RawKernel kernel;
    Draft draft{{}, std::vector<StmtList>(1)};
    std::vector<int64_t> extents;
    std::vector<int> dims;
    for (const Dim& d : n.type.dims) {
      dims.push_back(d.size == 1 ? -1 : static_cast<int>(extents.size()));
      if (d.size == 1) continue;
      draft.dims.push_back({d.size, d.name});
      extents.push_back(d.size);
    }
    Emitter emitter(in.work, in.storage, kernel, extents);
    emitter.begin(draft.lists[0], draft.lists[0]);
    store(in, emitter, kernel, item.node, place_along(extents.size(), dims), emitter.constant(n.type.element, n.attrs.number("value"), item.node));
    out.push_back(sweep(std::move(kernel), std::move(draft)));
  }
  RawKernel kernel;
  Draft draft{{}, std::vector<StmtList>(1)};
  for (size_t d = 0; d < c.extents.size(); ++d) draft.dims.push_back({c.extents[d], c.names[d]});
  Emitter emitter(in.work, in.storage, kernel, c.extents);
  emitter.set_local({item.node});
  emitter.begin(draft.lists[0], draft.lists[0]);
  Place own = place_along(c.extents.size(), only(c).dims), to = own;
  for (size_t i = 0; i < to.axes.size(); ++i) {
    to.axes[i].at = scaled(to.axes[i].at, in.work.pad(item.node, "interior")[i] + 1, in.work.pad(item.node, "low")[i]);
  }
  store(in, emitter, kernel, item.node, to, emitter.value(n.operands[0], own));
  out.push_back(sweep(std::move(kernel), std::move(draft)));
  return out;
}

}  // namespace gradc::scheduling
