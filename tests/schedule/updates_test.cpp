// When the update of a weight goes into the product that is its gradient, and where sums of columns are taken.
#include <catch2/catch.hpp>

#include <algorithm>

#include <fmt/format.h>

#include "tests/schedule/support.h"

using namespace gradc;
using namespace gradc::test;

namespace {

// A dense layer under a squared loss, which needs its input's gradient too: y = tanh(u @ v) @ w.
struct Layer : Model {
  Expr u = data("u", {64, 24}), v = parameter("v", {24, 48}), w = parameter("w", {48, 40});
  Expr h = named(tanh(matmul(u, v)), "h");
  Expr loss = named(squared(matmul(h, w)), "loss");

  static Expr squared(Expr y) { return reduce_sum(y * y, {0, 1}); }
};

KernelProgram scheduled(const Model& m) {
  const Graph g = m.finished();
  KernelProgram p = schedule(g, Target{});
  INFO(text(p));
  REQUIRE(verify(p).empty());
  for (const std::string& problem : disagreements(g, random_inputs(g, 5), Target{}, true)) FAIL_CHECK(problem);
  return p;
}

// The calls that write a buffer of that name.
std::vector<size_t> writers(const KernelProgram& p, const char* name) {
  std::vector<size_t> found;
  for (size_t c = 0; c < p.instances.size(); ++c) {
    const KernelInstance& k = p.instances[c];
    for (size_t slot = 0; slot < k.buffers.size(); ++slot) {
      if (p[k.buffers[slot]].name == Symbol(name) && p[k.body].slots[slot].written) found.push_back(c);
    }
  }
  return found;
}

const Contraction* product(const KernelProgram& p, size_t call) { return std::get_if<Contraction>(&p[p.instances[call].body].form); }

size_t stores(const Contraction& c) {
  return static_cast<size_t>(std::count_if(c.epilogue.begin(), c.epilogue.end(), [](const Stmt& s) { return s.kind == StmtKind::Store; }));
}

bool has_temporary(const KernelProgram& p, const char* name) {
  return std::any_of(p.buffers.begin(), p.buffers.end(), [&](const Buffer& b) { return b.kind == BufferKind::Temporary && b.name == Symbol(name); });
}

}  // namespace

TEST_CASE("an update that only wants its own gradient is the epilogue of that product") {
  Layer m;
  Expr step = m.tensor("step", role::step, {}, Element::F64);
  adam(m, "w", m.w, m.loss, step);
  adam(m, "v", m.v, m.loss, step);
  m.output("loss", m.loss);
  const KernelProgram p = scheduled(m);
  INFO(text(p));
  for (const char* name : {"w", "v"}) {
    REQUIRE(writers(p, name).size() == 1);
    const Contraction* c = product(p, writers(p, name).front());
    REQUIRE(c);
    CHECK(stores(*c) == 3);  // the weight and both moments, no gradient
    CHECK_FALSE(has_temporary(p, fmt::format("d(loss)/d({})", name).c_str()));
  }
  // The product that takes the gradient on to h reads the weight, and so comes before the one that changes it in place.
  for (size_t c = 0; c < p.instances.size(); ++c) {
    for (BufferId b : p.instances[c].buffers) {
      if (p[b].name == Symbol("w")) CHECK(c <= writers(p, "w").front());
    }
  }
  for (const Buffer& b : p.buffers) CHECK(b.kind != BufferKind::Shadow);
}

TEST_CASE("a gradient that is asked for is stored beside its update") {
  Layer m;
  Expr g = grad(m.loss, m.w);
  m.output("dw", g);
  m.update("w", m.w - g * 0.1);
  const KernelProgram p = scheduled(m);
  INFO(text(p));
  REQUIRE(writers(p, "w").size() == 1);
  CHECK(writers(p, "w") == writers(p, "dw"));
  REQUIRE(product(p, writers(p, "w").front()));
  CHECK(stores(*product(p, writers(p, "w").front())) == 2);
}

TEST_CASE("an update that wants the norm of all gradients waits for it") {
  Layer m;
  Expr gw = grad(m.loss, m.w), gv = grad(m.loss, m.v);
  Expr scale = rsqrt(Layer::squared(gw) + Layer::squared(gv) + 1.0);
  m.update("w", m.w - gw * broadcast(scale, {}, m.w.sizes()));
  m.update("v", m.v - gv * broadcast(scale, {}, m.v.sizes()));
  const KernelProgram p = scheduled(m);
  INFO(text(p));
  for (const char* name : {"w", "v"}) {
    REQUIRE(writers(p, name).size() == 1);
    CHECK_FALSE(product(p, writers(p, name).front()));
  }
  // The products know nothing of weights: each stores its gradient.
  size_t gradients = 0;
  for (size_t c = 0; c < p.instances.size(); ++c) gradients += product(p, c) && p.instances[c].name.str().starts_with("d(loss)/d(") && stores(*product(p, c)) > 0;
  CHECK(gradients >= 2);
}

TEST_CASE("of a weight used twice the last product adds the other's gradient and updates") {
  Model m;
  Expr u = m.data("u", {64, 48}), w = m.parameter("w", {48, 48});
  Expr y = matmul(tanh(matmul(u, w)), w);
  Expr loss = m.named(Layer::squared(y), "loss");
  m.update("w", w - grad(loss, w) * 0.1);
  const KernelProgram p = scheduled(m);
  INFO(text(p));
  REQUIRE(writers(p, "w").size() == 1);
  const Contraction* last = product(p, writers(p, "w").front());
  REQUIRE(last);
  CHECK(stores(*last) == 1);
  const auto loads = std::count_if(last->epilogue.begin(), last->epilogue.end(), [](const Stmt& s) { return s.kind == StmtKind::Load; });
  CHECK(loads == 2);  // the weight, and the gradient by its other use
}

TEST_CASE("what needs more streams than an epilogue has is left to a nest") {
  Layer m;
  Expr g = grad(m.loss, m.w), next = g;
  // Sixteen running means, each read and written.
  for (int i = 0; i < 16; ++i) {
    const std::string name = fmt::format("mean{}", i);
    Expr mean = m.state(name.c_str(), m.w.sizes());
    Expr mean2 = mean * (0.5 + 0.02 * i) + next * 0.5;
    m.update(name.c_str(), mean2);
    next = mean2;
  }
  m.update("w", m.w - next);
  const KernelProgram p = scheduled(m);
  INFO(text(p));
  REQUIRE(writers(p, "w").size() == 1);
  CHECK_FALSE(product(p, writers(p, "w").front()));
  for (size_t c = 0; c < p.instances.size(); ++c) {
    if (product(p, c)) CHECK(p.instances[c].buffers.size() <= 14 + 2);
  }
}

TEST_CASE("the gradient of a bias is summed by the nest that makes, or reads, what it sums") {
  // y = layer_norm(x) @ w + b: the cotangent of the product is the loss's nest's; gain and shift are summed where the norm goes back.
  Model m;
  const int64_t rows = 512, n = 40, units = 24;
  Expr v = m.parameter("v", {n, n}), x = m.named(matmul(m.data("u", {rows, n}), v), "x");
  Expr gain = m.parameter("gain", {n}), shift = m.parameter("shift", {n}), w = m.parameter("w", {n, units}), b = m.parameter("b", {units});
  auto mean = [&](Expr e) { return unreduce(reduce_sum(e, {1}) / static_cast<double>(n), {1}, e.sizes()); };
  Expr centred = x - mean(x);
  Expr z = m.named(matmul(centred * rsqrt(mean(centred * centred) + 1e-5) * repeated(gain, x) + repeated(shift, x), w), "z");
  Expr loss = m.named(cross_entropy(z + repeated(b, z), m.data("labels", {rows}, Element::Int)), "loss");
  for (auto& [name, p] : {std::pair{"gain", gain}, std::pair{"shift", shift}, std::pair{"b", b}, std::pair{"w", w}, std::pair{"v", v}}) {
    m.update(name, p - grad(loss, p) * 0.1);
  }
  const KernelProgram p = scheduled(m);
  INFO(text(p));
  // Rows of a matrix, in memory: whoever goes over them in a nest without storing as much is there for sums alone.
  for (const KernelInstance& k : p.instances) {
    if (std::holds_alternative<Contraction>(p[k.body].form)) continue;
    bool reads = false, makes = false;
    for (size_t slot = 0; slot < k.buffers.size(); ++slot) {
      const bool matrix = p[k.buffers[slot]].type.count() >= rows * units;
      reads |= matrix && !p[k.body].slots[slot].written;
      makes |= matrix && p[k.body].slots[slot].written;
    }
    INFO(k.name.str());
    CHECK(!(reads && !makes));
  }
}
