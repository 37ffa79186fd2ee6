#include <algorithm>
#include <functional>

#include "compiler/schedule/kernel.h"

namespace gradc {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How many values each dim takes under some loops: a dim that is only tiled takes one value a tile, one without a loop one.
std::vector<int64_t> counts(const std::vector<KernelDim>& dims, std::initializer_list<const std::vector<Loop>*> nests) {
  std::vector<int64_t> out(dims.size(), 1);
  for (const std::vector<Loop>* loops : nests) {
    for (const Loop& l : *loops) {
      auto d = static_cast<size_t>(l.dim);
      out[d] = std::max(out[d], ceil_div(dims[d].extent, l.step));
    }
  }
  return out;
}

double product(const std::vector<int64_t>& v) {
  double p = 1;
  for (int64_t x : v) p *= static_cast<double>(x);
  return p;
}

double operations(const Stmt& s) {
  if (!is_float(s.type)) return 0;
  switch (s.kind) {
    case StmtKind::Accumulate:
    case StmtKind::Reduce: return 1;
    case StmtKind::Compute: break;
    default: return 0;
  }
  switch (s.op) {
    case ScalarOp::Const:
    case ScalarOp::Select:
    case ScalarOp::Cast: return 0;
    case ScalarOp::Fma: return 2;
    default: return 1;
  }
}

// Calls visit(statement, values that each dim takes round it) for every statement.
using Visitor = std::function<void(const Stmt&, const std::vector<int64_t>&)>;

void visit(const Nest& n, const Visitor& visitor) {
  for (const Section& section : n.sections) {
    std::vector<int64_t> t = counts(n.dims, {&n.outer, &section.inner});
    for (const Stmt& s : section.stmts) visitor(s, t);
  }
}

void visit(const Contraction& c, const Visitor& visitor) {
  auto without = [&](std::initializer_list<DimRole> dropped) {
    std::vector<int64_t> t;
    for (size_t d = 0; d < c.dims.size(); ++d) {
      bool drop = std::find(dropped.begin(), dropped.end(), c.roles[d]) != dropped.end();
      t.push_back(drop ? 1 : c.dims[d].extent);
    }
    return t;
  };
  for (const Stmt& s : c.lhs) visitor(s, without({DimRole::N}));
  for (const Stmt& s : c.rhs) visitor(s, without({DimRole::M}));
  for (const Stmt& s : c.epilogue) visitor(s, without({DimRole::K}));
}

// Distinct elements of one access: no more than its points, no more than the span of its addresses.
double elements(const Access& a, const std::vector<int64_t>& trips, int64_t blocks) {
  double points = 1, span = 1;
  for (size_t d = 0; d < trips.size(); ++d) {
    int64_t stride = std::abs(a.at.strides[d]);
    if (stride == 0 && a.indirect.empty()) continue;
    points *= static_cast<double>(trips[d]);
    span += static_cast<double>(stride) * static_cast<double>(trips[d] - 1);
  }
  for (const Indirect& i : a.indirect) span += static_cast<double>(i.stride) * static_cast<double>(i.limit - 1);
  double count = std::min(points, span);
  return a.block != 0 ? count * static_cast<double>(blocks) : count;
}

}  // namespace

bool touches_memory(const Stmt& s) { return s.kind == StmtKind::Load || s.kind == StmtKind::Store || s.kind == StmtKind::Accumulate; }

int64_t extent(const Contraction& c, DimRole role) {
  int64_t size = 1;
  for (size_t d = 0; d < c.dims.size(); ++d) {
    if (c.roles[d] == role) size *= c.dims[d].extent;
  }
  return size;
}

bool element_by_element(const Contraction& c, const Stmt& s) {
  for (size_t d = 0; d < c.dims.size(); ++d)
    if (c.roles[d] != DimRole::K && c.dims[d].extent > 1 && (s.access.at.strides.empty() || s.access.at.strides[d] == 0)) return false;
  return true;
}

std::vector<const Stmt*> statements(const KernelBody& body) {
  std::vector<const Stmt*> out;
  auto append = [&](const std::vector<Stmt>& list) {
    for (const Stmt& s : list) out.push_back(&s);
  };
  if (const Nest* n = std::get_if<Nest>(&body.form)) {
    for (const Section& s : n->sections) append(s.stmts);
  } else {
    const auto& c = std::get<Contraction>(body.form);
    append(c.lhs), append(c.rhs), append(c.epilogue);
  }
  return out;
}

size_t site_count(const KernelBody& body) {
  int last = -1;
  for (const Stmt* s : statements(body)) {
    if (s->kind == StmtKind::Random) last = std::max(last, s->site);
  }
  return static_cast<size_t>(last + 1);
}

double flops(const KernelBody& body) {
  double total = 0;
  Visitor count = [&](const Stmt& s, const std::vector<int64_t>& t) { total += operations(s) * product(t); };
  if (const auto* c = std::get_if<Contraction>(&body.form)) {
    total = 2;
    for (const KernelDim& d : c->dims) total *= static_cast<double>(d.extent);
    visit(*c, count);
  } else {
    visit(std::get<Nest>(body.form), count);
  }
  return total;
}

double bytes_touched(const KernelBody& body) {
  std::vector<double> read(body.slots.size()), written(body.slots.size());
  int64_t blocks = block_count(body);
  Visitor count = [&](const Stmt& s, const std::vector<int64_t>& t) {
    auto slot = static_cast<size_t>(s.access.slot);
    if (s.kind == StmtKind::Load) read[slot] = std::max(read[slot], elements(s.access, t, blocks));
    if (s.kind == StmtKind::Store || s.kind == StmtKind::Accumulate) {
      written[slot] = std::max(written[slot], elements(s.access, t, blocks));
    }
  };
  std::visit([&](const auto& form) { visit(form, count); }, body.form);
  if (const auto* c = std::get_if<Contraction>(&body.form); c && c->panels > 0) {
    read[static_cast<size_t>(c->rhs[0].access.slot)] = static_cast<double>(extent(*c, DimRole::K) * extent(*c, DimRole::N));
  }
  double bytes = 0;
  for (size_t i = 0; i < read.size(); ++i) bytes += (read[i] + written[i]) * static_cast<double>(byte_size(body.slots[i].element));
  return bytes;
}

int64_t trips(const std::vector<CallLoop>& loops, size_t instance) {
  int64_t count = 1;
  for (const CallLoop& l : loops) {
    if (l.begin <= static_cast<int32_t>(instance) && static_cast<int32_t>(instance) < l.end) count *= l.trips;
  }
  return count;
}

std::pair<int64_t, int64_t> reach(const SlotPlace& place, const std::vector<CallLoop>& loops) {
  int64_t low = place.offset, high = place.offset;
  for (const Move& m : place.moves) {
    int64_t last = loops[static_cast<size_t>(m.loop)].trips - 1, first = 0;
    if (m.period > 0) {
      if (last + 1 >= m.period) {
        first = 0, last = m.period - 1;
      } else {
        // Fewer trips than places: only some of these are visited.
        int64_t least = m.period, most = 0;
        for (int64_t n = 0; n <= last; ++n) {
          least = std::min(least, (n + m.phase) % m.period);
          most = std::max(most, (n + m.phase) % m.period);
        }
        first = least, last = most;
      }
    }
    low += std::min(m.stride * first, m.stride * last);
    high += std::max(m.stride * first, m.stride * last);
  }
  return {low, high};
}

int64_t block_count(const KernelBody& body) {
  int64_t blocks = 1;
  if (const Nest* n = std::get_if<Nest>(&body.form)) {
    std::vector<int64_t> range;
    for (const KernelDim& d : n->dims) range.push_back(d.extent);
    for (int l = 0; l < n->parallel; ++l) {
      const Loop& loop = n->outer[static_cast<size_t>(l)];
      int64_t& extent = range[static_cast<size_t>(loop.dim)];
      blocks *= ceil_div(extent, loop.step);
      extent = std::min(extent, loop.step);
    }
    return blocks;
  }
  const auto& c = std::get<Contraction>(body.form);
  int64_t m = 1, columns = 1;
  for (size_t d = 0; d < c.dims.size(); ++d) {
    if (c.roles[d] == DimRole::Batch) blocks *= c.dims[d].extent;
    if (c.roles[d] == DimRole::M) m *= c.dims[d].extent;
    if (c.roles[d] == DimRole::N) columns *= c.dims[d].extent;
  }
  return blocks * ceil_div(m, c.block_m) * ceil_div(columns, c.block_n);
}

}  // namespace gradc
