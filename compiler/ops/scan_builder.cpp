#include "compiler/ops/scan_builder.h"

#include "compiler/ops/ops.h"
#include "compiler/ops/scan.h"
#include "compiler/support/error.h"

namespace gradc {

ScanBuilder::ScanBuilder(GraphBuilder& outer, const Options& options, ScanBuilder* parent)
    : outer_(outer), parent_(parent), options_(options) {
  builder_.provenance = outer.provenance;
}

Expr ScanBuilder::add_input(Expr outer, const Type& type, const char* role, Symbol name, std::vector<size_t>& list) {
  GRADC_ASSERT(&outer.builder() == &outer_, "operands of a scan belong to the graph around it");
  Expr inner = body_input(builder_, role, inputs_.size(), type, name);
  list.push_back(inputs_.size());
  inputs_.push_back({outer.id, inner.id, name});
  return inner;
}

Expr ScanBuilder::carry(Expr initial, Symbol name) {
  return add_input(initial, initial.type(), role::carry, name, carries_);
}

Expr ScanBuilder::element(Expr sequence, Symbol name) {
  return add_input(sequence, without_time(sequence.type()), role::element, name, sequences_);
}

Expr ScanBuilder::inside(Expr value) {
  if (&value.builder() == &builder_) return value;
  if (&value.builder() != &outer_) {
    GRADC_ASSERT(parent_, "the value is of no graph around the scan");
    value = parent_->inside(value);
  }
  const Node& n = outer_[value.id];
  if (n.op->kind == OpKind::Constant) return with_dims({builder_, builder_.add(*n.op, {}, n.attrs)}, n.type.dims);
  NodeId& known = captured_[value.id];
  if (!known) known = add_input(value, value.type(), role::constant, outer_[value.id].name, constants_).id;
  return {builder_, known};
}

void ScanBuilder::next(Expr carry, Expr value) {
  GRADC_ASSERT(next_.emplace(carry.id, inside(value).id).second, "a carry has one next value");
}

size_t ScanBuilder::emit(Expr value, Symbol name) {
  emissions_.emplace_back(inside(value).id, name);
  return emissions_.size() - 1;
}

// The body with its inputs first, in the order of the operands.
std::shared_ptr<const Graph> ScanBuilder::ordered_body(const std::vector<size_t>& order) const {
  auto body = std::make_shared<Graph>();
  GraphBuilder b(*body);
  std::vector<NodeId> moved(body_.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const Input& input = inputs_[order[i]];
    const Node& n = body_[input.inner];
    b.provenance = n.provenance;
    moved[input.inner.at()] = body_input(b, n.attrs.text("role").c_str(), i, n.type, n.name).id;
  }
  for (size_t i = 0; i < body_.size(); ++i) {
    if (moved[i]) continue;
    Node n = body_[NodeId(i)];
    for (NodeId& operand : n.operands) operand = moved[operand.at()];
    moved[i] = body->add(std::move(n));
  }
  for (size_t k : carries_) {
    auto value = next_.find(inputs_[k].inner);
    GRADC_ASSERT(value != next_.end(), "carry {} has no next value", inputs_[k].name);
    body->outputs.push_back({body_output_name(body->outputs.size(), carries_.size()), OutputKind::Value, moved[value->second.at()]});
  }
  for (const auto& [node, name] : emissions_)
    body->outputs.push_back({body_output_name(body->outputs.size(), carries_.size()), OutputKind::Value, moved[node.at()]});
  return body;
}

ScanResults ScanBuilder::finish() {
  std::vector<size_t> order = carries_;
  order.insert(order.end(), sequences_.begin(), sequences_.end());
  order.insert(order.end(), constants_.begin(), constants_.end());
  std::vector<NodeId> operands;
  for (size_t i : order) operands.push_back(inputs_[i].outer);
  ScanResults r = scan(outer_, operands, ordered_body(order), carries_.size(), sequences_.size(), options_);
  for (size_t k = 0; k < emissions_.size(); ++k) {
    if (Symbol name = emissions_[k].second) outer_.graph().edit(r.emissions[k].id).name = name;
  }
  return r;
}

ScanResults scan(GraphBuilder& b, const std::vector<NodeId>& operands, std::shared_ptr<const Graph> body, size_t carries, size_t sequences,
                 const ScanBuilder::Options& options) {
  size_t results = body->outputs.size();
  ScanResults r;
  r.scan = Expr(b, b.add(op<ops::Scan>(), operands,
                         {{"length", options.length},
                          {"carries", static_cast<int64_t>(carries)},
                          {"sequences", static_cast<int64_t>(sequences)},
                          {"reverse", int64_t{options.reverse}},
                          {"recompute", int64_t{options.recompute}}},
                         std::move(body)));
  for (size_t k = 0; k < results; ++k) (k < carries ? r.carries : r.emissions).push_back(result(r.scan, k));
  return r;
}

Expr result(Expr scan, size_t index) {
  return apply(op<ops::Result>(), {scan}, {{"index", static_cast<int64_t>(index)}});
}

Expr body_input(GraphBuilder& body, const char* role, size_t index, const Type& type, Symbol name) {
  Expr e = input(body, fmt::format("{}{}", role, index), role, type);
  body.graph().edit(e.id).name = name;
  return e;
}

Symbol body_output_name(size_t index, size_t carries) {
  return index < carries ? fmt::format("next{}", index) : fmt::format("emission{}", index - carries);
}

namespace ops {
namespace {

OpExample example(std::vector<int64_t> sizes, int64_t reverse) {
  Type element{Element::F64, unnamed(sizes)};
  auto body = std::make_shared<Graph>();
  GraphBuilder b(*body);
  Expr h = body_input(b, role::carry, 0, element), x = body_input(b, role::element, 1, element), w = body_input(b, role::constant, 2, element);
  Expr next = h * x + w;
  body->outputs = {{"next0", OutputKind::Value, next.id}, {"emission0", OutputKind::Value, next.id}};
  return {{element, over_time(element, {4, {}}), element},
          {{"length", int64_t{4}}, {"carries", int64_t{1}}, {"sequences", int64_t{1}}, {"reverse", reverse}, {"recompute", int64_t{0}}},
          body};
}

}  // namespace

std::vector<OpExample> Scan::examples() {
  return {example({}, 0), example({2}, 1)};
}

std::vector<OpExample> Result::examples() {
  Type loop{Element::None, {Dim{4, {}}}};
  return {{{loop}, {{"index", int64_t{0}}}, example({2}, 0).body}, {{loop}, {{"index", int64_t{1}}}, example({2}, 0).body}};
}

}  // namespace ops
}  // namespace gradc
