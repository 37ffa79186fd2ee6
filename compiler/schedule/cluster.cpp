#include "compiler/schedule/cluster.h"

#include <algorithm>
#include <queue>

#include "compiler/support/error.h"

namespace gradc::scheduling {
namespace {

constexpr size_t most_members = 64;
// Values that an epilogue reads and writes: each takes a register and a stream of memory.
constexpr size_t most_epilogue_streams = 14;
// Kernels over the same few points are run as one, used by each other or not: calling them would cost more than they do.
constexpr int64_t small_kernel = 4096;

bool is_pointwise(const Graph& g, NodeId n) { return g[n].op->kind == OpKind::Pointwise; }

}  // namespace

Clusters::Clusters(Work& work, const Target& target) : work_(work), target_(target) {
  for (size_t i = 0; i < work.items.size(); ++i) {
    const Item& item = work.items[i];
    Cluster c{item.extents, item.names, {}};
    Member m{static_cast<int>(i), {}};
    // Dims of extent 1 are nothing to loop over.
    c.extents.clear();
    c.names.clear();
    for (size_t d = 0; d < item.extents.size(); ++d) {
      m.dims.push_back(item.extents[d] == 1 ? -1 : static_cast<int>(c.extents.size()));
      if (item.extents[d] == 1) continue;
      c.extents.push_back(item.extents[d]);
      c.names.push_back(item.names[d]);
    }
    c.members.push_back(std::move(m));
    clusters_.push_back(std::move(c));
    cluster_of_.push_back(static_cast<int>(i));
  }
  link();
  order_updates();
}

void Clusters::link() {
  users_.assign(work_.items.size(), {});
  before_.assign(work_.items.size(), {});
  for (size_t i = 0; i < work_.items.size(); ++i) {
    for (const Use& u : work_.items[i].uses) {
      int from = work_.item_of[u.node.at()];
      if (from >= 0) users_[static_cast<size_t>(from)].push_back(static_cast<int>(i));
    }
  }
}

// Who reads a parameter's old value runs before its update, wherever that makes no circle.
void Clusters::order_updates() {
  const Graph& g = work_.graph;
  std::map<Symbol, std::vector<int>> readers;
  for (size_t i = 0; i < work_.items.size(); ++i) {
    for (const Use& u : work_.items[i].uses) {
      const Node& n = g[u.node];
      if (n.op->kind != OpKind::Input) continue;
      std::vector<int>& list = readers[n.attrs.text("name")];
      if (list.empty() || list.back() != static_cast<int>(i)) list.push_back(static_cast<int>(i));
    }
  }
  for (const Output& o : g.outputs) {
    if (o.kind != OutputKind::Update) continue;
    int writer = work_.output_item(o.node);
    for (int reader : readers[o.name]) {
      if (reader != writer && !reaches(writer, reader, false)) before_[static_cast<size_t>(reader)].push_back(writer);
    }
  }
}

bool Clusters::is_contraction(const Cluster& c) const {
  return std::any_of(c.members.begin(), c.members.end(),
                     [&](const Member& m) { return work_.items[static_cast<size_t>(m.item)].kind == ItemKind::Contraction; });
}

bool Clusters::is_stored(int item) const {
  const Item& it = work_.items[static_cast<size_t>(item)];
  if (it.partials > 0) return false;
  if (work_.is_output(it.node)) return true;
  const auto& users = users_[static_cast<size_t>(item)];
  return std::any_of(users.begin(), users.end(), [&](int u) { return cluster_of(u) != cluster_of(item); });
}

// A path between clusters; indirect: through at least one other.
bool Clusters::reaches(int from, int to, bool indirect) const {
  std::vector<bool> seen(clusters_.size(), false);
  std::vector<int> stack{from};
  seen[static_cast<size_t>(from)] = true;
  while (!stack.empty()) {
    int c = stack.back();
    stack.pop_back();
    for (const Member& m : clusters_[static_cast<size_t>(c)].members) {
      for (const auto* list : {&users_[static_cast<size_t>(m.item)], &before_[static_cast<size_t>(m.item)]}) {
        for (int user : *list) {
          int next = cluster_of(user);
          if (next == to && !(indirect && c == from)) return true;
          if (next == to || seen[static_cast<size_t>(next)]) continue;
          seen[static_cast<size_t>(next)] = true;
          stack.push_back(next);
        }
      }
    }
  }
  return false;
}

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

// Values used inside are used where they are computed: at the same point.
bool Clusters::consistent(const Cluster& c) const {
  std::map<int, const Member*> by_item;
  for (const Member& m : c.members) by_item[m.item] = &m;
  for (const Member& m : c.members) {
    for (const Use& u : work_.items[static_cast<size_t>(m.item)].uses) {
      auto from = by_item.find(work_.item_of[u.node.at()]);
      if (from == by_item.end() || from->first < 0) continue;
      if (!u.plain) return false;
      const std::vector<int>& result = work_.items[static_cast<size_t>(from->first)].result;
      for (size_t i = 0; i < result.size(); ++i) {
        int given = result[i] < 0 ? -1 : from->second->dims[static_cast<size_t>(result[i])];
        int wanted = u.dims[i] < 0 ? -1 : m.dims[static_cast<size_t>(u.dims[i])];
        if (given != wanted) return false;
      }
    }
  }
  return true;
}

bool Clusters::legal_contraction(const Cluster& c) const {
  const Member* product = nullptr;
  std::set<NodeId> streams;
  for (const Member& m : c.members) {
    const Item& item = work_.items[static_cast<size_t>(m.item)];
    if (item.kind == ItemKind::Contraction) {
      if (product) return false;
      product = &m;
    }
  }
  DimSet free = dims_of(*product) & ~reduced_of(*product);
  for (const Member& m : c.members) {
    const Item& item = work_.items[static_cast<size_t>(m.item)];
    if (&m != product && (dims_of(m) != free || !is_pointwise(work_.graph, item.node))) return false;
    for (const Use& u : item.uses) {
      bool inside = work_.item_of[u.node.at()] >= 0 && find(c, work_.item_of[u.node.at()]);
      if (inside && &m == product) return false;
      if (!inside && &m != product) streams.insert(u.node);
    }
    const auto& users = users_[static_cast<size_t>(m.item)];
    bool stored = work_.is_output(item.node) || std::any_of(users.begin(), users.end(), [&](int u) { return !find(c, u); });
    if (stored) streams.insert(item.node);
  }
  return streams.size() <= most_epilogue_streams;
}

bool Clusters::legal(const Cluster& c) const {
  if (c.members.size() > most_members || !consistent(c)) return false;
  return is_contraction(c) ? legal_contraction(c) : plan(c).has_value();
}

bool Clusters::try_merge(int a, int b, Matching from_a) {
  if (a == b) return false;
  const Cluster &ca = clusters_[static_cast<size_t>(a)], &cb = clusters_[static_cast<size_t>(b)];
  for (const Cluster* c : {&ca, &cb}) {
    for (const Member& m : c->members) {
      if (!work_.items[static_cast<size_t>(m.item)].fuses) return false;
    }
  }
  for (const auto& [from, to] : from_a) {
    if (ca.extents[static_cast<size_t>(from)] != cb.extents[static_cast<size_t>(to)]) return false;
  }
  complete(ca, cb, from_a);
  Cluster c = united(ca, cb, from_a);
  if (!legal(c) || reaches(a, b, true) || reaches(b, a, true)) return false;
  for (const Member& m : ca.members) cluster_of_[static_cast<size_t>(m.item)] = b;
  clusters_[static_cast<size_t>(b)] = std::move(c);
  clusters_[static_cast<size_t>(a)] = {};
  return true;
}

bool Clusters::merge_along(int producer, int consumer, const Use& use) {
  if (!use.plain || !work_.items[static_cast<size_t>(producer)].fuses || !work_.items[static_cast<size_t>(consumer)].fuses) return false;
  int a = cluster_of(producer), b = cluster_of(consumer);
  const Member *p = find(clusters_[static_cast<size_t>(a)], producer), *c = find(clusters_[static_cast<size_t>(b)], consumer);
  const std::vector<int>& result = work_.items[static_cast<size_t>(producer)].result;
  Matching m;
  for (size_t i = 0; i < result.size(); ++i) {
    if ((result[i] < 0) != (use.dims[i] < 0)) return false;
    if (result[i] >= 0) m[p->dims[static_cast<size_t>(result[i])]] = c->dims[static_cast<size_t>(use.dims[i])];
  }
  return try_merge(a, b, std::move(m));
}

void Clusters::merge_all() {
  if (!work_.fuse) return;
  absorb_epilogues();
  merge_edges();
  merge_siblings();
  merge_small();
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
          if (!lone(user)) continue;
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
        grown |= merge_along(e.from, e.to, *e.use);
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

std::vector<int> Clusters::in_order() const {
  std::vector<int> waiting(clusters_.size(), 0), order;
  std::vector<std::set<int>> next(clusters_.size());
  // Among those that are ready the one whose last value comes first in the graph: updates follow their gradients closely.
  using Entry = std::pair<int, int>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> ready;
  auto rank = [&](int c) { return work_.items[static_cast<size_t>(clusters_[static_cast<size_t>(c)].members.back().item)].node.index; };
  for (size_t i = 0; i < work_.items.size(); ++i) {
    for (const auto* list : {&users_[i], &before_[i]}) {
      for (int user : *list) {
        int a = cluster_of(static_cast<int>(i)), b = cluster_of(user);
        if (a != b && next[static_cast<size_t>(a)].insert(b).second) ++waiting[static_cast<size_t>(b)];
      }
    }
  }
  for (size_t c = 0; c < clusters_.size(); ++c) {
    if (!clusters_[c].members.empty() && waiting[c] == 0) ready.push({rank(static_cast<int>(c)), static_cast<int>(c)});
  }
  size_t total = 0;
  for (const Cluster& c : clusters_) total += !c.members.empty();
  while (!ready.empty()) {
    int c = ready.top().second;
    ready.pop();
    order.push_back(c);
    for (int n : next[static_cast<size_t>(c)]) {
      if (--waiting[static_cast<size_t>(n)] == 0) ready.push({rank(n), n});
    }
  }
  GRADC_ASSERT(order.size() == total, "kernels that wait for each other");
  return order;
}

}  // namespace gradc::scheduling
