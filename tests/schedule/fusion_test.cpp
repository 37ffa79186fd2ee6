#include <catch2/catch.hpp>

#include <algorithm>

#include "tests/schedule/support.h"

using namespace gradc;
using namespace gradc::test;

namespace {

const KernelInstance& call(const KernelProgram& p, const char* name) {
  auto it = std::find_if(p.instances.begin(), p.instances.end(), [&](const KernelInstance& k) { return k.name == Symbol(name); });
  INFO("no call " << name << " in\n" << text(p));
  REQUIRE(it != p.instances.end());
  return *it;
}

size_t contractions(const KernelProgram& p) {
  return static_cast<size_t>(std::count_if(p.instances.begin(), p.instances.end(), [&](const KernelInstance& k) {
    return std::holds_alternative<Contraction>(p[k.body].form);
  }));
}

size_t statements_of(const std::vector<Stmt>& list, StmtKind kind) {
  return static_cast<size_t>(std::count_if(list.begin(), list.end(), [&](const Stmt& s) { return s.kind == kind; }));
}

size_t statements_of(const KernelBody& body, StmtKind kind) {
  size_t n = 0;
  for (const Stmt* s : statements(body)) n += s->kind == kind;
  return n;
}

void check_values(const Graph& g, bool fuse = true) {
  for (int vector_bytes : {32, 64}) {
    Target t;
    t.vector_bytes = vector_bytes;
    std::vector<std::string> problems = disagreements(g, random_inputs(g, 7), t, fuse);
    for (const std::string& problem : problems) UNSCOPED_INFO(problem);
    if (!problems.empty()) UNSCOPED_INFO(text(schedule(g, t, {.fuse = fuse})));
    CHECK(problems.empty());
  }
}

}  // namespace

TEST_CASE("a training step of a perceptron: products with epilogues, one kernel for the loss, updates in place") {
  Graph g = mlp({784, 512, 512, 10}, 128);
  KernelProgram p = schedule(g, Target{});
  INFO(text(p));
  REQUIRE(verify(p).empty());
  CHECK(p.instances.size() <= 13);
  CHECK(contractions(p) == 8);
  for (const Buffer& b : p.buffers) CHECK(b.kind != BufferKind::Shadow);
  CHECK(static_cast<double>(p.arena_bytes) <= 1.2 * static_cast<double>(p.arena_lower_bound));

  // Forward: bias and relu, and the mask that the backward pass wants, in the epilogue.
  const auto& forward = std::get<Contraction>(p[call(p, "h1").body].form);
  CHECK(statements_of(forward.epilogue, StmtKind::Store) == 2);
  CHECK(statements_of(forward.epilogue, StmtKind::Load) == 1);
  // The mask is applied in the epilogue of dX; transposed weights are read where they are.
  const auto& dx = std::get<Contraction>(p[call(p, "d(loss)/d(h1)").body].form);
  CHECK(statements_of(dx.epilogue, StmtKind::Store) == 1);
  CHECK(dx.rhs[0].access.at.strides[2] == 1);
  // Adam in the epilogue of dW: three stores, no gradient in memory.
  const auto& dw = std::get<Contraction>(p[call(p, "d(loss)/d(h1.W)").body].form);
  CHECK(statements_of(dw.epilogue, StmtKind::Store) == 3);
  for (const Buffer& b : p.buffers) CHECK(b.name != Symbol("d(loss)/d(h1.W)"));
  // One pass over the logits gives loss, their gradient and the bias's.
  const KernelBody& loss = p[call(p, "d(loss)/d(h3)").body];
  CHECK(std::holds_alternative<Nest>(loss.form));
  CHECK(statements_of(loss, StmtKind::Accumulate) == 2);
  // The two hidden layers' bias updates have one body.
  CHECK(call(p, "d(loss)/d(h1.b)").body == call(p, "d(loss)/d(h2.b)").body);
  for (const KernelInstance& k : p.instances) {
    for (ProvenanceId id : k.provenance) CHECK(bool(id));
  }
}

TEST_CASE("a small perceptron has the interpreter's values, fused or not") {
  Graph g = mlp({20, 33, 17, 10}, 24);
  check_values(g);
  check_values(g, false);
}

TEST_CASE("64 equal layers have the bodies of one") {
  std::vector<int64_t> widths(65, 64);
  KernelProgram deep = schedule(mlp(widths, 32), Target{});
  widths.resize(5);
  KernelProgram shallow = schedule(mlp(widths, 32), Target{});
  CHECK(verify(deep).empty());
  CHECK(deep.bodies.size() == shallow.bodies.size());
  CHECK(deep.instances.size() > 180);
  CHECK(static_cast<double>(deep.arena_bytes) <= 1.2 * static_cast<double>(deep.arena_lower_bound));
}

namespace {
Graph chain(int64_t rows, int64_t columns) {
  Model m;
  Expr x = m.parameter("x", {rows, columns});
  std::vector<Expr> v;
  for (const char* n : {"a", "b", "c", "d"}) v.push_back(m.parameter(n, {columns}));
  auto r = [&](size_t i) { return repeated(v[i], x); };
  Expr loss = m.named(reduce_sum(tanh(r(0) * x + r(1)) * sigmoid(r(2) * x + r(3)) + log1p(exp(-(x * x))), {0, 1}), "loss");
  m.output("loss", loss);
  m.output("dx", grad(loss, x));
  const char* names[] = {"da", "db", "dc", "dd"};
  for (size_t i = 0; i < 4; ++i) m.output(names[i], grad(loss, v[i]));
  return m.finished();
}
}  // namespace

TEST_CASE("a point-wise chain and its gradients are one pass over the data") {
  KernelProgram p = schedule(chain(4096, 1024), Target{});
  INFO(text(p));
  REQUIRE(verify(p).empty());
  CHECK(p.instances.size() <= 3);
  const KernelBody& body = p[p.instances[0].body];
  const Nest& n = std::get<Nest>(body.form);
  // Blocks of rows, tiles of 16 rows, one vector of columns, then the rows of the tile.
  REQUIRE(n.outer.size() == 3);
  CHECK(n.parallel == 1);
  CHECK(n.outer[1].step == 16);
  CHECK(n.outer[2].dim == n.vector_dim);
  CHECK(block_count(body) >= 8);
  CHECK(statements_of(body, StmtKind::Accumulate) == 5);
  // x is read once.
  size_t reads = 0;
  for (const Stmt* s : statements(body)) reads += s->kind == StmtKind::Load && s->access.at.strides[0] && s->access.at.strides[1];
  CHECK(reads == 1);
}

TEST_CASE("a point-wise chain has the interpreter's values, as strips and as blocks") {
  check_values(chain(40, 24));
  Graph g = chain(1100, 513);
  std::vector<std::string> problems = disagreements(g, random_inputs(g, 3), Target{}, true);
  for (const std::string& s : problems) UNSCOPED_INFO(s);
  CHECK(problems.empty());
}

TEST_CASE("a tiny net takes few kernels") {
  Model m;
  Expr x = m.data("x", {4, 2}), y = m.data("y", {4, 1});
  Expr w1 = m.parameter("w1", {2, 2}), b1 = m.parameter("b1", {2}), w2 = m.parameter("w2", {2, 1}), b2 = m.parameter("b2", {1});
  Expr z = matmul(x, w1), h = sigmoid(z + repeated(b1, z)), z2 = matmul(h, w2), e = sigmoid(z2 + repeated(b2, z2)) - y;
  Expr loss = m.named(reduce_sum(e * e, {0, 1}) * 0.25, "loss");
  m.output("loss", loss);
  const char* names[] = {"w1", "b1", "w2", "b2"};
  Expr parameters[] = {w1, b1, w2, b2};
  for (size_t i = 0; i < 4; ++i) m.update(names[i], parameters[i] - grad(loss, parameters[i]) * 0.5);
  Graph g = m.finished();
  KernelProgram p = schedule(g, Target{});
  INFO(text(p));
  CHECK(p.instances.size() <= 6);
  for (const KernelBody& b : p.bodies) CHECK(block_count(b) == 1);
  check_values(g);
}

TEST_CASE("rows of two: a sigmoid's lanes go down the rows, a plain sum's stay in order") {
  for (bool costly : {true, false}) {
    Model m;
    Expr x = m.data("x", {64, 2}), bias = m.parameter("bias", {2});
    Expr z = x + broadcast(bias, {1}, {64, 2});
    m.output("y", costly ? sigmoid(z) : z * z);
    Graph g = m.finished();
    KernelProgram p = schedule(g, Target{});
    INFO(text(p));
    const Nest& n = std::get<Nest>(p[call(p, "y").body].form);
    REQUIRE(n.vector_dim >= 0);
    CHECK(n.dims[static_cast<size_t>(n.vector_dim)].extent == (costly ? 64 : 2));
    check_values(g);
  }
}

TEST_CASE("rows: layer normalisation and its gradients are two kernels and the finish of column sums") {
  Model m;
  int64_t rows = 96, n = 40;
  Expr x = m.parameter("x", {rows, n}), gain = m.parameter("gain", {n}), bias = m.parameter("bias", {n});
  auto mean = [&](Expr v) { return unreduce(reduce_sum(v, {1}) / static_cast<double>(n), {1}, v.sizes()); };
  Expr centred = x - mean(x);
  Expr y = centred * rsqrt(mean(centred * centred) + 1e-5) * repeated(gain, x) + repeated(bias, x);
  m.output("y", y);
  Expr loss = reduce_sum(tanh(y), {0, 1});
  for (auto& [name, p] : {std::pair{"dx", x}, std::pair{"dgain", gain}, std::pair{"dbias", bias}}) m.output(name, grad(loss, p));
  Graph g = m.finished();
  KernelProgram p = schedule(g, Target{});
  INFO(text(p));
  CHECK(p.instances.size() <= 3);
  check_values(g);
}

TEST_CASE("costly values of a row are kept, not computed again") {
  Model m;
  Expr x = m.data("x", {64, 200});
  Expr e = exp(x - unreduce(reduce_max(x, {1}), {1}, x.sizes()));
  m.output("p", e / unreduce(reduce_sum(e, {1}), {1}, x.sizes()));
  Graph g = m.finished();
  KernelProgram p = schedule(g, Target{});
  INFO(text(p));
  REQUIRE(p.instances.size() == 1);
  size_t exps = 0;
  for (const Stmt* s : statements(p.bodies[0])) exps += s->kind == StmtKind::Compute && s->op == ScalarOp::Exp;
  CHECK(exps == 1);
  // A row for each block, not a tensor.
  CHECK(p.arena_bytes <= (block_count(p.bodies[0]) * 200 * 4 + 63) / 64 * 64);
  check_values(g);
}

TEST_CASE("the derivative of a tanh is computed from its value, which a product needs in memory") {
  Model m;
  Expr x = m.data("x", {96, 40}), w1 = m.parameter("w1", {40, 64}), w2 = m.parameter("w2", {64, 64}), w3 = m.parameter("w3", {64, 8});
  Expr h1 = m.named(tanh(matmul(x, w1)), "h1"), h2 = m.named(tanh(matmul(h1, w2)), "h2"), y = matmul(h2, w3);
  Expr loss = m.named(reduce_sum(y * y, {0, 1}), "loss");
  m.output("dw1", grad(loss, w1));
  m.output("dw2", grad(loss, w2));
  Graph g = m.finished();
  KernelProgram p = schedule(g, Target{});
  INFO(text(p));
  // The products of the forward pass store their result and nothing made from it.
  for (const char* layer : {"h1", "h2"}) {
    const auto& product = std::get<Contraction>(p[call(p, layer).body].form);
    CHECK(statements_of(product.epilogue, StmtKind::Store) == 1);
  }
  check_values(g);
}

TEST_CASE("large temporaries of equal size do not lie a multiple of a page apart") {
  Model m;
  Expr x = m.data("x", {256, 64}), w = m.parameter("w", {64, 64});
  Expr h = tanh(matmul(x, w)), y = tanh(matmul(h, w)), z = tanh(matmul(y, w));
  m.output("dw", grad(reduce_sum(z, {0, 1}), w));
  Graph g = m.finished();
  KernelProgram p = schedule(g, Target{});
  INFO(text(p));
  std::vector<const Buffer*> large;
  for (const Buffer& b : p.buffers) {
    if (b.kind == BufferKind::Temporary && b.type.count() == 256 * 64) large.push_back(&b);
  }
  REQUIRE(large.size() >= 2);
  for (const Buffer* a : large) {
    for (const Buffer* b : large) CHECK((a->offset == b->offset || (a->offset - b->offset) % 4096 != 0));
  }
  CHECK(verify(p).empty());
}

TEST_CASE("point-wise work over collapsible axes is one loop") {
  Model m;
  Expr x = m.data("x", {6, 5, 7}), y = m.data("y", {6, 5, 7});
  m.output("out", tanh(x) * y + x);
  KernelProgram p = schedule(m.finished(), Target{});
  REQUIRE(p.instances.size() == 1);
  CHECK(std::get<Nest>(p.bodies[0].form).dims.size() == 1);
}

TEST_CASE("sums over everything are cut into blocks that depend on the shape alone") {
  Model m;
  Expr x = m.data("x", {300, 411});
  m.output("total", reduce_sum(x * x, {0, 1}));
  Graph g = m.finished();
  KernelProgram p = schedule(g, Target{});
  INFO(text(p));
  CHECK(p.instances.size() == 2);
  CHECK(block_count(p[p.instances[0].body]) > 1);
  check_values(g);
}

TEST_CASE("without fusion there is a kernel for every node") {
  Model m;
  Expr x = m.data("x", {8, 8});
  m.output("y", reduce_sum(tanh(transpose(x, {1, 0}) + x), {1}));
  Graph g = m.finished();
  CHECK(schedule(g, Target{}, {.fuse = false}).instances.size() == 4);
  CHECK(schedule(g, Target{}).instances.size() == 1);
  check_values(g, false);
}
