#include "compiler/jit/tiles.h"

#include <set>

#include "compiler/jit/sha256.h"
#include "compiler/schedule/build.h"

namespace gradc {

std::string tile_key(const KernelBody& body) {
  KernelBody plain = body;
  plain.name = {};
  auto& c = std::get<Contraction>(plain.form);
  for (KernelDim& d : c.dims) d.name = {};
  c.mr = c.nr = c.block_m = c.block_n = 0;
  const std::string text = print(plain);
  Sha256 hash;
  hash.update(text.data(), text.size());
  return hash.hex().substr(0, 32);
}

namespace {

// Whether the epilogue goes through arrays of the product's own size that L2 has no room for: as the update of a weight does, and as the
// gradient of one that is kept, whose left operand is stored turned.
bool touches_large(const Contraction& c, const Target& target) {
  bool turned = c.lhs[0].kind == StmtKind::Load;
  for (size_t d = 0; d < c.dims.size(); ++d) turned &= c.roles[d] != DimRole::K || c.dims[d].extent == 1 || c.lhs[0].access.at.strides[d] > 1;
  std::set<int> slots;
  for (const Stmt& s : c.epilogue)
    if ((s.kind == StmtKind::Load || (s.kind == StmtKind::Store && turned)) && element_by_element(c, s)) slots.insert(s.access.slot);
  const int64_t size = extent(c, DimRole::Batch) * extent(c, DimRole::M) * extent(c, DimRole::N) * static_cast<int64_t>(byte_size(c.element));
  return static_cast<int64_t>(slots.size()) * size > target.l2_bytes / 2;
}

// The derivative by a filter: each of its blocks copies the image. One thread has no use for more than one.
Tiling one_filter_block(const Contraction& c, const Windows& windows, const Target& target) {
  const scheduling::Tiles t = scheduling::choose_window_tiles(target, c, windows, /*filter_blocks=*/1);
  return {t.mr, t.nr, t.block_m, t.block_n};
}

// A short sum whose results meet a weight and its moments. With registers to spare, one vector by sixteen rows touches one line of each of
// their rows and keeps its panel of the right operand in the nearest cache; four by four where rows do not begin with a line. The left
// operand's columns lie far apart: in few blocks each of them is put beside its neighbours seldom.
std::optional<Tiling> update_tiles(const Contraction& c, const Target& target, int threads) {
  constexpr int64_t short_sum = 256, line = 64, blocks_per_thread = 2;
  const auto bytes = static_cast<int64_t>(byte_size(c.element));
  const int64_t n = extent(c, DimRole::N), m = extent(c, DimRole::M), lanes = target.vector_bytes / bytes;
  if (m < 16 || extent(c, DimRole::K) > short_sum || !touches_large(c, target)) return {};
  Tiling t = tiling_of(c);
  if (target.vector_registers >= 32 && n >= 4 * lanes) {
    const bool whole_lines = n * bytes % line == 0;
    t.mr = whole_lines ? 16 : 4, t.nr = whole_lines ? lanes : 4 * lanes;
  }
  const int64_t blocks = threads == 1 ? 1 : blocks_per_thread * threads;
  t.block_n = scheduling::round_up(std::max(c.block_n, scheduling::ceil_div(n, blocks)), t.nr);
  return t;
}

// Blocks of rows that share a small right operand each put its panels in place: one thread does it once.
std::optional<Tiling> one_row_block(const Contraction& c, const Target& target) {
  const int64_t k = extent(c, DimRole::K);
  if (c.kc < k || !target.stays_in_l1(k * c.block_n * static_cast<int64_t>(byte_size(c.element)))) return {};
  Tiling t = tiling_of(c);
  t.block_m = extent(c, DimRole::M);
  return t;
}

}  // namespace

void suit_threads(KernelProgram& program, int threads) {
  for (KernelBody& body : program.bodies) {
    auto* c = std::get_if<Contraction>(&body.form);
    if (!c || !is_float(c->element)) continue;
    const auto windows = find_windows(*c);
    std::optional<Tiling> other;
    if (windows) {
      if (windows->sums_places && threads == 1) other = one_filter_block(*c, *windows, program.target);
    } else {
      other = update_tiles(*c, program.target, threads);
      if (!other && threads == 1) other = one_row_block(*c, program.target);
    }
    if (!other || *other == tiling_of(*c)) continue;
    if (auto form = retiled(*c, *other, program.target)) *c = std::move(*form);
  }
}

void use_tiles(KernelProgram& program, const TileChoices& choices) {
  if (choices.empty()) return;
  for (KernelBody& body : program.bodies) {
    auto* c = std::get_if<Contraction>(&body.form);
    auto chosen = c ? choices.find(tile_key(body)) : choices.end();
    if (chosen == choices.end()) continue;
    if (auto other = retiled(*c, chosen->second, program.target)) *c = std::move(*other);
  }
}

}  // namespace gradc
