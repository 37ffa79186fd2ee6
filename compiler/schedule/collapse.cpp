#include <algorithm>

#include "compiler/schedule/build.h"

namespace gradc::scheduling {
namespace {

template <class F>
void each_affine(Draft& draft, F f) {
  for (StmtList& list : draft.lists) {
    for (TaggedStmt& t : list) {
      Stmt& s = t.stmt;
      bool indexed = s.kind == StmtKind::Load || s.kind == StmtKind::Store || s.kind == StmtKind::Accumulate ||
                     s.kind == StmtKind::Index || s.kind == StmtKind::Random;
      if (!indexed) continue;
      f(s.access.at);
      for (Guard& g : s.access.guards) f(g.at);
    }
  }
}

bool mergeable(Draft& draft, size_t high, size_t low) {
  bool ok = true;
  each_affine(draft, [&](const Affine& a) { ok &= a.strides[high] == a.strides[low] * draft.dims[low].extent; });
  auto has = [](const std::vector<int>& v, size_t d) { return std::find(v.begin(), v.end(), static_cast<int>(d)) != v.end(); };
  for (const StmtList& list : draft.lists) {
    for (const TaggedStmt& t : list) {
      ok &= has(t.stmt.first, high) == has(t.stmt.first, low);
      ok &= t.stmt.index_dim != static_cast<int>(high) && t.stmt.index_dim != static_cast<int>(low);
    }
  }
  return ok;
}

}  // namespace

std::vector<std::vector<int>> collapse(Draft& draft, std::vector<std::vector<int>> groups) {
  for (std::vector<int>& group : groups) {
    for (size_t i = group.size(); i-- > 1;) {
      auto high = static_cast<size_t>(group[i - 1]), low = static_cast<size_t>(group[i]);
      if (!mergeable(draft, high, low)) continue;
      KernelDim &from = draft.dims[high], &to = draft.dims[low];
      to.extent *= from.extent;
      if (from.name && to.name) to.name = Symbol(from.name.str() + "*" + to.name.str());
      for (StmtList& list : draft.lists) {
        for (TaggedStmt& t : list) std::erase(t.stmt.first, static_cast<int>(high));
      }
      group.erase(group.begin() + static_cast<std::ptrdiff_t>(i - 1));
    }
  }
  std::vector<int> renumbered(draft.dims.size(), -1);
  std::vector<KernelDim> dims;
  for (std::vector<int>& group : groups) {
    for (int& d : group) {
      renumbered[static_cast<size_t>(d)] = static_cast<int>(dims.size());
      dims.push_back(draft.dims[static_cast<size_t>(d)]);
      d = static_cast<int>(dims.size()) - 1;
    }
  }
  each_affine(draft, [&](Affine& a) {
    std::vector<int64_t> strides(dims.size(), 0);
    for (size_t d = 0; d < a.strides.size(); ++d) {
      if (renumbered[d] >= 0) strides[static_cast<size_t>(renumbered[d])] = a.strides[d];
    }
    a.strides = std::move(strides);
  });
  for (StmtList& list : draft.lists) {
    for (TaggedStmt& t : list) {
      for (int& d : t.stmt.first) d = renumbered[static_cast<size_t>(d)];
      std::sort(t.stmt.first.begin(), t.stmt.first.end());
      if (t.stmt.index_dim >= 0) t.stmt.index_dim = renumbered[static_cast<size_t>(t.stmt.index_dim)];
    }
  }
  draft.dims = std::move(dims);
  return groups;
}

std::vector<Stmt> take(RawKernel& kernel, StmtList list) {
  std::vector<Stmt> stmts;
  for (TaggedStmt& t : list) {
    stmts.push_back(std::move(t.stmt));
    kernel.provenance.push_back(t.provenance);
    kernel.labels.push_back(t.label);
  }
  return stmts;
}

std::vector<BufferId> destinations(const BuildInput& in, NodeId node) {
  std::vector<BufferId> buffers;
  bool input = in.work.graph[node].op->kind == OpKind::Input;
  if (!input) buffers.push_back(in.storage.of_node[node.at()]);
  if (auto more = in.storage.copies.find(node); more != in.storage.copies.end()) {
    buffers.insert(buffers.end(), more->second.begin(), more->second.end());
  }
  return buffers;
}

void store(const BuildInput& in, Emitter& emitter, RawKernel& kernel, NodeId node, const Place& result, ValueId value) {
  const Type& type = in.work.graph[node].type;
  for (BufferId b : destinations(in, node)) {
    Stmt s{.kind = StmtKind::Store, .type = type.element, .args = {value, -1, -1}};
    s.access.slot = kernel.slot(b, type.element, true);
    s.access.at = flat(result, type, emitter.dims()).at;
    emitter.emit(s, node, emitter.is_row(result));
  }
}

}  // namespace gradc::scheduling
