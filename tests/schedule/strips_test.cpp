// Batches in strips of rows: what is cut, what a strip keeps to itself, and what the verifier makes of strips that meet.
#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/schedule/support.h"

using namespace gradc;
using namespace gradc::test;

namespace {

constexpr int64_t width = 64;

// Dense layers of the same width with tanh between them, and the mean square with its gradients and plain updates. With `norm`, the
// batch's mean is taken off behind the layer of that number.
Graph network(int64_t rows, int layers, int norm = -1) {
  Model m;
  Expr h = m.data("x", {rows, width});
  std::vector<std::pair<std::string, Expr>> parameters;
  for (int i = 0; i < layers; ++i) {
    const std::string name = "w" + std::to_string(i);
    parameters.emplace_back(name, m.parameter(name.c_str(), {width, width}));
    h = tanh(matmul(h, parameters.back().second));
    if (i == norm) h = h - unreduce(reduce_sum(h, {0}) / static_cast<double>(rows), {0}, h.sizes());
  }
  Expr loss = m.named(reduce_sum(h * h, {0, 1}) / static_cast<double>(rows), "loss");
  m.output("loss", loss);
  for (auto& [name, p] : parameters) m.update(name.c_str(), p - grad(loss, p) * 0.1);
  return m.finished();
}

// Enough layers to outgrow the caches of the default target.
const Graph& deep() {
  static const Graph g = network(8192, 4);
  return g;
}

size_t count(const KernelProgram& p, BufferKind kind) {
  return static_cast<size_t>(std::count_if(p.buffers.begin(), p.buffers.end(), [&](const Buffer& b) { return b.kind == kind; }));
}

bool mentions(const std::vector<std::string>& problems, const std::string& part) {
  return std::any_of(problems.begin(), problems.end(), [&](const std::string& s) { return s.find(part) != std::string::npos; });
}

}  // namespace

TEST_CASE("a batch that outgrows the caches is worked on in strips of rows") {
  const KernelProgram p = schedule(deep(), Target{}), whole = schedule(deep(), Target{}, {.strips = 1});
  INFO(text(p));
  REQUIRE(p.loops.size() == 1);
  CHECK(whole.loops.empty());
  CHECK(whole.local_bytes == 0);
  const CallLoop& l = p.loops[0];
  CHECK(l.shared);
  CHECK(8192 % l.trips == 0);
  // Every value between two layers lies in the thread's own cache; of the arena, partial sums and weights in panels are left.
  CHECK(l.trips >= 8);
  CHECK(p.local_bytes <= 2 * Target{}.l2_bytes);
  CHECK(count(p, BufferKind::Local) >= 4);
  CHECK(p.arena_bytes * 2 < whole.arena_bytes);
  for (const Buffer& b : p.buffers) CHECK((b.kind != BufferKind::Temporary || b.type.count() < 8192 * width));
  // Forward, backward and the strips' part of the weights' gradients are inside; what adds up and updates comes behind.
  CHECK(l.end - l.begin >= 4 + 3 + 4);
  for (size_t k = static_cast<size_t>(l.end); k < p.instances.size(); ++k) CHECK(std::holds_alternative<Nest>(p[p.instances[k].body].form));
}

TEST_CASE("strips depend on sizes and caches alone") {
  SECTION("what fits into the caches stays whole") { CHECK(schedule(network(512, 4), Target{}).loops.empty()); }
  SECTION("a larger cache has room for more") {
    Target large;
    large.l2_bytes = 64 << 20;
    CHECK(schedule(deep(), large).loops.empty());
  }
  SECTION("one kernel a node, and where they are left out") {
    CHECK(schedule(deep(), Target{}, {.fuse = false}).loops.empty());
    CHECK(schedule(deep(), Target{}, {.strips = 1}).loops.empty());
  }
  SECTION("weights that outweigh the rows are not read for every strip") {
    Model m;
    Expr x = m.data("x", {512, 2048});
    Expr h = tanh(matmul(x, m.parameter("a", {2048, 2048}))), y = matmul(h, m.parameter("b", {2048, 2048}));
    m.output("loss", reduce_sum(y * y, {0, 1}));
    CHECK(schedule(m.finished(), Target{}).loops.empty());
  }
}

TEST_CASE("what needs the whole batch comes between two loops over strips") {
  const KernelProgram p = schedule(network(16384, 6, 2), Target{});
  INFO(text(p));
  REQUIRE(p.loops.size() >= 2);
  CHECK(p.loops[0].end <= p.loops[1].begin);
  CHECK(verify(p).empty());
}

TEST_CASE("strips compute what the interpreter computes") {
  for (int64_t strips : {2, 4, 8}) {
    const Graph g = network(16, 3, strips == 4 ? 1 : -1);
    CHECK(!schedule(g, Target{}, {.strips = strips}).loops.empty());
    for (const std::string& problem : disagreements(g, random_inputs(g, 3), Target{}, true, strips)) FAIL_CHECK(problem);
  }
  // Strips that do not divide the rows are no strips.
  CHECK(schedule(network(16, 3), Target{}, {.strips = 3}).loops.empty());
}

TEST_CASE("shared loops and what is local to them are printed and read back") {
  const KernelProgram p = schedule(deep(), Target{});
  SourceManager sources;
  const KernelParseResult again = parse_kernels(text(p), sources);
  INFO(again.error);
  REQUIRE(again.program);
  CHECK(again.program->loops == p.loops);
  CHECK(again.program->local_bytes == p.local_bytes);
  CHECK(verify(*again.program).empty());
  CHECK(text(*again.program).find("trips " + std::to_string(p.loops[0].trips) + " shared") != std::string::npos);
}

TEST_CASE("the verifier finds strips that touch each other's memory") {
  KernelProgram p = schedule(deep(), Target{});
  REQUIRE(verify(p).empty());
  SECTION("a partial sum in one place") {
    for (auto k = static_cast<size_t>(p.loops[0].begin); k < static_cast<size_t>(p.loops[0].end); ++k) {
      for (size_t i = 0; i < p.instances[k].places.size(); ++i) {
        if (p[p.instances[k].buffers[i]].name.str().find(".partial") != std::string::npos) p.instances[k].places[i] = {};
      }
    }
    CHECK(mentions(verify(p), "which a trip of a shared loop writes"));
  }
  SECTION("a local behind the loop") {
    const auto local = static_cast<size_t>(std::find_if(p.buffers.begin(), p.buffers.end(), [](const Buffer& b) { return b.kind == BufferKind::Local; }) - p.buffers.begin());
    p.loops.clear();
    for (KernelInstance& k : p.instances) k.places.clear();
    CHECK(mentions(verify(p), "of the local '" + p.buffers[local].name.str() + "' outside of a shared loop"));
  }
  SECTION("less room than the locals take") {
    p.local_bytes = 64;
    CHECK(mentions(verify(p), "does not lie in the arena"));
  }
  SECTION("a loop within") {
    p.loops.push_back({Symbol("inner"), p.loops[0].begin, p.loops[0].begin + 1, 2});
    CHECK(mentions(verify(p), "one of them is shared"));
  }
}
