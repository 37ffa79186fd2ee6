#include "tests/support/kernel_interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_map>

#include "compiler/support/error.h"
#include "tests/support/kernel_scalar.h"

namespace gradc::test {
namespace {

// Who touched an element within one call: more than one block, with a write among them, is a race.
struct Touch {
  int64_t writer = -1, reader = -1;
  bool several_readers = false;
};

class Machine {
 public:
  Machine(const KernelProgram& p, const std::map<Symbol, Tensor>& inputs) : p_(p) {
    // What is local to a trip lies behind the arena.
    arena_.assign(static_cast<size_t>(p.arena_bytes + p.local_bytes) + 64, std::byte{0xff});
    written_.assign(arena_.size(), false);
    for (const Buffer& b : p.buffers) {
      Tensor t;
      t.type = b.type;
      if (b.kind == BufferKind::Input || b.kind == BufferKind::Parameter || b.kind == BufferKind::State) {
        auto given = inputs.find(b.name);
        GRADC_ASSERT(given != inputs.end() && given->second.type == b.type, "input '{}' is missing", b.name);
        t = given->second;
      } else if (b.kind != BufferKind::Temporary && b.kind != BufferKind::Local) {
        t = Tensor::zeros(b.type);
        std::fill(t.bytes.begin(), t.bytes.end(), std::byte{0xff});
      }
      own_.push_back(std::move(t));
    }
  }

  StepResult run() {
    trips_.assign(p_.loops.size(), 0);
    size_t loop = 0;
    calls(0, p_.instances.size(), loop);
    for (size_t i = 0; i < p_.buffers.size(); ++i) {
      if (p_.buffers[i].kind == BufferKind::Shadow) own_[p_.buffers[i].source.at()].bytes = own_[i].bytes;
    }
    for (size_t i = 0; i < p_.buffers.size(); ++i) {
      const Buffer& b = p_.buffers[i];
      if (b.kind == BufferKind::Output) result_.outputs[b.name] = own_[i];
      if (b.kind == BufferKind::Parameter || b.kind == BufferKind::State) result_.stored[b.name] = own_[i];
    }
    return std::move(result_);
  }

 private:
  template <class... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    if (result_.problems.size() > 20) return;
    result_.problems.push_back(fmt::format("{}: {}", call_->name, fmt::format(format, std::forward<Args>(args)...)));
  }

  // Calls from..to; `next` is the first loop that begins there or later, and ends as the first after them.
  void calls(size_t from, size_t to, size_t& next) {
    while (from < to) {
      if (next == p_.loops.size() || static_cast<size_t>(p_.loops[next].begin) != from) {
        call(p_.instances[from++]);
        continue;
      }
      const size_t loop = next++, inner = next;
      for (trips_[loop] = 0; trips_[loop] < p_.loops[loop].trips; ++trips_[loop]) {
        next = inner;
        if (p_.loops[loop].shared) begin_shared_trip(trips_[loop]);
        calls(from, static_cast<size_t>(p_.loops[loop].end), next);
      }
      shared_trip_ = -1;
      trip_touched_.clear();
      from = static_cast<size_t>(p_.loops[loop].end);
    }
  }

  // Another thread makes it: nothing is left of what was local to the one before.
  void begin_shared_trip(int64_t trip) {
    shared_trip_ = trip;
    std::fill(written_.begin() + p_.arena_bytes, written_.end(), false);
  }

  // Bytes from the start of its buffer at which a slot begins on this trip.
  int64_t place(int slot) const {
    if (call_->places.empty()) return 0;
    const SlotPlace& place = call_->places[static_cast<size_t>(slot)];
    int64_t bytes = place.offset;
    for (const Move& m : place.moves) {
      int64_t trip = trips_[static_cast<size_t>(m.loop)];
      bytes += m.stride * (m.period > 0 ? (trip + m.phase) % m.period : trip);
    }
    return bytes;
  }

  void call(const KernelInstance& k) {
    call_ = &k;
    body_ = &p_[k.body];
    touched_.clear();
    values_.clear();
    for (const Stmt* s : statements(*body_)) {
      if (s->value >= 0) values_.resize(std::max(values_.size(), static_cast<size_t>(s->value) + 1));
    }
    block_ = 0;
    if (const Nest* n = std::get_if<Nest>(&body_->form)) {
      start(n->dims);
      block_start_ = index_;
      blocked_ = false;
      nest_loops(*n, 0);
    } else {
      contraction(std::get<Contraction>(body_->form));
    }
  }

  void start(const std::vector<KernelDim>& dims) {
    index_.assign(dims.size(), 0);
    limit_.clear();
    for (const KernelDim& d : dims) limit_.push_back(d.extent);
  }

  // Runs `body` for every tile of a loop, with index and limit of its dim narrowed to the tile.
  template <class Body>
  void loop(const Loop& l, Body body) {
    auto d = static_cast<size_t>(l.dim);
    int64_t low = index_[d], high = limit_[d];
    for (int64_t i = low; i < high; i += l.step) {
      index_[d] = i;
      limit_[d] = std::min(high, i + l.step);
      body();
    }
    index_[d] = low;
    limit_[d] = high;
  }

  void nest_loops(const Nest& n, size_t level) {
    if (level == static_cast<size_t>(n.parallel) && !blocked_) {
      block_start_ = index_;
      blocked_ = true;
      nest_loops(n, level);
      blocked_ = false;
      ++block_;
      return;
    }
    if (level < n.outer.size()) return loop(n.outer[level], [&] { nest_loops(n, level + 1); });
    for (const Section& s : n.sections) section(s);
  }

  void section(const Section& s) {
    for (const Stmt& stmt : s.stmts) {
      if (stmt.kind == StmtKind::Reduce) values_[static_cast<size_t>(stmt.value)] = identity(stmt.combiner, stmt.type);
      if (stmt.kind == StmtKind::ReduceIndex) values_[static_cast<size_t>(stmt.value)] = Scalar::of(Element::Int, 0);
    }
    best_.clear();
    section_loops(s, 0);
  }

  void section_loops(const Section& s, size_t level) {
    if (level < s.inner.size()) return loop(s.inner[level], [&] { section_loops(s, level + 1); });
    for (const Stmt& stmt : s.stmts) execute(stmt);
  }

  void contraction(const Contraction& c) {
    start(c.dims);
    std::vector<size_t> free, summed;
    for (size_t d = 0; d < c.dims.size(); ++d) (c.roles[d] == DimRole::K ? summed : free).push_back(d);
    each(free, 0, [&] {
      block_ = contraction_block(c);
      Scalar sum = Scalar::of(c.element, 0);
      each(summed, 0, [&] {
        operand_ = true;
        for (const Stmt& s : c.lhs) execute(s);
        Scalar a = yielded_;
        panel_element_ = c.panels > 0 ? panel_element(c) : -1;
        for (const Stmt& s : c.rhs) execute(s);
        panel_element_ = -1;
        operand_ = false;
        sum = apply(ScalarOp::Fma, c.element, {a, yielded_, sum});
      });
      accumulator_ = sum;
      for (const Stmt& s : c.epilogue) execute(s);
    });
  }

  // Where the right operand's element at this point lies in its panel.
  int64_t panel_element(const Contraction& c) const {
    int64_t n = 0, k = 0, depth = 1;
    for (size_t d = 0; d < c.dims.size(); ++d) {
      if (c.roles[d] == DimRole::N) n = n * c.dims[d].extent + index_[d];
      if (c.roles[d] == DimRole::K) k = k * c.dims[d].extent + index_[d], depth *= c.dims[d].extent;
    }
    return (n / c.panels * depth + k) * c.panels + n % c.panels;
  }

  template <class Body>
  void each(const std::vector<size_t>& dims, size_t at, Body body) {
    if (at == dims.size()) return body();
    loop({static_cast<int>(dims[at]), 1}, [&] { each(dims, at + 1, body); });
  }

  int64_t contraction_block(const Contraction& c) const {
    int64_t batch = 0, m = 0, n = 0;
    for (size_t d = 0; d < c.dims.size(); ++d) {
      int64_t* flat = c.roles[d] == DimRole::Batch ? &batch : c.roles[d] == DimRole::M ? &m : c.roles[d] == DimRole::N ? &n : nullptr;
      if (flat) *flat = *flat * c.dims[d].extent + index_[d];
    }
    return (batch * (int64_t{1} << 20) + n / c.block_n) * (int64_t{1} << 20) + m / c.block_m;
  }

  int64_t at(const Affine& a) const {
    int64_t v = a.offset;
    for (size_t d = 0; d < a.strides.size(); ++d) v += a.strides[d] * index_[d];
    return v;
  }
  Scalar& value(ValueId v) { return values_[static_cast<size_t>(v)]; }

  void execute(const Stmt& s) {
    switch (s.kind) {
      case StmtKind::Load: value(s.value) = load(s); break;
      case StmtKind::Store: store(s.access, value(s.args[0]).as(s.type), s.type); break;
      case StmtKind::Accumulate: accumulate(s); break;
      case StmtKind::Compute: value(s.value) = compute(s); break;
      case StmtKind::Index: value(s.value) = apply(ScalarOp::Cast, s.type, {Scalar::of(Element::Int, at(s.access.at))}); break;
      case StmtKind::Random: value(s.value) = random(s); break;
      case StmtKind::Reduce: {
        Scalar& total = value(s.value);
        total = apply(operation(s.combiner), s.type, {total, value(s.args[0])});
        break;
      }
      case StmtKind::ReduceIndex: reduce_index(s); break;
      case StmtKind::Accumulator: value(s.value) = accumulator_; break;
      case StmtKind::Yield: yielded_ = value(s.args[0]); break;
    }
  }

  Scalar compute(const Stmt& s) {
    if (s.op == ScalarOp::Const) return constant(s.type, s.constant);
    std::vector<Scalar> args;
    for (int i = 0; i < arity(s.op); ++i) args.push_back(value(s.args[static_cast<size_t>(i)]));
    return apply(s.op, s.type, args);
  }

  Scalar random(const Stmt& s) {
    auto seed = static_cast<uint64_t>(value(s.args[0]).i);
    Scalar step = apply(ScalarOp::Cast, Element::Int, {value(s.args[1])});
    double u = philox_uniform(seed, static_cast<uint32_t>(step.i), call_->sites[static_cast<size_t>(s.site)], static_cast<uint64_t>(at(s.access.at)), s.type);
    return constant(s.type, u);
  }

  void reduce_index(const Stmt& s) {
    Scalar x = value(s.args[0]);
    auto best = best_.find(s.value);
    bool better = best == best_.end();
    if (!better) {
      // The first extreme; NaN counts as one.
      Scalar extreme = apply(operation(s.combiner), x.element, {best->second, x});
      better = !same(extreme, best->second) && !is_nan(best->second);
    }
    if (!better) return;
    best_[s.value] = x;
    value(s.value) = Scalar::of(Element::Int, index_[static_cast<size_t>(s.index_dim)]);
  }

  void accumulate(const Stmt& s) {
    bool first = !s.first.empty();
    for (int d : s.first) first &= index_[static_cast<size_t>(d)] == block_start_[static_cast<size_t>(d)];
    Scalar x = value(s.args[0]);
    if (!first) x = apply(operation(s.combiner), s.type, {element(s.access, s.type, false), x});
    store(s.access, x, s.type);
  }

  Scalar load(const Stmt& s) {
    for (const Guard& g : s.access.guards) {
      int64_t x = at(g.at);
      if (x < 0 || x >= g.limit * g.step || x % g.step != 0) return constant(s.type, s.access.fill);
    }
    return element(s.access, s.type, true);
  }

  // The address of an element, or null (reported) where it lies outside of its buffer.
  std::byte* address(const Access& a, Element e) {
    int64_t offset = (panel_element_ >= 0 ? panel_element_ : at(a.at)) + a.block * block_ + place(a.slot) / static_cast<int64_t>(byte_size(e));
    for (const Indirect& i : a.indirect) offset += i.stride * std::clamp<int64_t>(value(i.index).i, 0, i.limit - 1);
    BufferId id = call_->buffers[static_cast<size_t>(a.slot)];
    const Buffer& b = p_[id];
    if (offset < 0 || offset >= b.type.count()) {
      problem("element {} of '{}', which has {}", offset, b.name, b.type.count());
      return nullptr;
    }
    if (b.kind == BufferKind::Local && shared_trip_ < 0) problem("the local '{}' outside of a shared loop", b.name);
    std::byte* base = own_[id.at()].bytes.data();
    if (b.kind == BufferKind::Temporary) base = arena_.data() + b.offset;
    if (b.kind == BufferKind::Local) base = arena_.data() + p_.arena_bytes + b.offset;
    return base + offset * static_cast<int64_t>(byte_size(e));
  }

  // Trips of a shared loop run at once.
  void touch_on_trip(const std::byte* p, bool writes) {
    const bool local = p >= arena_.data() + p_.arena_bytes && p < arena_.data() + arena_.size();
    if (shared_trip_ < 0 || local) return;
    Touch& t = trip_touched_[p];
    const bool apart = (t.writer >= 0 && t.writer != shared_trip_) || (writes && ((t.reader >= 0 && t.reader != shared_trip_) || t.several_readers));
    if (apart) problem("two trips of a shared loop touch an element, and one writes it");
    if (!writes && t.reader >= 0 && t.reader != shared_trip_) t.several_readers = true;
    (writes ? t.writer : t.reader) = shared_trip_;
  }

  bool in_arena(const std::byte* p) const { return p >= arena_.data() && p < arena_.data() + arena_.size(); }

  Scalar element(const Access& a, Element e, bool plain) {
    std::byte* p = address(a, e);
    if (!p) return Scalar::of(e, 0);
    if (in_arena(p) && !written_[static_cast<size_t>(p - arena_.data())]) problem("reads what was never written");
    touch_on_trip(p, false);
    Touch& t = touched_[p];
    if (plain) {
      if (t.writer >= 0 && (t.writer != block_ || operand_)) problem("reads what another block writes");
      if (t.reader >= 0 && t.reader != block_) t.several_readers = true;
      // An operand of a contraction is read at times of the code generator's choosing: no block may write it.
      t.reader = operand_ ? std::numeric_limits<int64_t>::max() : block_;
    }
    return read_scalar(p, e);
  }

  void store(const Access& a, Scalar x, Element e) {
    std::byte* p = address(a, e);
    if (!p) return;
    touch_on_trip(p, true);
    Touch& t = touched_[p];
    if ((t.writer >= 0 && t.writer != block_) || (t.reader >= 0 && t.reader != block_) || t.several_readers) {
      problem("two blocks touch an element of '{}', and one writes it", p_[call_->buffers[static_cast<size_t>(a.slot)]].name);
    }
    t.writer = block_;
    if (in_arena(p)) written_[static_cast<size_t>(p - arena_.data())] = true;
    write_scalar(p, e, x);
  }

  const KernelProgram& p_;
  StepResult result_;
  std::vector<std::byte> arena_;
  std::vector<bool> written_;
  std::vector<Tensor> own_;
  std::vector<int64_t> trips_;  // by loop: the trip it is on
  const KernelInstance* call_ = nullptr;
  const KernelBody* body_ = nullptr;
  std::vector<int64_t> index_, limit_, block_start_;
  int64_t block_ = 0, panel_element_ = -1;
  bool blocked_ = false, operand_ = false;
  std::vector<Scalar> values_;
  std::unordered_map<ValueId, Scalar> best_;
  std::unordered_map<const std::byte*, Touch> touched_;
  int64_t shared_trip_ = -1;  // of the shared loop that calls are made in
  std::unordered_map<const std::byte*, Touch> trip_touched_;  // in it, by trip instead of by block
  Scalar accumulator_, yielded_;
};

}  // namespace

StepResult run_kernels(const KernelProgram& program, const std::map<Symbol, Tensor>& inputs) { return Machine(program, inputs).run(); }

}  // namespace gradc::test
