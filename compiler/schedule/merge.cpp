#include <algorithm>

#include "compiler/schedule/cluster.h"

// How clusters grow.
namespace gradc::scheduling {
namespace {

// Kernels over the same few points are run as one, used by each other or not: calling them would cost more than they do.
constexpr int64_t small_kernel = 512;
// Kernels between two that are worth a merge are looked at as long as they are few.
constexpr size_t most_between = 8;

bool is_pointwise(const Graph& g, NodeId n) { return g[n].op->kind == OpKind::Pointwise; }

}  // namespace

// Dims of `a` that a shared value does not match are matched with free dims of `b` of the same extent: any choice is right,
// and values that both read say which is good.
void Clusters::complete(const Cluster& a, const Cluster& b, Matching& from_a) const {
  if (from_a.size() == a.extents.size()) return;
  std::set<int> taken;
  for (const auto& [from, to] : from_a) taken.insert(to);
  auto propose = [&](int from, int to) {
    if (from < 0 || to < 0 || from_a.count(from) || taken.count(to)) return;
    if (a.extents[static_cast<size_t>(from)] != b.extents[static_cast<size_t>(to)]) return;
    from_a[from] = to;
    taken.insert(to);
  };
  for (const Member& ma : a.members) {
    for (const Use& ua : work_.items[static_cast<size_t>(ma.item)].uses) {
      if (!ua.plain) continue;
      std::optional<Matching> shared = match_uses(a, b, ua.node);
      if (!shared) continue;
      for (const auto& [from, to] : *shared) propose(from, to);
    }
  }
  for (int from = 0; from < static_cast<int>(a.extents.size()); ++from) {
    for (int to = 0; to < static_cast<int>(b.extents.size()); ++to) propose(from, to);
  }
}

// How a value that both use, or that one gives, lines up their dims.
std::optional<Clusters::Matching> Clusters::match_uses(const Cluster& a, const Cluster& b, NodeId shared) const {
  auto axes = [&](const Cluster& c) -> std::optional<std::vector<int>> {
    for (const Member& m : c.members) {
      const Item& item = work_.items[static_cast<size_t>(m.item)];
      const std::vector<int>* dims = item.node == shared && work_.item_of[shared.at()] == m.item ? &item.result : nullptr;
      for (const Use& u : item.uses) {
        if (u.node == shared && u.plain && !dims) dims = &u.dims;
      }
      if (!dims) continue;
      std::vector<int> out;
      for (int d : *dims) out.push_back(d < 0 ? -1 : m.dims[static_cast<size_t>(d)]);
      return out;
    }
    return {};
  };
  std::optional<std::vector<int>> in_a = axes(a), in_b = axes(b);
  if (!in_a || !in_b || in_a->size() != in_b->size()) return {};
  Matching matching;
  for (size_t i = 0; i < in_a->size(); ++i) {
    if (((*in_a)[i] < 0) != ((*in_b)[i] < 0)) return {};
    if ((*in_a)[i] >= 0) matching[(*in_a)[i]] = (*in_b)[i];
  }
  return matching;
}

Cluster Clusters::united(const Cluster& a, const Cluster& b, const Matching& from_a) const {
  Cluster c = b;
  std::vector<int> renamed;
  for (size_t d = 0; d < a.extents.size(); ++d) {
    auto it = from_a.find(static_cast<int>(d));
    renamed.push_back(it != from_a.end() ? it->second : static_cast<int>(c.extents.size()));
    if (it == from_a.end()) {
      c.extents.push_back(a.extents[d]);
      c.names.push_back(a.names[d]);
    } else if (!c.names[static_cast<size_t>(it->second)]) {
      c.names[static_cast<size_t>(it->second)] = a.names[d];
    }
  }
  for (Member m : a.members) {
    for (int& d : m.dims) {
      if (d >= 0) d = renamed[static_cast<size_t>(d)];
    }
    c.members.push_back(std::move(m));
  }
  std::sort(c.members.begin(), c.members.end(), [&](const Member& x, const Member& y) {
    return work_.items[static_cast<size_t>(x.item)].node < work_.items[static_cast<size_t>(y.item)].node;
  });
  return c;
}

bool Clusters::fuses(const Cluster& c) const {
  return std::all_of(c.members.begin(), c.members.end(), [&](const Member& m) { return work_.items[static_cast<size_t>(m.item)].fuses; });
}

void Clusters::replace(const std::vector<int>& parts, int by, Cluster c) {
  for (const Member& m : c.members) cluster_of_[static_cast<size_t>(m.item)] = by;
  for (int part : parts) clusters_[static_cast<size_t>(part)] = {};
  clusters_[static_cast<size_t>(by)] = std::move(c);
}

bool Clusters::try_merge(int a, int b, Matching from_a) {
  const Cluster &ca = clusters_[static_cast<size_t>(a)], &cb = clusters_[static_cast<size_t>(b)];
  if (a == b || !fuses(ca) || !fuses(cb)) return false;
  complete(ca, cb, from_a);
  Cluster c = united(ca, cb, from_a);
  if (!legal(c) || reaches(a, b, true) || reaches(b, a, true)) return false;
  replace({a}, b, std::move(c));
  return true;
}

// How the dims line up where `to` uses a value of `from`.
std::optional<Clusters::Matching> Clusters::along_use(const Cluster& from, int producer, const Cluster& to, int consumer, const Use& use) const {
  if (!use.plain) return {};
  const Member *p = find(from, producer), *c = find(to, consumer);
  const std::vector<int>& result = work_.items[static_cast<size_t>(producer)].result;
  Matching m;
  for (size_t i = 0; i < result.size(); ++i) {
    if ((result[i] < 0) != (use.dims[i] < 0)) return {};
    if (result[i] < 0) continue;
    int d = p->dims[static_cast<size_t>(result[i])], e = c->dims[static_cast<size_t>(use.dims[i])];
    if (from.extents[static_cast<size_t>(d)] != to.extents[static_cast<size_t>(e)]) return {};
    m[d] = e;
  }
  return m;
}

std::optional<Clusters::Matching> Clusters::edge(const Cluster& from, const Cluster& to) const {
  for (const Member& m : to.members) {
    for (const Use& u : work_.items[static_cast<size_t>(m.item)].uses) {
      int producer = work_.item_of[u.node.at()];
      if (producer < 0 || !find(from, producer)) continue;
      if (std::optional<Matching> found = along_use(from, producer, to, m.item, u)) return found;
    }
  }
  return {};
}

bool Clusters::merge_along(int producer, int consumer, const Use& use) {
  int a = cluster_of(producer), b = cluster_of(consumer);
  const Cluster &ca = clusters_[static_cast<size_t>(a)], &cb = clusters_[static_cast<size_t>(b)];
  if (a == b || !fuses(ca) || !fuses(cb)) return false;
  std::optional<Matching> m = along_use(ca, producer, cb, consumer, use);
  return m && try_merge(a, b, std::move(*m));
}

std::set<int> Clusters::reachable(int cluster, bool forwards) const {
  std::set<int> seen{cluster};
  std::vector<int> stack{cluster};
  auto visit = [&](int item) {
    if (item >= 0 && seen.insert(cluster_of(item)).second) stack.push_back(cluster_of(item));
  };
  while (!stack.empty()) {
    const Cluster& c = clusters_[static_cast<size_t>(stack.back())];
    stack.pop_back();
    for (const Member& m : c.members) {
      auto item = static_cast<size_t>(m.item);
      for (int next : forwards ? before_[item] : after_[item]) visit(next);
      if (forwards) {
        for (int user : users_[item]) visit(user);
      } else {
        for (const Use& u : work_.items[item].uses) visit(work_.item_of[u.node.at()]);
      }
    }
  }
  return seen;
}

// Two clusters with others on the way between them, merged with all of these: a softmax with the logarithm of its sum.
bool Clusters::merge_with_between(int producer, int consumer) {
  int a = cluster_of(producer), b = cluster_of(consumer);
  if (!fuses(clusters_[static_cast<size_t>(b)])) return false;
  std::set<int> after = reachable(a, true), before = reachable(b, false);
  std::vector<int> parts;
  for (int c : after) {
    if (c != b && before.count(c)) parts.push_back(c);
  }
  if (parts.size() < 2 || parts.size() > most_between) return false;
  for (int part : parts) {
    const Cluster& c = clusters_[static_cast<size_t>(part)];
    if (!fuses(c) || is_contraction(c)) return false;
  }
  Cluster all = clusters_[static_cast<size_t>(b)];
  std::vector<int> left = parts;
  while (!left.empty()) {
    bool joined = false;
    for (size_t i = 0; i < left.size() && !joined; ++i) {
      const Cluster& c = clusters_[static_cast<size_t>(left[i])];
      std::optional<Matching> m = edge(c, all);
      if (!m) continue;
      complete(c, all, *m);
      all = united(c, all, *m);
      left.erase(left.begin() + static_cast<std::ptrdiff_t>(i));
      joined = true;
    }
    if (!joined) return false;
  }
  if (!legal(all)) return false;
  replace(parts, b, std::move(all));
  return true;
}

void Clusters::merge_all() {
  if (!work_.fuse) return;
  absorb_epilogues();
  merge_edges();
  merge_siblings();
  merge_small();
}

// Whether `user`, point-wise on `item`, is better computed where it is used: `item` is in memory in any case, because something that is not
// point-wise reads it, and only nests use `user`, which can make it from that. In the epilogue it would be one more stream to memory.
// Not so what leads to an update: that is stored where it belongs.
bool Clusters::comes_cheaper_later(int item, int user) const {
  auto pointwise = [&](int x) {
    const Item& it = work_.items[static_cast<size_t>(x)];
    return it.kind == ItemKind::Nest && is_pointwise(work_.graph, it.node);
  };
  const auto& readers = users_[static_cast<size_t>(item)];
  if (std::all_of(readers.begin(), readers.end(), pointwise)) return false;
  std::vector<int> behind{user};
  for (size_t i = 0; i < behind.size(); ++i) {
    if (work_.is_output(work_.items[static_cast<size_t>(behind[i])].node)) return false;
    for (int next : users_[static_cast<size_t>(behind[i])]) {
      const Item& it = work_.items[static_cast<size_t>(next)];
      if (i == 0 && (it.kind != ItemKind::Nest || !it.fuses)) return false;
      if (pointwise(next) && std::find(behind.begin(), behind.end(), next) == behind.end()) behind.push_back(next);
    }
  }
  return true;
}

// A contraction takes the point-wise work that follows it, and what only that work uses.
void Clusters::absorb_epilogues() {
  auto lone = [&](int item) {
    const Item& it = work_.items[static_cast<size_t>(item)];
    return it.kind == ItemKind::Nest && is_pointwise(work_.graph, it.node) && clusters_[static_cast<size_t>(cluster_of(item))].members.size() == 1;
  };
  for (size_t i = 0; i < work_.items.size(); ++i) {
    if (work_.items[i].kind != ItemKind::Contraction) continue;
    bool grown = true;
    while (grown) {
      grown = false;
      std::vector<Member> members = clusters_[static_cast<size_t>(cluster_of(static_cast<int>(i)))].members;
      for (const Member& m : members) {
        for (int user : users_[static_cast<size_t>(m.item)]) {
          if (!lone(user) || comes_cheaper_later(m.item, user)) continue;
          for (const Use& u : work_.items[static_cast<size_t>(user)].uses) {
            if (work_.item_of[u.node.at()] == m.item && merge_along(m.item, user, u)) {
              grown = true;
              break;
            }
          }
        }
        if (m.item == static_cast<int>(i)) continue;
        for (const Use& u : work_.items[static_cast<size_t>(m.item)].uses) {
          int from = work_.item_of[u.node.at()];
          if (from < 0 || !lone(from) || cluster_of(from) == cluster_of(m.item)) continue;
          const auto& users = users_[static_cast<size_t>(from)];
          bool only_here = std::all_of(users.begin(), users.end(), [&](int x) { return cluster_of(x) == cluster_of(m.item); });
          if (only_here) grown |= merge_along(from, m.item, u);
        }
      }
    }
  }
}

void Clusters::merge_edges() {
  struct Edge {
    int from, to;
    const Use* use;
    int64_t bytes;
  };
  std::vector<Edge> edges;
  for (size_t i = 0; i < work_.items.size(); ++i) {
    for (const Use& u : work_.items[i].uses) {
      int from = work_.item_of[u.node.at()];
      if (from < 0 || !u.plain) continue;
      const Type& t = work_.graph[u.node].type;
      edges.push_back({from, static_cast<int>(i), &u, t.count() * static_cast<int64_t>(byte_size(t.element))});
    }
  }
  std::stable_sort(edges.begin(), edges.end(), [](const Edge& x, const Edge& y) { return x.bytes > y.bytes; });
  // What failed is tried again as soon as the next smaller values are in place: a path between two clusters may have closed up.
  for (size_t end = 0; end < edges.size();) {
    int64_t level = edges[end].bytes;
    while (end < edges.size() && edges[end].bytes == level) ++end;
    for (bool grown = true; grown;) {
      grown = false;
      for (size_t i = 0; i < end; ++i) {
        const Edge& e = edges[i];
        int a = cluster_of(e.from), b = cluster_of(e.to);
        if (a == b || is_contraction(clusters_[static_cast<size_t>(a)]) || is_contraction(clusters_[static_cast<size_t>(b)])) continue;
        grown |= merge_along(e.from, e.to, *e.use) || merge_with_between(e.from, e.to);
      }
    }
  }
}

// Kernels that read the same large tensor at the same points read it once.
void Clusters::merge_siblings() {
  std::map<NodeId, std::vector<int>> readers;
  for (size_t i = 0; i < work_.items.size(); ++i) {
    for (const Use& u : work_.items[i].uses) {
      if (u.plain && work_.graph[u.node].type.count() >= 1024) readers[u.node].push_back(static_cast<int>(i));
    }
  }
  for (const auto& [node, items] : readers) {
    for (size_t i = 0; i < items.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        int a = cluster_of(items[i]), b = cluster_of(items[j]);
        const Cluster &ca = clusters_[static_cast<size_t>(a)], &cb = clusters_[static_cast<size_t>(b)];
        if (a == b || is_contraction(ca) || is_contraction(cb)) continue;
        std::optional<Matching> m = match_uses(ca, cb, node);
        if (m) try_merge(a, b, std::move(*m));
      }
    }
  }
}

void Clusters::merge_small() {
  std::map<std::vector<int64_t>, std::vector<int>> by_extents;
  for (size_t c = 0; c < clusters_.size(); ++c) {
    if (!clusters_[c].members.empty() && !is_contraction(clusters_[c]) && count(clusters_[c], ~DimSet{0}) <= small_kernel) {
      by_extents[clusters_[c].extents].push_back(static_cast<int>(c));
    }
  }
  for (const auto& [extents, list] : by_extents) {
    Matching same;
    for (int d = 0; d < static_cast<int>(extents.size()); ++d) same[d] = d;
    for (size_t i = 0; i < list.size(); ++i) {
      for (size_t j = i + 1; j < list.size() && !clusters_[static_cast<size_t>(list[i])].members.empty(); ++j) {
        if (!clusters_[static_cast<size_t>(list[j])].members.empty()) try_merge(list[i], list[j], same);
      }
    }
  }
}

void Clusters::add_finish(int item) {
  const Item& it = work_.items[static_cast<size_t>(item)];
  Cluster c;
  Member m{item, {}};
  for (size_t d = 0; d < it.extents.size(); ++d) {
    m.dims.push_back(it.extents[d] == 1 ? -1 : static_cast<int>(c.extents.size()));
    if (it.extents[d] == 1) continue;
    c.extents.push_back(it.extents[d]);
    c.names.push_back(it.names[d]);
  }
  c.members.push_back(std::move(m));
  cluster_of_.push_back(static_cast<int>(clusters_.size()));
  clusters_.push_back(std::move(c));
  auto source = static_cast<size_t>(it.finishes);
  users_.push_back(users_[source]);
  users_[source].clear();
  before_.push_back({});
  after_.push_back({it.finishes});
  before_[source].push_back(item);  // not a value that can be used inside: it is whole only after the last block
  if (!work_.fuse) return;
  // Partial results of one kernel over one shape are added up together.
  for (int other = it.finishes + 1; other < item; ++other) {
    const Item& o = work_.items[static_cast<size_t>(other)];
    if (o.finishes < 0 || o.extents != it.extents || cluster_of(o.finishes) != cluster_of(it.finishes)) continue;
    Matching same;
    for (int d = 0; d < static_cast<int>(clusters_[static_cast<size_t>(cluster_of(item))].extents.size()); ++d) same[d] = d;
    if (try_merge(cluster_of(item), cluster_of(other), same)) break;
  }
  for (int user : std::vector<int>(users_[static_cast<size_t>(item)])) {
    for (const Use& u : work_.items[static_cast<size_t>(user)].uses) {
      if (u.node == it.node && !is_contraction(clusters_[static_cast<size_t>(cluster_of(user))])) merge_along(item, user, u);
    }
  }
}

}  // namespace gradc::scheduling
