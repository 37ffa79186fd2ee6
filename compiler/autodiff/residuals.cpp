#include "compiler/autodiff/residuals.h"

#include <algorithm>

#include "compiler/support/error.h"

namespace gradc {
namespace {

constexpr int longest_chain = 4;  // of point-wise work done again for one value

bool takes_long(ScalarOp op) {
  switch (op) {
    case ScalarOp::Div:
    case ScalarOp::Rem:
    case ScalarOp::Sqrt:
    case ScalarOp::Rsqrt:
    case ScalarOp::Exp:
    case ScalarOp::Expm1:
    case ScalarOp::Log:
    case ScalarOp::Log1p:
    case ScalarOp::Sin:
    case ScalarOp::Cos:
    case ScalarOp::Tanh:
    case ScalarOp::Erf:
    case ScalarOp::Pow: return true;
    default: return false;
  }
}

}  // namespace

// Values that cost much are kept first; then it is known which of the others can be had from what is there.
void Residuals::require(const std::set<NodeId>& values) {
  for (NodeId id : values) {
    while (is_view(id)) id = body_.graph[id].operands[0];
    if (!is_cheap(id)) resolve(id);
  }
  for (NodeId id : values) resolve(id);
}

void Residuals::emit(NodeId id) {
  source_[id.at()] = Source::Emitted;
  emitted_.insert(id);
}

void Residuals::again(NodeId id) {
  source_[id.at()] = Source::Again;
  for (NodeId operand : body_.graph[id].operands) resolve(operand);
}

void Residuals::resolve(NodeId id) {
  GRADC_ASSERT(body_.is_primal(id), "only primal values are kept");
  if (source(id) != Source::None) return;
  const Node& n = body_.graph[id];
  if (n.op->kind == OpKind::Input) {
    if (id.at() < layout_.carries) return emit(id);
    source_[id.at()] = Source::Read;
  } else if (recompute_ || !body_.varies[id.at()] || is_view(id)) {
    again(id);
  } else if (is_cheap(id) && std::all_of(n.operands.begin(), n.operands.end(), [&](NodeId o) { return available(o, longest_chain); })) {
    again(id);
  } else {
    emit(id);
  }
}

// Whether a value can be had without keeping anything more.
bool Residuals::available(NodeId id, int depth) const {
  if (source(id) != Source::None || !body_.varies[id.at()]) return true;
  const Node& n = body_.graph[id];
  if (n.op->kind == OpKind::Input) return id.at() >= layout_.carries;
  if (depth == 0 || (!is_view(id) && !is_cheap(id))) return false;
  return std::all_of(n.operands.begin(), n.operands.end(), [&](NodeId o) { return available(o, depth - 1); });
}

// A view is made again from what it looks at, which is no larger.
bool Residuals::is_view(NodeId id) const {
  const Node& n = body_.graph[id];
  bool view = n.op->kind == OpKind::View || n.op->kind == OpKind::Reshape;
  return view && body_.graph[n.operands[0]].type.count() <= n.type.count();
}

bool Residuals::is_cheap(NodeId id) const {
  const Node& n = body_.graph[id];
  if (n.op->kind != OpKind::Pointwise) return false;
  std::vector<Element> elements;
  for (NodeId operand : n.operands) elements.push_back(body_.graph[operand].type.element);
  ScalarProgram p = n.op->program(elements, n.attrs);
  return std::none_of(p.insts.begin(), p.insts.end(), [](const ScalarInst& i) { return takes_long(i.op); });
}

}  // namespace gradc
