#pragma once

#include "compiler/schedule/kernel.h"

// Kernel bodies of products, for tests and benchmarks of the code generator.
namespace gradc::test {

struct ProductShape {
  int64_t m = 1, n = 1, k = 1, batch = 1;
  bool transposed_lhs = false;  // lhs stored as [k, m]
  bool transposed_rhs = false;  // rhs stored as [n, k]
  Element element = Element::F32;
};

inline Stmt load_stmt(ValueId value, int slot, std::vector<int64_t> strides, Element element, int64_t offset = 0) {
  Stmt s{.kind = StmtKind::Load, .value = value, .type = element};
  s.access = {.slot = slot, .at = {offset, std::move(strides)}, .indirect = {}, .guards = {}, .fill = 0};
  return s;
}
inline Stmt yield_stmt(ValueId value, Element element) { return {.kind = StmtKind::Yield, .type = element, .args = {value, -1, -1}}; }
inline Stmt compute_stmt(ValueId value, ScalarOp op, Element element, std::array<ValueId, 3> args) {
  return {.kind = StmtKind::Compute, .value = value, .op = op, .type = element, .args = args};
}
inline Stmt accumulator_stmt(ValueId value, Element element) { return {.kind = StmtKind::Accumulator, .value = value, .type = element}; }
inline Stmt store_stmt(int slot, ValueId value, std::vector<int64_t> strides, Element element) {
  Stmt s{.kind = StmtKind::Store, .type = element, .args = {value, -1, -1}};
  s.access = {.slot = slot, .at = {0, std::move(strides)}, .indirect = {}, .guards = {}, .fill = 0};
  return s;
}

// out[batch, m, n] = lhs * rhs; slots lhs, rhs, out; dims batch, m, n, k. Tiles as the scheduler would choose them.
inline KernelBody product_body(const ProductShape& s, const Target& target) {
  Contraction c;
  c.dims = {{s.batch, "b"}, {s.m, "m"}, {s.n, "n"}, {s.k, "k"}};
  c.roles = {DimRole::Batch, DimRole::M, DimRole::N, DimRole::K};
  c.element = s.element;
  const int64_t lanes = target.vector_bytes / static_cast<int64_t>(byte_size(s.element));
  c.nr = 2 * lanes;
  c.mr = target.vector_registers == 32 ? 14 : 6;
  c.kc = 256;
  c.block_n = 256;
  const std::vector<int64_t> lhs = s.transposed_lhs ? std::vector<int64_t>{s.m * s.k, 1, 0, s.m} : std::vector<int64_t>{s.m * s.k, s.k, 0, 1};
  const std::vector<int64_t> rhs = s.transposed_rhs ? std::vector<int64_t>{s.n * s.k, 0, s.k, 1} : std::vector<int64_t>{s.n * s.k, 0, 1, s.n};
  c.lhs = {load_stmt(0, 0, lhs, s.element), yield_stmt(0, s.element)};
  c.rhs = {load_stmt(1, 1, rhs, s.element), yield_stmt(1, s.element)};
  c.epilogue = {accumulator_stmt(2, s.element), store_stmt(2, 2, {s.m * s.n, s.n, 1, 0}, s.element)};
  return {"product", {{s.element, false}, {s.element, false}, {s.element, true}}, std::move(c)};
}

// A program of one call whose buffers are the body's slots: inputs where only read, outputs where written.
inline KernelProgram program_of(KernelBody body, const Target& target, const std::vector<Type>& slots) {
  KernelProgram p;
  p.name = "test";
  p.target = target;
  KernelInstance instance;
  instance.body = BodyId(0);
  instance.name = "call";
  for (size_t i = 0; i < slots.size(); ++i) {
    p.buffers.push_back({.name = fmt::format("s{}", i), .kind = body.slots[i].written ? BufferKind::Output : BufferKind::Input, .type = slots[i], .source = {}});
    instance.buffers.push_back(BufferId(i));
  }
  const size_t count = statements(body).size();
  instance.provenance.resize(count);
  instance.labels.resize(count);
  p.bodies.push_back(std::move(body));
  p.instances.push_back(std::move(instance));
  return p;
}

}  // namespace gradc::test
