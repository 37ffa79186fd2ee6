#include "compiler/codegen/contraction_plan.h"

#include <algorithm>
#include <bit>
#include <map>

#include "compiler/codegen/contraction_dot.h"
#include "compiler/codegen/rounding.h"
#include "compiler/support/error.h"

namespace gradc {
namespace {

using Axis = ContractionPlan::Axis;
using Axes = ContractionPlan::Axes;

// Whether every index of the body runs through outer and inner as through one dim.
bool mergeable(const Contraction& c, const Axis& outer, const Axis& inner) {
  auto runs_through = [&](const Affine& a) {
    return a.strides.empty() || a.strides[static_cast<size_t>(outer.dim)] == a.strides[static_cast<size_t>(inner.dim)] * inner.extent;
  };
  for (auto* list : {&c.lhs, &c.rhs, &c.epilogue})
    for (const Stmt& s : *list) {
      if (!runs_through(s.access.at)) return false;
      for (const Guard& g : s.access.guards)
        if (!runs_through(g.at)) return false;
    }
  return true;
}

Axes axes_of(const Contraction& c, DimRole role) {
  Axes axes;
  for (size_t d = 0; d < c.dims.size(); ++d) {
    if (c.roles[d] != role || c.dims[d].extent == 1) continue;
    const Axis axis{static_cast<int>(d), c.dims[d].extent};
    if (!axes.empty() && mergeable(c, axes.back(), axis)) {
      axes.back() = {axis.dim, axes.back().extent * axis.extent};
    } else {
      axes.push_back(axis);
    }
  }
  return axes;
}

int64_t size_of(const Axes& axes) {
  int64_t size = 1;
  for (const Axis& a : axes) size *= a.extent;
  return size;
}

int64_t stride(const Affine& at, const Axes& axes) {
  return axes.empty() || at.strides.empty() ? 0 : at.strides[static_cast<size_t>(axes.back().dim)];
}

// The load of a prologue that is nothing but a load of the contraction's element type.
const Affine* plain(const std::vector<Stmt>& stmts) {
  if (stmts.size() != 2 || stmts[0].kind != StmtKind::Load || stmts[1].kind != StmtKind::Yield) return nullptr;
  const Access& access = stmts[0].access;
  return access.guards.empty() && access.indirect.empty() && stmts[1].args[0] == stmts[0].value ? &access.at : nullptr;
}

// How many loads run along the last axis with stride 1, less those that run across it.
int contiguity(const std::vector<Stmt>& stmts, const Axes& axes) {
  int score = 0;
  for (const Stmt& s : stmts)
    if (s.kind == StmtKind::Load) {
      const int64_t step = stride(s.access.at, axes);
      score += step == 1 ? 1 : step == 0 ? 0 : -1;
    }
  return score;
}

// Rows further apart than that have no page in common: asking for them one by one costs more than copying them first.
constexpr int64_t page = 4096;

// Rows of a power-of-two length fall into few sets of the cache: a column of them throws itself out.
bool collides(int64_t stride_bytes, int64_t rows) { return stride_bytes % 2048 == 0 && rows > 8; }

// The rows of a tile can lie together where vectors of a tile's height exist and no tile is lower.
bool allows_tile_panels(const ContractionPlan& p) {
  if (p.dot || p.K <= 1 || !p.vector_m || p.mr < 4 || (p.lanes % p.mr != 0 && p.mr % p.lanes != 0)) return false;
  const std::set<int64_t> heights = tile_heights(p);
  return heights.size() == 1 && *heights.begin() == p.mr;
}

void choose_lhs(ContractionPlan& p, const std::vector<Stmt>& stmts, int64_t element) {
  const Affine* load = plain(stmts);
  const bool along_k = contiguity(stmts, p.k) >= contiguity(stmts, p.m);
  if (load && p.m.size() <= 1 && p.k.size() <= 1) {
    p.lhs_row = stride(*load, p.m);
    p.lhs_k = stride(*load, p.k);
    const bool reused = p.block_n > 4 * p.nr;  // a copy costs little where many panels read it
    const bool far = along_k ? collides(p.lhs_row * element, p.mr) : p.K > 1 && p.lhs_k * element >= 2048;
    if (!(reused && far)) {
      p.lhs = OperandForm::Direct;
      return;
    }
  }
  p.lhs = along_k ? OperandForm::AlongK : allows_tile_panels(p) ? OperandForm::TilePanels : OperandForm::AlongFree;
}

// Whether rows of n can be turned where they lie, in whole vectors: 16 bytes of `lanes` rows at a time.
bool can_turn(const std::vector<Stmt>& rhs, const Axes& n, const Axes& k, int64_t lanes) {
  const Affine* load = plain(rhs);
  const int64_t together = 16 / static_cast<int64_t>(byte_size(rhs[0].type));
  return load && n.size() == 1 && k.size() == 1 && stride(*load, n) == 1 && size_of(n) >= together && size_of(k) % lanes == 0;
}

void choose_rhs(ContractionPlan& p, const std::vector<Stmt>& stmts) {
  const Affine* load = plain(stmts);
  if (p.dot) {
    const auto bytes = static_cast<int64_t>(byte_size(stmts[0].type));
    const bool in_place = load && p.n.size() <= 1 && p.k.size() <= 1 && stride(*load, p.k) == 1 && !collides(stride(*load, p.n) * bytes, p.N);
    p.rhs = in_place ? OperandForm::Direct : can_turn(stmts, p.n, p.k, p.lanes) ? OperandForm::TurnedAlongK : OperandForm::AlongK;
    if (in_place) p.rhs_row = stride(*load, p.n);
    if (p.rhs == OperandForm::TurnedAlongK) p.source_k = stride(*load, p.k);
    return;
  }
  const bool along_n = contiguity(stmts, p.n) >= contiguity(stmts, p.k);
  const bool few_rows = p.block_m <= 2 * p.mr;
  const bool in_rows = load && along_n && p.n.size() <= 1 && p.k.size() <= 1 && (p.n.empty() || stride(*load, p.n) == 1);
  if (in_rows) p.source_k = stride(*load, p.k);
  if (in_rows && few_rows) {
    p.rhs = OperandForm::Direct;
    p.rhs_k = p.source_k;
    return;
  }
  p.first_tile_copies = in_rows && p.source_k * static_cast<int64_t>(byte_size(stmts[0].type)) < page;
  p.rhs = along_n ? OperandForm::AlongFree : OperandForm::Transposed;
  p.rhs_k = p.nr;
  const auto bytes = static_cast<int64_t>(byte_size(stmts[0].type)), together = 16 / bytes;
  const bool whole = p.N % p.lanes == 0 && p.block_n % p.lanes == 0 && p.K - (p.k_blocks - 1) * p.kc >= together;
  const bool in_columns = load && !along_n && p.n.size() == 1 && p.k.size() == 1 && stride(*load, p.k) == 1;
  if (in_columns && whole) p.source_n = stride(*load, p.n);
}

constexpr int64_t cache_line = 64;

void use_panels(ContractionPlan& p) {
  p.rhs = OperandForm::Direct;
  p.rhs_k = p.panels;
}

void choose_streams(ContractionPlan& p, const Contraction& c, const Target& target) {
  if (p.m.size() != 1 || p.n.size() != 1 || p.N < p.lanes || p.K == 0) return;
  int64_t row_bytes = 0, lines = 0;
  for (const Stmt& s : c.epilogue) {
    if (s.kind != StmtKind::Load && s.kind != StmtKind::Store) continue;
    const Access& a = s.access;
    const bool runs = a.guards.empty() && a.indirect.empty() && stride(a.at, p.n) == 1 && stride(a.at, p.m) != 0;
    const bool known = std::any_of(p.streams.begin(), p.streams.end(), [&](const Access& b) { return b.slot == a.slot && b.at == a.at; });
    if (!runs || known) continue;
    p.streams.push_back(a);
    const auto element = static_cast<int64_t>(byte_size(s.type));
    row_bytes += p.N * element;
    lines += p.mr * ceil_div(p.nr * element, cache_line);
  }
  const int64_t shortest = p.K - (p.k_blocks - 1) * p.kc;  // the last block of k, which the epilogue follows
  p.table = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(lines)));
  p.asks = static_cast<int>(ceil_div(p.table, shortest));
  if (p.batches * p.M * row_bytes <= target.l2_bytes / 2 || p.asks > 8) p.streams.clear();
  if (p.streams.empty()) p.asks = 0, p.table = 0;
}

// What is one instruction or a few, with no registers but its operands'.
bool is_short(const Stmt& s) {
  if (s.kind == StmtKind::Random || s.kind == StmtKind::Index) return false;
  if (s.kind != StmtKind::Compute) return s.access.guards.empty() && s.access.indirect.empty();
  switch (s.op) {
    case ScalarOp::Const: case ScalarOp::Add: case ScalarOp::Sub: case ScalarOp::Mul: case ScalarOp::Div: case ScalarOp::Neg: case ScalarOp::Abs:
    case ScalarOp::Fma: case ScalarOp::Sqrt: case ScalarOp::Lt: case ScalarOp::Le: case ScalarOp::Eq: case ScalarOp::Ne: case ScalarOp::And:
    case ScalarOp::Or: case ScalarOp::Not: case ScalarOp::Select: return true;
    default: return false;
  }
}

// Whether something in it takes the processor long without keeping the multiply-adds from their work.
bool waits(const Stmt& s) { return s.kind == StmtKind::Compute && (s.op == ScalarOp::Div || s.op == ScalarOp::Sqrt); }

// Vectors that are live at once in the epilogue. What is the same for all elements is an operand in memory.
int64_t live_vectors(const std::vector<Stmt>& stmts) {
  std::map<ValueId, size_t> last_use;
  for (size_t i = 0; i < stmts.size(); ++i)
    for (ValueId v : stmts[i].args)
      if (v >= 0) last_use[v] = i;
  std::set<ValueId> live;
  size_t most = 0;
  auto across = [](int64_t stride) { return stride != 0; };
  for (size_t i = 0; i < stmts.size(); ++i) {
    const Stmt& s = stmts[i];
    const bool constant = s.kind == StmtKind::Compute && s.op == ScalarOp::Const;
    const bool uniform = constant || (s.kind == StmtKind::Load && std::none_of(s.access.at.strides.begin(), s.access.at.strides.end(), across));
    std::erase_if(live, [&](ValueId v) { return last_use.at(v) <= i; });
    if (s.value >= 0 && !uniform && last_use.contains(s.value)) live.insert(s.value);
    most = std::max(most, live.size());
  }
  return static_cast<int64_t>(most);
}

// Where the epilogue does nothing but store. Through scratch memory a sum would be stored and loaded once more.
void choose_storing(ContractionPlan& p, const Contraction& c) {
  if (p.dot || p.turned || p.k_blocks != 1 || p.K == 0 || p.m.size() > 1 || p.n.size() != 1 || p.N % p.lanes != 0 || p.block_n % p.lanes != 0) return;
  if (c.epilogue.size() != 2 || c.epilogue[0].kind != StmtKind::Accumulator || c.epilogue[1].kind != StmtKind::Store) return;
  const Stmt& store = c.epilogue[1];
  const Access& a = store.access;
  if (store.args[0] != c.epilogue[0].value || store.type != c.element || !a.guards.empty() || !a.indirect.empty() || stride(a.at, p.n) != 1) return;
  p.stores_sums = true;
  p.out_row = stride(a.at, p.m);
}

// Whether all that the epilogue touches lies in rows of `columns` with nothing between them, or is the same everywhere.
bool is_flat(const std::vector<Stmt>& epilogue, const Axes& rows, const Axes& columns) {
  return std::all_of(epilogue.begin(), epilogue.end(), [&](const Stmt& s) {
    if (s.kind == StmtKind::Compute || s.kind == StmtKind::Accumulator) return true;
    if ((s.kind != StmtKind::Load && s.kind != StmtKind::Store) || !s.access.guards.empty() || !s.access.indirect.empty()) return false;
    const int64_t next = stride(s.access.at, columns), below = stride(s.access.at, rows);
    return (next == 0 && below == 0 && s.kind == StmtKind::Load) || (next == 1 && below == size_of(columns));
  });
}

// Only where rows have sums of their own length: those of dot products and turned ones. Rows of whole vectors gain nothing.
void choose_flat(ContractionPlan& p, const Contraction& c) {
  const Axes &rows = p.turned ? p.n : p.m, &columns = p.turned ? p.m : p.n;
  const int64_t length = size_of(columns);
  if ((!p.dot && !p.turned) || rows.size() != 1 || columns.size() != 1 || length % p.lanes == 0) return;
  p.flat_epilogue = is_flat(c.epilogue, rows, columns);
}

int64_t shortest_block(const ContractionPlan& p) { return p.K - (p.k_blocks - 1) * p.kc; }

// The epilogue of the tile above, a vector in each break.
void choose_finishing(ContractionPlan& p, const Contraction& c, const Target& target) {
  constexpr int64_t fewest_steps = 2, most_steps = 4;
  const bool worth = !p.streams.empty() || std::any_of(c.epilogue.begin(), c.epilogue.end(), waits);
  const bool simple = !p.turned && p.batch.empty() && p.m.size() == 1 && p.n.size() == 1 && p.k_blocks == 1 && p.vector_n && p.N >= p.nr;
  if (!worth || p.stores_sums || !simple || !std::all_of(c.epilogue.begin(), c.epilogue.end(), is_short)) return;
  // With sixteen registers a product leaves none: fewer sums cost it more than its epilogue does.
  const int64_t vectors = p.nr / p.lanes, tile = p.mr * vectors, steps = std::min(most_steps, p.K / tile);
  if (tile + vectors + 1 + live_vectors(c.epilogue) > target.vector_registers || steps < fewest_steps) return;
  p.finishes_above = true;
  p.breaks = tile, p.break_steps = steps;
  p.asks = 0, p.table = 0;
}

// The next panel, a row in each break. Where rows are near each other, the first of a few tiles does as well (first_tile_copies).
void choose_placing(ContractionPlan& p, const Target& target) {
  constexpr int64_t steps = 4, many_tiles = 32, spare_registers = 2;
  const int64_t vectors = p.nr / p.lanes, tiles = tiles_in(p, std::min(p.chunk_rows, p.block_m));
  const bool rows = p.rhs == OperandForm::AlongFree && p.source_k != 0 && p.batch.empty() && p.vector_n;
  if (!rows || (p.first_tile_copies && tiles < many_tiles) || std::min(p.N, p.block_n) < 2 * p.nr) return;
  if (p.mr * vectors + vectors + 1 + spare_registers > target.vector_registers) return;
  const int64_t breaks = p.finishes_above ? p.breaks : std::min(ceil_div(p.kc, tiles), shortest_block(p) / steps);
  if (tiles < 2 || 2 * breaks * tiles < p.kc) return;
  p.places_ahead = true;
  if (!p.finishes_above) p.breaks = breaks, p.break_steps = steps;
}

void choose_breaks(ContractionPlan& p, const Contraction& c, const Target& target) {
  if (p.dot || p.K == 0) return;
  for (int64_t rows : tile_heights(p))
    if (sum_copies(rows, p.nr / p.lanes) > 1) return;
  choose_finishing(p, c, target);
  choose_placing(p, target);
}

// Whether all panels stay in place. Where other blocks have the columns beside, prefetching would run into theirs in each row. With breaks, a tile
// counts on the one above being the one before it.
void choose_order(ContractionPlan& p, int64_t element, const Target& target) {
  const bool placed = p.rhs == OperandForm::AlongFree || p.rhs == OperandForm::Transposed;
  if (!placed || p.dot || p.k_blocks > 1 || p.breaks > 0 || p.blocks_n > 1 || p.N <= p.nr || p.block_m <= p.mr) return;
  p.rows_whole = target.stays_in_l1(p.K * round_up(p.N, p.nr) * element);
}

void place_scratch(ContractionPlan& p, int64_t element) {
  const int64_t pad = cache_line / element, chunk = std::max<int64_t>(1, 16 / element);
  const int64_t kc_rows = round_up(std::max<int64_t>(p.kc, 1), chunk);
  // Not a multiple of a power of two, so that rows fall into different sets.
  const int64_t row = round_up(kc_rows, pad) + pad;
  if (p.lhs == OperandForm::AlongK) p.lhs_row = row, p.lhs_k = 1;
  if (p.lhs == OperandForm::AlongFree) p.lhs_row = 1, p.lhs_k = round_up(p.chunk_rows, p.lanes) + pad;
  if (p.lhs == OperandForm::TilePanels) p.lhs_row = 1, p.lhs_k = p.mr, p.lhs_panel = kc_rows * p.mr + pad;
  if (p.rhs == OperandForm::AlongK || p.rhs == OperandForm::TurnedAlongK) p.rhs_row = row;
  p.temp_row = row;
  int64_t at = 0;
  auto take = [&](int64_t elements) {
    const int64_t begin = at;
    at = round_up(at + elements * element, 4 * cache_line);
    return begin;
  };
  p.table_at = take(ceil_div(p.table * static_cast<int64_t>(sizeof(void*)), element));
  if (p.lhs == OperandForm::AlongK) p.lhs_at = take(p.chunk_rows * row);
  if (p.lhs == OperandForm::AlongFree) p.lhs_at = take(kc_rows * p.lhs_k);
  if (p.lhs == OperandForm::TilePanels) p.lhs_at = take(p.chunk_rows / p.mr * p.lhs_panel);
  if (p.rhs == OperandForm::AlongFree || p.rhs == OperandForm::Transposed) {
    p.rhs_bytes = round_up(p.nr * kc_rows * element, 4 * cache_line);
    p.rhs_at = take((p.places_ahead ? 2 : p.rows_whole ? ceil_div(p.block_n, p.nr) : 1) * p.rhs_bytes / element);
  }
  if (p.rhs == OperandForm::AlongK || p.rhs == OperandForm::TurnedAlongK) p.rhs_at = take(p.nr * row);
  if (p.rhs == OperandForm::Transposed && p.source_n == 0) p.temp_at = take(p.nr * row);
  const int64_t beyond = p.turned ? (turned_row(p) - p.mr) * p.nr : 0;  // rows that are turned with the others, and thrown away
  p.sums_at = take(beyond + (p.k_blocks > 1 ? round_up(p.block_n, p.nr) * p.chunk_rows : p.mr * p.nr));
  if (p.turned) p.turned_at = take(p.nr * turned_row(p));
  p.bytes = at;
}

int64_t lanes_of(const Contraction& c, const Target& target) { return target.vector_bytes / static_cast<int64_t>(byte_size(c.element)); }

// A product with a few columns leaves most lanes empty. Turned round, its rows fill them, where the rows lie next to each other
// (transposing them takes as long as the empty lanes); else its sums are dot products.
bool wants_swap(const Contraction& c, const Target& target) {
  const int64_t lanes = lanes_of(c, target);
  const Axes m = axes_of(c, DimRole::M), n = axes_of(c, DimRole::N), k = axes_of(c, DimRole::K);
  const bool fills = size_of(n) <= lanes / 4 && size_of(m) >= lanes && contiguity(c.lhs, m) > contiguity(c.lhs, k);
  const bool few_dots = size_of(m) <= lanes / 4 && size_of(n) > lanes / 4 && size_of(k) >= lanes && contiguity(c.rhs, k) > contiguity(c.rhs, n);
  return fills || few_dots;
}

// Vectors of rows beside each other for a product of n columns, each of which has a sum for them: as many as registers allow.
int64_t vectors_of_rows(const Target& target, int64_t n) { return (target.vector_registers - 1) / (n + 1); }

// So many columns, not a few, that a quarter and more of their vectors' lanes are empty.
bool fills_badly(int64_t columns, int64_t lanes) { return columns > lanes / 4 && 4 * columns <= 3 * round_up(columns, lanes); }

bool wants_turn(const Contraction& c, const Target& target) {
  const int64_t lanes = lanes_of(c, target);
  const Axes m = axes_of(c, DimRole::M), n = axes_of(c, DimRole::N), k = axes_of(c, DimRole::K);
  const int64_t columns = size_of(n);
  const bool badly = fills_badly(columns, lanes) && vectors_of_rows(target, columns) >= 1;
  const bool simple = axes_of(c, DimRole::Batch).empty() && m.size() == 1 && n.size() == 1 && c.block_n >= columns;
  return badly && simple && size_of(m) >= 2 * lanes && contiguity(c.lhs, m) > contiguity(c.lhs, k);
}

// Dot products have no empty lanes, but adding up those of a sum costs three multiply-adds: that pays for a few columns, and for more of
// them if sums are long. Turning the right operand must pay too.
bool wants_dot(const Contraction& c, const Target& target, int64_t columns) {
  constexpr int64_t adding_up = 3, many_rows = 32, one_by_one = 3;
  const int64_t lanes = lanes_of(c, target), registers = target.vector_registers;
  const Axes m = axes_of(c, DimRole::M), n = axes_of(c, DimRole::N), k = axes_of(c, DimRole::K);
  if (columns < 1 || c.block_n < columns || contiguity(c.lhs, k) <= contiguity(c.lhs, m)) return false;
  if (columns <= lanes / 4) return size_of(k) >= lanes;
  const bool turned = contiguity(c.rhs, k) <= contiguity(c.rhs, n), cheaply = can_turn(c.rhs, n, k, lanes) || columns <= one_by_one;
  if (turned && (!cheaply || std::min(size_of(m), c.block_m) < many_rows)) return false;
  const double filled = static_cast<double>(columns * (size_of(k) + adding_up * lanes)), padded = static_cast<double>(round_up(columns, lanes) * size_of(k));
  // A tile of one row loads as many vectors as it has sums.
  const double gain = dot_rows(lanes, registers, columns) > 1 ? 1.1 : 1.2;
  return fills_badly(columns, lanes) && gain * filled <= padded && columns + 3 <= registers;
}

Contraction swap_sides(Contraction c, const Target& target) {
  for (DimRole& role : c.roles) {
    if (role == DimRole::M) {
      role = DimRole::N;
    } else if (role == DimRole::N) {
      role = DimRole::M;
    }
  }
  std::swap(c.lhs, c.rhs);
  std::swap(c.block_m, c.block_n);
  c.nr = std::max(c.nr, c.mr);
  if (size_of(axes_of(c, DimRole::M)) <= 2) c.nr = (target.vector_registers / 4) * lanes_of(c, target);  // as the scheduler has few rows
  return c;
}

Contraction turn_sides(const Contraction& body, const Target& target) {
  Contraction c = swap_sides(body, target);
  c.mr = size_of(axes_of(c, DimRole::M));
  c.nr = vectors_of_rows(target, c.mr) * lanes_of(c, target);
  return c;
}

}  // namespace

ContractionPlan plan(const Contraction& body, const Target& target) {
  GRADC_ASSERT(is_float(body.element), "plans are for floating point");
  ContractionPlan p;
  p.swapped = body.panels == 0 && wants_swap(body, target);
  p.turned = body.panels == 0 && !p.swapped && wants_turn(body, target);
  const Contraction& contraction = p.turned ? turn_sides(body, target) : p.swapped ? swap_sides(body, target) : body;
  p.swapped |= p.turned;
  p.batch = axes_of(contraction, DimRole::Batch), p.batches = size_of(p.batch);
  p.m = axes_of(contraction, DimRole::M), p.M = size_of(p.m);
  p.n = axes_of(contraction, DimRole::N), p.N = size_of(p.n);
  p.k = axes_of(contraction, DimRole::K), p.K = size_of(p.k);
  const auto element = static_cast<int64_t>(byte_size(contraction.element));
  p.lanes = static_cast<int>(target.vector_bytes / element);
  p.panels = contraction.panels;
  while (p.panels % p.lanes != 0) p.lanes /= 2;  // made for a machine with shorter vectors

  // A tile never wider than the product, never more registers than there are: sums, one row of rhs and one element of lhs.
  p.nr = std::min(round_up(std::max<int64_t>(contraction.nr, 1), p.lanes), round_up(std::max<int64_t>(p.N, 1), p.lanes));
  p.nr = std::min<int64_t>(p.nr, (target.vector_registers / 4) * p.lanes);
  while (p.panels > 0 && p.panels % p.nr != 0) p.nr -= p.lanes;
  const int64_t vectors = p.nr / p.lanes;
  p.mr = std::clamp<int64_t>((target.vector_registers - vectors - 1) / vectors, 1, std::max<int64_t>(contraction.mr, 1));
  // Narrow products have registers left over: more rows a tile hide the latency of fma.
  if (p.nr < contraction.nr) p.mr = std::clamp<int64_t>((target.vector_registers - vectors - 2) / vectors, p.mr, 2 * contraction.mr);
  p.dot = p.panels == 0 && wants_dot(contraction, target, p.N);
  if (p.dot) p.nr = p.N, p.mr = dot_rows(p.lanes, target.vector_registers, p.N);
  p.mr = std::min(p.mr, std::max<int64_t>(p.M, 1));

  p.block_m = std::clamp<int64_t>(contraction.block_m, 1, std::max<int64_t>(p.M, 1));
  p.block_n = std::clamp<int64_t>(contraction.block_n, 1, std::max<int64_t>(p.N, 1));
  p.blocks_m = ceil_div(p.M, p.block_m);
  p.blocks_n = ceil_div(p.N, p.block_n);
  // All columns of a dot product are read for each few rows: they stay in L1.
  const int64_t deepest = p.dot ? target.l1_bytes * 3 / 4 / (p.N * element) / p.lanes * p.lanes : contraction.kc;
  p.k_blocks = std::max<int64_t>(1, ceil_div(p.K, std::max<int64_t>(std::min(contraction.kc, deepest), 1)));
  p.kc = p.k_blocks == 1 ? p.K : std::min(p.K, round_up(ceil_div(p.K, p.k_blocks), 16));
  p.k_blocks = std::max<int64_t>(1, p.kc > 0 ? ceil_div(p.K, p.kc) : 1);

  auto stays_inside = [&](const Axes& axes, int64_t unit) {
    return axes.size() == 1 || (axes.size() > 1 && axes.back().extent % p.lanes == 0 && unit % p.lanes == 0);
  };
  p.vector_k = stays_inside(p.k, p.k_blocks == 1 ? 0 : p.kc);
  // Rows at a time: the lhs and the sums of a chunk stay in half of L2 each.
  const int64_t row_bytes = std::max<int64_t>(1, element * std::max(p.kc, p.k_blocks > 1 ? p.block_n : 0));
  const int64_t tiles = std::max<int64_t>(1, target.l2_bytes / 2 / row_bytes / p.mr);
  p.chunk_rows = std::min(round_up(p.block_m, p.mr), tiles * p.mr);
  const int64_t whole_blocks = p.blocks_m == 1 ? 0 : p.block_m;
  p.vector_m = stays_inside(p.m, p.chunk_rows >= p.block_m ? whole_blocks : 1);
  p.vector_n = stays_inside(p.n, p.blocks_n == 1 ? 0 : p.block_n);

  choose_lhs(p, contraction.lhs, element);
  p.panels > 0 ? use_panels(p) : choose_rhs(p, contraction.rhs);
  if (!p.dot) choose_streams(p, contraction, target);
  choose_storing(p, contraction);
  choose_flat(p, contraction);
  choose_breaks(p, contraction, target);
  choose_order(p, element, target);
  place_scratch(p, element);
  return p;
}

int64_t turned_row(const ContractionPlan& p) { return round_up(p.mr, p.lanes); }

int64_t last_length(int64_t size, int64_t block) { return size == 0 ? 0 : (size - 1) % block + 1; }

int64_t tiles_in(const ContractionPlan& p, int64_t rows) { return ceil_div(rows, p.mr); }

int64_t smaller_tile(const ContractionPlan& p, int64_t rows) { return rows == 0 ? 0 : rows / tiles_in(p, rows); }

std::set<int64_t> tile_heights(const ContractionPlan& p) {
  std::set<int64_t> result;
  for (int64_t rows : {p.block_m, last_length(p.M, p.block_m)}) {
    if (rows == 0) continue;
    result.insert(smaller_tile(p, rows));
    if (rows % tiles_in(p, rows) != 0) result.insert(smaller_tile(p, rows) + 1);
  }
  return result;
}

std::set<int64_t> panel_widths(const ContractionPlan& p) {
  std::set<int64_t> result;
  for (int64_t columns : {p.block_n, last_length(p.N, p.block_n)}) {
    if (columns >= p.nr) result.insert(p.nr);
    if (columns % p.nr != 0) result.insert(columns % p.nr);
  }
  return result;
}

int sum_copies(int64_t rows, int64_t vectors) {
  int copies = 1;
  while (copies < 8 && copies * vectors * rows < 8) copies *= 2;
  return copies;
}

}  // namespace gradc
