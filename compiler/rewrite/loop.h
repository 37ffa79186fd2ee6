#pragma once

#include <map>
#include <vector>

#include "compiler/graph/scan.h"
#include "compiler/ops/expr.h"
#include "compiler/rewrite/engine.h"

namespace gradc::rewrite {

// Where rules about loops put what is computed outside: nodes of the graph under construction, with their trails.
class Outside {
 public:
  explicit Outside(Rebuild& rebuild) : rebuild_(rebuild), builder_(rebuild.out) {}
  GraphBuilder& builder() { return builder_; }
  Rebuild& rebuild() { return rebuild_; }
  const Node& operator[](NodeId id) const { return rebuild_.out[id]; }
  // Books the nodes that `make` adds: they stand for something of this provenance, by this rule.
  template <class F>
  Expr make(ProvenanceId from, const char* rule, F f) {
    size_t first = rebuild_.out.size();
    Expr e = f();
    Trails::Id trail = rebuild_.trails.leaf(from);
    rebuild_.adopt(first, rule ? rebuild_.trails.through(trail, rule) : trail);
    return e;
  }

 private:
  Rebuild& rebuild_;
  GraphBuilder builder_;
};

// A scan taken apart, for rules to change, and put together again.
class Loop {
 public:
  struct Carry {
    NodeId initial, inner, next;
  };
  struct Input {
    NodeId outer, inner;
  };
  // What a result of the scan is by now.
  struct Value {
    enum Kind : uint8_t { Carry, Emission, Deferred, Outer } kind;
    size_t index = 0;  // of the carry, the emission, or in `deferred`
    NodeId outer{};    // a value of the graph around
  };

  explicit Loop(const Node& scan);

  int64_t length;
  bool reverse, recompute;
  Dim time;
  Graph body;  // the inputs are those of the lists, anywhere before their uses
  std::vector<Carry> carries;
  std::vector<Input> sequences, constants;
  std::vector<NodeId> emissions;
  std::vector<NodeId> deferred;  // nodes of the body that are computed for all steps, after the loop
  std::vector<Value> results;
  std::vector<bool> used;        // results that something live picks, when the loop was taken apart

  // By node of the body: depends on a carry; on a carry or an element.
  std::vector<bool> carried() const;
  std::vector<bool> varying() const;
  // What the next values of carries are computed from.
  std::vector<bool> feeds_carries() const;

  // Replaces nodes by others (inputs, nodes without operands, or nodes that stand before all users), and drops what is not needed.
  void replace(const std::map<NodeId, NodeId>& by);
  void remove_carry(size_t index, Value instead);
  void remove_emission(size_t index, Value instead);
  // Drops results that are not used, carries that nothing used depends on, and inputs that are not read. False where all is needed.
  bool prune();
  NodeId add_input(const char* role, NodeId like);  // an input of the body in the place of a node; the caller lists it

  // A value that does not vary, computed in the graph around; one that depends on no carry, for all steps.
  Expr once(NodeId id, Outside& outside, const char* rule);
  Expr for_all_steps(NodeId id, Outside& outside, const char* rule);
  // Whether for_all_steps can: all that it is computed from, up to elements and to nodes in `known`, has a batched form.
  bool can_batch_all(NodeId id, const std::vector<bool>& varies, std::vector<bool> known) const;

  // Adds the scan, and what is computed after it, to the graph around; gives the value of each result.
  std::vector<NodeId> finish(Outside& outside, ProvenanceId provenance, Symbol name);

 private:
  std::vector<bool> spread(std::vector<bool> marked) const;
  std::shared_ptr<const Graph> ordered_body() const;
  void drop_unread_inputs();
  void redirect_results(Value::Kind kind, size_t index, Value instead);
  bool varies(NodeId id);

  std::map<NodeId, Expr> once_, for_all_;  // made outside already, by node of the body
  std::vector<bool> varies_;
};

// Rules about loops, each for one scan. They return whether anything changed, and book it.
using LoopRule = bool (*)(Loop& loop, Outside& outside, const char* name);
struct LoopRuleInfo {
  RewriteRule info;
  LoopRule run;
};
const std::vector<LoopRuleInfo>& loop_rules();

std::vector<LoopRuleInfo> loop_input_rules();   // operands and results that are simpler than they look
std::vector<LoopRuleInfo> loop_motion_rules();  // work moved out of the loop

}  // namespace gradc::rewrite
