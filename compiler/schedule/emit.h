#pragma once

#include <map>
#include <set>
#include <string>

#include "compiler/schedule/cluster.h"

// Statements for graph values: asked for a value at a place, the emitter follows the graph back to what lies in memory and
// writes the loads and scalar operations in between, each once.
namespace gradc::scheduling {

// A body with everything that one call of it needs.
struct RawKernel {
  KernelBody body;
  Symbol name;
  std::vector<BufferId> buffers;  // by slot
  std::vector<SlotPlace> places{};  // by slot, once windows are settled (buffers.h)
  std::vector<uint32_t> sites{};
  std::vector<ProvenanceId> provenance;
  std::vector<Symbol> labels;

  int slot(BufferId buffer, Element element, bool written);
  int site(uint32_t site);
  // Forgets a slot that no statement touches any more.
  void drop_if_unused(int slot);
};

struct TaggedStmt {
  Stmt stmt;
  ProvenanceId provenance;
  Symbol label;
};
using StmtList = std::vector<TaggedStmt>;

// Part of another buffer, which may move with the loops round a call: one element of a sequence, a place of a carry.
struct Window {
  BufferId of;
  SlotPlace place;
};

// All the buffers of a step. While kernels are built, windows are buffers like any other.
struct Memory {
  std::vector<Buffer> buffers;
  std::map<BufferId, Window> windows;

  BufferId add(Buffer b) {
    buffers.push_back(std::move(b));
    return BufferId(buffers.size() - 1);
  }
  BufferId add_window(Symbol name, const Type& type, BufferId of, SlotPlace place);
  // The buffer behind all windows, and where in it they lead.
  Window behind(BufferId b) const;
  // Whether `part` is a window of `whole`, or of one of its windows.
  bool is_part(BufferId part, BufferId whole) const;
};

// Where values lie in memory.
struct Storage {
  Memory& memory;
  std::vector<BufferId> of_node{};                  // by node; inputs have theirs from the start
  std::map<int, BufferId> partials{};               // by item: the results of its blocks
  std::map<NodeId, std::vector<BufferId>> copies{}; // further buffers that the value is stored into
  std::map<NodeId, std::vector<int64_t>> strides{}; // by axis, of inputs that are not in row-major order

  BufferId add(Buffer b) const { return memory.add(std::move(b)); }
  // The address of a stored node's element.
  AxisIndex address(const Graph& graph, NodeId node, const Place& place, size_t kernel_dims) const;
};

class Emitter {
 public:
  Emitter(const Work& work, const Storage& storage, RawKernel& kernel, std::vector<int64_t> extents, DimSet inner = 0)
      : work_(work), graph_(work.graph), storage_(storage), kernel_(kernel), extents_(std::move(extents)), inner_(inner) {}

  // Statements go to `full`, those that move with no inner dim to `row`. What is in `row` stays visible from list to list.
  void begin(StmtList& row, StmtList& full);
  // A list that sees nothing of what was computed before.
  void begin_apart(StmtList& list);
  // These nodes are computed here, not loaded.
  void set_local(std::set<NodeId> nodes) { local_ = std::move(nodes); }
  // From now on the node's value is this, wherever it is wanted.
  void define(NodeId node, ValueId value) {
    ready_[node] = value;
    of_full_.erase(value);
  }
  // Already stored by this kernel: later lists load it again.
  void set_stored(NodeId node) { local_.erase(node); }
  // Kept in scratch memory by this kernel: later lists load it from there.
  void set_kept(NodeId node, const Access& where) { kept_[node] = where; }

  ValueId value(NodeId node, const Place& place);
  // The value itself, even where it could be loaded.
  ValueId compute(NodeId node, const Place& place);
  ValueId product(NodeId contraction, const Place& own);
  ValueId load(BufferId buffer, const Type& type, const Place& place, NodeId origin);
  ValueId load(NodeId node, const Place& place);
  ValueId load_at(BufferId buffer, Element element, const AxisIndex& at, const std::vector<Guard>& guards, double fill, NodeId origin);
  ValueId constant(Element element, double value, NodeId origin);
  // Adds a statement, with a new value if it defines one; pure ones that are there already are not repeated.
  ValueId emit(Stmt stmt, NodeId origin, bool row, bool labelled = true);

  const Work& work() const { return work_; }
  size_t dims() const { return extents_.size(); }
  bool is_row(const Place& place) const;

 private:
  bool is_row(const Affine& a) const;
  ValueId pointwise(NodeId node, const Place& place);
  ValueId reshape(NodeId node, const Place& place);
  ValueId pad(NodeId node, const Place& place);
  ValueId concatenate(NodeId node, const Place& place);
  ValueId gather(NodeId node, const Place& place);
  ValueId random(NodeId node, const Place& place);
  ValueId iota(NodeId node, const Place& place);
  ValueId unsummed(NodeId node, const Place& place);
  ValueId within(const std::vector<Guard>& guards, NodeId origin);
  ValueId binary(ScalarOp op, ValueId a, ValueId b, Element operand, NodeId origin, bool row);
  BufferId memory_behind(NodeId node) const;
  StmtList& list(bool row) { return row ? *row_ : *full_; }

  const Work& work_;
  const Graph& graph_;
  const Storage& storage_;
  RawKernel& kernel_;
  std::vector<int64_t> extents_;
  DimSet inner_;
  StmtList *row_ = nullptr, *full_ = nullptr;
  std::set<NodeId> local_;
  std::map<NodeId, ValueId> ready_;
  std::map<NodeId, Access> kept_;
  std::map<PlaceKey, ValueId> row_values_, full_values_;
  std::map<std::vector<int64_t>, ValueId> row_stmts_, full_stmts_;
  std::set<ValueId> of_full_;  // values that change along inner dims
  ValueId next_ = 0;
};

}  // namespace gradc::scheduling
