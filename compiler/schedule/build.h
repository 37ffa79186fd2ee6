#pragma once

#include "compiler/schedule/emit.h"
#include "compiler/schedule/windows.h"

// Clusters become kernels.
namespace gradc::scheduling {

struct BuildInput {
  const Work& work;
  const Clusters& clusters;
  const Storage& storage;
  const Target& target;
};

// Memory of the kernel's own, a stretch for each block.
struct Scratch {
  BufferId placeholder;
  Symbol name;
  Type type;  // of one block's
};

struct NestBuild {
  RawKernel kernel;
  std::vector<Scratch> scratch;
  std::map<int, int64_t> partials;  // by item: results per element, of sums that no block holds whole
};

// Point-wise work, reductions, copies. Where a sum needs partial results and its item does not say so yet, the kernel is
// only good for finding out how many.
NestBuild build_nest(const BuildInput& in, const Cluster& c);
RawKernel build_contraction(const BuildInput& in, const Cluster& c);
RawKernel build_scatter(const BuildInput& in, const Cluster& c);
// The fill, and the values stored over it.
std::vector<RawKernel> build_spread(const BuildInput& in, const Cluster& c);

// A value, or what lies in `from` where that is given, stored to each buffer of `to`.
RawKernel build_copy(const BuildInput& in, NodeId node, BufferId from, const std::vector<BufferId>& to);

// Where the blocks and tiles of a contraction of that size end (flattened extents). A right operand that stays in L1 is shared by blocks of rows,
// which lie together in memory. Not where the epilogue `reads_alike`, an array of the result's size (the primal for a mask): that was written in
// blocks of columns, and each thread finds its own in its cache.
struct Tiles {
  int64_t mr, nr, kc, block_m, block_n;
};
Tiles choose_tiles(const Target& target, Element element, int64_t batch, int64_t m, int64_t n, int64_t k, bool reads_alike = false);
// The same for one that reads an image through windows: blocks and tiles end where lines of the image do. Each block of the derivative by a
// filter copies the whole image, so few of them are made.
Tiles choose_window_tiles(const Target& target, const Contraction& form, const Windows& windows, int64_t filter_blocks = 6);
// Gives a contraction whose dims and operands are there the one or the other.
void lay_tiles(const Target& target, Contraction& form);

// What one block of a contraction should have to do at least, in products: four microseconds. Handing it to a waiting thread takes a fifth
// of one, and what it reads has to come out of another core's cache. And the most blocks that a kernel is cut into.
inline constexpr double products_per_block = 2.5e5;
inline constexpr int64_t most_grid_blocks = 64;
// Number of blocks worth making for that many operations.
int64_t blocks_for(double operations);
int64_t ceil_div(int64_t a, int64_t b);
int64_t round_up(int64_t a, int64_t b);

// Statements over dims, before loops are laid over them.
struct Draft {
  std::vector<KernelDim> dims;
  std::vector<StmtList> lists;
};
// Merges neighbours in each group (dims in loop order) wherever every index allows it, then renumbers the dims in the order of the
// groups. Returns the new groups.
std::vector<std::vector<int>> collapse(Draft& draft, std::vector<std::vector<int>> groups);

// One pass over a box of points, by the only list of the draft.
RawKernel sweep(RawKernel kernel, Draft draft);
// Appends a list to the kernel's tables and returns its statements.
std::vector<Stmt> take(RawKernel& kernel, StmtList list);
// Where a node's value goes: home, and further outputs that ask for it.
std::vector<BufferId> destinations(const BuildInput& in, NodeId node);
// Stores a node's value there.
void store(const BuildInput& in, Emitter& emitter, RawKernel& kernel, NodeId node, const Place& result, ValueId value);

}  // namespace gradc::scheduling
