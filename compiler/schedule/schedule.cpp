#include "compiler/schedule/schedule.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/schedule/buffers.h"
#include "compiler/schedule/build.h"
#include "compiler/support/error.h"

namespace gradc {
using namespace scheduling;

namespace {

class Scheduler {
 public:
  Scheduler(const Graph& graph, const Target& target, const ScheduleOptions& options)
      : graph_(graph), target_(target), work_(graph, options), clusters_(work_, target_) {}

  KernelProgram run() {
    clusters_.merge_all();
    place_inputs();
    place_outputs();
    place_values();
    find_partials();
    build();
    update_in_place(storage_.buffers, kernels_);
    reuse_operands(storage_.buffers, kernels_);
    drop_unused(storage_.buffers, kernels_);
    return program();
  }

 private:
  BufferId interface_buffer(Symbol name, BufferKind kind, const Type& type) {
    auto& slot = interface_[name];
    if (!slot) slot = storage_.add({name, kind, type, 0, {}});
    return slot;
  }

  void place_inputs() {
    storage_.of_node.resize(graph_.size());
    for (size_t i = 0; i < graph_.size(); ++i) {
      const Node& n = graph_[NodeId(i)];
      if (n.op->kind != OpKind::Input) continue;
      Symbol role = n.attrs.text("role");
      BufferKind kind = role == Symbol(role::parameter) ? BufferKind::Parameter : role == Symbol(role::state) ? BufferKind::State : BufferKind::Input;
      storage_.of_node[i] = interface_buffer(n.attrs.text("name"), kind, n.type);
    }
  }

  // The first buffer asked for is where the value lives; others get copies as it is stored.
  void place_outputs() {
    for (const Output& o : graph_.outputs) {
      const Node& n = graph_[o.node];
      BufferId b;
      if (o.kind == OutputKind::Value) {
        b = storage_.add({o.name, BufferKind::Output, n.type, 0, {}});
      } else {
        BufferId source = interface_buffer(o.name, BufferKind::State, n.type);
        b = storage_.add({o.name, BufferKind::Shadow, n.type, 0, source});
      }
      BufferId& home = storage_.of_node[o.node.at()];
      if (home) {
        storage_.copies[o.node].push_back(b);
      } else {
        home = b;
      }
    }
  }

  void place_values() {
    for (const Item& item : work_.items) {
      BufferId& home = storage_.of_node[item.node.at()];
      if (!home) home = storage_.add({graph_.label(item.node), BufferKind::Temporary, graph_[item.node].type, 0, {}});
    }
  }

  // Sums that no block holds whole need a second kernel, which may be one that uses the sum anyway. Building the first kernel
  // tells how many partial results there are.
  void find_partials() {
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

  ItemKind kind(const Cluster& c) const {
    return clusters_.is_contraction(c) ? ItemKind::Contraction : work_.items[static_cast<size_t>(c.members.front().item)].kind;
  }

  BuildInput input() const { return {work_, clusters_, storage_, target_}; }

  void build() {
    for (int c : clusters_.in_order()) {
      const Cluster& cluster = clusters_[c];
      for (RawKernel& k : build(cluster)) {
        k.name = name_of(cluster);
        kernels_.push_back(std::move(k));
      }
    }
  }

  std::vector<RawKernel> build(const Cluster& c) {
    switch (kind(c)) {
      case ItemKind::Contraction: return {build_contraction(input(), c)};
      case ItemKind::Scatter: return {build_scatter(input(), c)};
      case ItemKind::Spread: return build_spread(input(), c);
      default: return {with_scratch(build_nest(input(), c))};
    }
  }

  RawKernel with_scratch(NestBuild built) {
    for (Scratch& s : built.scratch) {
      s.type.dims.insert(s.type.dims.begin(), Dim{block_count(built.kernel.body), {}});
      BufferId real = storage_.add({s.name, BufferKind::Temporary, s.type, 0, {}});
      std::replace(built.kernel.buffers.begin(), built.kernel.buffers.end(), s.placeholder, real);
    }
    return std::move(built.kernel);
  }

  // After the user's name for what it gives: a product's own, else that of a stored value, of one inside, or of an output.
  Symbol name_of(const Cluster& c) {
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
      for (const Output& o : graph_.outputs) {
        if (o.node == item.node) offer(output, o.name);
      }
    }
    std::string base = fmt::format("k{}", kernels_.size());
    for (Symbol s : {product, stored, inside, output}) {
      if (!s) continue;
      base = s.str();
      break;
    }
    std::string unique = base;
    for (int n = 2; !names_.insert(Symbol(unique)).second; ++n) unique = fmt::format("{}.{}", base, n);
    return Symbol(unique);
  }

  // A node without an origin of its own lends one from its neighbours.
  static void complete_provenance(std::vector<ProvenanceId>& list) {
    auto known = std::find_if(list.begin(), list.end(), [](ProvenanceId id) { return bool(id); });
    if (known == list.end()) return;
    ProvenanceId last = *known;
    for (ProvenanceId& id : list) last = id = id ? id : last;
  }

  KernelProgram program() {
    KernelProgram p;
    p.name = graph_.name;
    p.target = target_;
    p.provenance = graph_.provenance;
    Arena arena = plan_arena(storage_.buffers, kernels_);
    p.arena_bytes = arena.bytes;
    p.arena_lower_bound = arena.lower_bound;
    // Equal bodies are found by their text, which tells -0 from 0 and knows no names.
    std::map<std::string, BodyId> bodies;
    for (RawKernel& k : kernels_) {
      KernelInstance call;
      call.name = k.name;
      auto [it, fresh] = bodies.try_emplace(print(nameless(k.body)), p.bodies.size());
      if (fresh) {
        p.bodies.push_back(k.body);
        p.bodies.back().name = call.name;
      }
      complete_provenance(k.provenance);
      call.body = it->second;
      call.buffers = std::move(k.buffers);
      call.provenance = std::move(k.provenance);
      call.labels = std::move(k.labels);
      p.instances.push_back(std::move(call));
    }
    p.buffers = std::move(storage_.buffers);
    return p;
  }

  static KernelBody nameless(KernelBody body) {
    body.name = {};
    std::visit([](auto& form) {
      for (KernelDim& d : form.dims) d.name = {};
    }, body.form);
    return body;
  }

  const Graph& graph_;
  const Target& target_;
  Work work_;
  Clusters clusters_;
  Storage storage_;
  std::map<Symbol, BufferId> interface_;
  std::vector<RawKernel> kernels_;
  std::set<Symbol> names_;
};

}  // namespace

KernelProgram schedule(const Graph& graph, const Target& target, const ScheduleOptions& options) {
  return Scheduler(graph, target, options).run();
}

}  // namespace gradc
