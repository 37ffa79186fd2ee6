// The arena of every workload against what its reads and writes need, worked out here from the calls alone: loops are unrolled, and a
// temporary counts where a call touches it and between two calls of which the later wants what is there.
#include <algorithm>
#include <map>

#include <catch2/catch.hpp>

#include "tests/workloads/support.h"

using namespace gradc;
using namespace gradc::test;

namespace {

constexpr int64_t line = 64;
constexpr int64_t page = 4096;

// The calls of a step as they happen.
void unroll(const KernelProgram& p, int32_t from, int32_t to, size_t first_loop, std::vector<size_t>& calls) {
  for (int32_t c = from; c < to;) {
    auto loop = std::find_if(p.loops.begin() + static_cast<std::ptrdiff_t>(first_loop), p.loops.end(), [&](const CallLoop& l) { return l.begin == c && l.end <= to; });
    if (loop == p.loops.end()) {
      calls.push_back(static_cast<size_t>(c++));
      continue;
    }
    for (int64_t trip = 0; trip < loop->trips; ++trip) unroll(p, loop->begin, loop->end, static_cast<size_t>(loop - p.loops.begin()) + 1, calls);
    c = loop->end;
  }
}

// Whether a call that touches a slot needs what was in its buffer before: it reads before it writes, or writes only a part.
bool wants_old(const KernelProgram& p, const KernelInstance& call, size_t slot) {
  if (!call.places.empty() && !call.places[slot].moves.empty()) return true;
  const std::vector<const Stmt*> all = touches(p, call, slot);
  if (all.empty()) return false;
  return all.front()->kind == StmtKind::Load || (all.front()->kind == StmtKind::Accumulate && all.front()->first.empty());
}

// Moments, both included, in the order of the unrolled calls.
struct Interval {
  size_t from, to;
};

// By buffer of that kind: when it holds something that is still wanted.
std::vector<std::vector<Interval>> intervals(const KernelProgram& p, BufferKind kind = BufferKind::Temporary) {
  std::vector<size_t> calls;
  unroll(p, 0, static_cast<int32_t>(p.instances.size()), 0, calls);
  std::vector<std::vector<Interval>> alive(p.buffers.size());
  for (size_t now = 0; now < calls.size(); ++now) {
    const KernelInstance& call = p.instances[calls[now]];
    for (size_t slot = 0; slot < call.buffers.size(); ++slot) {
      std::vector<Interval>& list = alive[call.buffers[slot].at()];
      if (!list.empty() && (list.back().to == now || wants_old(p, call, slot))) list.back().to = now;
      else list.push_back({now, now});
    }
  }
  for (size_t b = 0; b < p.buffers.size(); ++b) {
    if (p.buffers[b].kind != kind) alive[b].clear();
  }
  return alive;
}

// The most bytes that hold something at once, each buffer on cache lines of its own.
int64_t most_alive(const KernelProgram& p, BufferKind kind = BufferKind::Temporary) {
  const auto alive = intervals(p, kind);
  std::map<size_t, int64_t> change;
  for (size_t b = 0; b < alive.size(); ++b) {
    const int64_t size = (bytes_of(p.buffers[b]) + line - 1) / line * line;
    for (const Interval& i : alive[b]) change[i.from] += size, change[i.to + 1] -= size;
  }
  int64_t now = 0, most = 0;
  for (const auto& [when, by] : change) most = std::max(most, now += by);
  return most;
}

bool meet(const std::vector<Interval>& a, const std::vector<Interval>& b) {
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i].from <= b[j].to && b[j].from <= a[i].to) return true;
    a[i].to < b[j].to ? ++i : ++j;
  }
  return false;
}

}  // namespace

TEST_CASE("activations take at most a fifth more than what is alive at once") {
  for (const std::string& cpu : processors()) {
    for (const std::string& name : workloads) {
      const KernelProgram& p = step_of(name, cpu);
      const int64_t needed = most_alive(p);
      INFO(name << " for " << cpu << ": arena " << p.arena_bytes << ", alive " << needed << ", as the compiler counts " << p.arena_lower_bound);
      CHECK(needed <= p.arena_bytes);
      CHECK(static_cast<double>(p.arena_bytes) <= 1.2 * static_cast<double>(needed));
      // What `bench` and `inspect --stage memory` tell a user is that bound.
      CHECK(p.arena_lower_bound >= needed);
      CHECK(static_cast<double>(p.arena_lower_bound) <= 1.01 * static_cast<double>(needed));
    }
  }
}

TEST_CASE("what is local to a strip takes at most a fifth more than what is alive at once in it") {
  for (const std::string& cpu : processors()) {
    for (const std::string& name : workloads) {
      const KernelProgram& p = step_of(name, cpu);
      const int64_t needed = most_alive(p, BufferKind::Local);
      INFO(name << " for " << cpu << ": " << p.local_bytes << " bytes, alive " << needed);
      CHECK(needed <= p.local_bytes);
      CHECK(static_cast<double>(p.local_bytes) <= 1.2 * static_cast<double>(needed));
      // Of the workloads one has rows enough to be cut; arrays of all of them would take fifteen times as much.
      CHECK((needed > 0) == (name == "pinn"));
      if (name == "pinn") CHECK(p.local_bytes <= 2 * p.target.l2_bytes);
    }
  }
}

TEST_CASE("temporaries that a kernel walks in step begin in different sets of the caches") {
  // Bytes n of tensors a multiple of a page apart share a set of L1 and look alike where loads are told from earlier stores. Walked in
  // step are tensors of equal size; a row of sums beside a matrix is not.
  constexpr int64_t large = 16 << 10;
  for (const std::string& cpu : processors()) {
    for (const std::string& name : workloads) {
      const KernelProgram& p = step_of(name, cpu);
      int pairs = 0;
      for (const KernelInstance& call : p.instances) {
        for (BufferId a : call.buffers) {
          for (BufferId b : call.buffers) {
            if (a.at() <= b.at() || p[a].kind != p[b].kind || (p[a].kind != BufferKind::Temporary && p[a].kind != BufferKind::Local)) continue;
            if (bytes_of(p[a]) < large || bytes_of(p[a]) != bytes_of(p[b])) continue;
            INFO(name << " for " << cpu << ": " << p[a].name.str() << " and " << p[b].name.str() << " in " << call.name.str());
            CHECK((p[a].offset - p[b].offset) % page != 0);
            ++pairs;
          }
        }
      }
      // Where there are kernels over several large temporaries, the test has seen them.
      if (name != "tiny" && name != "elementwise") CHECK(pairs > 0);
    }
  }
}

TEST_CASE("temporaries that are alive at once do not overlap") {
  for (const std::string& name : workloads) {
    const KernelProgram& p = step_of(name, "x86-64-v3");
    for (BufferKind kind : {BufferKind::Temporary, BufferKind::Local}) {
      const auto alive = intervals(p, kind);
      for (size_t i = 0; i < p.buffers.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
          const Buffer &a = p.buffers[i], &b = p.buffers[j];
          if (!meet(alive[i], alive[j])) continue;
          INFO(name << ": " << a.name.str() << " and " << b.name.str());
          CHECK((a.offset + bytes_of(a) <= b.offset || b.offset + bytes_of(b) <= a.offset));
        }
      }
    }
  }
}
