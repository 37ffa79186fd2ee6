#include <algorithm>

#include "compiler/schedule/build.h"

namespace gradc::scheduling {
namespace {
constexpr double operations_per_block = 32e3;   // of point-wise work
constexpr double products_per_block = 4e6;      // of contractions
constexpr int64_t most_blocks = 64;
}  // namespace

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

int64_t blocks_for(double operations) {
  return std::clamp<int64_t>(static_cast<int64_t>(operations / operations_per_block), 1, most_blocks);
}

// The height that divides the rows, so that one register tile does for all of them (one inner loop to compile, no sliver at the end);
// where there is none, about equal heights.
static int64_t tile_height(int64_t m, int64_t least, int64_t most) {
  for (int64_t rows = most; rows >= least; --rows)
    if (m % rows == 0) return rows;
  return ceil_div(m, ceil_div(m, most));
}

// Register tiles: rows x vectors of columns, leaving registers for one row of the right operand and a broadcast. With 16 registers three
// vectors by four rows run at 94 % of what the registers allow where two by six reach 80; with 32, two by eight and more
// reach 88, three by eight no more.
Tiles choose_tiles(const Target& target, Element element, int64_t batch, int64_t m, int64_t n, int64_t k) {
  auto bytes = static_cast<int64_t>(byte_size(element));
  int64_t lanes = std::max<int64_t>(1, target.vector_bytes / bytes);
  int64_t registers = target.vector_registers;
  bool many = registers >= 32;
  int64_t vectors = std::min<int64_t>(ceil_div(std::max<int64_t>(n, 1), lanes), many && n % (3 * lanes) != 0 ? 2 : 3);
  int64_t most = std::min<int64_t>((registers - vectors - 1) / vectors, registers / 2);
  Tiles t{};
  t.nr = vectors * lanes;
  t.mr = tile_height(m, std::min(most, registers / 4), most);
  // A panel of the right operand, kc x nr, stays in L1 beside the left rows.
  int64_t deepest = std::clamp<int64_t>(target.l1_bytes * 3 / 4 / (t.nr * bytes), 64, 512);
  t.kc = ceil_div(k, ceil_div(k, deepest));
  // Blocks halve the longer side; never so small that reading the other operand again costs more than it gains.
  double products = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  auto wanted = static_cast<int64_t>(products / products_per_block);
  wanted = std::min(wanted, ceil_div(most_blocks, std::max<int64_t>(batch, 1)));
  int64_t panels = ceil_div(n, t.nr), tiles = ceil_div(m, t.mr);
  int64_t widest = std::max<int64_t>(4, target.l2_bytes * 3 / 4 / (t.kc * bytes) / t.nr);
  int64_t block_panels = panels, block_tiles = tiles;
  while (block_panels > widest) block_panels = ceil_div(block_panels, 2);
  auto blocks = [&] { return ceil_div(panels, block_panels) * ceil_div(tiles, block_tiles); };
  while (blocks() < wanted) {
    bool columns = block_panels * t.nr >= block_tiles * t.mr;
    if (columns && block_panels < 4) columns = false;
    if (!columns && block_tiles < 4) {
      if (block_panels < 4) break;
      columns = true;
    }
    int64_t& side = columns ? block_panels : block_tiles;
    side = ceil_div(side, 2);
  }
  t.block_n = block_panels * t.nr;
  t.block_m = block_tiles * t.mr;
  return t;
}

}  // namespace gradc::scheduling
