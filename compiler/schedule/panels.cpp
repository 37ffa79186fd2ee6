#include "compiler/schedule/panels.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>

#include "compiler/schedule/windows.h"

namespace gradc::scheduling {
namespace {

// Copying takes about as long as what it saves in one or two trips.
constexpr int64_t fewest_trips = 4;

// A right operand as it lies in memory: element (k, n) at offset + k_stride * k + n_stride * n.
struct Operand {
  BufferId buffer;
  int64_t panels, k, n, offset, k_stride, n_stride;
  auto operator<=>(const Operand&) const = default;  // equal ones share a copy
};

bool writes(const Memory& memory, const RawKernel& kernel, BufferId base) {
  for (size_t i = 0; i < kernel.buffers.size(); ++i) {
    if (kernel.body.slots[i].written && memory.behind(kernel.buffers[i]).of == base) return true;
  }
  return false;
}

// The one dim of a role that is longer than 1; -1 where there are several, -2 where there is none.
int only_dim(const Contraction& c, DimRole role) {
  int found = -2;
  for (size_t d = 0; d < c.dims.size(); ++d) {
    if (c.roles[d] != role || c.dims[d].extent == 1) continue;
    found = found == -2 ? static_cast<int>(d) : -1;
  }
  return found;
}

std::optional<Operand> operand_of(const RawKernel& kernel) {
  const auto* c = std::get_if<Contraction>(&kernel.body.form);
  if (!c || !is_float(c->element) || c->panels > 0 || c->rhs.size() != 2 || c->rhs[0].kind != StmtKind::Load) return {};
  const Access& a = c->rhs[0].access;
  if (!a.guards.empty() || !a.indirect.empty() || a.block != 0 || c->rhs[1].args[0] != c->rhs[0].value) return {};
  if (find_windows(*c)) return {};  // a convolution has its own order
  const int k = only_dim(*c, DimRole::K), n = only_dim(*c, DimRole::N);
  if (k < 0 || n < 0 || only_dim(*c, DimRole::Batch) != -2) return {};
  auto extent = [&](int d) { return c->dims[static_cast<size_t>(d)].extent; };
  auto stride = [&](int d) { return a.at.strides[static_cast<size_t>(d)]; };
  if (extent(n) < c->nr) return {};
  return Operand{kernel.buffers[static_cast<size_t>(a.slot)], c->nr, extent(k), extent(n), a.at.offset, stride(k), stride(n)};
}

// The columns that a last panel lacks are zeros: subnormals in lanes that nobody looks at would be slow.
RawKernel copy_kernel(const RawKernel& user, const Operand& o, BufferId to) {
  const auto& c = std::get<Contraction>(user.body.form);
  RawKernel kernel;
  Draft draft{{{ceil_div(o.n, o.panels), {}}, {o.k, {}}, {o.panels, {}}}, std::vector<StmtList>(1)};
  const ProvenanceId provenance = user.provenance[c.lhs.size()];
  Stmt load{.kind = StmtKind::Load, .value = 0, .type = c.element};
  load.access.slot = kernel.slot(o.buffer, c.element, false);
  load.access.at = {o.offset, {o.panels * o.n_stride, o.k_stride, o.n_stride}};
  if (o.n % o.panels != 0) load.access.guards = {{{0, {o.panels, 0, 1}}, o.n, 1}};
  Stmt store{.kind = StmtKind::Store, .type = c.element, .args = {0, -1, -1}};
  store.access.slot = kernel.slot(to, c.element, true);
  store.access.at = {0, {o.k * o.panels, o.panels, 1}};
  for (Stmt* s : {&load, &store}) draft.lists[0].push_back({std::move(*s), provenance, user.labels[c.lhs.size()]});
  return sweep(std::move(kernel), std::move(draft));
}

void use_panels(RawKernel& kernel, const Operand& o, BufferId panels) {
  auto& c = std::get<Contraction>(kernel.body.form);
  const int old = c.rhs[0].access.slot;
  const Access& a = c.rhs[0].access;
  c.panels = o.panels;
  const int slot = kernel.slot(panels, c.element, false);
  c.rhs[0].access = {.slot = slot, .at = {0, std::vector<int64_t>(a.at.strides.size(), 0)}, .indirect = {}, .guards = {}};
  kernel.drop_if_unused(old);
}

}  // namespace

void hoist_panels(StepPlan& step, size_t loop) {
  const auto first = static_cast<size_t>(step.loops[loop].begin);
  std::map<Operand, BufferId> known;
  std::vector<RawKernel> copies;
  for (size_t i = first; i < step.kernels.size(); ++i) {
    RawKernel& kernel = step.kernels[i];
    const std::optional<Operand> o = operand_of(kernel);
    if (!o || trips(step.loops, i) < fewest_trips) continue;
    const Window source = step.memory.behind(o->buffer);
    const bool written = std::any_of(step.kernels.begin() + static_cast<std::ptrdiff_t>(first), step.kernels.end(),
                                     [&](const RawKernel& k) { return writes(step.memory, k, source.of); });
    if (written || !source.place.moves.empty()) continue;
    auto [it, fresh] = known.try_emplace(*o);
    if (fresh) {
      const std::string name = step.memory.buffers[o->buffer.at()].name.str() + ".panels";
      const Type type{std::get<Contraction>(kernel.body.form).element, {{ceil_div(o->n, o->panels), {}}, {o->k, {}}, {o->panels, {}}}};
      it->second = step.memory.add({Symbol(name), BufferKind::Temporary, type, 0, {}});
      copies.push_back(copy_kernel(kernel, *o, it->second));
      copies.back().name = step.unique(name);
    }
    use_panels(kernel, *o, it->second);
  }
  const auto count = static_cast<int32_t>(copies.size());
  for (size_t l = loop; l < step.loops.size(); ++l) step.loops[l].begin += count, step.loops[l].end += count;
  step.kernels.insert(step.kernels.begin() + static_cast<std::ptrdiff_t>(first), std::make_move_iterator(copies.begin()), std::make_move_iterator(copies.end()));
}

}  // namespace gradc::scheduling
