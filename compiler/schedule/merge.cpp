#include <algorithm>
#include <numeric>

#include "compiler/schedule/cluster.h"

// How clusters grow.
namespace gradc::scheduling {
namespace {

// Kernels over the same few points, used by each other or not, are run as one where calling them would cost more than they do: a
// call takes as long as about a thousand operations. Beyond that a kernel of its own is better, since equal ones are compiled once.
constexpr int64_t small_kernel = 512;
constexpr double small_work = 1024;
// Kernels between two that are worth a merge are looked at as long as they are few.
constexpr size_t most_between = 8;
// Tensors of so many elements are better read once by one kernel than by each of two.
constexpr int64_t worth_reading_once = 1024;

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

// The parts, `by` among them, become one cluster in its place.
void Clusters::replace(const std::vector<int>& parts, int by, Cluster c) {
  stand_together(parts, by);
  for (const Member& m : c.members) cluster_of_[static_cast<size_t>(m.item)] = by;
  for (int part : parts) clusters_[static_cast<size_t>(part)] = {};
  clusters_[static_cast<size_t>(by)] = std::move(c);
  changed_[static_cast<size_t>(by)] = ++merges_;
  check_stand(by);
}

bool Clusters::try_merge(int a, int b, Matching from_a) {
  const Cluster &ca = clusters_[static_cast<size_t>(a)], &cb = clusters_[static_cast<size_t>(b)];
  if (a == b || !fuses(ca) || !fuses(cb) || ca.members.size() + cb.members.size() > most_members) return false;
  complete(ca, cb, from_a);
  Cluster c = united(ca, cb, from_a);
  if (!legal(c) || reaches(a, b, true) || reaches(b, a, true)) return false;
  replace({a, b}, b, std::move(c));
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

// Two clusters with others on the way between them, merged with all of these: a softmax with the logarithm of its sum.
bool Clusters::merge_with_between(const std::vector<int>& parts, int b) {
  if (parts.size() < 2 || parts.size() > most_between) return false;
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
  std::vector<int> together = parts;
  together.push_back(b);
  replace(together, b, std::move(all));
  return true;
}

void Clusters::merge_all() {
  if (!work_.fuse) return;
  absorb_epilogues();
  const std::vector<bool> guests = sums_in_company();
  merge_edges([&](int from) { return !guests[static_cast<size_t>(from)]; });
  merge_siblings();
  merge_edges([&](int from) { return guests[static_cast<size_t>(from)]; });
  merge_small();
}

// By value: the items that read all of it and may share a kernel with others that do.
std::map<NodeId, std::vector<int>> Clusters::readers() const {
  std::map<NodeId, std::vector<int>> out;
  for (size_t i = 0; i < work_.items.size(); ++i) {
    for (const Use& u : work_.items[i].uses) {
      if (u.plain && work_.graph[u.node].type.count() >= worth_reading_once) out[u.node].push_back(static_cast<int>(i));
    }
  }
  return out;
}

// By item: sums that only work on the sums themselves waits for (the gradients of biases and of a norm's gain and shift, and their
// updates) and that another nest could take along, because it reads the same data. In one kernel with its update a sum has to be whole
// and goes over the data alone; so it looks for company first.
std::vector<bool> Clusters::sums_in_company() const {
  const auto readers_of = readers();
  std::vector<bool> guests(work_.items.size(), false);
  auto points = [&](int i) {
    const auto& extents = work_.items[static_cast<size_t>(i)].extents;
    return std::accumulate(extents.begin(), extents.end(), int64_t{1}, std::multiplies<>());
  };
  auto has_company = [&](int sum, const Item& reads) {
    for (const Use& u : reads.uses) {
      auto others = readers_of.find(u.node);
      if (!u.plain || others == readers_of.end()) continue;
      for (int other : others->second) {
        const int a = cluster_of(sum), b = cluster_of(other);
        const Item& it = work_.items[static_cast<size_t>(other)];
        if (a != b && it.fuses && it.kind == ItemKind::Nest && !is_contraction(clusters_[static_cast<size_t>(b)]) && !reaches(a, b, false) && !reaches(b, a, false)) return true;
      }
    }
    return false;
  };
  for (size_t i = 0; i < work_.items.size(); ++i) {
    const Item& item = work_.items[i];
    const auto& users = users_[i];
    const int64_t results = work_.graph[item.node].type.count();
    if (item.kind != ItemKind::Nest || !item.reduces() || users.empty() || std::any_of(users.begin(), users.end(), [&](int u) { return points(u) > results; })) continue;
    guests[i] = has_company(static_cast<int>(i), item);
    // What is summed may be made from the data on the way.
    for (const Use& u : item.uses) {
      const int from = work_.item_of[u.node.at()];
      const bool own = from >= 0 && is_pointwise(work_.graph, u.node) && users_[static_cast<size_t>(from)].size() == 1;
      if (own && !guests[i]) guests[i] = has_company(static_cast<int>(i), work_.items[static_cast<size_t>(from)]);
    }
  }
  return guests;
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

// A value that one item uses of another, and what the last attempt to merge the two has shown.
struct Clusters::Edge {
  int from, to;
  const Use* use;
  int64_t bytes;
  bool hopeless = false;     // something lies between that merges with neither
  bool lone = false;         // nothing lies between: only a change of one of the two can change the outcome
  uint64_t tried = no_time;  // the number of merges before
  static constexpr uint64_t no_time = ~uint64_t{0};
};

bool Clusters::merge_edge(Edge& e) {
  const int a = cluster_of(e.from), b = cluster_of(e.to);
  if (e.hopeless || a == b) return false;
  const uint64_t changed = e.lone ? std::max(changed_[static_cast<size_t>(a)], changed_[static_cast<size_t>(b)]) : merges_;
  if (e.tried != Edge::no_time && changed <= e.tried) return false;
  e.tried = merges_;
  const Cluster &ca = clusters_[static_cast<size_t>(a)], &cb = clusters_[static_cast<size_t>(b)];
  e.hopeless = !fuses(ca) || !fuses(cb) || is_contraction(ca) || is_contraction(cb);
  if (e.hopeless) return false;
  const Between way = between(a, b);
  e.hopeless = way.blocked;
  if (e.hopeless) return false;
  e.lone = way.parts.size() == 1;
  return e.lone ? merge_along(e.from, e.to, *e.use) : merge_with_between(way.parts, b);
}

void Clusters::merge_edges(const std::function<bool(int)>& from_item) {
  std::vector<Edge> edges;
  for (size_t i = 0; i < work_.items.size(); ++i) {
    for (const Use& u : work_.items[i].uses) {
      int from = work_.item_of[u.node.at()];
      if (from < 0 || !u.plain || !from_item(from)) continue;
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
      for (size_t i = 0; i < end; ++i) grown |= merge_edge(edges[i]);
    }
    auto settled = [&](const Edge& e) { return e.hopeless || cluster_of(e.from) == cluster_of(e.to); };
    const auto tried = edges.begin() + static_cast<std::ptrdiff_t>(end);
    end = static_cast<size_t>(edges.erase(std::remove_if(edges.begin(), tried, settled), tried) - edges.begin());
  }
}

// Kernels that read the same large tensor at the same points read it once.
void Clusters::merge_siblings() {
  for (const auto& [node, items] : readers()) {
    for (size_t i = 0; i < items.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        int a = cluster_of(items[i]), b = cluster_of(items[j]);
        const Cluster &ca = clusters_[static_cast<size_t>(a)], &cb = clusters_[static_cast<size_t>(b)];
        if (a == b || ca.members.size() + cb.members.size() > most_members || is_contraction(ca) || is_contraction(cb)) continue;
        std::optional<Matching> m = match_uses(ca, cb, node);
        if (m) try_merge(a, b, std::move(*m));
      }
    }
  }
}

void Clusters::merge_small() {
  auto small = [&](const Cluster& c) {
    double work = 0;
    for (const Member& m : c.members) work += work_.items[static_cast<size_t>(m.item)].cost * static_cast<double>(count(c, dims_of(m)));
    return work <= small_work;
  };
  std::map<std::vector<int64_t>, std::vector<int>> by_extents;
  for (size_t c = 0; c < clusters_.size(); ++c) {
    if (!clusters_[c].members.empty() && !is_contraction(clusters_[c]) && count(clusters_[c], ~DimSet{0}) <= small_kernel && small(clusters_[c])) {
      by_extents[clusters_[c].extents].push_back(static_cast<int>(c));
    }
  }
  for (const auto& [extents, list] : by_extents) {
    Matching same;
    for (int d = 0; d < static_cast<int>(extents.size()); ++d) same[d] = d;
    for (size_t i = 0; i < list.size(); ++i) {
      for (size_t j = i + 1; j < list.size() && small(clusters_[static_cast<size_t>(list[i])]) && !clusters_[static_cast<size_t>(list[i])].members.empty(); ++j) {
        const Cluster& other = clusters_[static_cast<size_t>(list[j])];
        if (!other.members.empty() && small(other)) try_merge(list[i], list[j], same);
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
  changed_.push_back(++merges_);
  stand_behind(cluster_of(item), cluster_of(it.finishes));
  before_[source].push_back(item);  // not a value that can be used inside: it is whole only after the last block
  if (!work_.fuse) return;
  // Partial results of one kernel over one shape are added up together.
  auto same_source = [&](int other) {
    const int finished = work_.items[static_cast<size_t>(other)].finishes;
    return finished >= 0 && cluster_of(finished) == cluster_of(it.finishes);
  };
  int first = item;
  while (same_source(first - 1)) --first;
  for (int other = first; other < item; ++other) {
    if (work_.items[static_cast<size_t>(other)].extents != it.extents) continue;
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
