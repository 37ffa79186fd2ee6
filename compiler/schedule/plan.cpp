#include <algorithm>
#include <bit>

#include "compiler/schedule/cluster.h"
#include "compiler/support/error.h"

namespace gradc::scheduling {
namespace {

// Rows longer than this, and too few to share among threads, are reduced block by block in a kernel of their own.
constexpr int64_t longest_lone_row = 16384;
// Operations per element from which on full vectors are worth collecting their elements for: about a sigmoid.
constexpr double much_per_element = 16;
constexpr int64_t enough_rows = 8;
// Spaces up to this size sum their columns whole, one strip of columns a block; larger ones by blocks of rows, which read
// memory in order.
constexpr int64_t largest_strip_space = 512 << 10;
// Sums over everything up to this size are one block.
constexpr int64_t largest_lone_sum = 32 << 10;

struct Traits {
  DimSet dims = 0, reduced = 0;
  bool internal = false, arg = false, finish = false;
};

}  // namespace

int64_t count(const Cluster& c, DimSet dims) {
  int64_t n = 1;
  for (size_t d = 0; d < c.extents.size(); ++d) {
    if (dims & bit_of(static_cast<int>(d))) n *= c.extents[d];
  }
  return n;
}

DimSet Clusters::dims_of(const Member& m) const {
  DimSet s = 0;
  for (int d : m.dims) {
    if (d >= 0) s |= bit_of(d);
  }
  return s;
}

DimSet Clusters::reduced_of(const Member& m) const {
  DimSet s = 0;
  const Item& item = work_.items[static_cast<size_t>(m.item)];
  for (size_t d = 0; d < m.dims.size(); ++d) {
    if (m.dims[d] >= 0 && item.reduced[d]) s |= bit_of(m.dims[d]);
  }
  return s;
}

const Member* Clusters::find(const Cluster& c, int item) const {
  auto it = std::find_if(c.members.begin(), c.members.end(), [&](const Member& m) { return m.item == item; });
  return it == c.members.end() ? nullptr : &*it;
}

bool Clusters::is_internal(const Cluster& c, int item) const {
  const auto& users = users_[static_cast<size_t>(item)];
  return std::any_of(users.begin(), users.end(), [&](int u) { return find(c, u) != nullptr; });
}

// The order in which the largest member's own axes come; dims that it lacks go last.
std::vector<int> Clusters::natural_order(const Cluster& c) const {
  const Member* largest = nullptr;
  for (const Member& m : c.members) {
    if (!largest || std::popcount(dims_of(m)) > std::popcount(dims_of(*largest))) largest = &m;
  }
  std::vector<int> order;
  auto add = [&](int d) {
    if (d >= 0 && std::find(order.begin(), order.end(), d) == order.end()) order.push_back(d);
  };
  for (int d : largest->dims) add(d);
  for (size_t d = 0; d < c.extents.size(); ++d) add(static_cast<int>(d));
  return order;
}

// The dim along which most of what is read and written is contiguous, wide enough for a vector if possible.
int Clusters::choose_vector_dim(const Cluster& c, DimSet allowed, const std::vector<int>& order) const {
  std::vector<double> votes(c.extents.size(), 0);
  auto vote = [&](const Member& m, const std::vector<int>& axes, NodeId node) {
    const Type& t = work_.graph[node].type;
    for (size_t i = axes.size(); i-- > 0;) {
      if (t.size(i) == 1) continue;
      int d = axes[i] < 0 ? -1 : m.dims[static_cast<size_t>(axes[i])];
      if (d >= 0) votes[static_cast<size_t>(d)] += static_cast<double>(t.count());
      return;
    }
  };
  for (const Member& m : c.members) {
    const Item& item = work_.items[static_cast<size_t>(m.item)];
    vote(m, item.result, item.node);
    for (const Use& u : item.uses) {
      if (u.plain) vote(m, u.dims, u.node);
    }
  }
  int lanes = std::max(1, target_.vector_bytes / 4), best = -1;
  double most = -1;
  for (int d : order) {
    if (!(allowed & bit_of(d))) continue;
    auto at = static_cast<size_t>(d);
    double score = (votes[at] + 0.1) * static_cast<double>(std::min<int64_t>(c.extents[at], lanes));
    if (score >= most) most = score, best = d;
  }
  return best >= 0 ? filled_vector_dim(c, allowed, order, best) : best;
}

// A dim of two or three elements leaves half of the smallest register empty. Where much is computed per element (a sigmoid, say), that
// costs more than collecting elements from a longer dim that lie apart.
int Clusters::filled_vector_dim(const Cluster& c, DimSet allowed, const std::vector<int>& order, int best) const {
  constexpr int64_t smallest = 4;
  if (c.extents[static_cast<size_t>(best)] >= smallest) return best;
  double operations = 0;
  for (const Member& m : c.members) {
    operations += work_.items[static_cast<size_t>(m.item)].cost;
    allowed &= ~reduced_of(m) & dims_of(m);
  }
  if (operations < much_per_element) return best;
  for (int d : order) {
    if ((allowed & bit_of(d)) && c.extents[static_cast<size_t>(d)] >= smallest) best = d;
  }
  return best;
}

std::optional<ClusterPlan> Clusters::plan(const Cluster& c) const {
  if (c.extents.size() > 60) return {};
  ClusterPlan p;
  p.order = natural_order(c);
  DimSet all = 0, inner = 0, small = 0;
  bool has_small = false, internal = false, whole_sums = false;
  std::vector<Traits> traits;
  for (size_t d = 0; d < c.extents.size(); ++d) all |= bit_of(static_cast<int>(d));
  for (const Member& m : c.members) {
    const Item& item = work_.items[static_cast<size_t>(m.item)];
    Traits t{dims_of(m), reduced_of(m)};
    t.internal = t.reduced && is_internal(c, m.item);
    t.arg = t.reduced && work_.graph[item.node].op->kind == OpKind::ArgReduction;
    t.finish = item.finishes >= 0;
    if (t.internal || t.arg || t.finish) {
      if (t.dims != all || (inner && inner != t.reduced)) return {};
      inner = t.reduced;
      internal |= t.internal;
      whole_sums = true;
    } else if (t.dims != all) {
      if (has_small && small != t.dims) return {};
      has_small = true;
      small = t.dims;
    }
    traits.push_back(t);
  }
  // Nothing inside asks for rows: what the sums that leave the kernel have in common decides.
  int last = p.order.empty() ? -1 : p.order.back();
  if (!inner) {
    for (const Traits& t : traits) {
      bool rows = has_small ? t.reduced == (all & ~small) : t.reduced != all && (t.reduced & bit_of(last));
      if (t.reduced && t.dims == all && rows) inner = t.reduced;
    }
    if (has_small && !inner) return {};
    for (const Traits& t : traits) {
      if (!inner && t.reduced && t.reduced != all) inner = t.reduced;
    }
    for (const Traits& t : traits) {
      if (!inner && t.reduced) inner = t.reduced;
    }
  }
  DimSet outer = all & ~inner;
  if (has_small && small != outer) return {};
  p.inner = inner;
  p.vector_dim = choose_vector_dim(c, all, p.order);
  bool lanes_inside = p.vector_dim >= 0 && (inner & bit_of(p.vector_dim));
  bool columns = inner && !lanes_inside && inner != all;
  for (const Traits& t : traits) {
    bool row_sum = t.reduced == inner && t.dims == all;
    if (!t.reduced || row_sum) continue;
    if (t.arg || t.finish || t.internal) return {};
    // A result per lane and per element would be as large as what is summed.
    if (!lanes_inside && (t.reduced & bit_of(p.vector_dim)) && t.reduced != all) return {};
    // Lanes can't be added up into one element in the middle of a row.
    if (t.dims == all && lanes_inside && (t.reduced & bit_of(p.vector_dim)) && (inner & ~t.reduced)) return {};
  }
  int lead = -1;
  for (int d : p.order) {
    if (lead < 0 && (inner & bit_of(d))) lead = d;
  }
  bool large = count(c, all) > (inner == all ? largest_lone_sum : largest_strip_space);
  p.split = inner && !whole_sums && !has_small && large && (inner == all || columns);
  for (const Traits& t : traits) p.split &= !t.reduced || (t.dims == all && (t.reduced & bit_of(lead)));
  if (internal && count(c, inner) > longest_lone_row && shares(c, outer, p.vector_dim) < enough_rows) return {};
  if (!assign_stages(c, p)) return {};
  return p;
}

// How many threads could work on rows of their own: rows side by side in a vector are one.
int64_t Clusters::shares(const Cluster& c, DimSet rows, int vector_dim) const {
  int64_t shares = count(c, rows);
  if (vector_dim < 0 || !(rows & bit_of(vector_dim))) return shares;
  const int64_t extent = std::max<int64_t>(1, c.extents[static_cast<size_t>(vector_dim)]), lanes = std::max(1, target_.vector_bytes / 4);
  return shares / extent * ((extent + lanes - 1) / lanes);
}

bool Clusters::assign_stages(const Cluster& c, ClusterPlan& p) const {
  for (size_t i = 0; i < c.members.size(); ++i) {
    int stage = 0;
    for (const Use& u : work_.items[static_cast<size_t>(c.members[i].item)].uses) {
      int from = work_.item_of[u.node.at()];
      for (size_t j = 0; j < c.members.size(); ++j) {
        if (c.members[j].item != from) continue;
        if (j >= i) return false;
        stage = std::max(stage, p.stage[j] + (reduced_of(c.members[j]) ? 1 : 0));
      }
    }
    p.stage.push_back(stage);
  }
  return true;
}

}  // namespace gradc::scheduling
