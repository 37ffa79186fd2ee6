#pragma once

#include <map>
#include <memory>
#include <vector>

#include "compiler/ops/scan_builder.h"

// From nodes that were elaborated into a graph to the body of a scan, and from a body to one loop or, recomputing, two.
namespace gradc::sema {

// The part of a graph from node `begin` on, as one step of a scan.
struct ScanRegion {
  size_t begin = 0;
  std::vector<NodeId> carries, elements;  // its Input nodes, in the order of the scan's operands
  std::vector<NodeId> outputs;            // next values of the carries, then emissions
  std::map<NodeId, NodeId> constant;      // carries that no step changes -> their value outside
};

struct ScanBody {
  std::shared_ptr<const Graph> graph;
  std::vector<NodeId> constants;  // what the body uses of the graph around it
  std::vector<NodeId> moved;      // nodes of the region that are of no use to the graph around it
};

// The outputs' computation as a graph of its own. Inputs of other roles and random numbers stay outside. Where the body asks for
// grad(y, x), all that lies between x and y comes along, be it older than the region: derivatives within a step see it.
ScanBody extract_body(const Graph& graph, const ScanRegion& region);

struct LoopOperands {
  std::vector<Expr> first;  // of each carry
  std::vector<Expr> sequences, constants;
};
// The scan over a body. `segment` > 0: derivatives keep the carries at every segment-th step only and compute the steps between
// again, by a scan over segments around one over the steps of each.
ScanResults scan_loop(const LoopOperands& operands, const std::shared_ptr<const Graph>& body, const ScanBuilder::Options& options, int64_t segment);

}  // namespace gradc::sema
