#include "frontend/cli/machine_kernels.h"

#include <algorithm>

#include <fmt/format.h>

namespace gradc::cli {
namespace {

// Blocks for each thread, so that one that is held up by another program does not hold up the rest.
constexpr int64_t blocks_a_thread = 4;
constexpr int64_t bytes_a_block = 8 << 20;  // what a block reads from a cache: long beside the start of a block

Stmt load(ValueId value, int slot, std::vector<int64_t> strides, Element element) {
  Stmt s{.kind = StmtKind::Load, .value = value, .type = element};
  s.access = {.slot = slot, .at = {0, std::move(strides)}, .indirect = {}, .guards = {}};
  return s;
}
Stmt store(int slot, ValueId value, std::vector<int64_t> strides, Element element) {
  Stmt s{.kind = StmtKind::Store, .type = element, .args = {value, -1, -1}};
  s.access = {.slot = slot, .at = {0, std::move(strides)}, .indirect = {}, .guards = {}};
  return s;
}
Stmt constant(ValueId value, double number, Element element) {
  return {.kind = StmtKind::Compute, .value = value, .op = ScalarOp::Const, .type = element, .constant = number};
}
Stmt fma(ValueId value, ValueId a, ValueId b, ValueId c, Element element) {
  return {.kind = StmtKind::Compute, .value = value, .op = ScalarOp::Fma, .type = element, .args = {a, b, c}};
}
Stmt sum_stmt(ValueId value, ValueId of, Element element) {
  return {.kind = StmtKind::Reduce, .value = value, .type = element, .args = {of, -1, -1}, .combiner = Combiner::Sum};
}

// blocks x { repeats x { n elements, reduced to one } }, over elements that all blocks share (stride 0) or have for themselves.
KernelBody repeated_sum(std::string name, Element element, int64_t blocks, int64_t repeats, int64_t n, std::vector<Stmt> stmts, int accumulators) {
  Nest nest;
  nest.dims = {{blocks, "block"}, {repeats, "repeat"}, {n, "n"}};
  nest.outer = {{0, 1}};
  nest.parallel = 1;
  nest.vector_dim = 2;
  nest.accumulators = accumulators;
  ValueId last = stmts.back().value;
  nest.sections.push_back({{{1, 1}, {2, 1}}, std::move(stmts)});
  nest.sections.push_back({{}, {store(1, last, {1, 0, 0}, element)}});
  return {name, {{element, false}, {element, true}}, std::move(nest)};
}

// Chains of multiply-adds that stay in registers. A dozen side by side hide the latency on every processor that we know (4 or 5
// cycles, two a cycle), and fit into 16 registers.
KernelBody fma_body(Element element, int64_t blocks) {
  constexpr int chains = 12, rounds = 22;
  constexpr int64_t n = 1024, repeats = 8;
  std::vector<Stmt> s{load(0, 0, {0, 0, 1}, element), constant(1, 0.25, element)};
  ValueId next = 2;
  std::vector<ValueId> chain;
  for (int i = 0; i < chains; ++i) {
    s.push_back(constant(next, 0.125 * (i + 1), element));
    s.push_back(fma(next + 1, 0, 0, next, element));
    chain.push_back(next + 1);
    next += 2;
  }
  for (int round = 1; round < rounds; ++round) {
    for (ValueId& c : chain) {
      s.push_back(fma(next, c, 0, 1, element));
      c = next++;
    }
  }
  for (size_t width = chain.size(); width > 1; width = (width + 1) / 2) {
    for (size_t i = 0; i < width / 2; ++i) {
      s.push_back(fma(next, chain[width - 1 - i], 0, chain[i], element));
      chain[i] = next++;
    }
  }
  s.push_back(sum_stmt(next, chain[0], element));
  return repeated_sum(fmt::format("fma_{}", name(element)), element, blocks, repeats, n, std::move(s), 1);
}

KernelBody read_body(std::string name, int64_t blocks, int64_t repeats, int64_t n, bool shared) {
  std::vector<Stmt> s{load(0, 0, {shared ? 0 : n, 0, 1}, Element::F32), sum_stmt(1, 0, Element::F32)};
  return repeated_sum(std::move(name), Element::F32, blocks, repeats, n, std::move(s), 8);
}

// a = b + c / 2, each n elements a block: the usual measure of reading and writing at once.
KernelBody triad_body(int64_t blocks, int64_t n) {
  Nest nest;
  nest.dims = {{blocks, "block"}, {n, "n"}};
  nest.outer = {{0, 1}};
  nest.parallel = 1;
  nest.vector_dim = 1;
  nest.sections.push_back({{{1, 1}}, {load(0, 0, {n, 1}, Element::F32), load(1, 1, {n, 1}, Element::F32), constant(2, 0.5, Element::F32),
                                      fma(3, 1, 2, 0, Element::F32), store(2, 3, {n, 1}, Element::F32)}});
  return {"triad", {{Element::F32, false}, {Element::F32, false}, {Element::F32, true}}, std::move(nest)};
}

class Builder {
 public:
  explicit Builder(const Target& target) {
    out_.kernels.name = "machine";
    out_.kernels.target = target;
  }

  BufferId buffer(const char* name, BufferKind kind, Element element, int64_t count) {
    out_.kernels.buffers.push_back({.name = name, .kind = kind, .type = {element, {{count, {}}}}, .source = {}});
    return BufferId(out_.kernels.buffers.size() - 1);
  }

  void add(KernelBody body, std::vector<BufferId> buffers, double work, int64_t solo_blocks) {
    KernelInstance call;
    call.body = BodyId(out_.kernels.bodies.size());
    call.name = body.name;
    call.buffers = std::move(buffers);
    call.provenance.resize(statements(body).size());
    call.labels.resize(call.provenance.size());
    out_.probes.push_back({work, solo_blocks});
    out_.kernels.bodies.push_back(std::move(body));
    out_.kernels.instances.push_back(std::move(call));
  }

  ProbeProgram take() { return std::move(out_); }

 private:
  ProbeProgram out_;
};

}  // namespace

ProbeProgram probe_program(const Target& target, const WorkingSets& sets, int threads) {
  const int64_t blocks = blocks_a_thread * threads, lanes = 64;  // a multiple of every vector
  auto elements = [&](int64_t bytes, int64_t parts) { return std::max<int64_t>(bytes / 4 / parts / lanes * lanes, lanes); };
  Builder b(target);
  const int64_t part = elements(sets.dram, blocks), third = elements(sets.dram, 3 * blocks);
  BufferId numbers = b.buffer("numbers", BufferKind::Input, Element::F32, part * blocks);
  BufferId doubles = b.buffer("doubles", BufferKind::Input, Element::F64, 1024);
  BufferId sums = b.buffer("sums", BufferKind::Output, Element::F32, blocks);
  BufferId double_sums = b.buffer("double_sums", BufferKind::Output, Element::F64, blocks);
  BufferId left = b.buffer("left", BufferKind::Input, Element::F32, third * blocks);
  BufferId right = b.buffer("right", BufferKind::Input, Element::F32, third * blocks);
  BufferId result = b.buffer("result", BufferKind::Output, Element::F32, third * blocks);

  for (Element e : {Element::F32, Element::F64}) {
    KernelBody body = fma_body(e, blocks);
    const double work = flops(body) / static_cast<double>(blocks);
    b.add(std::move(body), {e == Element::F32 ? numbers : doubles, e == Element::F32 ? sums : double_sums}, work, blocks_a_thread);
  }
  // Each core keeps its own copy of what all blocks read.
  auto in_private_cache = [&](const char* name, int64_t bytes) {
    const int64_t n = elements(bytes, 1), repeats = std::max<int64_t>(1, bytes_a_block / (4 * n));
    b.add(read_body(name, blocks, repeats, n, true), {numbers, sums}, static_cast<double>(4 * n * repeats), blocks_a_thread);
  };
  auto over_all = [&](const char* name, int64_t bytes) {
    const int64_t n = elements(bytes, blocks);
    b.add(read_body(name, blocks, 1, n, false), {numbers, sums}, static_cast<double>(4 * n), blocks);
  };
  in_private_cache("read_l1", sets.l1);
  in_private_cache("read_l2", sets.l2);
  over_all("read_l3", sets.l3);
  over_all("read_dram", sets.dram);
  b.add(triad_body(blocks, third), {left, right, result}, static_cast<double>(12 * third), blocks);
  return b.take();
}

}  // namespace gradc::cli
