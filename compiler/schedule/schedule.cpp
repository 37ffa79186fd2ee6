#include "compiler/schedule/schedule.h"

#include <algorithm>
#include <map>

#include "compiler/schedule/buffers.h"
#include "compiler/schedule/graph_scheduler.h"
#include "compiler/schedule/strips.h"
#include "compiler/support/error.h"

namespace gradc {
using namespace scheduling;

namespace {

// The graph of a whole step: inputs and outputs are the step's interface.
class Scheduler {
 public:
  Scheduler(const Graph& graph, const Target& target, const ScheduleOptions& options)
      : graph_(graph), step_{target, options, {}, {}, {}, {}, {}, 0}, scheduler_(graph, step_) {}

  KernelProgram run() {
    place_inputs();
    place_outputs();
    scheduler_.run();
    cut_into_strips(step_);
    update_in_place(step_.memory, step_.kernels);
    reuse_operands(step_.memory, step_.kernels, step_.loops);
    settle_windows(step_.memory, step_.kernels);
    drop_unused(step_.memory.buffers, step_.kernels);
    return program();
  }

 private:
  BufferId interface_buffer(Symbol name, BufferKind kind, const Type& type) {
    auto& slot = interface_[name];
    if (!slot) slot = step_.memory.add({name, kind, type, 0, {}});
    return slot;
  }

  void place_inputs() {
    for (size_t i = 0; i < graph_.size(); ++i) {
      const Node& n = graph_[NodeId(i)];
      if (n.op->kind != OpKind::Input) continue;
      Symbol role = n.attrs.text("role");
      BufferKind kind = role == Symbol(role::parameter) ? BufferKind::Parameter : role == Symbol(role::state) ? BufferKind::State : BufferKind::Input;
      scheduler_.bind_input(NodeId(i), interface_buffer(n.attrs.text("name"), kind, n.type));
    }
  }

  void place_outputs() {
    for (const Output& o : graph_.outputs) {
      const Node& n = graph_[o.node];
      if (o.kind == OutputKind::Value) {
        scheduler_.bind_output(o.node, step_.memory.add({o.name, BufferKind::Output, n.type, 0, {}}));
      } else {
        BufferId source = interface_buffer(o.name, BufferKind::State, n.type);
        scheduler_.bind_output(o.node, step_.memory.add({o.name, BufferKind::Shadow, n.type, 0, source}));
      }
    }
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
    p.target = step_.target;
    p.provenance = graph_.provenance;
    Arena arena = plan_arena(step_.memory.buffers, step_.kernels, step_.loops, BufferKind::Temporary);
    p.local_bytes = plan_arena(step_.memory.buffers, step_.kernels, step_.loops, BufferKind::Local).bytes;
    p.arena_bytes = arena.bytes;
    p.arena_lower_bound = arena.lower_bound;
    // Equal bodies are found by their text, which tells -0 from 0 and knows no names.
    std::map<std::string, BodyId> bodies;
    for (RawKernel& k : step_.kernels) {
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
      call.places = std::move(k.places);
      call.sites = std::move(k.sites);
      call.provenance = std::move(k.provenance);
      call.labels = std::move(k.labels);
      p.instances.push_back(std::move(call));
    }
    p.buffers = std::move(step_.memory.buffers);
    p.loops = std::move(step_.loops);
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
  StepPlan step_;
  GraphScheduler scheduler_;
  std::map<Symbol, BufferId> interface_;
};

}  // namespace

KernelProgram schedule(const Graph& graph, const Target& target, const ScheduleOptions& options) {
  return Scheduler(graph, target, options).run();
}

}  // namespace gradc
