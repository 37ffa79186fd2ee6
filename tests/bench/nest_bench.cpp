#include <algorithm>
#include <cstdio>
#include <ctime>

#include "compiler/jit/jit.h"
#include "tests/support/contraction_body.h"

// Throughput of the vector functions (elements in L1) and of a point-wise chain with its gradients, on one thread:
//   nest_bench [cpu]

using namespace gradc;
using test::compute_stmt;
using test::load_stmt;
using test::store_stmt;

namespace {

double seconds(const CompiledStep& step, GradcFrame& frame, int repeats) {
  double best = 1e9;
  for (int trial = 0; trial < 7; ++trial) {
    std::clock_t start = std::clock();  // of this process: others may share the machine
    for (int i = 0; i < repeats; ++i) step.entry()(&frame);
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC / repeats);
  }
  return best;
}

struct Run {
  double seconds, compile_ms;
};

Run time_program(const KernelProgram& p, int repeats) {
  auto step = compile(p, {});
  std::vector<std::vector<double>> memory;
  std::vector<void*> pointers;
  for (const Buffer& b : p.buffers) {
    auto& m = memory.emplace_back(static_cast<size_t>(b.type.count() + 64), 0.0);
    auto* data = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(m.data()) + 63) / 64 * 64);
    for (int64_t i = 0; i < b.type.count(); ++i) {
      double v = 0.1 + static_cast<double>(i * 7919 % 1000) / 500;
      if (b.type.element == Element::F32) reinterpret_cast<float*>(data)[i] = static_cast<float>(v);
      else reinterpret_cast<double*>(data)[i] = v;
    }
    pointers.push_back(data);
  }
  alignas(64) char scratch[64];
  GradcFrame frame{pointers.data(), nullptr, nullptr, scratch, nullptr, nullptr};
  return {seconds(*step, frame, repeats), step->times().ir_ms + step->times().machine_code_ms};
}

void functions(const Target& target, Element element) {
  for (ScalarOp op : {ScalarOp::Exp, ScalarOp::Expm1, ScalarOp::Log, ScalarOp::Log1p, ScalarOp::Sin, ScalarOp::Tanh, ScalarOp::Erf, ScalarOp::Rsqrt, ScalarOp::Pow}) {
    constexpr int64_t count = 2048;
    Nest n;
    n.dims = {{count, "n"}};
    n.outer = {{0, 1}};
    n.vector_dim = 0;
    n.sections.resize(1);
    n.sections[0].stmts = {load_stmt(0, 0, {1}, element), compute_stmt(1, op, element, {0, arity(op) == 2 ? 0 : -1, -1}), store_stmt(1, 1, {1}, element)};
    Type type{element, {{count, {}}}};
    Run r = time_program(test::program_of({name(op), {{element, false}, {element, true}}, std::move(n)}, target, {type, type}), 2000);
    std::printf("%-6s %s  %6.2f e9/s  %5.2f ms to compile\n", name(op), name(element), count / r.seconds * 1e-9, r.compile_ms);
  }
}

// sum(tanh(a x + b) sigmoid(c x + d) + log1p(exp(-x^2))) over [rows, columns] with gradients of x, a, b, c, d, blocks of 16 rows.
void chain(const Target& target) {
  constexpr int64_t rows = 4096, columns = 1024, block = 16;
  const Element e = Element::F32;
  Nest n;
  n.dims = {{rows, "r"}, {columns, "c"}};
  n.outer = {{0, block}, {1, 1}};
  n.parallel = 1;
  n.vector_dim = 1;
  n.sections.resize(2);
  auto& s = n.sections[0].stmts;
  n.sections[0].inner = {{0, 1}};
  ValueId next = 0;
  auto load = [&](int slot, std::vector<int64_t> strides) { return s.push_back(load_stmt(next, slot, std::move(strides), e)), next++; };
  auto op = [&](ScalarOp o, ValueId a, ValueId b = -1, ValueId c = -1) { return s.push_back(compute_stmt(next, o, e, {a, b, c})), next++; };
  auto constant = [&](double v) {
    Stmt k{.kind = StmtKind::Compute, .value = next, .op = ScalarOp::Const, .type = e, .constant = v};
    return s.push_back(k), next++;
  };
  auto sum = [&](ValueId v) {
    Stmt r{.kind = StmtKind::Reduce, .value = next, .type = e, .args = {v, -1, -1}};
    return s.push_back(r), next++;
  };
  ValueId x = load(0, {columns, 1}), a = load(1, {0, 1}), b = load(2, {0, 1}), c = load(3, {0, 1}), d = load(4, {0, 1}), one = constant(1);
  ValueId t = op(ScalarOp::Tanh, op(ScalarOp::Fma, a, x, b));
  ValueId u = op(ScalarOp::Div, one, op(ScalarOp::Add, one, op(ScalarOp::Exp, op(ScalarOp::Neg, op(ScalarOp::Fma, c, x, d)))));
  ValueId g = op(ScalarOp::Exp, op(ScalarOp::Neg, op(ScalarOp::Mul, x, x)));
  ValueId y = op(ScalarOp::Fma, t, u, op(ScalarOp::Log1p, g));
  ValueId dt = op(ScalarOp::Mul, u, op(ScalarOp::Fma, op(ScalarOp::Neg, t), t, one));
  ValueId du = op(ScalarOp::Mul, t, op(ScalarOp::Mul, u, op(ScalarOp::Sub, one, u)));
  ValueId dg = op(ScalarOp::Mul, op(ScalarOp::Mul, constant(-2), x), op(ScalarOp::Div, g, op(ScalarOp::Add, one, g)));
  ValueId dx = op(ScalarOp::Add, op(ScalarOp::Fma, a, dt, op(ScalarOp::Mul, c, du)), dg);
  s.push_back(store_stmt(5, dx, {columns, 1}, e));
  std::vector<ValueId> sums{sum(y), sum(op(ScalarOp::Mul, dt, x)), sum(dt), sum(op(ScalarOp::Mul, du, x)), sum(du)};
  std::vector<Slot> slots(5, {e, false});
  slots.push_back({e, true});
  std::vector<Type> types{{e, {{rows * columns, {}}}}};
  types.resize(5, {e, {{columns, {}}}});
  types.push_back(types[0]);
  for (size_t i = 0; i < sums.size(); ++i) {
    Stmt store = store_stmt(6 + static_cast<int>(i), sums[i], {0, 1}, e);
    store.access.block = columns;
    n.sections[1].stmts.push_back(store);
    slots.push_back({e, true});
    types.push_back({e, {{rows / block * columns, {}}}});
  }
  Run r = time_program(test::program_of({"chain", slots, std::move(n)}, target, types), 3);
  std::printf("chain  %.2f ms  (%.2f ms to compile)\n", r.seconds * 1e3, r.compile_ms);
}

}  // namespace

int main(int argc, char** argv) {
  std::string error;
  auto target = make_target(argc > 1 ? argv[1] : "native", error);
  if (!target) return std::fprintf(stderr, "%s\n", error.c_str()), 2;
  std::printf("%s, vectors of %d bytes\n", target->cpu.c_str(), target->vector_bytes);
  functions(*target, Element::F32);
  functions(*target, Element::F64);
  chain(*target);
}
