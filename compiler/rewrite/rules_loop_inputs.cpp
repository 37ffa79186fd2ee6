#include <algorithm>
#include <map>

#include "compiler/ops/ops.h"
#include "compiler/rewrite/axes.h"
#include "compiler/rewrite/batch.h"
#include "compiler/rewrite/loop.h"

// Operands and results of loops that are simpler than they look.
namespace gradc::rewrite {
namespace {

using Renames = std::map<NodeId, NodeId>;

bool unused(Loop& loop, Outside&, const char*) { return loop.prune(); }

// One step is its body.
bool one_step(Loop& loop, Outside& outside, const char* name) {
  if (loop.length != 1) return false;
  GraphBuilder& b = outside.builder();
  std::map<NodeId, NodeId> to;
  for (const Loop::Carry& c : loop.carries) to[c.inner] = c.initial;
  for (const Loop::Input& c : loop.constants) to[c.inner] = c.outer;
  for (const Loop::Input& s : loop.sequences) {
    std::vector<int64_t> sizes = loop.body[s.inner].type.sizes();
    to[s.inner] = outside.make(loop.body[s.inner].provenance, name, [&] { return reshape(Expr(b, s.outer), sizes); }).id;
  }
  for (size_t i = 0; i < loop.body.size(); ++i) {
    Node n = loop.body[NodeId(i)];
    if (to.count(NodeId(i))) continue;
    for (NodeId& operand : n.operands) operand = to.at(operand);
    to[NodeId(i)] = outside.make(n.provenance, name, [&] { return Expr(b, b.graph().add(std::move(n))); }).id;
  }
  for (Loop::Value& v : loop.results) {
    if (v.kind == Loop::Value::Outer) continue;
    NodeId node = v.kind == Loop::Value::Carry ? loop.carries[v.index].next : loop.emissions[v.index];
    v.outer = to.at(node);
    if (v.kind == Loop::Value::Emission) {
      Type type = over_time(loop.body[node].type, loop.time);
      v.outer = outside.make(loop.body[node].provenance, name, [&] { return with_dims(reshape(Expr(b, v.outer), type.sizes()), type.dims); }).id;
    }
    v.kind = Loop::Value::Outer;
  }
  loop.carries.clear();
  loop.emissions.clear();
  loop.sequences.clear();
  loop.constants.clear();
  loop.body = Graph();
  return true;
}

bool unchanged_carry(Loop& loop, Outside&, const char*) {
  for (size_t k = 0; k < loop.carries.size(); ++k) {
    Loop::Carry c = loop.carries[k];
    if (c.next != c.inner) continue;
    loop.constants.push_back({c.initial, c.inner});
    loop.remove_carry(k, {Loop::Value::Outer, 0, c.initial});
    return true;
  }
  return false;
}

// Numbers the values of a body: equal numbers, equal values, if carries of one class are equal.
std::vector<size_t> numbered(const Loop& loop, const std::vector<size_t>& carry_class) {
  struct Key {
    const Node* node;
    std::vector<size_t> operands;
  };
  std::vector<Key> keys;
  std::vector<size_t> number(loop.body.size());
  std::map<NodeId, size_t> carry_at;
  for (size_t k = 0; k < loop.carries.size(); ++k) carry_at[loop.carries[k].inner] = k;
  std::multimap<size_t, size_t> by_hash;
  std::map<size_t, size_t> of_class;
  for (size_t i = 0; i < loop.body.size(); ++i) {
    const Node& n = loop.body[NodeId(i)];
    Key key{&n, {}};
    size_t hash = std::hash<const void*>{}(n.op) ^ n.attrs.hash();
    for (NodeId o : n.operands) key.operands.push_back(number[o.at()]), hash = hash * 31 + number[o.at()];
    size_t fresh = keys.size();
    keys.push_back(key);
    number[i] = fresh;
    if (auto carry = carry_at.find(NodeId(i)); carry != carry_at.end()) {
      number[i] = of_class.try_emplace(carry_class[carry->second], fresh).first->second;
    } else if (n.op->kind != OpKind::Input) {
      auto [from, to] = by_hash.equal_range(hash);
      for (auto it = from; it != to; ++it) {
        const Key& other = keys[it->second];
        bool same_body = n.body == other.node->body || (n.body && other.node->body && same_computation(*n.body, *other.node->body));
        if (other.node->op == n.op && other.node->attrs == n.attrs && other.operands == key.operands && same_body) number[i] = it->second;
      }
      if (number[i] == fresh) by_hash.emplace(hash, fresh);
    }
  }
  return number;
}

// Carries that begin alike and go on alike: classes are split until each class's next values are equal as well.
std::vector<size_t> carry_classes(const Loop& loop, Outside& outside) {
  std::vector<size_t> classes(loop.carries.size());
  auto begins_alike = [&](size_t a, size_t b) {
    const Node &x = outside[loop.carries[a].initial], &y = outside[loop.carries[b].initial];
    return loop.carries[a].initial == loop.carries[b].initial || (x.op->kind == OpKind::Constant && x.op == y.op && x.attrs == y.attrs);
  };
  for (size_t k = 0; k < classes.size(); ++k) {
    classes[k] = k;
    for (size_t j = 0; j < k; ++j) {
      if (begins_alike(j, k)) classes[k] = std::min(classes[k], classes[j]);
    }
  }
  for (bool stable = false; !stable;) {
    std::vector<size_t> number = numbered(loop, classes), refined(classes.size());
    std::map<std::pair<size_t, size_t>, size_t> first;
    for (size_t k = 0; k < classes.size(); ++k)
      refined[k] = first.try_emplace({classes[k], number[loop.carries[k].next.at()]}, k).first->second;
    stable = refined == classes;
    classes = std::move(refined);
  }
  return classes;
}

bool equal_carries(Loop& loop, Outside& outside, const char*) {
  if (loop.carries.size() < 2) return false;
  std::vector<size_t> classes = carry_classes(loop, outside);
  for (size_t k = 0; k < classes.size(); ++k) {
    if (classes[k] == k) continue;
    Renames renames{{loop.carries[k].inner, loop.carries[classes[k]].inner}};
    loop.remove_carry(k, {Loop::Value::Carry, classes[k]});
    loop.replace(renames);
    return true;
  }
  return false;
}

bool equal_inputs(Loop& loop, Outside&, const char*) {
  Renames renames;
  for (std::vector<Loop::Input>* list : {&loop.sequences, &loop.constants}) {
    std::map<NodeId, NodeId> first;
    std::vector<Loop::Input> kept;
    for (const Loop::Input& in : *list) {
      auto [it, fresh] = first.try_emplace(in.outer, in.inner);
      if (fresh) kept.push_back(in);
      else renames[in.inner] = it->second;
    }
    *list = kept;
  }
  if (renames.empty()) return false;
  loop.replace(renames);
  return true;
}

// A constant of the language is written in the body; a sequence of equal elements is a constant.
bool constant_inputs(Loop& loop, Outside& outside, const char* name) {
  Renames renames;
  auto write_inside = [&](NodeId inner, NodeId outer) {
    GraphBuilder b(loop.body);
    b.provenance = loop.body[inner].provenance;
    renames[inner] = constant(b, outside[outer].attrs.number("value"), loop.body[inner].type).id;
  };
  auto is_constant = [&](const Loop::Input& in) { return outside[in.outer].op->kind == OpKind::Constant; };
  auto repeats = [&](const Loop::Input& in) {
    const Node& n = outside[in.outer];
    return n.op == &op<ops::Broadcast>() && !has(n.attrs.integers("axes"), 0);
  };
  std::vector<Loop::Input> sequences, constants;
  for (const Loop::Input& in : loop.constants) {
    if (is_constant(in)) write_inside(in.inner, in.outer);
    else constants.push_back(in);
  }
  for (const Loop::Input& in : loop.sequences) {
    if (is_constant(in)) {
      write_inside(in.inner, in.outer);
    } else if (repeats(in)) {
      Node n = outside[in.outer];
      Axes axes = n.attrs.integers("axes"), sizes = n.attrs.integers("sizes");
      for (int64_t& a : axes) --a;
      sizes.erase(sizes.begin());
      Expr once = outside.make(n.provenance, name, [&] { return broadcast(Expr(outside.builder(), n.operands[0]), axes, sizes); });
      constants.push_back({once.id, in.inner});
    } else {
      sequences.push_back(in);
    }
  }
  bool changed = !renames.empty() || sequences.size() != loop.sequences.size();
  if (!changed) return false;
  loop.sequences = std::move(sequences);
  loop.constants = std::move(constants);
  loop.replace(renames);
  return true;
}

// An emission of an element, of the same value in each step, or of what another emission has.
bool plain_emissions(Loop& loop, Outside& outside, const char* name) {
  std::vector<bool> varies = loop.varying();
  std::map<NodeId, size_t> first;
  std::vector<NodeId> kept;
  std::vector<Loop::Value> became;
  bool changed = false;
  for (NodeId e : loop.emissions) {
    auto element = std::find_if(loop.sequences.begin(), loop.sequences.end(), [&](const Loop::Input& s) { return s.inner == e; });
    if (element != loop.sequences.end()) {
      became.push_back({Loop::Value::Outer, 0, element->outer});
    } else if (!varies[e.at()]) {
      Expr once = loop.once(e, outside, name);
      became.push_back({Loop::Value::Outer, 0, outside.make(loop.body[e].provenance, name, [&] { return repeated(once, loop.length); }).id});
    } else {
      auto [it, fresh] = first.try_emplace(e, kept.size());
      became.push_back({Loop::Value::Emission, it->second});
      if (fresh) {
        kept.push_back(e);
        continue;
      }
    }
    changed = true;
  }
  if (!changed) return false;
  for (Loop::Value& v : loop.results) {
    if (v.kind == Loop::Value::Emission) v = became[v.index];
  }
  loop.emissions = std::move(kept);
  return true;
}

}  // namespace

std::vector<LoopRuleInfo> loop_input_rules() {
  return {
      {{"loops", "loop-unused", "results that nobody picks, carries that nothing picked depends on, and inputs that nothing reads go", ""}, unused},
      {{"loops", "loop-one-step", "a scan of length 1 is its body", ""}, one_step},
      {{"loops", "loop-unchanged-carry", "a carry that each step hands on as it is, is a constant", ""}, unchanged_carry},
      {{"loops", "loop-equal-carries", "carries that begin alike and go on alike are one", ""}, equal_carries},
      {{"loops", "loop-equal-inputs", "a value that is handed in twice is one input", ""}, equal_inputs},
      {{"loops", "loop-constant-input", "a constant is written in the body; a sequence of equal elements is a constant", ""}, constant_inputs},
      {{"loops", "loop-plain-emission", "emissions of elements, of unchanging values, and of one value twice, are known without the loop", ""}, plain_emissions},
  };
}

}  // namespace gradc::rewrite
