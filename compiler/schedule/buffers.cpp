#include "compiler/schedule/buffers.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "compiler/schedule/lifetime.h"
#include "compiler/support/error.h"

namespace gradc::scheduling {
namespace {

constexpr int64_t alignment = 64;
// Kernels walk many tensors in step. Tensors of equal size laid end to end would fall into the same few sets of every cache and look
// alike in the low bits by which loads are told from earlier stores: large ones keep an odd number of lines between them.
constexpr int64_t stagger = 9 * alignment;
constexpr int64_t staggered_from = 16 << 10;

bool is_temporary(BufferKind kind) { return kind == BufferKind::Temporary || kind == BufferKind::Local; }

int slot_of(const RawKernel& k, BufferId b) {
  auto it = std::find(k.buffers.begin(), k.buffers.end(), b);
  return it == k.buffers.end() ? -1 : static_cast<int>(it - k.buffers.begin());
}

bool writes(const RawKernel& k, int slot) { return slot >= 0 && k.body.slots[static_cast<size_t>(slot)].written; }

// Statements in order, with the number of their section; operands of a contraction lie before its epilogue.
struct NumberedStmt {
  const Stmt* stmt;
  int section;
};
std::vector<NumberedStmt> numbered_statements(const KernelBody& body) {
  std::vector<NumberedStmt> out;
  auto append = [&](const std::vector<Stmt>& list, int section) {
    for (const Stmt& s : list) out.push_back({&s, section});
  };
  if (const Nest* n = std::get_if<Nest>(&body.form)) {
    for (size_t i = 0; i < n->sections.size(); ++i) append(n->sections[i].stmts, static_cast<int>(i));
  } else {
    const auto& c = std::get<Contraction>(body.form);
    append(c.lhs, -1), append(c.rhs, -1), append(c.epilogue, 0);
  }
  return out;
}

bool touches(const Stmt& s, int slot) { return touches_memory(s) && s.access.slot == slot; }

// Every element of `to` is written once, at the point that reads the same element of `from`, and after the last such read.
bool same_points(const RawKernel& k, int from, int to) {
  const Affine* at = nullptr;
  int stored_in = -1;
  size_t i = 0, stored_at = 0;
  std::vector<NumberedStmt> all = numbered_statements(k.body);
  for (const NumberedStmt& p : all) {
    const Stmt& s = *p.stmt;
    if (touches(s, to)) {
      if (s.kind != StmtKind::Store || at || s.access.block != 0) return false;
      at = &s.access.at;
      stored_in = p.section;
      stored_at = i;
    }
    ++i;
  }
  if (!at) return false;
  i = 0;
  for (const NumberedStmt& p : all) {
    const Stmt& s = *p.stmt;
    if (touches(s, from)) {
      bool plain = s.kind == StmtKind::Load && s.access.indirect.empty() && s.access.guards.empty() && s.access.block == 0 && s.access.at == *at;
      if (!plain || p.section < 0 || p.section > stored_in || i > stored_at) return false;
    }
    ++i;
  }
  return true;
}

// Both names for one buffer become one slot.
void merge_slots(RawKernel& k, int keep, int drop) {
  auto fix = [&](int slot) { return slot == drop ? (keep > drop ? keep - 1 : keep) : slot > drop ? slot - 1 : slot; };
  auto fix_list = [&](std::vector<Stmt>& list) {
    for (Stmt& s : list) {
      if (touches_memory(s)) s.access.slot = fix(s.access.slot);
    }
  };
  k.body.slots[static_cast<size_t>(keep)].written |= k.body.slots[static_cast<size_t>(drop)].written;
  k.body.slots.erase(k.body.slots.begin() + drop);
  k.buffers.erase(k.buffers.begin() + drop);
  if (Nest* n = std::get_if<Nest>(&k.body.form)) {
    for (Section& s : n->sections) fix_list(s.stmts);
  } else {
    auto& c = std::get<Contraction>(k.body.form);
    fix_list(c.lhs), fix_list(c.rhs), fix_list(c.epilogue);
  }
}

using KernelList = std::vector<size_t>;  // numbers of kernels, ascending

// By buffer: at least the kernels that touch it or a window of it.
class Users {
 public:
  Users(const Memory& memory, const std::vector<RawKernel>& kernels) : memory_(memory), by_root_(memory.buffers.size()) {
    for (size_t k = 0; k < kernels.size(); ++k) {
      for (BufferId b : kernels[k].buffers) of(b).push_back(k);
    }
  }

  KernelList of_either(BufferId a, BufferId b) {
    KernelList both;
    std::set_union(of(a).begin(), of(a).end(), of(b).begin(), of(b).end(), std::back_inserter(both));
    both.erase(std::unique(both.begin(), both.end()), both.end());
    return both;
  }
  // All who touched `old` touch `by` now.
  void move(BufferId old, BufferId by) { of(by) = of_either(old, by); }

 private:
  KernelList& of(BufferId b) { return by_root_[memory_.windows.empty() ? b.at() : memory_.behind(b).of.at()]; }

  const Memory& memory_;
  std::vector<KernelList> by_root_;
};

void replace(std::vector<RawKernel>& kernels, const KernelList& users, BufferId old, BufferId by) {
  for (size_t k : users) {
    int slot = slot_of(kernels[k], old);
    if (slot < 0) continue;
    int other = slot_of(kernels[k], by);
    if (other >= 0) {
      merge_slots(kernels[k], other, slot);
    } else {
      kernels[k].buffers[static_cast<size_t>(slot)] = by;
    }
  }
}

// Some other part of the same memory is touched, in a way that is not looked into.
enum class Aside : uint8_t { No, Read, Bars };
Aside aside(const Memory& memory, const RawKernel& k, BufferId next, BufferId source) {
  Aside found = Aside::No;
  for (size_t i = 0; i < k.buffers.size(); ++i) {
    if (memory.is_part(k.buffers[i], next)) return Aside::Bars;
    if (!memory.is_part(k.buffers[i], source)) continue;
    if (k.body.slots[i].written) return Aside::Bars;
    found = Aside::Read;
  }
  return found;
}

// Whether the kernels, which read `source` and write `next`, could write over `source` instead.
bool can_replace(const Memory& memory, const std::vector<RawKernel>& kernels, const KernelList& users, BufferId next, BufferId source) {
  bool written = false;
  for (size_t i : users) {
    const RawKernel& k = kernels[i];
    int reads = slot_of(k, source), to = slot_of(k, next);
    if (writes(k, reads)) return false;  // already updated by another
    Aside other = aside(memory, k, next, source);
    if (other == Aside::Bars || (other == Aside::Read && (written || writes(k, to)))) return false;
    if (writes(k, to)) {
      if (reads >= 0 && (written || !same_points(k, reads, to))) return false;
      written = true;
    } else if (written && reads >= 0) {
      return false;
    }
  }
  return true;
}

CallTouches touches_of(const Memory& memory, const std::vector<RawKernel>& kernels) {
  CallTouches out;
  for (const RawKernel& k : kernels) {
    std::vector<Touch>& list = out.emplace_back();
    for (size_t i = 0; i < k.buffers.size(); ++i) {
      const Window w = memory.behind(k.buffers[i]);
      Touch t{w.of, reads_first(k.body, static_cast<int>(i))};
      for (const Move& m : w.place.moves) t.moves.push_back(m.loop);
      if (i < k.places.size()) {
        for (const Move& m : k.places[i].moves) t.moves.push_back(m.loop);
      }
      list.push_back(std::move(t));
    }
  }
  return out;
}

int64_t bytes_of(const Buffer& b) {
  int64_t bytes = b.type.count() * static_cast<int64_t>(byte_size(b.type.element));
  return (bytes + alignment - 1) / alignment * alignment;
}

int64_t room_for(const Buffer& b) {
  int64_t bytes = bytes_of(b);
  return bytes < staggered_from ? bytes : bytes + stagger;
}

}  // namespace

void update_in_place(const Memory& memory, std::vector<RawKernel>& kernels) {
  const std::vector<Buffer>& buffers = memory.buffers;
  Users users(memory, kernels);
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].kind != BufferKind::Shadow) continue;
    const BufferId shadow(i), source = buffers[i].source;
    const KernelList both = users.of_either(shadow, source);
    if (!can_replace(memory, kernels, both, shadow, source)) continue;
    replace(kernels, both, shadow, source);
    users.move(shadow, source);
  }
}

bool carry_in_place(const Memory& memory, std::vector<RawKernel>& kernels, size_t first, BufferId current, BufferId next) {
  KernelList all(kernels.size() - first);
  std::iota(all.begin(), all.end(), first);
  if (!can_replace(memory, kernels, all, next, current)) return false;
  replace(kernels, all, next, current);
  return true;
}

void reuse_operands(Memory& memory, std::vector<RawKernel>& kernels, const std::vector<CallLoop>& loops) {
  const std::vector<Buffer>& buffers = memory.buffers;
  std::vector<Lifetime> life = lifetimes(buffers.size(), touches_of(memory, kernels), loops);
  Users users(memory, kernels);
  auto temporary = [&](BufferId b) { return is_temporary(buffers[b.at()].kind) && !memory.windows.count(b); };
  for (size_t k = 0; k < kernels.size(); ++k) {
    bool again = true;
    while (again) {
      again = false;
      const std::vector<BufferId> used = kernels[k].buffers;
      for (BufferId to : used) {
        const Buffer& b = buffers[to.at()];
        int slot = slot_of(kernels[k], to);
        if (!temporary(to) || !writes(kernels[k], slot) || life[to.at()].begin != moment(k)) continue;
        for (BufferId from : used) {
          const Buffer& a = buffers[from.at()];
          bool fits = temporary(from) && a.kind == b.kind && a.type.element == b.type.element && a.type.count() == b.type.count();
          int old = slot_of(kernels[k], from);
          if (from == to || !fits || writes(kernels[k], old) || life[from.at()].end != moment(k)) continue;
          if (!same_points(kernels[k], old, slot)) continue;
          replace(kernels, users.of_either(to, from), to, from);
          users.move(to, from);
          for (auto& [_, window] : memory.windows) {  // a loop goes through the result as its sequence
            if (window.of == to) window.of = from;
          }
          life[from.at()].end = life[to.at()].end;
          life[to.at()] = {};
          again = true;
          break;
        }
        if (again) break;
      }
    }
  }
}

void settle_windows(const Memory& memory, std::vector<RawKernel>& kernels) {
  for (RawKernel& k : kernels) {
    bool moved = false;
    std::vector<SlotPlace> places;
    for (BufferId& b : k.buffers) {
      Window w = memory.behind(b);
      moved |= w.of != b && w.place != SlotPlace{};
      b = w.of;
      places.push_back(std::move(w.place));
    }
    if (moved) k.places = std::move(places);
  }
}

// Largest first, each into the smallest gap that is free for its whole life.
Arena plan_arena(std::vector<Buffer>& buffers, const std::vector<RawKernel>& kernels, const std::vector<CallLoop>& loops, BufferKind kind) {
  const std::vector<Lifetime> life = lifetimes(buffers.size(), touches_of({buffers, {}}, kernels), loops);
  std::vector<size_t> order;
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].kind == kind && life[i].used()) order.push_back(i);
  }
  Arena arena;
  // Bytes that come alive and die, by moment, of which the first is -1.
  std::vector<int64_t> change(static_cast<size_t>(moment(kernels.size())) + 2, 0);
  for (size_t i : order) {
    change[static_cast<size_t>(life[i].begin + 1)] += bytes_of(buffers[i]);
    change[static_cast<size_t>(life[i].end + 2)] -= bytes_of(buffers[i]);
  }
  int64_t alive = 0;
  for (size_t t = 0; t < change.size(); ++t) {
    alive += change[t];
    if (t % 2 == 1) arena.lower_bound = std::max(arena.lower_bound, alive);  // while a kernel runs
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return bytes_of(buffers[a]) > bytes_of(buffers[b]); });
  std::vector<size_t> placed;  // by offset
  for (size_t i : order) {
    int64_t end = 0, best = -1, best_gap = 0, size = room_for(buffers[i]);
    for (size_t j : placed) {
      if (!life[i].meets(life[j])) continue;
      int64_t gap = buffers[j].offset - end;
      if (gap >= size && (best < 0 || gap < best_gap)) best = end, best_gap = gap;
      end = std::max(end, buffers[j].offset + room_for(buffers[j]));
    }
    buffers[i].offset = best < 0 ? end : best;
    arena.bytes = std::max(arena.bytes, buffers[i].offset + bytes_of(buffers[i]));
    placed.insert(std::upper_bound(placed.begin(), placed.end(), i, [&](size_t a, size_t b) { return buffers[a].offset < buffers[b].offset; }), i);
  }
  return arena;
}

void drop_unused(std::vector<Buffer>& buffers, std::vector<RawKernel>& kernels) {
  std::vector<bool> used(buffers.size(), false);
  for (const RawKernel& k : kernels) {
    for (BufferId b : k.buffers) used[b.at()] = true;
  }
  std::vector<BufferId> renamed(buffers.size());
  std::vector<Buffer> kept;
  for (size_t i = 0; i < buffers.size(); ++i) {
    bool own = is_temporary(buffers[i].kind) || buffers[i].kind == BufferKind::Shadow;
    if (own && !used[i]) continue;
    renamed[i] = BufferId(kept.size());
    kept.push_back(buffers[i]);
  }
  for (Buffer& b : kept) {
    if (b.source) b.source = renamed[b.source.at()];
  }
  for (RawKernel& k : kernels) {
    for (BufferId& b : k.buffers) b = renamed[b.at()];
  }
  buffers = std::move(kept);
}

}  // namespace gradc::scheduling
