#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/schedule/target.h"

namespace gradc {

// The kernel form: what the scheduler hands to the code generator. It is printed as readable loops and parsed back.
//
// A kernel body works on *slots* (numbered tensor arguments) and knows neither buffers nor the sites of its random numbers: equal
// bodies are compiled once and called with different ones (KernelInstance). All sizes are in elements.

using ValueId = int32_t;  // a scalar (per point of the iteration space) of one kernel; -1 none

// offset + sum over dims of strides[d] * index(d)
struct Affine {
  int64_t offset = 0;
  std::vector<int64_t> strides;  // one per dim of the kernel
  bool operator==(const Affine&) const = default;
};

// The point is inside where 0 <= at and at < limit * step and at % step == 0: the window of a pad.
struct Guard {
  Affine at;
  int64_t limit = 0;
  int64_t step = 1;
  bool operator==(const Guard&) const = default;
};

// An index taken from a value: adds stride * clamp(value, 0, limit - 1) to the element's address (gather, scatter).
struct Indirect {
  ValueId index = -1;
  int64_t stride = 1;
  int64_t limit = 1;
  bool operator==(const Indirect&) const = default;
};

// One element of a slot.
struct Access {
  int slot = 0;
  Affine at;
  std::vector<Indirect> indirect;
  std::vector<Guard> guards;  // Load: all must hold, else the value is `fill`
  double fill = 0;
  int64_t block = 0;          // nests: plus block * (number of the block in the grid), for partial results of a block
  bool operator==(const Access&) const = default;
};

enum class StmtKind : uint8_t {
  Load,         // value <- slot
  Store,        // slot <- args[0]
  Accumulate,   // slot <- combiner(slot, args[0]); with `first`: plain store while every dim of `first` is at the start of its range
                // in this block. For partial results whose reduced loops lie outside the loops they are indexed by, and for
                // scatter-add (with an indirect access, serial over the updates).
  Compute,      // value <- op(args)
  Index,        // value <- affine `access.at`, as Int (or as `type` if float)
  Random,       // value <- uniform(seed=args[0], step=args[1], the call's sites[site], index = access.at) as `type`
  Reduce,       // value <- combiner over the section's inner loops of args[0]; visible in later sections (and outer levels)
  ReduceIndex,  // value <- index (of dim `index_dim`, Int) of the first extreme of args[0] over the section's inner loops
  Accumulator,  // contraction epilogue: the finished sum at this point
  Yield,        // contraction prologue: args[0] is the operand's element
};

struct Stmt {
  StmtKind kind = StmtKind::Compute;
  ValueId value = -1;  // defined by this statement
  ScalarOp op = ScalarOp::Const;
  Element type = Element::F32;  // of the value (Store: of the slot)
  std::array<ValueId, 3> args{-1, -1, -1};
  double constant = 0;
  Access access{};
  Combiner combiner = Combiner::Sum;
  int index_dim = -1;
  int site = 0;  // Random: which of the call's sites
  std::vector<int> first{};
  bool operator==(const Stmt&) const = default;
};

// One dimension of the iteration space.
struct KernelDim {
  int64_t extent = 1;
  Symbol name;
  bool operator==(const KernelDim& o) const { return extent == o.extent; }
};

// A loop over (a tile of) a dim: from the start of the enclosing loop's tile over the same dim (or 0) to its end (clipped to
// the extent), in steps of `step`. The innermost loop over each dim has step 1. A dim may have any number of loops.
struct Loop {
  int dim = 0;
  int64_t step = 1;
  bool operator==(const Loop&) const = default;
};

// Statements run for every point of the inner loops, for each point of the nest's outer loops. Sections run one after the
// other; a Reduce of one section is a scalar (per outer point) for the following ones, and so is any value of a section
// without inner loops.
struct Section {
  std::vector<Loop> inner;
  std::vector<Stmt> stmts;
  bool operator==(const Section&) const = default;
};

// Point-wise work and reductions over one iteration space.
// The first `parallel` outer loops are the grid: their points are the blocks handed to threads. The loop over `vector_dim`
// with step 1 (last of `outer` or last of a section's `inner`) is vectorised; sections without it are scalar code.
// Partial sums that cross blocks are written per block and finished by a later kernel, so the reduction tree depends on the
// shape alone. Within a block, the vectorised reduction tree is: lane-wise accumulators, then a fixed pairwise
// combination of lanes; `accumulators` independent accumulator vectors where the vector loop is the reduced one.
struct Nest {
  std::vector<KernelDim> dims;
  std::vector<Loop> outer;
  int parallel = 0;
  int vector_dim = -1;
  int accumulators = 4;
  std::vector<Section> sections;
  bool operator==(const Nest&) const = default;
};

// Roles of a contraction's dims.
enum class DimRole : uint8_t { Batch, M, N, K };

// out[batch, m, n] = epilogue(sum over k of lhs[batch, m, k] * rhs[batch, k, n]), accumulated with fma in order of k blocks.
// lhs and rhs are statement lists over the dims ending in Yield; their loads must not use the other side's free dim.
// The epilogue runs once per (batch, m, n), vectorised along the last N dim.
// Tiles: mr x nr registers; kc, mc, nc block K, M, N (flattened). The grid is batch x ceil(N/block_n) x ceil(M/block_m).
// With `panels` the right operand is a plain load of a slot in which it lies in panels of that many columns, each by rows: element
// (k, n), flattened, at ((n / panels) * K + k) * panels + n % panels; the last panel is filled up. The access itself is all zeros then.
struct Contraction {
  std::vector<KernelDim> dims;
  std::vector<DimRole> roles;
  Element element = Element::F32;  // of operands, accumulator
  std::vector<Stmt> lhs, rhs, epilogue;
  int64_t mr = 6, nr = 16, kc = 256, block_m = 1 << 30, block_n = 256, panels = 0;
  bool operator==(const Contraction&) const = default;
};

// A tensor argument of a body.
struct Slot {
  Element element = Element::F32;
  bool written = false;
  bool operator==(const Slot&) const = default;
};

struct KernelBody {
  Symbol name;  // "dense_relu", for people; takes no part in equality
  std::vector<Slot> slots;
  std::variant<Nest, Contraction> form;
  bool operator==(const KernelBody& o) const { return slots == o.slots && form == o.form; }
};

using BufferId = TypedId<struct BufferTag>;
using BodyId = TypedId<struct BodyTag>;

enum class BufferKind : uint8_t {
  Input,      // data of the batch, and the scalars step and seed
  Parameter,  // updated in place by the step
  State,
  Output,     // a value asked for (loss, metrics, gradients), readable after the step
  Temporary,  // lives in the arena at `offset`
  Local,      // within one trip of a shared loop: in memory of the thread that makes the trip, at `offset`
  Shadow,     // the next value of a parameter or state that can't be updated in place: copied over `source` when the step ends
};

struct Buffer {
  Symbol name;  // parameter path, input name, output name, or the value's name
  BufferKind kind = BufferKind::Temporary;
  Type type;             // canonical, row-major
  int64_t offset = 0;    // Temporary, Local: byte offset in the arena or in the thread's memory, 64-byte aligned
  BufferId source;       // Shadow: what it replaces
};

// A range of calls that a step makes `trips` times over. Ranges lie within one another or apart.
// The trips of a shared loop do not depend on each other: threads share them out, and one thread makes all calls of a trip. What a trip
// writes lies in Local buffers, or moves with the loop by at least as much as is written. No loop lies in or round a shared one.
struct CallLoop {
  Symbol name;                // "cells", for people
  int32_t begin = 0, end = 0;  // of KernelProgram::instances
  int64_t trips = 1;
  bool shared = false;
  bool operator==(const CallLoop&) const = default;
};

// Moves a slot with a loop round its call: stride * n bytes on trip n, or, with a period (a power of two), stride * ((n + phase) % period):
// a carry that changes between two places.
struct Move {
  int32_t loop = 0;  // of KernelProgram::loops
  int64_t stride = 0;
  int64_t phase = 0, period = 0;
  bool operator==(const Move&) const = default;
};

// Where a slot begins, in bytes from the start of its buffer: one element of a sequence, one of several places.
struct SlotPlace {
  int64_t offset = 0;
  std::vector<Move> moves{};
  bool operator==(const SlotPlace&) const = default;
};

// One call of a body in a step.
struct KernelInstance {
  BodyId body;
  Symbol name;                          // unique within the program ("logits.dW", "k7")
  std::vector<BufferId> buffers;        // by slot
  std::vector<SlotPlace> places;        // by slot; empty where each begins with its buffer
  std::vector<uint32_t> sites;          // of random numbers, by the number that statements know them by
  std::vector<ProvenanceId> provenance; // by statement, in order of appearance (lhs, rhs, epilogue; or sections in order)
  std::vector<Symbol> labels;           // by statement: the value's name in the graph, or ""
};

// Everything one step does, in order. In a call slots of one buffer, at least one of them written, lie apart on each trip.
struct KernelProgram {
  Symbol name;
  Target target;
  std::vector<Buffer> buffers;
  std::vector<KernelBody> bodies;
  std::vector<KernelInstance> instances;
  std::vector<CallLoop> loops;  // by begin, the outer ones first
  int64_t arena_bytes = 0;
  int64_t arena_lower_bound = 0;  // the most bytes live at once
  int64_t local_bytes = 0;        // of each thread, for Local buffers
  ProvenanceTable provenance;

  const Buffer& operator[](BufferId id) const { return buffers[id.at()]; }
  const KernelBody& operator[](BodyId id) const { return bodies[id.at()]; }
};

// Whether a statement reads or writes a slot.
bool touches_memory(const Stmt& stmt);
// The product of a contraction's extents of one role.
int64_t extent(const Contraction& c, DimRole role);
// Whether a load or store of the epilogue has an element of its own for each result.
bool element_by_element(const Contraction& c, const Stmt& s);
// The statements of a body in provenance order.
std::vector<const Stmt*> statements(const KernelBody& body);
// How many sites a call of the body has to give.
size_t site_count(const KernelBody& body);
// Floating-point operations of one call (a multiply and an add count 2; each transcendental 1), and bytes of distinct
// elements read plus written.
double flops(const KernelBody& body);
double bytes_touched(const KernelBody& body);
// How often a step makes a call: the trips of the loops around it.
int64_t trips(const std::vector<CallLoop>& loops, size_t instance);
// The least and the greatest offset from its buffer at which a slot begins, in bytes.
std::pair<int64_t, int64_t> reach(const SlotPlace& place, const std::vector<CallLoop>& loops);
// Number of blocks the grid has: depends on the shape alone.
int64_t block_count(const KernelBody& body);

std::string print(const KernelBody& body);
// With sources: each statement ends in a comment naming its value and source line.
std::string print(const KernelProgram& program, const SourceManager& sources);
struct KernelParseResult {
  std::optional<KernelProgram> program;
  std::string error;
};
KernelParseResult parse_kernels(std::string_view text, SourceManager& sources);
std::vector<std::string> verify(const KernelProgram& program);

}  // namespace gradc
