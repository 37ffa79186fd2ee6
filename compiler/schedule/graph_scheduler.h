#pragma once

#include <map>
#include <set>

#include "compiler/schedule/build.h"

// The kernels of one graph: of a step's own, or of the body of a scan in it, which is run once a trip.
namespace gradc::scheduling {

// What all graphs of a step share.
struct StepPlan {
  const Target& target;
  const ScheduleOptions& options;
  Memory memory;
  std::vector<RawKernel> kernels;
  std::vector<CallLoop> loops;
  std::set<Symbol> names;  // of kernels
  std::map<std::string, int> numbers;  // how many a name has been given
  int depth = 0;           // of scans round the one whose body is scheduled

  Symbol unique(const std::string& name);
};

// Where a carry lies. Its places are rows of one buffer: of length + 1 where it is emitted too, and every row is kept; else two, which
// change roles each trip.
struct CarryPlan {
  BufferId rows;
  int64_t bytes = 0;      // of a row
  bool kept = false;
  bool computed = false;  // the initial value is computed in its place, nothing has to be copied
  BufferId initial, last;  // windows of rows
};

// What a scan needs of memory, known before kernels are built.
struct ScanPlan {
  std::vector<CarryPlan> carries;
  // By output of the body: whole results, a row of which it writes each trip. Of carries: where the last value is copied to. Emissions
  // that nobody reads, or that are rows of a carry, have none.
  std::vector<std::vector<BufferId>> results;
};

class GraphScheduler {
 public:
  GraphScheduler(const Graph& graph, StepPlan& step);

  // Where an input lies, and where an output is wanted. Without strides in row-major order.
  void bind_input(NodeId input, BufferId buffer, std::vector<int64_t> strides = {});
  void bind_output(NodeId output, BufferId buffer);
  // Appends the kernels to those of the step.
  void run();

 private:
  void place_values();
  void find_partials();
  ItemKind kind(const Cluster& c) const;
  BuildInput input() const { return {work_, clusters_, storage_, step_.target}; }
  void build();
  std::vector<RawKernel> build(const Cluster& c);
  RawKernel with_scratch(NestBuild built);
  Symbol name_of(const Cluster& c);

  // scan.cpp
  ScanPlan plan_scan(const Item& item);
  std::vector<NodeId> results_of(NodeId scan, size_t index) const;
  CarryPlan plan_carry(const Item& item, size_t k, std::set<size_t>& shared);
  bool compute_in_place(const Item& item, size_t k, bool kept) const;
  void build_scan(int item);
  void build_loop(NodeId scan, const ScanPlan& plan);
  std::pair<BufferId, BufferId> bind_carry(GraphScheduler& inner, const Node& scan, const CarryPlan& carry, size_t k, int32_t loop);
  void bind_operand(GraphScheduler& inner, NodeId scan, size_t k, int32_t loop);
  void settle_carry(const CarryPlan& carry, BufferId current, BufferId next, size_t first);
  void copy(NodeId node, BufferId from, const std::vector<BufferId>& to, const std::string& name);

  const Graph& graph_;
  StepPlan& step_;
  Work work_;
  Clusters clusters_;
  Storage storage_;
  std::map<int, ScanPlan> scans_;  // by item
  std::map<NodeId, Symbol> output_name_;  // of the first output that asks for the node
};

}  // namespace gradc::scheduling
