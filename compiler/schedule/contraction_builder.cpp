#include <algorithm>

#include "compiler/schedule/build.h"
#include "compiler/support/error.h"

namespace gradc::scheduling {
namespace {

bool contains(const std::vector<int64_t>& labels, int64_t label) { return std::find(labels.begin(), labels.end(), label) != labels.end(); }

class ContractionBuilder {
 public:
  ContractionBuilder(const BuildInput& in, const Cluster& c)
      : in_(in), c_(c), emitter_(in.work, in.storage, kernel_, c.extents) {
    for (const Member& m : c.members) {
      if (in.work.items[static_cast<size_t>(m.item)].kind == ItemKind::Contraction) product_ = &m;
    }
  }

  RawKernel run() {
    assign_roles();
    draft_.lists.resize(3);
    for (size_t d = 0; d < c_.extents.size(); ++d) draft_.dims.push_back({c_.extents[d], c_.names[d]});
    operand(draft_.lists[0], swapped_ ? 1 : 0);
    operand(draft_.lists[1], swapped_ ? 0 : 1);
    epilogue(draft_.lists[2]);
    auto groups = collapse(draft_, groups_);
    Contraction form;
    form.dims = draft_.dims;
    form.element = node().type.element;
    for (size_t role = 0; role < 4; ++role) form.roles.insert(form.roles.end(), groups[role].size(), static_cast<DimRole>(role));
    form.lhs = take(kernel_, std::move(draft_.lists[0]));
    form.rhs = take(kernel_, std::move(draft_.lists[1]));
    form.epilogue = take(kernel_, std::move(draft_.lists[2]));
    lay_tiles(in_.target, form);
    kernel_.body.form = std::move(form);
    return std::move(kernel_);
  }

 private:
  const Node& node() const { return in_.work.graph[in_.work.items[static_cast<size_t>(product_->item)].node]; }
  NodeId node_id() const { return in_.work.items[static_cast<size_t>(product_->item)].node; }

  // The operand whose free axis is innermost in the result is the right one: results are stored along it.
  void assign_roles() {
    const Node& n = node();
    const auto &lhs = n.attrs.integers("lhs"), &rhs = n.attrs.integers("rhs"), &out = n.attrs.integers("out");
    std::vector<int64_t> labels = contraction_labels(n);
    for (size_t i = out.size(); i-- > 0;) {
      if (product_->dims[i] < 0 || (contains(lhs, out[i]) && contains(rhs, out[i]))) continue;
      swapped_ = contains(lhs, out[i]);
      break;
    }
    groups_.resize(4);
    for (size_t i = 0; i < labels.size(); ++i) {
      int d = product_->dims[i];
      if (d < 0) continue;
      bool left = contains(swapped_ ? rhs : lhs, labels[i]), right = contains(swapped_ ? lhs : rhs, labels[i]);
      DimRole role = !contains(out, labels[i]) ? DimRole::K : left && right ? DimRole::Batch : left ? DimRole::M : DimRole::N;
      groups_[static_cast<size_t>(role)].push_back(d);
    }
  }

  void operand(StmtList& list, size_t which) {
    emitter_.begin_apart(list);
    Place own = place_along(c_.extents.size(), product_->dims);
    NodeId from = node().operands[which];
    ValueId v = emitter_.value(from, in_.work.operand_place(node_id(), which, own, c_.extents));
    emitter_.emit({.kind = StmtKind::Yield, .type = node().type.element, .args = {v, -1, -1}}, node_id(), true, false);
  }

  void epilogue(StmtList& list) {
    emitter_.begin_apart(list);
    std::set<NodeId> local;
    for (const Member& m : c_.members) local.insert(in_.work.items[static_cast<size_t>(m.item)].node);
    emitter_.set_local(local);
    ValueId sum = emitter_.emit({.kind = StmtKind::Accumulator, .type = node().type.element}, node_id(), true);
    emitter_.define(node_id(), sum);
    for (const Member& m : c_.members) {
      const Item& item = in_.work.items[static_cast<size_t>(m.item)];
      std::vector<int> dims;
      for (int d : item.result) dims.push_back(d < 0 ? -1 : m.dims[static_cast<size_t>(d)]);
      Place result = place_along(c_.extents.size(), dims);
      ValueId v = emitter_.value(item.node, result);
      if (in_.clusters.is_stored(m.item)) store(in_, emitter_, kernel_, item.node, result, v);
    }
  }

  const BuildInput& in_;
  const Cluster& c_;
  RawKernel kernel_;
  Emitter emitter_;
  Draft draft_;
  const Member* product_ = nullptr;
  bool swapped_ = false;
  std::vector<std::vector<int>> groups_;  // by role
};

}  // namespace

RawKernel build_contraction(const BuildInput& in, const Cluster& c) { return ContractionBuilder(in, c).run(); }

}  // namespace gradc::scheduling
