#include <catch2/catch.hpp>

#include <algorithm>

#include "tests/schedule/support.h"
#include "tests/support/scan_graphs.h"

using namespace gradc;
using namespace gradc::test;

namespace {

const Buffer& buffer(const KernelProgram& p, const char* name) {
  auto it = std::find_if(p.buffers.begin(), p.buffers.end(), [&](const Buffer& b) { return b.name == Symbol(name); });
  INFO(name << " in\n" << text(p));
  REQUIRE(it != p.buffers.end());
  return *it;
}

bool has_call(const KernelProgram& p, const std::string& part) {
  return std::any_of(p.instances.begin(), p.instances.end(), [&](const KernelInstance& k) { return k.name.str().find(part) != std::string::npos; });
}

int32_t calls_in(const CallLoop& loop) { return loop.end - loop.begin; }

// Where a slot lies that a call writes into the buffer.
SlotPlace written_place(const KernelProgram& p, const char* name) {
  for (const KernelInstance& k : p.instances) {
    for (size_t i = 0; i < k.buffers.size(); ++i) {
      if (p[k.buffers[i]].name == Symbol(name) && p[k.body].slots[i].written && !k.places.empty() && !k.places[i].moves.empty()) return k.places[i];
    }
  }
  FAIL("nothing moves in " << name << " in\n" << text(p));
  return {};
}

}  // namespace

TEST_CASE("scans compute what the interpreter computes") {
  for (const NamedGraph& g : scan_graphs()) {
    for (bool fuse : {true, false}) {
      INFO(g.name << (fuse ? "" : ", unfused"));
      const KernelProgram p = schedule(g.graph, Target{}, {.fuse = fuse});
      INFO(text(p));
      for (const std::string& problem : disagreements(g.graph, random_inputs(g.graph, 7), Target{}, fuse)) FAIL_CHECK(problem);
      SourceManager sources;
      KernelParseResult again = parse_kernels(text(p), sources);
      INFO(again.error);
      REQUIRE(again.program);
      CHECK(again.program->loops == p.loops);
      CHECK(verify(*again.program).empty());
    }
  }
}

TEST_CASE("a carry that is emitted is stored once, row by row") {
  for (const char* direction : {"", ", in reverse"}) {
    const bool reverse = *direction;
    const KernelProgram p = schedule(scan_graph(std::string("emits both") + direction), Target{});
    INFO(text(p));
    REQUIRE(p.loops.size() == 1);
    CHECK(p.loops[0].trips == 5);
    CHECK(calls_in(p.loops[0]) == 1);
    CHECK(buffer(p, "h.rows").type.dims[0].size == 6);
    const int64_t row = 3 * 7 * 4;
    CHECK(written_place(p, "h.rows") == (reverse ? SlotPlace{4 * row, {{0, -row}}} : SlotPlace{row, {{0, row}}}));
    const KernelInstance& cell = p.instances[static_cast<size_t>(p.loops[0].begin)];
    CHECK(std::count_if(p[cell.body].slots.begin(), p[cell.body].slots.end(), [](const Slot& s) { return s.written; }) == 1);
  }
}

TEST_CASE("a carry that is not emitted changes between two places, or stays in one") {
  const KernelProgram two = schedule(scan_graph("last only"), Target{});
  INFO(text(two));
  CHECK(buffer(two, "h.rows").type.dims[0].size == 2);
  CHECK(written_place(two, "h.rows").moves == std::vector<Move>{{0, 3 * 7 * 4, 1, 2}});
  const KernelProgram one = schedule(scan_graph("running sum"), Target{});
  INFO(text(one));
  CHECK(buffer(one, "sum.rows").type.dims[0].size == 1);
  // An LSTM's cell state is replaced element by element, its output is read as a whole by the next product.
  const KernelProgram lstm = schedule(scan_graph("lstm"), Target{});
  INFO(text(lstm));
  CHECK(buffer(lstm, "c.rows").type.dims[0].size == 1);
  CHECK(buffer(lstm, "h.rows").type.dims[0].size == 7);
}

TEST_CASE("a cell is a product and what follows it; sequences are read where they lie") {
  const KernelProgram p = schedule(scan_graph("lstm"), Target{});
  INFO(text(p));
  REQUIRE(p.loops.size() == 1);
  CHECK(calls_in(p.loops[0]) == 2);
  const KernelInstance& product = p.instances[static_cast<size_t>(p.loops[0].begin)];
  CHECK(std::holds_alternative<Contraction>(p[product.body].form));
  // x is [batch, time, features]: a step reads every sixth row.
  auto x = std::find_if(product.buffers.begin(), product.buffers.end(), [&](BufferId b) { return p[b].name == Symbol("x"); });
  REQUIRE(x != product.buffers.end());
  CHECK(product.places[static_cast<size_t>(x - product.buffers.begin())] == SlotPlace{0, {{0, 96 * 4}}});
}

TEST_CASE("initial values are computed where the carries begin, unless others want them") {
  const KernelProgram p = schedule(scan_graph("initial values"), Target{});
  INFO(text(p));
  REQUIRE(p.loops.size() == 2);
  CHECK_FALSE(has_call(p, "own"));
  // `shared` is kept in the rows of u; v begins with a copy. The second scan copies all three ends of the first.
  int copies = 0;
  for (const KernelInstance& k : p.instances) copies += k.name.str().find(".first") != std::string::npos;
  CHECK(copies == 4);
}

TEST_CASE("loops nest as scans do, and a body that is there twice is compiled once") {
  const KernelProgram p = schedule(scan_graph("nested"), Target{});
  INFO(text(p));
  REQUIRE(p.loops.size() == 2);
  CHECK(p.loops[0].begin <= p.loops[1].begin);
  CHECK(p.loops[1].end <= p.loops[0].end);
  CHECK(trips(p.loops, static_cast<size_t>(p.loops[1].begin)) == 12);
  CHECK(written_place(p, "g.rows").moves == std::vector<Move>{{1, -48}});
  CHECK(written_place(p, "rows") == SlotPlace{144, {{1, -48}, {0, 192}}});  // a row of a row
  const KernelProgram again = schedule(scan_graph("initial values"), Target{});
  INFO(text(again));
  CHECK(again.bodies.size() < again.instances.size());
}

TEST_CASE("unused results of a scan are neither computed nor stored") {
  const KernelProgram all = schedule(scan_graph("emits after"), Target{});
  INFO(text(all));
  CHECK(std::none_of(all.buffers.begin(), all.buffers.end(), [](const Buffer& b) { return b.name.str().find("before") != std::string::npos; }));
  CHECK(calls_in(all.loops.at(0)) == 1);
}

TEST_CASE("weights that each trip reads are brought into panels once, before the loop") {
  const KernelProgram p = schedule(scan_graph("weights"), Target{});
  INFO(text(p));
  REQUIRE(p.loops.size() == 1);
  int products = 0;
  for (int32_t k = 0; k < static_cast<int32_t>(p.instances.size()); ++k) {
    const auto* c = std::get_if<Contraction>(&p[p.instances[static_cast<size_t>(k)].body].form);
    if (!c) continue;
    ++products;
    CHECK(c->panels == c->nr);
    CHECK(k >= p.loops[0].begin);
  }
  CHECK(products == 3);
  // One copy as it is, one transposed: the two products with w share theirs.
  int copies = 0;
  for (int32_t k = 0; k < p.loops[0].begin; ++k) copies += p.instances[static_cast<size_t>(k)].name.str().find(".panels") != std::string::npos;
  CHECK(copies == 2);
  // A product that is made once packs for itself.
  for (const KernelBody& b : schedule(mlp({64, 64, 8}, 16), Target{}).bodies) {
    if (const auto* c = std::get_if<Contraction>(&b.form)) CHECK(c->panels == 0);
  }
}
