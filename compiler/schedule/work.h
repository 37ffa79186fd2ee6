#pragma once

#include <functional>
#include <vector>

#include "compiler/schedule/access.h"
#include "compiler/schedule/schedule.h"

// What there is to compute: every live node either disappears into the accesses of those who use it, or is an item of work with a
// space of its own (its result's axes and the axes it sums over).
namespace gradc::scheduling {

enum class ItemKind : uint8_t {
  Nest,         // anything point-wise, reductions, gathers, copies; products too thin for register tiles
  Contraction,
  Scatter,      // a table filled by index
  Spread,       // a pad with gaps between elements: filled, then stored over
  Loop,         // a scan: its body is scheduled on its own and run once a trip
};

// A stored value (of another item, or an input of the graph) as used by an item.
struct Use {
  NodeId node;
  bool plain = false;     // each axis moves with one dim of the user's space: the two can share a kernel
  std::vector<int> dims;  // if plain: by axis of the value; -1 for axes of size 1
};

struct Item {
  NodeId node;
  ItemKind kind = ItemKind::Nest;
  int finishes = -1;    // the item whose partial results, left in blocks, this one adds up
  bool fuses = true;
  std::vector<int64_t> extents;
  std::vector<Symbol> names;
  std::vector<int> result;    // by axis of the value: the dim it moves with; -1 for axes of size 1. Empty for tables
  std::vector<bool> reduced;  // by dim
  std::vector<Use> uses;
  double cost = 1;            // about that many operations per point
  // Of a reduction whose blocks each leave their own result: how many there are per element. 0: it leaves the whole.
  int64_t partials = 0;

  bool reduces() const;
};

// A stored value seen through views: where in it each element of the view lies, over one dim per axis of the view.
struct Seen {
  NodeId base;
  Place place;
};

class Work {
 public:
  Work(const Graph& graph, const ScheduleOptions& options);

  const Graph& graph;
  bool fuse;
  std::vector<Item> items;     // each after those it uses
  // By node: the item that gives its value; -1 where it is computed where it is used, and for inputs. The results of a scan are its item's.
  std::vector<int> item_of;

  bool is_output(NodeId node) const { return output_[node.at()]; }
  // The item that stores the value where it is asked for: its own, or for an input the one that copies it.
  int output_item(NodeId node) const;
  // The place of operand k when the node's own space is walked as `own` (one index per dim of the space; -1 axes are fixed).
  Place operand_place(NodeId node, size_t k, const Place& own, const std::vector<int64_t>& extents) const;
  // What a scan reads for its operand `k`, a sequence or a constant: a stored value, through views where these leave whole rows whole.
  Seen behind(NodeId scan, size_t k) const;
  bool is_live(NodeId node) const { return role_[node.at()] != Role::Dead; }
  // Appends the item that adds up what item `i` leaves in `partials` places per element.
  int add_finish(int i, int64_t partials);
  const std::vector<int64_t>& pad(NodeId node, const char* which) const { return graph[node].attrs.integers(which); }

 private:
  enum class Role : uint8_t { Dead, Leaf, Inline, Real };
  using Visitor = std::function<void(NodeId, const Place*)>;

  void assign_roles();
  bool cheap_inline(NodeId node) const;
  void find_factors();
  int basis_of(NodeId node) const;
  bool of_stored(NodeId node) const;
  void force_copies();
  void reach_operands(NodeId node, const Visitor& visitor);
  void reach_scan(NodeId node, const Visitor& visitor);
  void reach(NodeId node, const Place& place, const std::vector<int64_t>& extents, const Visitor& visitor);
  void make_real(NodeId node);
  Item make_item(NodeId node) const;
  void own_space(NodeId node, Item& item) const;
  void contraction_space(const Node& n, Item& item) const;
  ItemKind kind_of(const Item& item) const;

  std::vector<Role> role_;
  std::vector<bool> output_;
  std::vector<double> inline_cost_;  // of what is computed where it is used
  std::vector<bool> factor_;         // by node: an operand of a product
  std::vector<int> basis_;           // by node: the one value it is made from point by point; or nothing, or several
  std::vector<NodeId> pending_;      // made real, operands not looked at yet
};

// Operations per element; transcendental functions count for several.
double cost_of(const ScalarProgram& program);
ScalarProgram program_of(const Graph& graph, NodeId node);
// The dim of the space of a contraction for each of its labels: those of the result first, then the summed ones.
std::vector<int64_t> contraction_labels(const Node& n);

}  // namespace gradc::scheduling
