#include "compiler/schedule/graph_scheduler.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/support/error.h"

namespace gradc::scheduling {

Symbol StepPlan::unique(const std::string& name) {
  std::string out = name;
  for (int& n = numbers[name]; !names.insert(Symbol(out)).second;) out = fmt::format("{}.{}", name, ++n + 1);
  return Symbol(out);
}

GraphScheduler::GraphScheduler(const Graph& graph, StepPlan& step)
    : graph_(graph), step_(step), work_(graph, step.options), clusters_(work_, step.target), storage_{step.memory} {
  storage_.of_node.resize(graph.size());
}

void GraphScheduler::bind_input(NodeId input, BufferId buffer, std::vector<int64_t> strides) {
  storage_.of_node[input.at()] = buffer;
  if (!strides.empty()) storage_.strides[input] = std::move(strides);
}

// The first buffer asked for is where the value lives; others get copies as it is stored.
void GraphScheduler::bind_output(NodeId output, BufferId buffer) {
  BufferId& home = storage_.of_node[output.at()];
  if (home) {
    storage_.copies[output].push_back(buffer);
  } else {
    home = buffer;
  }
}

void GraphScheduler::run() {
  for (const Output& o : graph_.outputs) output_name_.emplace(o.node, o.name);
  clusters_.merge_all();
  place_values();
  find_partials();
  build();
}

void GraphScheduler::place_values() {
  for (size_t i = 0; i < work_.items.size(); ++i) {
    if (work_.items[i].kind == ItemKind::Loop) scans_[static_cast<int>(i)] = plan_scan(work_.items[i]);
  }
  for (const Item& item : work_.items) {
    BufferId& home = storage_.of_node[item.node.at()];
    if (!home && item.kind != ItemKind::Loop) home = storage_.add({graph_.label(item.node), BufferKind::Temporary, graph_[item.node].type, 0, {}});
  }
}

// Sums that no block holds whole need a second kernel, which may be one that uses the sum anyway. Building the first kernel
// tells how many partial results there are.
void GraphScheduler::find_partials() {
  for (int c : clusters_.in_order()) {
    const Cluster& cluster = clusters_[c];
    if (cluster.members.empty() || kind(cluster) != ItemKind::Nest) continue;
    NestBuild built = build_nest(input(), cluster);
    for (const auto& [item, count] : built.partials) {
      NodeId node = work_.items[static_cast<size_t>(item)].node;
      Type type = graph_[node].type;
      type.dims.insert(type.dims.begin(), Dim{count, {}});
      storage_.partials[item] = storage_.add({graph_.label(node) + ".partial", BufferKind::Temporary, type, 0, {}});
      clusters_.add_finish(work_.add_finish(item, count));
    }
  }
}

ItemKind GraphScheduler::kind(const Cluster& c) const {
  return clusters_.is_contraction(c) ? ItemKind::Contraction : work_.items[static_cast<size_t>(c.members.front().item)].kind;
}

void GraphScheduler::build() {
  for (int c : clusters_.in_order()) {
    const Cluster& cluster = clusters_[c];
    if (kind(cluster) == ItemKind::Loop) {
      build_scan(cluster.members.front().item);
      continue;
    }
    for (RawKernel& k : build(cluster)) {
      k.name = name_of(cluster);
      step_.kernels.push_back(std::move(k));
    }
  }
}

std::vector<RawKernel> GraphScheduler::build(const Cluster& c) {
  switch (kind(c)) {
    case ItemKind::Contraction: return {build_contraction(input(), c)};
    case ItemKind::Scatter: return {build_scatter(input(), c)};
    case ItemKind::Spread: return build_spread(input(), c);
    default: return {with_scratch(build_nest(input(), c))};
  }
}

RawKernel GraphScheduler::with_scratch(NestBuild built) {
  for (Scratch& s : built.scratch) {
    s.type.dims.insert(s.type.dims.begin(), Dim{block_count(built.kernel.body), {}});
    BufferId real = storage_.add({s.name, BufferKind::Temporary, s.type, 0, {}});
    std::replace(built.kernel.buffers.begin(), built.kernel.buffers.end(), s.placeholder, real);
  }
  return std::move(built.kernel);
}

// After the user's name for what it gives: a product's own, else that of a stored value, of one inside, or of an output.
Symbol GraphScheduler::name_of(const Cluster& c) {
  Symbol product, stored, inside, output;
  auto offer = [](Symbol& to, Symbol name) {
    if (!to) to = name;
  };
  for (const Member& m : c.members) {
    const Item& item = work_.items[static_cast<size_t>(m.item)];
    Symbol name = graph_[item.node].name;
    if (item.kind == ItemKind::Contraction) product = name;
    if (clusters_.is_stored(m.item)) offer(stored, name);
    offer(inside, name);
    if (auto asked = output_name_.find(item.node); asked != output_name_.end()) offer(output, asked->second);
  }
  std::string base = fmt::format("k{}", step_.kernels.size());
  for (Symbol s : {product, stored, inside, output}) {
    if (!s) continue;
    base = s.str();
    break;
  }
  return step_.unique(base);
}

}  // namespace gradc::scheduling
