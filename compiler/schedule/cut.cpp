#include "compiler/schedule/cut.h"

#include <algorithm>

#include "compiler/schedule/build.h"
#include "compiler/support/error.h"

namespace gradc::scheduling {
namespace {

bool is_reduction(const Stmt& s) { return s.kind == StmtKind::Reduce || s.kind == StmtKind::ReduceIndex; }
bool loops_over(const std::vector<Loop>& loops, int dim) {
  return std::any_of(loops.begin(), loops.end(), [&](const Loop& l) { return l.dim == dim; });
}
bool reduces(const Section& s) { return std::any_of(s.stmts.begin(), s.stmts.end(), is_reduction); }

// The one section whose reductions go over the dim; null where there are several such, or where the dim has loops elsewhere.
const Section* reducing_section(const Nest& n, int dim) {
  const Section* found = nullptr;
  if (loops_over(n.outer, dim)) return nullptr;
  for (const Section& s : n.sections) {
    if (!loops_over(s.inner, dim)) continue;
    if (found || !reduces(s)) return nullptr;
    found = &s;
  }
  return found;
}

class Analysis {
 public:
  Analysis(const RawKernel& kernel, const Memory& memory, int dim)
      : kernel_(kernel), memory_(memory), nest_(std::get_if<Nest>(&kernel.body.form)), product_(std::get_if<Contraction>(&kernel.body.form)), dims_(nest_ ? nest_->dims : product_->dims) {
    cut_.dim = dim;
    cut_.extent = dims_[d()].extent;
    cut_.slots.resize(kernel.buffers.size(), Share::None);
  }

  std::optional<Cut> run() {
    if (cut_.extent < 2 || !kernel_.sites.empty()) return {};
    const bool ok = nest_ ? nest() : product();
    if (!ok) return {};
    return std::move(cut_);
  }

 private:
  size_t d() const { return static_cast<size_t>(cut_.dim); }

  bool product() {
    if (product_->roles[d()] == DimRole::N || product_->panels > 0 || find_windows(*product_)) return false;
    cut_.sums = product_->roles[d()] == DimRole::K;
    for (const auto* list : {&product_->lhs, &product_->rhs}) {
      if (!all_plain(*list, false, false)) return false;
    }
    return all_plain(product_->epilogue, cut_.sums, cut_.sums);
  }

  bool nest() {
    const Section* reducing = reducing_section(*nest_, cut_.dim);
    cut_.sums = reducing != nullptr;
    for (const Section& s : nest_->sections) {
      const bool over = loops_over(s.inner, cut_.dim) && !loops_over(nest_->outer, cut_.dim);
      if (over && !cut_.sums && reduces(s)) return false;
      if (&s == reducing && std::any_of(s.stmts.begin(), s.stmts.end(), [](const Stmt& t) { return t.kind == StmtKind::Store || t.kind == StmtKind::Accumulate || t.kind == StmtKind::ReduceIndex; })) return false;
      if (!all_plain(s.stmts, cut_.sums && &s != reducing, cut_.sums && &s > reducing)) return false;
    }
    return true;
  }

  // `apart`: stores wait for the combined sums. `behind`: so do the other statements.
  bool all_plain(const std::vector<Stmt>& list, bool apart, bool behind) {
    for (const Stmt& s : list) {
      const std::vector<int64_t>& strides = s.access.at.strides;
      const bool by_index = s.kind == StmtKind::Index || s.kind == StmtKind::Random;
      if (by_index && strides[d()] != 0) return false;
      if (s.kind == StmtKind::Random || s.index_dim == cut_.dim) return false;
      if (!touches_memory(s)) continue;
      for (const Guard& g : s.access.guards) {
        if (g.at.strides[d()] != 0) return false;
      }
      const std::optional<Share> share = share_of(s, apart);
      Share& known = cut_.slots[static_cast<size_t>(s.access.slot)];
      if (behind && share == Share::Whole && known != Share::Part) continue;
      if (!share || (known != Share::None && known != *share)) return false;
      known = *share;
    }
    return true;
  }

  std::optional<Share> share_of(const Stmt& s, bool apart) {
    const Access& a = s.access;
    const int64_t stride = a.at.strides[d()];
    if (a.block != 0) return blocks(a) ? std::optional(Share::Block) : std::nullopt;
    if (stride != 0) return parts(a, stride) ? std::optional(Share::Part) : std::nullopt;
    if (s.kind == StmtKind::Load) return Share::Whole;
    if (cut_.sums) return apart ? std::optional(Share::Sum) : std::nullopt;
    const bool adds = s.kind == StmtKind::Accumulate && a.indirect.empty() && std::find(s.first.begin(), s.first.end(), cut_.dim) != s.first.end();
    return adds ? std::optional(Share::Sum) : std::nullopt;
  }

  // Whether all that the access reaches beside the dim lies in [0, room).
  bool within(const Access& a, int64_t room) const {
    int64_t low = a.at.offset, high = a.at.offset;
    for (size_t i = 0; i < dims_.size(); ++i) {
      if (i != d()) (a.at.strides[i] < 0 ? low : high) += a.at.strides[i] * (dims_[i].extent - 1);
    }
    for (const Indirect& i : a.indirect) (i.stride < 0 ? low : high) += i.stride * (i.limit - 1);
    return low >= 0 && high < room;
  }

  int64_t size_of(const Access& a) const { return memory_.buffers[kernel_.buffers[static_cast<size_t>(a.slot)].at()].type.count(); }

  bool parts(const Access& a, int64_t stride) const { return stride > 0 && stride * cut_.extent == size_of(a) && within(a, stride); }

  // Results by block: part t has its own where the grid goes along the dim alone.
  bool blocks(const Access& a) {
    if (!nest_ || cut_.sums || a.at.strides[d()] != 0 || nest_->parallel != 1 || nest_->outer[0].dim != cut_.dim) return false;
    const int64_t step = nest_->outer[0].step;
    if (cut_.extent % step != 0 || cut_.extent / step * a.block != size_of(a) || !within(a, a.block)) return false;
    cut_.unit = step;
    return true;
  }

  const RawKernel& kernel_;
  const Memory& memory_;
  const Nest* nest_;
  const Contraction* product_;
  const std::vector<KernelDim>& dims_;
  Cut cut_;
};

// The lists of a body's statements with what belongs to each.
std::vector<StmtList> tagged(const RawKernel& kernel) {
  std::vector<StmtList> out;
  size_t next = 0;
  auto append = [&](const std::vector<Stmt>& list) {
    StmtList& to = out.emplace_back();
    for (const Stmt& s : list) to.push_back({s, kernel.provenance[next], kernel.labels[next]}), ++next;
  };
  if (const Nest* n = std::get_if<Nest>(&kernel.body.form)) {
    for (const Section& s : n->sections) append(s.stmts);
  } else {
    const auto& c = std::get<Contraction>(kernel.body.form);
    append(c.lhs), append(c.rhs), append(c.epilogue);
  }
  return out;
}

class Cutter {
 public:
  Cutter(const RawKernel& kernel, const Cut& how, int64_t parts, StepPlan& step)
      : kernel_(kernel), how_(how), parts_(parts), step_(step), part_(bare()), lists_(tagged(kernel)) {
    for (const StmtList& list : lists_) {
      for (const TaggedStmt& t : list) next_ = std::max(next_, t.stmt.value + 1);
    }
  }

  Pieces run() {
    if (const auto* c = std::get_if<Contraction>(&kernel_.body.form)) {
      how_.sums ? product_sum(*c) : product_rows(*c);
    } else {
      const Nest& n = std::get<Nest>(kernel_.body.form);
      how_.sums ? reduction(n) : rows(n);
    }
    out_.part = std::move(part_);
    settle(out_.part);
    for (BufferId b : out_.part.buffers) out_.moves.push_back(moving_.count(b) != 0);
    for (RawKernel& k : out_.combine) settle(k);
    return std::move(out_);
  }

 private:
  size_t d() const { return static_cast<size_t>(how_.dim); }

  // The kernel without statements.
  RawKernel bare() {
    RawKernel k;
    k.name = kernel_.name;
    k.buffers = kernel_.buffers;
    k.body.name = kernel_.body.name;
    k.body.slots = kernel_.body.slots;
    for (size_t i = 0; i < how_.slots.size(); ++i) {
      if (how_.slots[i] == Share::Part || how_.slots[i] == Share::Block) moving_.insert(k.buffers[i]);
    }
    return k;
  }

  // Slots as the statements that are left use them.
  static void settle(RawKernel& k) {
    std::vector<bool> written(k.body.slots.size(), false);
    for (const Stmt* s : statements(k.body)) {
      if (s->kind == StmtKind::Store || s->kind == StmtKind::Accumulate) written[static_cast<size_t>(s->access.slot)] = true;
    }
    for (size_t i = k.body.slots.size(); i-- > 0;) {
      k.body.slots[i].written = written[i];
      k.drop_if_unused(static_cast<int>(i));
    }
  }

  // Memory for the results of all parts.
  BufferId partial(const std::string& name, Element element, const std::vector<KernelDim>& dims) {
    Type type{element, {Dim{parts_, {}}}};
    for (const KernelDim& k : dims) type.dims.push_back({k.extent, k.name});
    const BufferId b = step_.memory.add({Symbol(name + ".partial"), BufferKind::Temporary, type, 0, {}});
    moving_.insert(b);
    return b;
  }

  std::string name_of(const TaggedStmt& t) const { return t.label ? t.label.str() : kernel_.name.str(); }

  // Row-major over those dims of the kernel.
  Affine along(const std::vector<int>& order, size_t dims, const std::vector<KernelDim>& all) const {
    Affine at{0, std::vector<int64_t>(dims, 0)};
    int64_t stride = 1;
    for (size_t i = order.size(); i-- > 0;) {
      at.strides[static_cast<size_t>(order[i])] = stride;
      stride *= all[static_cast<size_t>(order[i])].extent;
    }
    return at;
  }

  static int64_t points(const std::vector<int>& order, const std::vector<KernelDim>& all) {
    int64_t n = 1;
    for (int i : order) n *= all[static_cast<size_t>(i)].extent;
    return n;
  }

  TaggedStmt like(const TaggedStmt& of, Stmt s) const { return {std::move(s), of.provenance, of.label}; }

  // A result of the part, of which each point of the dims in `order` has one, and what reads the parts' results for it.
  struct Result {
    TaggedStmt store;
    StmtList combine;  // load and reduction
  };
  Result leave(RawKernel& combine, const TaggedStmt& of, Combiner combiner, const std::vector<int>& order, const std::vector<KernelDim>& all) {
    const Element element = of.stmt.type;
    std::vector<KernelDim> dims;
    for (int i : order) dims.push_back(all[static_cast<size_t>(i)]);
    const BufferId b = partial(name_of(of), element, dims);
    Stmt store{.kind = StmtKind::Store, .type = element, .args = {of.stmt.value, -1, -1}};
    store.access = {.slot = part_.slot(b, element, true), .at = along(order, all.size(), all), .indirect = {}, .guards = {}};
    Stmt load{.kind = StmtKind::Load, .value = next_++, .type = element};
    load.access = {.slot = combine.slot(b, element, false), .at = store.access.at, .indirect = {}, .guards = {}};
    load.access.at.strides[d()] = points(order, all);
    Stmt sum{.kind = StmtKind::Reduce, .value = of.stmt.value, .type = element, .args = {load.value, -1, -1}};
    sum.combiner = combiner;
    return {like(of, std::move(store)), {like(of, std::move(load)), like(of, std::move(sum))}};
  }

  void product_rows(const Contraction& c) {
    Contraction form = c;
    form.dims[d()].extent /= parts_;
    give(form, lists_[0], lists_[1], lists_[2]);
  }

  void give(Contraction& form, StmtList lhs, StmtList rhs, StmtList epilogue) {
    lay_tiles(step_.target, form);
    form.lhs = take(part_, std::move(lhs));
    form.rhs = take(part_, std::move(rhs));
    form.epilogue = take(part_, std::move(epilogue));
    part_.body.form = std::move(form);
  }

  void product_sum(const Contraction& c) {
    std::vector<int> order;
    for (size_t i = 0; i < c.dims.size(); ++i) {
      if (c.roles[i] != DimRole::K) order.push_back(static_cast<int>(i));
    }
    RawKernel combine = bare();
    const auto sum = std::find_if(lists_[2].begin(), lists_[2].end(), [](const TaggedStmt& t) { return t.stmt.kind == StmtKind::Accumulator; });
    GRADC_ASSERT(sum != lists_[2].end(), "{} uses no sum", kernel_.name);
    Result r = leave(combine, *sum, Combiner::Sum, order, c.dims);
    StmtList rest;
    for (const TaggedStmt& t : lists_[2]) {
      if (t.stmt.kind != StmtKind::Accumulator) rest.push_back(t);
    }
    Nest n;
    n.dims = c.dims;
    for (size_t i = 0; i < n.dims.size(); ++i) {
      if (c.roles[i] == DimRole::K) n.dims[i].extent = 1;
    }
    n.dims[d()] = {parts_, {}};
    lay_loops(n, order);
    n.sections.push_back({{{how_.dim, 1}}, take(combine, std::move(r.combine))});
    n.sections.push_back({{}, take(combine, std::move(rest))});
    combine.body.form = std::move(n);
    out_.combine.push_back(std::move(combine));
    Contraction form = c;
    form.dims[d()].extent /= parts_;
    give(form, lists_[0], lists_[1], {*sum, r.store});
  }

  // The point-wise loops round a sum over parts: blocks along the first dim, vectors along the last.
  void lay_loops(Nest& n, const std::vector<int>& order) const {
    if (order.empty()) return;
    n.vector_dim = order.back();
    const int first = order.front();
    const int64_t extent = n.dims[static_cast<size_t>(first)].extent;
    const int64_t blocks = blocks_for(2 * static_cast<double>(points(order, n.dims) * parts_));
    const int64_t unit = first == n.vector_dim ? std::max(1, step_.target.vector_bytes) : 1;
    const int64_t size = round_up(ceil_div(std::max<int64_t>(extent, 1), blocks), unit);
    if (size < extent) n.outer.push_back({first, size}), n.parallel = 1;
    for (int i : order) {
      if (n.parallel == 0 || i != first || size != 1 || i == n.vector_dim) n.outer.push_back({i, 1});
    }
  }

  // Rows of a nest: its results are parts, by block, or sums that each part begins anew.
  void rows(const Nest& n) {
    Nest form = n;
    form.dims[d()].extent /= parts_;
    for (size_t i = 0; i < form.sections.size(); ++i) form.sections[i].stmts = take(part_, lists_[i]);
    for (size_t slot = 0; slot < how_.slots.size(); ++slot) {
      if (how_.slots[slot] == Share::Sum) sum_of_rows(static_cast<int>(slot));
    }
    part_.body.form = std::move(form);
  }

  // The slot is a partial result from now on, which another kernel adds to those of the other parts.
  void sum_of_rows(int slot) {
    const auto at = static_cast<size_t>(slot);
    const BufferId whole = kernel_.buffers[at];
    const Buffer target = step_.memory.buffers[whole.at()];
    TaggedStmt of;
    for (const StmtList& list : lists_) {
      for (const TaggedStmt& t : list) {
        if (t.stmt.kind == StmtKind::Accumulate && t.stmt.access.slot == slot) of = t;
      }
    }
    const BufferId partials = partial(target.name.str(), target.type.element, {{target.type.count(), {}}});
    part_.buffers[at] = partials;
    RawKernel combine;
    combine.name = target.name;
    Nest n;
    n.dims = {{target.type.count(), {}}, {parts_, {}}};
    n.vector_dim = 0;
    n.outer = {{0, 1}};
    Stmt load{.kind = StmtKind::Load, .value = 0, .type = target.type.element};
    load.access = {.slot = combine.slot(partials, target.type.element, false), .at = {0, {1, target.type.count()}}, .indirect = {}, .guards = {}};
    Stmt sum{.kind = StmtKind::Reduce, .value = 1, .type = target.type.element, .args = {0, -1, -1}};
    sum.combiner = of.stmt.combiner;
    Stmt store{.kind = StmtKind::Store, .type = target.type.element, .args = {1, -1, -1}};
    store.access = {.slot = combine.slot(whole, target.type.element, true), .at = {0, {1, 0}}, .indirect = {}, .guards = {}};
    n.sections.push_back({{{1, 1}}, take(combine, {like(of, load), like(of, sum)})});
    n.sections.push_back({{}, take(combine, {like(of, store)})});
    combine.body.form = std::move(n);
    out_.combine.push_back(std::move(combine));
  }

  void reduction(const Nest& n) {
    std::vector<int> order;
    for (const Loop& l : n.outer) {
      if (std::find(order.begin(), order.end(), l.dim) == order.end()) order.push_back(l.dim);
    }
    const Section* reducing = reducing_section(n, how_.dim);
    const auto at = static_cast<size_t>(reducing - n.sections.data());
    RawKernel combine = bare();
    StmtList stores, sums;
    for (const TaggedStmt& t : lists_[at]) {
      if (t.stmt.kind != StmtKind::Reduce) continue;
      Result r = leave(combine, t, t.stmt.combiner, order, n.dims);
      stores.push_back(std::move(r.store));
      sums.insert(sums.end(), r.combine.begin(), r.combine.end());
    }
    Nest form = n, rest = n;
    form.dims[d()].extent /= parts_;
    rest.dims[d()] = {parts_, {}};
    rest.sections[at].inner = {{how_.dim, 1}};
    for (size_t i = 0; i < n.sections.size(); ++i) rest.sections[i].stmts = take(combine, i == at ? sums : lists_[i]);
    combine.body.form = std::move(rest);
    out_.combine.push_back(std::move(combine));

    form.sections.resize(at + 1);
    std::vector<StmtList> needed(lists_.begin(), lists_.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    prune(needed);
    for (size_t i = 0; i <= at; ++i) form.sections[i].stmts = take(part_, std::move(needed[i]));
    form.sections.push_back({{}, take(part_, std::move(stores))});
    part_.body.form = std::move(form);
    drop_empty(part_);
  }

  // Of the lists before the last: what the last one uses.
  static void prune(std::vector<StmtList>& lists) {
    std::set<ValueId> wanted;
    auto want = [&](const Stmt& s) {
      for (ValueId v : s.args) wanted.insert(v);
      for (const Indirect& i : s.access.indirect) wanted.insert(i.index);
    };
    for (const TaggedStmt& t : lists.back()) want(t.stmt);
    for (size_t i = lists.size() - 1; i-- > 0;) {
      StmtList kept;
      for (size_t k = lists[i].size(); k-- > 0;) {
        const Stmt& s = lists[i][k].stmt;
        if (s.value < 0 || !wanted.count(s.value)) continue;
        want(s);
        kept.insert(kept.begin(), lists[i][k]);
      }
      lists[i] = std::move(kept);
    }
  }

  static void drop_empty(RawKernel& k) {
    std::erase_if(std::get<Nest>(k.body.form).sections, [](const Section& s) { return s.stmts.empty(); });
  }

  const RawKernel& kernel_;
  const Cut& how_;
  int64_t parts_;
  StepPlan& step_;
  std::set<BufferId> moving_;
  RawKernel part_;
  std::vector<StmtList> lists_;
  ValueId next_ = 0;
  Pieces out_;
};

}  // namespace

std::optional<Cut> cut_along(const RawKernel& kernel, const Memory& memory, int dim) { return Analysis(kernel, memory, dim).run(); }

Pieces cut(const RawKernel& kernel, const Cut& how, int64_t parts, StepPlan& step) { return Cutter(kernel, how, parts, step).run(); }

}  // namespace gradc::scheduling
