#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "compiler/schedule/work.h"

// Which items share a kernel. Clusters grow greedily, the largest intermediate value first, as long as the result is still one
// nest (or one contraction and its epilogue) and the graph of clusters stays acyclic.
namespace gradc::scheduling {

struct Member {
  int item = -1;
  std::vector<int> dims;  // by dim of the item's own space: the cluster's dim; -1 for extent 1
};

struct Cluster {
  std::vector<int64_t> extents;
  std::vector<Symbol> names;
  std::vector<Member> members;  // in the order of items
};

constexpr size_t most_members = 64;

using DimSet = uint64_t;
constexpr DimSet bit_of(int dim) { return DimSet{1} << dim; }

// How a cluster becomes a nest. Its dims are outer (rows) and inner; statements are run for every point, or once per row.
struct ClusterPlan {
  DimSet inner = 0;
  int vector_dim = -1;
  bool split = false;      // the leading inner dim is cut into blocks, whose partial results a later kernel adds up
  std::vector<int> order;  // of the dims, outermost first
  std::vector<int> stage;  // by member: how many reductions lie before it, one after the other
};

class Clusters {
 public:
  Clusters(Work& work, const Target& target);

  void merge_all();
  // Takes a new item (Work::add_finish) as a cluster of its own, and merges it with those that use it.
  void add_finish(int item);

  std::vector<int> in_order() const;  // of the clusters that hold something, each after those it depends on
  const Cluster& operator[](int c) const { return clusters_[static_cast<size_t>(c)]; }
  int cluster_of(int item) const { return cluster_of_[static_cast<size_t>(item)]; }
  bool is_contraction(const Cluster& c) const;
  std::optional<ClusterPlan> plan(const Cluster& c) const;
  // Used by an item outside of its own cluster, or asked for.
  bool is_stored(int item) const;
  DimSet dims_of(const Member& m) const;
  DimSet reduced_of(const Member& m) const;
  // A reduction whose result others in the same cluster use.
  bool is_internal(const Cluster& c, int item) const;
  const std::vector<int>& users(int item) const { return users_[static_cast<size_t>(item)]; }

 private:
  using Matching = std::map<int, int>;  // dims of one cluster -> dims of another

  void link();
  void order_updates();
  void absorb_epilogues();
  bool comes_cheaper_later(int item, int user) const;
  std::map<NodeId, std::vector<int>> readers() const;
  std::vector<bool> sums_in_company() const;
  void merge_edges(const std::function<bool(int)>& from_item);
  void merge_siblings();
  void merge_small();
  bool try_merge(int a, int b, Matching from_a);
  bool merge_along(int producer, int consumer, const Use& use);
  struct Edge;
  bool merge_edge(Edge& edge);
  bool merge_with_between(const std::vector<int>& parts, int consumer);
  std::optional<Matching> edge(const Cluster& from, const Cluster& to) const;
  std::optional<Matching> along_use(const Cluster& from, int producer, const Cluster& to, int consumer, const Use& use) const;
  bool fuses(const Cluster& c) const;
  void replace(const std::vector<int>& parts, int by, Cluster c);
  void complete(const Cluster& a, const Cluster& b, Matching& from_a) const;
  std::optional<Matching> match_uses(const Cluster& a, const Cluster& b, NodeId shared) const;
  Cluster united(const Cluster& a, const Cluster& b, const Matching& from_a) const;
  bool legal(const Cluster& c) const;
  bool legal_contraction(const Cluster& c) const;
  bool consistent(const Cluster& c) const;
  const Member* find(const Cluster& c, int item) const;
  int choose_vector_dim(const Cluster& c, DimSet allowed, const std::vector<int>& order) const;
  int filled_vector_dim(const Cluster& c, DimSet allowed, const std::vector<int>& order, int best) const;
  std::vector<int> natural_order(const Cluster& c) const;
  int64_t shares(const Cluster& c, DimSet rows, int vector_dim) const;
  bool assign_stages(const Cluster& c, ClusterPlan& p) const;

  // paths.cpp
  struct Between {
    bool blocked = false;    // by something that no nest can take in
    std::vector<int> parts;  // the earlier end, and the clusters on the way to the later
  };
  template <class F>
  void successors(int c, F visit) const;
  template <class F>
  void predecessors(int c, F visit) const;
  void line_up();
  void stand_behind(int added, int other);
  bool stands_above(int a, int b) const;
  // A path between clusters; indirect: through at least one other.
  bool reaches(int from, int to, bool indirect) const;
  Between between(int from, int to) const;
  void unlink(int c);
  void link_after(int c, int before);
  bool make_room(int early, int late, std::vector<int> starts_down, std::vector<int> starts_up);
  void put_in_order(int first, int second);
  void stand_together(const std::vector<int>& parts, int by);
  void check_stand(int c) const;

  Work& work_;
  const Target& target_;
  std::vector<Cluster> clusters_;
  std::vector<int> cluster_of_;
  std::vector<std::vector<int>> users_;   // by item: items that use its value
  // By item: items that must run later though they use nothing of it, and the reverse.
  std::vector<std::vector<int>> before_, after_;

  struct Stand {
    int before = -1, after = -1;  // neighbours in the line
    int64_t label = 0;            // grows along the line
  };
  struct Subtree {
    int first = -1, end = -1;  // numbers of an item and of those below it
  };
  std::vector<Stand> line_;            // by cluster
  std::vector<Subtree> tree_;          // by item
  std::vector<uint64_t> changed_;      // by cluster: the merge that made it what it is
  uint64_t merges_ = 0;
  mutable std::vector<uint32_t> down_, up_;  // by cluster: the last search that came by
  mutable std::vector<bool> open_;
  mutable uint32_t epoch_ = 0;
};

int64_t count(const Cluster& c, DimSet dims);

}  // namespace gradc::scheduling
