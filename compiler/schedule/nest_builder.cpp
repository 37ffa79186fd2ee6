#include <algorithm>
#include <utility>

#include "compiler/schedule/build.h"
#include "compiler/support/error.h"

namespace gradc::scheduling {
namespace {

constexpr int64_t row_tile = 16;  // rows summed in registers before memory is touched
constexpr double worth_keeping = 8;  // a value of a row that costs more is kept from stage to stage
constexpr size_t first_placeholder = 1 << 24;

class NestBuilder {
 public:
  NestBuilder(const BuildInput& in, const Cluster& c)
      : in_(in), c_(c), plan_(*in.clusters.plan(c)), emitter_(in.work, in.storage, out_.kernel, c.extents, plan_.inner) {
    for (size_t d = 0; d < c.extents.size(); ++d) all_ |= bit_of(static_cast<int>(d));
    for (int d : plan_.order) {
      if (d != plan_.vector_dim) (is_inner(d) ? inner_ : outer_).push_back(d);
    }
    if (plan_.vector_dim >= 0) (is_inner(plan_.vector_dim) ? inner_ : outer_).push_back(plan_.vector_dim);
    grid_ = plan_.split ? inner_.front() : outer_.empty() ? -1 : outer_.front();
  }

  NestBuild run() {
    emit_stages();
    Draft draft{dims(), std::move(lists_)};
    auto groups = collapse(draft, {outer_, inner_});
    Nest nest;
    nest.dims = draft.dims;
    loops(nest, groups[0], groups[1]);
    for (size_t i = 0; i < draft.lists.size(); ++i) {
      Section s;
      if (full_[i]) {
        for (int d : groups[1]) s.inner.push_back({d, 1});
      }
      s.stmts = take(out_.kernel, std::move(draft.lists[i]));
      if (!s.stmts.empty()) nest.sections.push_back(std::move(s));
    }
    out_.kernel.body.form = std::move(nest);
    if (block_count(out_.kernel.body) == 1) forget_blocks();
    return std::move(out_);
  }

 private:
  void forget_blocks() {
    for (Section& s : std::get<Nest>(out_.kernel.body.form).sections) {
      for (Stmt& stmt : s.stmts) stmt.access.block = 0;
    }
  }

  bool is_inner(int d) const { return plan_.inner & bit_of(d); }
  const Item& item(const Member& m) const { return in_.work.items[static_cast<size_t>(m.item)]; }

  std::vector<KernelDim> dims() const {
    std::vector<KernelDim> out;
    for (size_t d = 0; d < c_.extents.size(); ++d) out.push_back({c_.extents[d], c_.names[d]});
    return out;
  }

  Place result_place(const Member& m) const {
    std::vector<int> dims;
    for (int d : item(m).result) dims.push_back(d < 0 ? -1 : m.dims[static_cast<size_t>(d)]);
    return place_along(c_.extents.size(), dims);
  }

  // Per stage one list for rows and one for points; a stage begins with what the sums of the one before leave behind.
  void emit_stages() {
    std::set<NodeId> local;
    for (const Member& m : c_.members) {
      if (in_.work.graph[item(m).node].op->kind != OpKind::Input) local.insert(item(m).node);
    }
    emitter_.set_local(local);
    int last = *std::max_element(plan_.stage.begin(), plan_.stage.end());
    for (int stage = 0; stage <= last + 1; ++stage) {
      StmtList row, full;
      emitter_.begin(row, full);
      for (const auto& [member, value] : std::exchange(finished_, {})) leave(*member, value);
      std::vector<NodeId> stored;
      for (size_t i = 0; i < c_.members.size(); ++i) {
        if (plan_.stage[i] == stage) compute(c_.members[i], stored);
      }
      for (const auto& [member, value] : finished_) emitter_.define(item(*member).node, value);
      for (NodeId n : stored) emitter_.set_stored(n);
      for (const auto& [node, where] : std::exchange(kept_, {})) emitter_.set_kept(node, where);
      lists_.push_back(std::move(row));
      full_.push_back(false);
      lists_.push_back(std::move(full));
      full_.push_back(true);
    }
  }

  void compute(const Member& m, std::vector<NodeId>& stored) {
    const Item& it = item(m);
    if (in_.clusters.reduced_of(m)) return reduce(m);
    Place place = result_place(m);
    ValueId v = emitter_.value(it.node, place);
    if (!in_.clusters.is_stored(m.item)) return keep(m, v);
    store(in_, emitter_, out_.kernel, it.node, place, v);
    if (in_.work.graph[it.node].op->kind != OpKind::Input) stored.push_back(it.node);
  }

  // Keeps a row of costly values (the exponentials of a softmax) in cache for the stages that use it again.
  void keep(const Member& m, ValueId value) {
    const Item& it = item(m);
    bool rows = plan_.vector_dim >= 0 && is_inner(plan_.vector_dim) && !plan_.split;
    if (!rows || it.cost < worth_keeping || in_.clusters.dims_of(m) != all_ || !used_later(m)) return;
    Scratch s{BufferId(first_placeholder + out_.scratch.size()), Symbol(in_.work.graph.label(it.node) + ".row"), {}};
    s.type.element = in_.work.graph[it.node].type.element;
    Access where;
    where.at = fixed(c_.extents.size(), 0);
    where.block = count(c_, plan_.inner);
    where.slot = out_.kernel.slot(s.placeholder, s.type.element, true);
    int64_t stride = 1;
    for (size_t i = inner_.size(); i-- > 0;) {
      auto d = static_cast<size_t>(inner_[i]);
      where.at.strides[d] = stride;
      stride *= c_.extents[d];
      s.type.dims.insert(s.type.dims.begin(), Dim{c_.extents[d], c_.names[d]});
    }
    Stmt store{.kind = StmtKind::Store, .type = s.type.element, .args = {value, -1, -1}};
    store.access = where;
    emitter_.emit(store, it.node, false);
    kept_.push_back({it.node, where});
    out_.scratch.push_back(std::move(s));
  }

  bool used_later(const Member& m) const {
    auto stage = [&](int item) {
      for (size_t i = 0; i < c_.members.size(); ++i) {
        if (c_.members[i].item == item) return plan_.stage[i];
      }
      return -1;
    };
    const auto& users = in_.clusters.users(m.item);
    return std::any_of(users.begin(), users.end(), [&](int u) { return stage(u) > stage(m.item); });
  }

  ValueId summand(const Member& m, const Place& own) {
    const Item& it = item(m);
    const Node& n = in_.work.graph[it.node];
    if (it.finishes >= 0) {
      BufferId from = in_.storage.partials.at(it.finishes);
      return emitter_.load(from, in_.storage.memory.buffers[from.at()].type, own, it.node);
    }
    return n.op->kind == OpKind::Contraction ? emitter_.product(it.node, own) : emitter_.value(n.operands[0], own);
  }

  Combiner combiner(NodeId node) const { return in_.work.graph[node].op->combiner.value_or(Combiner::Sum); }

  void reduce(const Member& m) {
    const Item& it = item(m);
    DimSet reduced = in_.clusters.reduced_of(m);
    ValueId x = summand(m, place_along(c_.extents.size(), m.dims));
    bool points = in_.clusters.dims_of(m) == all_;
    if (!points || (plan_.inner & ~reduced)) return accumulate(m, x, !points);
    const Node& n = in_.work.graph[it.node];
    bool arg = n.op->kind == OpKind::ArgReduction;
    Stmt s{.kind = arg ? StmtKind::ReduceIndex : StmtKind::Reduce, .type = n.type.element, .args = {x, -1, -1}};
    s.combiner = combiner(it.node);
    if (arg) s.index_dim = m.dims[static_cast<size_t>(n.attrs.integer("axis"))];
    finished_.push_back({&m, emitter_.emit(s, it.node, false)});
  }

  // A sum over the inner dims is there, once per row: the result, or a term of it.
  void leave(const Member& m, ValueId value) {
    if (in_.clusters.reduced_of(m) != plan_.inner || plan_.split) return accumulate(m, value, true);
    if (in_.clusters.is_stored(m.item)) store(in_, emitter_, out_.kernel, item(m).node, result_place(m), value);
  }

  // Adds to memory: to the result itself, or to one of several partial results, by block and by lane.
  void accumulate(const Member& m, ValueId value, bool row) {
    const Item& it = item(m);
    const Type& type = in_.work.graph[it.node].type;
    DimSet reduced = in_.clusters.reduced_of(m);
    int v = plan_.vector_dim;
    bool by_lane = v >= 0 && !is_inner(v) && (reduced & bit_of(v));
    bool by_block = plan_.split || (grid_ >= 0 && (reduced & bit_of(grid_)) && grid_ != v);
    Stmt s{.kind = StmtKind::Accumulate, .type = type.element, .args = {value, -1, -1}};
    s.combiner = combiner(it.node);
    s.access.at = flat(result_place(m), type, c_.extents.size()).at;
    int64_t lanes = by_lane ? c_.extents[static_cast<size_t>(v)] : 1;
    if (by_lane) s.access.at.strides[static_cast<size_t>(v)] = type.count();
    if (by_block) s.access.block = lanes * type.count();
    for (size_t d = 0; d < c_.extents.size(); ++d) {
      bool lane = by_lane && static_cast<int>(d) == v;
      if ((reduced & bit_of(static_cast<int>(d))) && !lane) s.first.push_back(static_cast<int>(d));
    }
    if (s.first.empty()) s.kind = StmtKind::Store;
    sums_.push_back({m.item, lanes, by_block, lanes * type.count()});
    auto partial = in_.storage.partials.find(m.item);
    std::vector<BufferId> to = destinations(in_, it.node);
    if (partial != in_.storage.partials.end()) to = {partial->second};
    for (BufferId buffer : to) {
      s.access.slot = out_.kernel.slot(buffer, type.element, true);
      emitter_.emit(s, it.node, row);
    }
  }

  double operations() const {
    double total = 0;
    for (const Member& m : c_.members) total += (1 + item(m).cost) * static_cast<double>(count(c_, in_.clusters.dims_of(m)));
    return total;
  }

  // Blocks that each leave partial results may not leave more than there is to sum.
  int64_t most_blocks() const {
    int64_t most = 1 << 20, room = std::max<int64_t>(256 << 10, count(c_, all_) / 4);
    for (const Sum& s : sums_) {
      if (s.by_block) most = std::min(most, std::max<int64_t>(1, room / std::max<int64_t>(1, s.size)));
    }
    return most;
  }

  void loops(Nest& nest, const std::vector<int>& outer, const std::vector<int>& inner) {
    int64_t blocks = std::min(blocks_for(operations()), most_blocks()), made = 1;
    bool lanes_outer = plan_.vector_dim >= 0 && !is_inner(plan_.vector_dim);
    if (plan_.vector_dim >= 0) nest.vector_dim = lanes_outer ? outer.back() : inner.back();
    if (plan_.split) {
      made = split_loops(nest, outer, inner, blocks);
    } else if (!outer.empty()) {
      size_t gridded = sums_.empty() ? 2 : 1;
      std::vector<bool> whole(nest.dims.size(), false);
      for (size_t i = 0; i < std::min(gridded, outer.size()) && made < blocks; ++i) {
        int64_t step = block_of(nest, outer[i], ceil_div(blocks, made), 1);
        if (step >= extent(nest, outer[i])) continue;
        nest.outer.push_back({outer[i], step});
        ++nest.parallel;
        made *= ceil_div(extent(nest, outer[i]), step);
        whole[static_cast<size_t>(outer[i])] = step == 1 && outer[i] != nest.vector_dim;
        if (i == 0 && extent(nest, outer[i]) >= blocks) break;
      }
      for (int d : outer) {
        if (!whole[static_cast<size_t>(d)]) nest.outer.push_back({d, 1});
      }
    }
    for (const Sum& s : sums_) {
      if (int64_t n = s.lanes * (s.by_block ? made : 1); n > 1) out_.partials[s.item] = n;
    }
  }

  static int64_t extent(const Nest& nest, int d) { return nest.dims[static_cast<size_t>(d)].extent; }

  int64_t block_of(const Nest& nest, int d, int64_t blocks, int64_t unit) const {
    if (d == nest.vector_dim) unit = std::max<int64_t>(unit, 4 * in_.target.vector_bytes / 4);
    if (int64_t equal = equal_block(extent(nest, d), blocks, unit)) return equal;
    return round_up(std::max<int64_t>(1, ceil_div(extent(nest, d), blocks)), unit);
  }

  // Blocks that leave partial sums are of one length where they can be, and many: strips of rows are made of whole ones (strips.h).
  int64_t equal_block(int64_t extent, int64_t blocks, int64_t unit) const {
    constexpr int64_t several = 8;
    const bool leave_sums = std::any_of(sums_.begin(), sums_.end(), [](const Sum& s) { return s.by_block; });
    if (!leave_sums || blocks < several) return 0;
    for (int64_t n = std::min(most_grid_blocks, most_blocks()); n > blocks / 2; --n) {
      if (extent % n == 0 && extent / n % unit == 0) return extent / n;
    }
    return 0;
  }

  int64_t split_loops(Nest& nest, const std::vector<int>& outer, const std::vector<int>& inner, int64_t blocks) {
    int lead = inner.front();
    int64_t rest = 1;
    for (size_t i = 1; i < inner.size(); ++i) rest *= extent(nest, inner[i]);
    int64_t tile = outer.empty() ? 1 : std::max<int64_t>(1, row_tile / rest);
    int64_t step = block_of(nest, lead, blocks, tile);
    nest.outer.push_back({lead, step});
    nest.parallel = 1;
    if (!outer.empty() && tile < step) nest.outer.push_back({lead, tile});
    for (int d : outer) nest.outer.push_back({d, 1});
    return ceil_div(extent(nest, lead), step);
  }

  struct Sum {
    int item;
    int64_t lanes;
    bool by_block;
    int64_t size;
  };

  const BuildInput& in_;
  const Cluster& c_;
  ClusterPlan plan_;
  NestBuild out_;
  Emitter emitter_;
  DimSet all_ = 0;
  std::vector<int> outer_, inner_;
  int grid_ = -1;  // the dim whose tiles are the blocks
  std::vector<StmtList> lists_;
  std::vector<bool> full_;
  std::vector<std::pair<const Member*, ValueId>> finished_;
  std::vector<Sum> sums_;
  std::vector<std::pair<NodeId, Access>> kept_;
};

}  // namespace

NestBuild build_nest(const BuildInput& in, const Cluster& c) { return NestBuilder(in, c).run(); }

}  // namespace gradc::scheduling
