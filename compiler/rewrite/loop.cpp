#include "compiler/rewrite/loop.h"

#include <algorithm>
#include <functional>
#include <tuple>
#include <utility>

#include "compiler/ops/scan_builder.h"
#include "compiler/rewrite/batch.h"
#include "compiler/support/error.h"

namespace gradc::rewrite {

Loop::Loop(const Node& scan) : body(*scan.body) {
  ScanLayout l(scan);
  length = l.length;
  reverse = l.reverse;
  recompute = l.recompute;
  time = scan.type.dims[0];
  for (size_t k = 0; k < l.carries; ++k) carries.push_back({scan.operands[k], NodeId(k), body.outputs[k].node});
  for (size_t i = l.carries; i < l.operands(); ++i) (i < l.constant(0) ? sequences : constants).push_back({scan.operands[i], NodeId(i)});
  for (size_t k = 0; k < l.emissions; ++k) emissions.push_back(body.outputs[l.emission(k)].node);
  for (size_t k = 0; k < l.results(); ++k) results.push_back(k < l.carries ? Value{Value::Carry, k} : Value{Value::Emission, k - l.carries});
}

// What depends on marked nodes.
std::vector<bool> Loop::spread(std::vector<bool> marked) const {
  for (size_t i = 0; i < body.size(); ++i) {
    for (NodeId operand : body[NodeId(i)].operands) marked[i] = marked[i] || marked[operand.at()];
  }
  return marked;
}

std::vector<bool> Loop::carried() const {
  std::vector<bool> marked(body.size());
  for (const Carry& c : carries) marked[c.inner.at()] = true;
  return spread(std::move(marked));
}

std::vector<bool> Loop::varying() const {
  std::vector<bool> marked(body.size());
  for (const Carry& c : carries) marked[c.inner.at()] = true;
  for (const Input& s : sequences) marked[s.inner.at()] = true;
  return spread(std::move(marked));
}

std::vector<bool> Loop::feeds_carries() const {
  std::vector<bool> marked(body.size());
  for (const Carry& c : carries) marked[c.next.at()] = true;
  for (size_t i = body.size(); i-- > 0;) {
    for (NodeId operand : body[NodeId(i)].operands) marked[operand.at()] = marked[operand.at()] || marked[i];
  }
  return marked;
}

void Loop::replace(const std::map<NodeId, NodeId>& by) {
  auto find = [&](NodeId id) {
    for (auto it = by.find(id); it != by.end(); it = by.find(id)) id = it->second;
    return id;
  };
  std::vector<bool> needed(body.size());
  for (Carry& c : carries) needed[(c.next = find(c.next)).at()] = true;
  for (std::vector<NodeId>* list : {&emissions, &deferred}) {
    for (NodeId& id : *list) needed[(id = find(id)).at()] = true;
  }
  std::function<void(size_t)> need_operands = [&](size_t i) {
    for (NodeId operand : body[NodeId(i)].operands) {
      size_t o = find(operand).at();
      bool later = o > i && !needed[o];  // those before are come to by themselves
      needed[o] = true;
      if (later) need_operands(o);
    }
  };
  for (size_t i = body.size(); i-- > 0;) {
    if (needed[i]) need_operands(i);
  }
  Graph out;
  std::vector<NodeId> moved(body.size());
  auto move = [&](size_t i) {
    Node n = body[NodeId(i)];
    for (NodeId& operand : n.operands) operand = moved[find(operand).at()];
    moved[i] = out.add(std::move(n));
  };
  for (Carry& c : carries) move(c.inner.at());
  for (std::vector<Input>* list : {&sequences, &constants}) {
    for (Input& in : *list) move(in.inner.at());
  }
  for (size_t i = 0; i < body.size(); ++i) {
    if (needed[i] && !moved[i] && body[NodeId(i)].operands.empty()) move(i);
  }
  for (size_t i = 0; i < body.size(); ++i) {
    if (needed[i] && !moved[i]) move(i);
  }
  for (Carry& c : carries) c.inner = moved[c.inner.at()], c.next = moved[c.next.at()];
  for (std::vector<Input>* list : {&sequences, &constants}) {
    for (Input& in : *list) in.inner = moved[in.inner.at()];
  }
  for (std::vector<NodeId>* list : {&emissions, &deferred}) {
    for (NodeId& id : *list) id = moved[id.at()];
  }
  body = std::move(out);
  once_.clear();
  for_all_.clear();
  varies_.clear();
}

void Loop::remove_carry(size_t index, Value instead) {
  carries.erase(carries.begin() + static_cast<std::ptrdiff_t>(index));
  redirect_results(Value::Carry, index, instead);
}

void Loop::remove_emission(size_t index, Value instead) {
  emissions.erase(emissions.begin() + static_cast<std::ptrdiff_t>(index));
  redirect_results(Value::Emission, index, instead);
}

// Of what was removed at the index, and of what moved up behind it.
void Loop::redirect_results(Value::Kind kind, size_t index, Value instead) {
  for (Value& v : results) {
    if (v.kind != kind) continue;
    if (v.index == index) v = instead;
    else if (v.index > index) --v.index;
  }
}

NodeId Loop::add_input(const char* role, NodeId like) {
  GraphBuilder b(body);
  Node n = body[like];
  b.provenance = n.provenance;
  return body_input(b, role, body.size(), n.type, n.name).id;
}

bool Loop::varies(NodeId id) {
  if (varies_.size() != body.size()) varies_ = varying();
  return varies_[id.at()];
}

Expr Loop::once(NodeId id, Outside& outside, const char* rule) {
  for (const Input& c : constants) {
    if (c.inner == id) return {outside.builder(), c.outer};
  }
  auto known = once_.find(id);
  if (known != once_.end()) return known->second;
  Node n = body[id];
  for (NodeId& operand : n.operands) operand = once(operand, outside, rule).id;
  ProvenanceId from = n.provenance;
  Expr made = outside.make(from, rule, [&] { return Expr(outside.builder(), outside.builder().graph().add(std::move(n))); });
  return once_[id] = made;
}

bool Loop::can_batch_all(NodeId id, const std::vector<bool>& varies, std::vector<bool> known) const {
  auto can = [&](auto& self, NodeId at) -> bool {
    if (!varies[at.at()] || known[at.at()]) return true;
    const Node& n = body[at];
    if (n.op->kind == OpKind::Input) return false;  // a carry: elements are known
    std::vector<bool> stacked;
    for (NodeId operand : n.operands) stacked.push_back(varies[operand.at()]);
    if (!can_batch(n, stacked)) return false;
    if (!std::all_of(n.operands.begin(), n.operands.end(), [&](NodeId o) { return self(self, o); })) return false;
    return known[at.at()] = true;  // come to again by another path, it is not gone through again
  };
  return can(can, id);
}

Expr Loop::for_all_steps(NodeId id, Outside& outside, const char* rule) {
  for (const Input& s : sequences) {
    if (s.inner == id) return {outside.builder(), s.outer};
  }
  auto known = for_all_.find(id);
  if (known != for_all_.end()) return known->second;
  const Node& n = body[id];
  std::vector<bool> stacked;
  std::vector<Expr> operands;
  for (NodeId operand : n.operands) {
    stacked.push_back(varies(operand));
    operands.push_back(stacked.back() ? for_all_steps(operand, outside, rule) : once(operand, outside, rule));
  }
  Expr made = outside.make(n.provenance, rule, [&] { return batched(outside.builder(), n, operands, stacked, length); });
  with_dims(made, over_time(n.type, time).dims);
  if (n.name && !outside[made.id].name) outside.rebuild().out.edit(made.id).name = n.name;
  return for_all_[id] = made;
}

void Loop::drop_unread_inputs() {
  std::vector<bool> read(body.size());
  auto root = [&](NodeId id) { read[id.at()] = true; };
  for (const Carry& c : carries) root(c.next);
  std::for_each(emissions.begin(), emissions.end(), root);
  for (size_t i = body.size(); i-- > 0;) {
    for (NodeId operand : body[NodeId(i)].operands) read[operand.at()] = read[operand.at()] || read[i];
  }
  for (std::vector<Input>* list : {&sequences, &constants}) {
    for (size_t i = list->size(); i-- > 0;) {
      bool last = carries.size() + sequences.size() + constants.size() == 1;  // a scan has an operand
      if (!read[(*list)[i].inner.at()] && !last) list->erase(list->begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

std::shared_ptr<const Graph> Loop::ordered_body() const {
  auto out = std::make_shared<Graph>();
  GraphBuilder b(*out);
  std::vector<NodeId> moved(body.size());
  std::vector<bool> needed(body.size());
  auto input = [&](const char* role, NodeId inner) {
    const Node& n = body[inner];
    b.provenance = n.provenance;
    moved[inner.at()] = body_input(b, role, out->size(), n.type, n.name).id;
  };
  for (const Carry& c : carries) input(role::carry, c.inner), needed[c.next.at()] = true;
  for (const Input& s : sequences) input(role::element, s.inner);
  for (const Input& c : constants) input(role::constant, c.inner);
  for (NodeId e : emissions) needed[e.at()] = true;
  for (size_t i = body.size(); i-- > 0;) {
    for (NodeId operand : body[NodeId(i)].operands) needed[operand.at()] = needed[operand.at()] || needed[i];
  }
  for (size_t i = 0; i < body.size(); ++i) {
    if (!needed[i] || moved[i]) continue;
    Node n = body[NodeId(i)];
    for (NodeId& operand : n.operands) operand = moved[operand.at()];
    moved[i] = out->add(std::move(n));
  }
  auto output = [&](NodeId id) { out->outputs.push_back({body_output_name(out->outputs.size(), carries.size()), OutputKind::Value, moved[id.at()]}); };
  for (const Carry& c : carries) output(c.next);
  for (NodeId e : emissions) output(e);
  return out;
}

bool Loop::prune() {
  std::vector<bool> needed(body.size()), carry_needed(carries.size());
  auto grow = [&] {
    for (size_t i = body.size(); i-- > 0;) {
      for (NodeId operand : body[NodeId(i)].operands) needed[operand.at()] = needed[operand.at()] || needed[i];
    }
  };
  for (size_t k = 0; k < emissions.size(); ++k) needed[emissions[k].at()] = needed[emissions[k].at()] || used[carries.size() + k];
  for (bool more = true; more;) {
    grow();
    more = false;
    for (size_t k = 0; k < carries.size(); ++k) {
      if (carry_needed[k] || !(used[k] || needed[carries[k].inner.at()])) continue;
      carry_needed[k] = needed[carries[k].next.at()] = more = true;
    }
  }
  size_t before = carries.size() + sequences.size() + constants.size() + emissions.size();
  for (size_t k = emissions.size(); k-- > 0;) {
    if (!used[carry_needed.size() + k]) remove_emission(k, {Value::Outer});
  }
  drop_unread_inputs();
  for (size_t k = carry_needed.size(); k-- > 0;) {
    bool last = carries.size() + sequences.size() + constants.size() == 1;  // a scan has an operand
    if (carry_needed[k]) continue;
    if (last) carries[k].next = carries[k].inner;
    else remove_carry(k, {Value::Outer});
  }
  drop_unread_inputs();
  return carries.size() + sequences.size() + constants.size() + emissions.size() != before;
}

std::vector<NodeId> Loop::finish(Outside& outside, ProvenanceId provenance, Symbol name) {
  ScanResults made;
  auto all = std::pair(sequences, constants);  // what is computed after the loop may read more than the loop does
  drop_unread_inputs();
  std::vector<NodeId> operands;
  for (const Carry& c : carries) operands.push_back(c.initial);
  for (const std::vector<Input>* list : {&sequences, &constants}) {
    for (const Input& in : *list) operands.push_back(in.outer);
  }
  if (operands.empty()) {
    // Nothing comes from outside: every step emits the same.
    for (NodeId e : emissions) {
      Expr value = once(e, outside, "loop-hoist-invariant");
      std::vector<int64_t> sizes = value.sizes();
      sizes.insert(sizes.begin(), length);
      made.emissions.push_back(outside.make(body[e].provenance, "loop-hoist-invariant", [&] { return unreduce(value, {0}, sizes); }));
    }
  } else if (!carries.empty() || !emissions.empty()) {
    outside.make(provenance, nullptr, [&] {
      made = scan(outside.builder(), operands, ordered_body(), carries.size(), sequences.size(), {length, reverse, recompute});
      outside.rebuild().out.edit(made.scan.id).name = name;
      outside.rebuild().out.edit(made.scan.id).type.dims = {time};
      return made.scan;
    });
  }
  std::tie(sequences, constants) = all;
  for (size_t k = 0; k < emissions.size(); ++k) {
    with_dims(made.emissions[k], {time});
    for_all_[emissions[k]] = made.emissions[k];
  }
  std::vector<NodeId> values;
  for (const Value& v : results) {
    switch (v.kind) {
      case Value::Carry: values.push_back(made.carries[v.index].id); break;
      case Value::Emission: values.push_back(made.emissions[v.index].id); break;
      case Value::Deferred: values.push_back(for_all_steps(deferred[v.index], outside, "loop-sink").id); break;
      case Value::Outer: values.push_back(v.outer); break;
    }
  }
  return values;
}

}  // namespace gradc::rewrite
