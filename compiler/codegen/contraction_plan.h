#pragma once

#include <set>
#include <vector>

#include "compiler/schedule/kernel.h"

namespace gradc {

// Where the elements of an operand are when the register tile reads them.
enum class OperandForm : uint8_t {
  Direct,   // in its slot, at constant strides
  AlongK,   // evaluated into scratch, k contiguous (lhs: [m][k]; rhs of dot products: [n][k])
  AlongFree,  // evaluated into scratch, the free dim contiguous (lhs: [k][m]; rhs: a panel [k][nr] at a time)
  TilePanels,  // lhs: evaluated into scratch, the rows of a tile together, [tile][k][mr]: what a tile reads is one run of memory
  Transposed,  // rhs: evaluated row by row with k contiguous, then turned into a panel
  TurnedAlongK,  // rhs of dot products: in its slot rows of n, which are turned into AlongK
};

// Everything about a floating-point contraction that is decided before any code is emitted; a function of body and target.
// Sizes are flattened over the dims of a role.
struct ContractionPlan {
  // Dims of a role that every index runs through as through one are merged into one axis: `dim` is the innermost of them,
  // whose strides are the axis's. Dims of extent 1 have no axis.
  struct Axis {
    int dim;
    int64_t extent;
  };
  using Axes = std::vector<Axis>;
  Axes batch, m, n, k;
  bool swapped = false;  // N is too short for vectors, so m is what the body calls N, and lhs what it calls rhs
  // The product is computed swapped because its columns would fill vectors badly and its rows fill them well, but its epilogue runs along
  // what the body calls n: sums are turned round in between.
  bool turned = false;
  int64_t batches = 1, M = 1, N = 1, K = 1;

  int lanes = 8;             // of a vector
  int64_t mr = 6, nr = 16;   // nr: a multiple of lanes
  int64_t block_m = 1, block_n = 1, blocks_m = 1, blocks_n = 1;
  int64_t kc = 1, k_blocks = 1;
  int64_t chunk_rows = 1;    // rows of lhs worked on at a time

  bool dot = false;          // vectors run along k (contraction_dot.h)
  OperandForm lhs = OperandForm::Direct, rhs = OperandForm::AlongFree;
  bool vector_k = true, vector_m = true, vector_n = true;  // a vector along the flattened index stays within the last axis
  int64_t lhs_row = 0, lhs_k = 0;  // strides in elements where the tile reads
  int64_t lhs_panel = 0;           // TilePanels: from one tile to the next
  int64_t panels = 0;              // the rhs lies in panels of so many columns; a tile's are within one
  int64_t rhs_k = 0, rhs_row = 0;  // rhs_row: of dot products
  // AlongFree: the operand lies in memory as the panel would have it, but for rows `source_k` apart. The first tile of rows can read it
  // there and leave the panel behind for the others: its products hide what fetching it takes.
  bool first_tile_copies = false;
  int64_t source_k = 0;
  // The panels of all columns fit into L1 beside what a tile reads: tiles follow each other along the rows. The result is written from one end to
  // the other then; panel by panel, the processor's prefetching runs into the rows of other threads' blocks.
  bool rows_whole = false;
  int64_t source_n = 0;            // Transposed: rows of n that far apart are turned where they lie; 0: evaluated first
  int64_t temp_row = 0;            // row length of the transposing buffer

  // What the epilogue reads and writes element by element, where that is more than L2 holds: a tile touches a few lines of many rows,
  // too short a run for the processor's own prefetching. Asked for while the sums are computed, they arrive in time. `table` holds
  // the addresses of one tile's lines, of which each step of k takes `asks`.
  std::vector<Access> streams;
  int asks = 0;
  int64_t table = 0;

  // The epilogue is nothing but a store of whole vectors, so tiles put their sums where they belong. `out_row` apart.
  bool stores_sums = false;
  int64_t out_row = 0;

  // What the epilogue touches lies as the result's rows do, one behind the other: their sums lie so too, and it runs over all of a tile's as
  // over one row. Vectors are full then, and none overlaps the one that the row above has just stored.
  bool flat_epilogue = false;

  // Where registers are left, the loop of a tile has breaks: so many, each before so many steps of k. In them the tile above gets its
  // epilogue, and rows of the next panel of the right operand are put in place (contraction_overlap.h).
  int64_t breaks = 0, break_steps = 0;
  bool finishes_above = false, places_ahead = false;

  // Byte offsets of the parts of the scratch.
  int64_t table_at = 0, lhs_at = 0, rhs_at = 0, rhs_bytes = 0, temp_at = 0, sums_at = 0, turned_at = 0, bytes = 0;
};

// Only for F32 and F64.
ContractionPlan plan(const Contraction& contraction, const Target& target);

// A block of rows is divided into tiles of about equal heights: so many tiles, the first of them a row taller than the others.
int64_t tiles_in(const ContractionPlan& p, int64_t rows);
int64_t smaller_tile(const ContractionPlan& p, int64_t rows);
// The heights of tiles, and the numbers of columns of panels, that a plan has.
std::set<int64_t> tile_heights(const ContractionPlan& p);
std::set<int64_t> panel_widths(const ContractionPlan& p);
// How many of `size` are in the last block.
int64_t last_length(int64_t size, int64_t block);
// Few independent sums would leave the pipeline idle for the latency of fma: a tile keeps so many copies of each over k, a power of two,
// and adds them at the end.
int sum_copies(int64_t rows, int64_t vectors);
// Row length of turned sums.
int64_t turned_row(const ContractionPlan& p);

}  // namespace gradc
