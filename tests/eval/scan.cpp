#include <catch2/catch.hpp>

#include "compiler/ops/scan_builder.h"
#include "tests/support/fixture.h"

using namespace gradc;
using namespace gradc::test;

using V = std::vector<double>;

TEST_CASE("a scan hands on its carries and collects its emissions") {
  Fixture f;
  Expr xs = f.in("xs", {4}, {1, 2, 3, 4}), h0 = f.in("h0", {}, {10}), w = f.in("w", {}, {2});
  auto run = [&](bool reverse) {
    ScanBuilder s(f.b, {.length = 4, .reverse = reverse});
    Expr h = s.carry(h0), x = s.element(xs);
    s.next(h, h + s.inside(w) * x);
    s.emit(h);      // before the step
    s.emit(x * x);
    return s.finish();
  };
  ScanResults forward = run(false), backward = run(true);
  CHECK(f.value(forward.carries[0]) == V{30});
  CHECK(f.value(forward.emissions[0]) == V{10, 12, 16, 22});
  CHECK(f.value(forward.emissions[1]) == V{1, 4, 9, 16});
  CHECK(f.value(backward.carries[0]) == V{30});
  CHECK(f.value(backward.emissions[0]) == V{28, 24, 18, 10});
  CHECK(f.value(backward.emissions[1]) == V{1, 4, 9, 16});
}

TEST_CASE("all carries of a step change at once") {
  Fixture f;
  ScanBuilder s(f.b, {.length = 5});
  Expr a = s.carry(f.in("a", {}, {0})), b = s.carry(f.in("b", {}, {1}));
  s.next(a, b);
  s.next(b, a + b);
  ScanResults r = s.finish();
  CHECK(f.value(r.carries[0]) == V{5});
  CHECK(f.value(r.carries[1]) == V{8});
}

TEST_CASE("a carry that is handed on as it is, and a sequence of one") {
  Fixture f;
  ScanBuilder s(f.b, {.length = 1});
  Expr a = s.carry(f.in("a", {2}, {3, 4})), x = s.element(f.in("x", {1, 2}, {5, 6}));
  s.next(a, a);
  s.emit(x);
  ScanResults r = s.finish();
  CHECK(f.value(r.carries[0]) == V{3, 4});
  CHECK(f.value(r.emissions[0]) == V{5, 6});
}

TEST_CASE("a scan in a scan: sums of rows, and over rows") {
  Fixture f;
  Expr xs = f.in("xs", {2, 3}, {1, 2, 3, 4, 5, 6}), w = f.in("w", {}, {10});
  ScanBuilder outer(f.b, {.length = 2});
  Expr total = outer.carry(f.in("t", {}, {0})), row = outer.element(xs);
  ScanBuilder inner(outer.body(), {.length = 3}, &outer);
  Expr sum = inner.carry(outer.inside(constant(f.b, 0, type_of(Element::F64, {})))), x = inner.element(row);
  inner.next(sum, sum + inner.inside(w) * x);
  inner.emit(sum);
  ScanResults per_row = inner.finish();
  outer.next(total, total + per_row.carries[0]);
  outer.emit(per_row.emissions[0]);
  ScanResults r = outer.finish();
  CHECK(f.value(r.carries[0]) == V{210});
  CHECK(f.value(r.emissions[0]) == V{0, 10, 30, 0, 40, 90});
}

TEST_CASE("integers and conditions are carried as they are, f32 is rounded at each step") {
  Fixture f;
  Expr indices = f.in("i", {3}, {2, 0, 1}, Element::Int), flag = f.in("flag", {}, {1}, Element::Bool), y0 = f.in("y", {}, {1e8}, Element::F32);
  ScanBuilder s(f.b, {.length = 3});
  Expr on = s.carry(flag), y = s.carry(y0), i = s.element(indices);
  s.next(on, logical_not(on));
  s.next(y, y + 1);
  s.emit(select(on, i, -1.0));
  ScanResults r = s.finish();
  CHECK(f.value(r.carries[0]) == V{0});
  CHECK(f.value(r.carries[1]) == V{1e8});
  CHECK(f.value(r.emissions[0]) == V{2, -1, 1});
}
