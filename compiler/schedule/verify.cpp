#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "compiler/schedule/kernel.h"
#include "compiler/schedule/lifetime.h"

namespace gradc {
namespace {

struct Range {
  int64_t low = 0, high = 0;  // inclusive
};

// What a call hands to a slot, in elements.
struct Given {
  int64_t size = 0;
  Range begins{};  // where the slot begins
};

Range range_of(const Affine& a, const std::vector<KernelDim>& dims) {
  Range r{a.offset, a.offset};
  for (size_t d = 0; d < dims.size(); ++d) {
    int64_t reach = a.strides[d] * (dims[d].extent - 1);
    (reach < 0 ? r.low : r.high) += reach;
  }
  return r;
}

// Checks one body; with the buffers of a call, also that no address lies outside of them.
class BodyVerifier {
 public:
  BodyVerifier(const KernelBody& body, std::vector<std::string>& out) : body_(body), out_(out) {}

  void run(const std::vector<Given>* given) {
    given_ = given;
    std::visit([&](const auto& form) { check(form); }, body_.form);
  }

 private:
  template <class... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    out_.push_back(fmt::format("body '{}': {}", body_.name, fmt::format(format, std::forward<Args>(args)...)));
  }

  bool valid_dim(int d) const { return d >= 0 && static_cast<size_t>(d) < dims_->size(); }

  void loops(const std::vector<Loop>& list) {
    for (const Loop& l : list) {
      if (!valid_dim(l.dim)) problem("a loop over a dim that does not exist, i{}", l.dim);
      if (l.step < 1) problem("a loop over i{} has step {}", l.dim, l.step);
    }
  }

  void check(const Nest& n) {
    dims_ = &n.dims;
    empty_ = std::any_of(n.dims.begin(), n.dims.end(), [](const KernelDim& d) { return d.extent == 0; });
    loops(n.outer);
    if (n.parallel < 0 || static_cast<size_t>(n.parallel) > n.outer.size()) problem("{} parallel loops of {}", n.parallel, n.outer.size());
    if (n.vector_dim >= 0 && !valid_dim(n.vector_dim)) problem("no dim i{} to vectorise", n.vector_dim);
    std::set<ValueId> lasting;
    for (const Section& s : n.sections) {
      loops(s.inner);
      visible_ = lasting;
      finest_.assign(n.dims.size(), 0);
      for (const std::vector<Loop>* list : {&n.outer, &s.inner}) {
        for (const Loop& l : *list) {
          if (valid_dim(l.dim)) finest_[static_cast<size_t>(l.dim)] = l.step;
        }
      }
      for (const Stmt& stmt : s.stmts) {
        statement(stmt);
        bool reduce = stmt.kind == StmtKind::Reduce || stmt.kind == StmtKind::ReduceIndex;
        if (reduce) visible_.erase(stmt.value);
        if (stmt.value >= 0 && (reduce || s.inner.empty())) lasting.insert(stmt.value);
        if (stmt.kind == StmtKind::Yield || stmt.kind == StmtKind::Accumulator) problem("a nest with a statement of contractions");
      }
    }
  }

  void check(const Contraction& c) {
    dims_ = &c.dims;
    empty_ = std::any_of(c.dims.begin(), c.dims.end(), [](const KernelDim& d) { return d.extent == 0; });
    if (c.roles.size() != c.dims.size()) return problem("{} roles for {} dims", c.roles.size(), c.dims.size());
    if (std::min({c.mr, c.nr, c.kc, c.block_m, c.block_n}) < 1) problem("a tile is not positive");
    finest_.assign(c.dims.size(), 1);
    side(c.lhs, c.roles, DimRole::N, "lhs");
    side(c.rhs, c.roles, DimRole::M, "rhs");
    if (c.panels != 0) panels(c);
    visible_.clear();
    bool stored = false;
    for (const Stmt& s : c.epilogue) {
      statement(s);
      stored |= s.kind == StmtKind::Store;
      if (s.kind == StmtKind::Yield) problem("an epilogue yields");
      uses_no(s.access, c.roles, DimRole::K, "epilogue");
    }
    if (!stored) problem("the epilogue stores nothing");
  }

  void side(const std::vector<Stmt>& list, const std::vector<DimRole>& roles, DimRole other, const char* title) {
    visible_.clear();
    for (const Stmt& s : list) {
      statement(s);
      uses_no(s.access, roles, other, title);
      if (s.kind == StmtKind::Store || s.kind == StmtKind::Accumulate) problem("the {} writes", title);
    }
    if (list.empty() || list.back().kind != StmtKind::Yield) problem("the {} does not end in a yield", title);
  }

  void panels(const Contraction& c) {
    bool load = c.rhs.size() == 2 && c.rhs[0].kind == StmtKind::Load && c.rhs[1].args[0] == c.rhs[0].value && c.rhs[0].access.guards.empty() && c.rhs[0].access.indirect.empty();
    const std::vector<int64_t>& strides = c.rhs.empty() ? std::vector<int64_t>() : c.rhs[0].access.at.strides;
    bool zeros = std::all_of(strides.begin(), strides.end(), [](int64_t s) { return s == 0; });
    if (c.panels < 0 || !is_float(c.element) || extent(c, DimRole::Batch) != 1) return problem("panels of {}", c.panels);
    if (c.block_n % c.panels != 0 && c.block_n < extent(c, DimRole::N)) problem("blocks of {} columns end within panels of {}", c.block_n, c.panels);
    if (!load || !zeros) return problem("panels of what is not a load of all of them");
    if (!given_) return;
    const auto slot = static_cast<size_t>(c.rhs[0].access.slot);
    const int64_t columns = (extent(c, DimRole::N) + c.panels - 1) / c.panels * c.panels, room = (*given_)[slot].size - (*given_)[slot].begins.high;
    if (columns * extent(c, DimRole::K) > room) problem("s{} has no room for {} columns in panels of {}", slot, columns, c.panels);
  }

  void uses_no(const Access& a, const std::vector<DimRole>& roles, DimRole role, const char* title) {
    for (size_t d = 0; d < a.at.strides.size(); ++d) {
      if (roles[d] == role && a.at.strides[d] != 0) problem("the {} uses i{}", title, d);
    }
  }

  void statement(const Stmt& s) {
    int wanted = s.kind == StmtKind::Compute ? arity(s.op) : 0;
    if (s.kind == StmtKind::Random) wanted = 2;
    bool consumes = s.kind == StmtKind::Store || s.kind == StmtKind::Accumulate || s.kind == StmtKind::Reduce ||
                    s.kind == StmtKind::ReduceIndex || s.kind == StmtKind::Yield;
    if (consumes) wanted = 1;
    for (int i = 0; i < wanted; ++i) use(s.args[static_cast<size_t>(i)]);
    if (touches_memory(s)) access(s);
    if (s.kind == StmtKind::Index || s.kind == StmtKind::Random) affine(s.access.at);
    if (s.kind == StmtKind::Random && s.site < 0) problem("a random number of no site");
    for (int d : s.first) {
      if (!valid_dim(d)) problem("no dim i{}", d);
    }
    bool defines = s.kind != StmtKind::Store && s.kind != StmtKind::Accumulate && s.kind != StmtKind::Yield;
    if (!defines) return;
    if (s.value < 0 || !defined_.insert(s.value).second) {
      if (given_ == nullptr) problem("v{} is defined twice or has no number", s.value);
    }
    visible_.insert(s.value);
  }

  void use(ValueId v) {
    if (!visible_.count(v)) problem("v{} is used where it is not visible", v);
  }

  // Every dim that an address moves along has a loop down to single steps, or is at the start of a tile.
  bool affine(const Affine& a) {
    if (a.strides.size() != dims_->size()) {
      problem("an index over {} dims in a kernel of {}", a.strides.size(), dims_->size());
      return false;
    }
    for (size_t d = 0; d < a.strides.size(); ++d) {
      if (a.strides[d] != 0 && (*dims_)[d].extent > 1 && finest_[d] == 0) problem("i{} moves no loop here", d);
    }
    return true;
  }

  void access(const Stmt& s) {
    const Access& a = s.access;
    if (a.slot < 0 || static_cast<size_t>(a.slot) >= body_.slots.size()) return problem("there is no slot s{}", a.slot);
    const Slot& slot = body_.slots[static_cast<size_t>(a.slot)];
    if (slot.element != s.type) problem("s{} is {}, not {}", a.slot, name(slot.element), name(s.type));
    if (s.kind != StmtKind::Load && !slot.written) problem("s{} is written but not marked so", a.slot);
    for (const Indirect& i : a.indirect) use(i.index);
    if (!affine(a.at)) return;
    for (const Guard& g : a.guards) {
      if (g.step < 1) problem("a guard has step {}", g.step);
      if (!affine(g.at)) return;
    }
    if (given_) bounds(a);
  }

  void bounds(const Access& a) {
    if (empty_ || !a.guards.empty()) return;  // a guard may cut off what lies outside
    Range r = range_of(a.at, *dims_);
    for (const Indirect& i : a.indirect) (i.stride < 0 ? r.low : r.high) += i.stride * (i.limit - 1);
    r.high += a.block * (block_count(body_) - 1);
    const Given& given = (*given_)[static_cast<size_t>(a.slot)];
    r.low += given.begins.low;
    r.high += given.begins.high;
    if (r.low < 0 || r.high >= given.size) problem("s{} is indexed from {} to {}, but has {} elements", a.slot, r.low, r.high, given.size);
  }

  const KernelBody& body_;
  std::vector<std::string>& out_;
  const std::vector<Given>* given_ = nullptr;
  const std::vector<KernelDim>* dims_ = nullptr;
  bool empty_ = false;
  std::vector<int64_t> finest_;  // by dim: step of its innermost loop here, 0 without a loop
  std::set<ValueId> visible_, defined_;
};

class ProgramVerifier {
 public:
  explicit ProgramVerifier(const KernelProgram& p) : p_(p) {}

  std::vector<std::string> run() {
    for (const KernelBody& b : p_.bodies) BodyVerifier(b, out_).run(nullptr);
    loops();
    if (out_.empty()) {
      for (size_t k = 0; k < p_.instances.size(); ++k) call(k);
    }
    names();
    if (out_.empty()) arena();
    return out_;
  }

 private:
  template <class... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    out_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  void loops() {
    const auto calls = static_cast<int32_t>(p_.instances.size());
    for (size_t i = 0; i < p_.loops.size(); ++i) {
      const CallLoop& l = p_.loops[i];
      if (l.trips < 1) problem("loop l{} makes {} trips", i, l.trips);
      if (l.begin < 0 || l.begin >= l.end || l.end > calls) problem("loop l{} holds the calls from {} to {} of {}", i, l.begin, l.end, calls);
      for (size_t j = 0; j < i; ++j) {
        const CallLoop& before = p_.loops[j];
        bool apart = before.end <= l.begin, inside = before.begin <= l.begin && l.end <= before.end;
        if (!apart && !inside) problem("loops l{} and l{} are out of order", j, i);
        if (!apart && (before.shared || l.shared)) problem("loop l{} lies in l{}, and one of them is shared", i, j);
      }
    }
  }

  // Of slots that do not begin where their buffer does.
  void places(size_t index, std::vector<Given>& given) {
    const KernelInstance& k = p_.instances[index];
    if (k.places.size() != k.buffers.size()) return problem("call '{}' has {} places for {} buffers", k.name, k.places.size(), k.buffers.size());
    for (size_t i = 0; i < k.places.size(); ++i) {
      const auto bytes = static_cast<int64_t>(byte_size(p_[k.buffers[i]].type.element));
      bool whole = k.places[i].offset % bytes == 0;
      for (const Move& m : k.places[i].moves) {
        bool known = m.loop >= 0 && static_cast<size_t>(m.loop) < p_.loops.size();
        const auto at = static_cast<int32_t>(index);
        if (!known || at < p_.loops[static_cast<size_t>(m.loop)].begin || at >= p_.loops[static_cast<size_t>(m.loop)].end) {
          return problem("call '{}': s{} moves with l{}, which is not round it", k.name, i, m.loop);
        }
        bool power = m.period >= 0 && (m.period & (m.period - 1)) == 0;
        if (!power || m.phase < 0) return problem("call '{}': s{} moves by phase {} of {}", k.name, i, m.phase, m.period);
        whole &= m.stride % bytes == 0;
      }
      if (!whole) problem("call '{}': s{} begins within an element", k.name, i);
      auto [low, high] = reach(k.places[i], p_.loops);
      given[i].begins = {low / bytes, high / bytes};
    }
  }

  void call(size_t index) {
    const KernelInstance& k = p_.instances[index];
    if (!k.body || k.body.at() >= p_.bodies.size()) return problem("call '{}' of a body that does not exist", k.name);
    const KernelBody& body = p_[k.body];
    if (k.buffers.size() != body.slots.size()) {
      return problem("call '{}' has {} buffers for {} slots", k.name, k.buffers.size(), body.slots.size());
    }
    if (size_t wanted = site_count(body); k.sites.size() != wanted) problem("call '{}' gives {} of {} sites", k.name, k.sites.size(), wanted);
    size_t count = statements(body).size();
    if (k.provenance.size() != count || k.labels.size() != count) problem("call '{}' does not describe its {} statements", k.name, count);
    for (ProvenanceId id : k.provenance) {
      if (p_.provenance.size() > 0 && !id) {
        problem("call '{}' has a statement that comes from nowhere", k.name);
        break;
      }
    }
    std::vector<Given> given;
    for (size_t i = 0; i < k.buffers.size(); ++i) {
      if (!k.buffers[i] || k.buffers[i].at() >= p_.buffers.size()) return problem("call '{}' of a buffer that does not exist", k.name);
      const Buffer& b = p_[k.buffers[i]];
      if (b.type.element != body.slots[i].element) {
        problem("call '{}': s{} is {}, but '{}' is {}", k.name, i, name(body.slots[i].element), b.name, to_string(b.type));
      }
      if (b.kind == BufferKind::Input && body.slots[i].written) problem("call '{}' writes the input '{}'", k.name, b.name);
      given.push_back({b.type.count()});
    }
    if (!k.places.empty()) places(index, given);
    BodyVerifier(body, out_).run(&given);
    shared(index, given);
  }

  // A trip of a shared loop touches nothing that another one writes.
  void shared(size_t index, const std::vector<Given>& given) {
    const auto at = static_cast<int32_t>(index);
    auto round = std::find_if(p_.loops.begin(), p_.loops.end(), [&](const CallLoop& l) { return l.shared && l.begin <= at && at < l.end; });
    const KernelInstance& k = p_.instances[index];
    for (size_t i = 0; i < k.buffers.size(); ++i) {
      const Buffer& b = p_[k.buffers[i]];
      if (b.kind == BufferKind::Local) {
        const auto loop = static_cast<size_t>(round - p_.loops.begin());
        if (round == p_.loops.end()) problem("call '{}' of the local '{}' outside of a shared loop", k.name, b.name);
        else if (local_to_.try_emplace(k.buffers[i], loop).first->second != loop) problem("'{}' is local to two loops", b.name);
        if (!k.places.empty() && k.places[i] != SlotPlace{}) problem("call '{}': s{} moves within a local", k.name, i);
        continue;
      }
      if (round == p_.loops.end() || !written_in(*round, k.buffers[i])) continue;
      const int64_t part = part_of(k, i) / static_cast<int64_t>(byte_size(b.type.element));
      if (part <= 0 || part * round->trips > given[i].size) {
        problem("call '{}': s{} shares '{}', which a trip of a shared loop writes", k.name, i, b.name);
        continue;
      }
      std::vector<Given> strip = given;
      strip[i] = {part};
      BodyVerifier(p_[k.body], out_).run(&strip);
    }
  }

  bool written_in(const CallLoop& l, BufferId b) const {
    for (auto c = static_cast<size_t>(l.begin); c < static_cast<size_t>(l.end); ++c) {
      const KernelInstance& k = p_.instances[c];
      for (size_t i = 0; i < k.buffers.size(); ++i) {
        if (k.buffers[i] == b && p_[k.body].slots[i].written) return true;
      }
    }
    return false;
  }

  // How far the slot moves from trip to trip, if it begins at the first part: each trip has a part of its own.
  static int64_t part_of(const KernelInstance& k, size_t slot) {
    if (k.places.empty()) return 0;
    const SlotPlace& place = k.places[slot];
    return place.offset == 0 && place.moves.size() == 1 && place.moves[0].period == 0 ? place.moves[0].stride : 0;
  }

  void names() {
    std::set<Symbol> seen;
    for (const KernelInstance& k : p_.instances) {
      if (!seen.insert(k.name).second) problem("two calls are named '{}'", k.name);
    }
    for (const Buffer& b : p_.buffers) {
      if (b.kind == BufferKind::Shadow && (!b.source || b.source.at() >= p_.buffers.size())) problem("shadow '{}' of no buffer", b.name);
    }
  }

  // Temporaries that are alive at once do not overlap. One that is first written by the call that reads another for the last
  // time may take its place.
  void arena() {
    const std::vector<scheduling::Lifetime> lives = scheduling::lifetimes(p_.buffers.size(), scheduling::touches_of(p_), p_.loops);
    auto bytes = [&](size_t i) { return p_.buffers[i].type.count() * static_cast<int64_t>(byte_size(p_.buffers[i].type.element)); };
    for (size_t i = 0; i < p_.buffers.size(); ++i) {
      const Buffer& a = p_.buffers[i];
      if (a.kind != BufferKind::Temporary && a.kind != BufferKind::Local) continue;
      const int64_t room = a.kind == BufferKind::Local ? p_.local_bytes : p_.arena_bytes;
      if (a.offset % 64 != 0 || a.offset < 0 || a.offset + bytes(i) > room) problem("'{}' does not lie in the arena", a.name);
      for (size_t j = 0; j < i; ++j) {
        const Buffer& b = p_.buffers[j];
        if (b.kind != a.kind || !lives[i].used() || !lives[j].used()) continue;
        bool apart = a.offset + bytes(i) <= b.offset || b.offset + bytes(j) <= a.offset;
        if (!apart && lives[i].begin < lives[j].end && lives[j].begin < lives[i].end) problem("'{}' and '{}' overlap", a.name, b.name);
      }
    }
  }

  const KernelProgram& p_;
  std::vector<std::string> out_;
  std::map<BufferId, size_t> local_to_;  // loops
};

}  // namespace

std::vector<std::string> verify(const KernelProgram& program) { return ProgramVerifier(program).run(); }

}  // namespace gradc
