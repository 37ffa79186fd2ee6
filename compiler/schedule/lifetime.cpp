#include "compiler/schedule/lifetime.h"

#include <algorithm>

namespace gradc::scheduling {
namespace {

struct CallTouch {
  int call;
  const Touch* touch;
};

// What the loop adds to a life that reaches over its calls.
void extend(Lifetime& life, const std::vector<CallTouch>& uses, const CallLoop& loop, int32_t index) {
  const int begin = moment(static_cast<size_t>(loop.begin)) - 1, end = moment(static_cast<size_t>(loop.end)) - 1;
  if (life.end < begin || life.begin > end) return;
  auto within = [&](const CallTouch& u) { return loop.begin <= u.call && u.call < loop.end; };
  bool local = std::all_of(uses.begin(), uses.end(), [&](const CallTouch& u) {
    const std::vector<int32_t>& moves = u.touch->moves;
    return within(u) && std::find(moves.begin(), moves.end(), index) == moves.end();
  });
  if (local && !uses.front().touch->reads_first) return;
  life.begin = std::min(life.begin, begin);
  life.end = std::max(life.end, end);
}

}  // namespace

std::vector<Lifetime> lifetimes(size_t buffers, const CallTouches& calls, const std::vector<CallLoop>& loops) {
  std::vector<Lifetime> lives(buffers);
  std::vector<std::vector<CallTouch>> uses(buffers);
  for (size_t k = 0; k < calls.size(); ++k) {
    for (const Touch& t : calls[k]) {
      Lifetime& life = lives[t.buffer.at()];
      if (!life.used()) life.begin = moment(k);
      life.end = moment(k);
      uses[t.buffer.at()].push_back({static_cast<int>(k), &t});
    }
  }
  // Inner loops first: what lasts for an inner loop is there when the outer one is looked at.
  for (size_t l = loops.size(); l-- > 0;) {
    for (size_t b = 0; b < buffers; ++b) {
      bool touched = std::any_of(uses[b].begin(), uses[b].end(), [&](const CallTouch& u) { return loops[l].begin <= u.call && u.call < loops[l].end; });
      if (touched) extend(lives[b], uses[b], loops[l], static_cast<int32_t>(l));
    }
  }
  return lives;
}

bool reads_first(const KernelBody& body, int slot) {
  for (const Stmt* s : statements(body)) {
    if (!touches_memory(*s) || s->access.slot != slot) continue;
    return s->kind == StmtKind::Load || (s->kind == StmtKind::Accumulate && s->first.empty());
  }
  return false;
}

CallTouches touches_of(const KernelProgram& p) {
  CallTouches out;
  for (const KernelInstance& k : p.instances) {
    std::vector<Touch>& list = out.emplace_back();
    for (size_t i = 0; i < k.buffers.size(); ++i) {
      Touch t{k.buffers[i], reads_first(p[k.body], static_cast<int>(i))};
      if (!k.places.empty()) {
        for (const Move& m : k.places[i].moves) t.moves.push_back(m.loop);
      }
      list.push_back(std::move(t));
    }
  }
  return out;
}

}  // namespace gradc::scheduling
