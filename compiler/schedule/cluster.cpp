#include "compiler/schedule/cluster.h"

#include <algorithm>
#include <queue>

#include "compiler/support/error.h"

namespace gradc::scheduling {
namespace {

// Values that an epilogue reads and writes: each takes a register and a stream of memory.
constexpr size_t most_epilogue_streams = 14;

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
  changed_.assign(clusters_.size(), 0);
  link();
  line_up();
  order_updates();
}

void Clusters::link() {
  users_.assign(work_.items.size(), {});
  before_.assign(work_.items.size(), {});
  after_.assign(work_.items.size(), {});
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
      if (reader == writer || reaches(writer, reader, false)) continue;
      put_in_order(reader, writer);
      before_[static_cast<size_t>(reader)].push_back(writer);
      after_[static_cast<size_t>(writer)].push_back(reader);
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
