#include <algorithm>

#include "compiler/schedule/build.h"

namespace gradc::scheduling {
namespace {
constexpr double operations_per_block = 32e3;   // of point-wise work
constexpr int64_t few_rows = 2;
}  // namespace

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

int64_t blocks_for(double operations) {
  return std::clamp<int64_t>(static_cast<int64_t>(operations / operations_per_block), 1, most_grid_blocks);
}

// The height that divides the rows, so that one register tile does for all of them (one inner loop to compile, no sliver at the end);
// where there is none, about equal heights.
static int64_t tile_height(int64_t m, int64_t least, int64_t best, int64_t most) {
  for (int64_t rows = best; rows >= least; --rows)
    if (m % rows == 0) return rows;
  for (int64_t rows = best + 1; rows <= most; ++rows)
    if (m % rows == 0) return rows;
  return ceil_div(m, ceil_div(m, best));
}

// Blocks halve the columns: a panel of the right operand is then put in place once for all rows. They stay wide enough to use a copy of
// the left operand many times. Rows are halved where there are few columns to share out, or so many rows that placing the panels
// again costs nothing. `rows_first`: that it costs little is known.
static void choose_blocks(Tiles& t, bool rows_first, int64_t l2_elements, int64_t batch, int64_t m, int64_t n, int64_t k) {
  const double products = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const auto shared_out = [&](int64_t most) { return std::min(static_cast<int64_t>(products / products_per_block), ceil_div(most, std::max<int64_t>(batch, 1))); };
  int64_t panels = ceil_div(n, t.nr), tiles = ceil_div(m, t.mr), block_panels = panels, block_tiles = tiles;
  const int64_t widest = std::max<int64_t>(4, l2_elements * 3 / 4 / t.kc / t.nr);
  while (block_panels > widest) block_panels = ceil_div(block_panels, 2);
  const auto blocks = [&] { return ceil_div(panels, block_panels) * ceil_div(tiles, block_tiles); };
  if (rows_first)
    while (blocks() < shared_out(16) && block_tiles >= 8) block_tiles = ceil_div(block_tiles, 2);
  while (blocks() < shared_out(16) && block_panels > 2) block_panels = ceil_div(block_panels, 2);
  while (blocks() < shared_out(most_grid_blocks) && block_tiles >= 8 && (blocks() < 8 || block_tiles * t.mr >= 1024)) block_tiles = ceil_div(block_tiles, 2);
  t.block_n = block_panels * t.nr;
  t.block_m = block_tiles * t.mr;
}

// Register tiles: rows x vectors of columns, leaving registers for one row of the right operand and a broadcast. With 16 registers three
// vectors by four rows run at 94 % of what the registers allow where two by six reach 80; with 32, two by eight reach 99 % where
// two by twelve or fourteen and three by eight reach 95.
static void choose_register_tile(Tiles& t, const Target& target, int64_t lanes, int64_t m, int64_t n) {
  const int64_t registers = target.vector_registers;
  const bool many = registers >= 32;
  // A row or two read the right operand once: the wider, the longer the runs in memory.
  const int64_t widest = m <= few_rows ? registers / 4 : many && (n % (3 * lanes) != 0 || n % (2 * lanes) == 0) ? 2 : 3;
  const int64_t vectors = std::min(ceil_div(std::max<int64_t>(n, 1), lanes), widest);
  const int64_t most = std::min<int64_t>((registers - vectors - 1) / vectors, registers / 2);
  t.nr = vectors * lanes;
  t.mr = tile_height(m, std::min(most, registers / 4 - 2), vectors == 1 ? most : std::min<int64_t>(most, 16 / vectors), most);
}

Tiles choose_tiles(const Target& target, Element element, int64_t batch, int64_t m, int64_t n, int64_t k, bool reads_alike) {
  auto bytes = static_cast<int64_t>(byte_size(element));
  Tiles t{};
  choose_register_tile(t, target, std::max<int64_t>(1, target.vector_bytes / bytes), m, n);
  // The panel of the right operand, kc x nr, is read once for each tile of rows. Where a tile has many sums for each element of it, it may
  // come from L2; else it stays in L1 beside the left rows. Deep panels spare the sums a way through memory.
  const int64_t room = target.vector_registers >= 32 ? target.l2_bytes / 8 : target.l1_bytes * 3 / 4;
  const int64_t deepest = m <= few_rows ? 4096 : std::clamp<int64_t>(room / (t.nr * bytes), 64, 512);
  t.kc = ceil_div(k, ceil_div(k, deepest));
  const bool panels_stay = t.kc == k && target.stays_in_l1(k * round_up(n, t.nr) * bytes);
  choose_blocks(t, panels_stay && !reads_alike, target.l2_bytes / bytes, batch, m, n, k);
  return t;
}

// Whether the epilogue reads an array of the result's size, which most likely another product of that size has written.
static bool reads_alike(const Contraction& form) {
  return std::any_of(form.epilogue.begin(), form.epilogue.end(), [&](const Stmt& s) { return s.kind == StmtKind::Load && element_by_element(form, s); });
}

void lay_tiles(const Target& target, Contraction& form) {
  const std::optional<Windows> windows = find_windows(form);
  Tiles t = windows ? choose_window_tiles(target, form, *windows)
                    : choose_tiles(target, form.element, extent(form, DimRole::Batch), extent(form, DimRole::M), extent(form, DimRole::N), extent(form, DimRole::K),
                                   reads_alike(form));
  // Blocks of rows over several axes begin where a vector along the last one does.
  const int64_t lanes = std::max<int64_t>(1, target.vector_bytes / static_cast<int64_t>(byte_size(form.element)));
  if (!windows && std::count(form.roles.begin(), form.roles.end(), DimRole::M) > 1) t.block_m = round_up(t.block_m, lanes);
  form.mr = t.mr, form.nr = t.nr, form.kc = t.kc, form.block_m = t.block_m, form.block_n = t.block_n;
}

}  // namespace gradc::scheduling
