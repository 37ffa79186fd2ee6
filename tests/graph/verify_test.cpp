#include <catch2/catch.hpp>

#include "compiler/graph/graph.h"
#include "compiler/ops/expr.h"
#include "compiler/ops/ops.h"
#include "compiler/support/error.h"

using namespace gradc;

namespace {
const Type f32x3{Element::F32, {{3, {}}}};
}

TEST_CASE("a well-formed graph has no problems") {
  Graph g;
  GraphBuilder b(g);
  b.provenance = g.provenance.from(g.provenance.add(Origin{}));
  Expr x = input(b, "x", role::data, f32x3);
  g.outputs.push_back({"y", OutputKind::Value, exp(x).id});
  CHECK(verify(g, true).empty());
}

TEST_CASE("the verifier names each broken invariant") {
  Graph g;
  GraphBuilder b(g);
  Expr x = input(b, "x", role::data, f32x3), w = input(b, "w", role::parameter, f32x3);
  auto problems = [&](bool demand_provenance = false) {
    auto list = verify(g, demand_provenance);
    return list.empty() ? std::string() : list.front();
  };

  SECTION("wrong type") {
    g.add({&op<ops::Exp>(), {x.id}, {}, f32x3.with(Element::F64), {}, {}});
    CHECK(problems() == "%2 (exp) is f32[3], not f64[3]");
  }
  SECTION("wrong arity") {
    g.add({&op<ops::Add>(), {x.id}, {}, f32x3, {}, {}});
    CHECK(problems() == "%2 (add): takes 2 operands, not 1");
  }
  SECTION("missing attribute") {
    g.add({&op<ops::ReduceSum>(), {x.id}, {}, {Element::F32, {}}, {}, {}});
    CHECK(problems() == "%2 (reduce_sum): attribute 'axes' is missing");
  }
  SECTION("no operation") {
    g.add({});
    CHECK(problems() == "%2 has no operation");
  }
  SECTION("operand order is kept by the graph itself") {
    CHECK_THROWS_AS(g.add({&op<ops::Exp>(), {NodeId(size_t{5})}, {}, f32x3, {}, {}}), InternalError);
  }
  SECTION("output without a node") {
    g.outputs.push_back({"y", OutputKind::Value, NodeId(size_t{9})});
    CHECK(problems() == "output 'y' names no node");
  }
  SECTION("two outputs of one name") {
    g.outputs = {{"y", OutputKind::Value, x.id}, {"y", OutputKind::Value, w.id}};
    CHECK(problems() == "two outputs are called 'y'");
  }
  SECTION("two inputs of one name") {
    input(b, "x", role::data, f32x3);
    CHECK(problems() == "two inputs are called 'x'");
  }
  SECTION("update of data") {
    g.outputs.push_back({"x", OutputKind::Update, w.id});
    CHECK(problems() == "update of 'x', which is data");
  }
  SECTION("update of another type") {
    g.outputs.push_back({"w", OutputKind::Update, reduce_sum(w, {0}).id});
    CHECK(problems() == "update of 'w' is f32[], not f32[3]");
  }
  SECTION("no origin") {
    CHECK(problems().empty());
    CHECK(problems(true) == "%0 (input) comes from nowhere: its origin set is empty");
  }
}

TEST_CASE("compacting keeps order, names and outputs, and drops the dead") {
  Graph g;
  GraphBuilder b(g);
  Expr x = input(b, "x", role::data, f32x3);
  exp(x);
  Expr y = log(x);
  g.outputs.push_back({"y", OutputKind::Value, y.id});
  Graph small = g.compacted();
  REQUIRE(small.size() == 2);
  CHECK(small[NodeId(size_t{1})].op == &op<ops::Log>());
  CHECK(small.outputs[0].node == NodeId(size_t{1}));
  CHECK(small[NodeId(size_t{0})].name == Symbol("x"));
}
