#include <catch2/catch.hpp>

#include <algorithm>

#include "tests/schedule/support.h"

using namespace gradc;
using namespace gradc::test;

namespace {

void check_values(const Graph& g) {
  for (bool fuse : {true, false}) {
    std::vector<std::string> problems = disagreements(g, random_inputs(g, 11), Target{}, fuse);
    for (const std::string& problem : problems) UNSCOPED_INFO(problem);
    if (!problems.empty()) UNSCOPED_INFO(text(schedule(g, Target{}, {.fuse = fuse})));
    CHECK(problems.empty());
  }
}

size_t shadows(const KernelProgram& p) {
  return static_cast<size_t>(
      std::count_if(p.buffers.begin(), p.buffers.end(), [](const Buffer& b) { return b.kind == BufferKind::Shadow; }));
}

}  // namespace

TEST_CASE("an update whose old value is wanted later goes through a shadow") {
  Model m;
  Expr w = m.parameter("w", {5, 5});
  m.update("w", transpose(w, {1, 0}) * 2.0);
  Graph g = m.finished();
  CHECK(shadows(schedule(g, Target{})) == 1);
  check_values(g);
}

TEST_CASE("an element-wise update is made in place, after those who read the old value") {
  Model m;
  Expr w = m.parameter("w", {70, 70}), x = m.data("x", {70, 70});
  Expr moved = w - tanh(x);
  m.update("w", moved);
  m.output("old", matmul(x, w));
  Graph g = m.finished();
  CHECK(shadows(schedule(g, Target{})) == 0);
  check_values(g);
}

TEST_CASE("parameters that trade places") {
  Model m;
  Expr a = m.parameter("a", {9}), b = m.parameter("b", {9});
  m.update("a", b + 1.0);
  m.update("b", a);
  check_values(m.finished());
}

TEST_CASE("a new value that others read as well") {
  Model m;
  Expr s = m.state("s", {3, 4}), x = m.data("x", {3, 4});
  Expr next = s * 0.5 + x;
  m.update("s", next);
  m.output("total", reduce_sum(next, {0, 1}));
  m.output("twice", next * 2.0);
  m.output("same", next);
  check_values(m.finished());
}

TEST_CASE("inputs and constants asked for directly") {
  Model m;
  Expr x = m.data("x", {2, 3});
  m.output("x again", x);
  m.output("once more", x);
  m.output("zeros", constant(m.b, 2.5, x.type()));
  m.output("index", iota(m.b, 1, Type{Element::Int, x.type().dims}));
  m.output("turned", transpose(x, {1, 0}));
  check_values(m.finished());
}

TEST_CASE("scalars, axes of size 1, bool and int tensors") {
  Model m;
  Expr s = m.data("s", {}), x = m.data("x", {1, 4, 1}), i = m.data("i", {4}, Element::Int), f = m.data("f", {4}, Element::Bool);
  m.output("scalar", exp(s) + s);
  m.output("sum1", reduce_sum(x, {0, 2}));
  m.output("none", reduce_max(x, {0}));
  m.output("first", argmax(x, 2));
  m.output("int", i * i + 3.0);
  m.output("flags", logical_and(f, lt(i, 2.0)));
  m.output("picked", select(f, cast(i, Element::F32), reshape(x, {4})));
  m.output("outer", contract(reshape(x, {4}), reshape(x, {4}), {0}, {1}, {0, 1}));
  m.output("inner", contract(reshape(x, {4}), reshape(x, {4}), {0}, {0}, {}));
  check_values(m.finished());
}

TEST_CASE("gather and scatter-add along every axis, also of computed values") {
  for (int64_t axis : {0, 1, 2}) {
    Model m;
    Expr x = m.data("x", {3, 4, 5}), i = m.data("i", {2, 3}, Element::Int);
    Expr picked = gather(tanh(x), i, axis);
    m.output("picked", picked * 2.0);
    m.output("slices", gather(slice(x, {0, 1, 0}, {3, 4, 5}), i, axis));
    m.output("padded", gather(pad(x, {1, 1, 1}, {0, 1, 1}, 0.5), i, axis));
    m.output("spread", scatter_add(i, picked, axis, 6));
    m.output("grad", grad(reduce_sum(picked * picked, {0, 1, 2, 3}), x));
    check_values(m.finished());
  }
  Model m;
  Expr x = m.data("x", {4}), i = m.data("i", {}, Element::Int);
  m.output("one", gather(x, i, 0));
  m.output("back", scatter_add(i, gather(x, i, 0), 0, 5));
  check_values(m.finished());
}

TEST_CASE("an embedding's gradient is shared out by strips of its rows") {
  Model m;
  Expr table = m.parameter("table", {50, 256}), i = m.data("i", {300}, Element::Int);
  m.output("grad", grad(reduce_sum(tanh(gather(table, i, 0)), {0, 1}), table));
  Graph g = m.finished();
  KernelProgram p = schedule(g, Target{});
  INFO(text(p));
  CHECK(block_count(p[p.instances.back().body]) > 1);
  check_values(g);
}

TEST_CASE("pads, slices with strides, concatenations and reversals are accesses") {
  Model m;
  Expr x = m.data("x", {5, 7}), y = m.data("y", {5, 3});
  Expr both = concatenate({x, y, x}, 1);
  m.output("sum", both + pad(tanh(both), {0, 0}, {0, 0}));
  m.output("window", pad(slice(x, {1, 0}, {5, 7}, {2, 3}), {1, 0}, {2, 4}, 1.5));
  m.output("strided", grad(reduce_sum(exp(slice(x, {0, 1}, {5, 6}, {2, 2})), {0, 1}), x));
  m.output("back", reverse(x * x, {0, 1}));
  m.output("nested", pad(pad(x, {1, 1}, {0, 0}, 1.0), {0, 2}, {1, 0}, 2.0));
  m.output("gaps", pad(tanh(x), {1, 0}, {0, 2}, 0.25, {1, 2}));
  check_values(m.finished());
}

TEST_CASE("reshapes split, merge, and fall back to memory") {
  Model m;
  Expr x = m.data("x", {4, 6});
  m.output("merged", reshape(tanh(x), {24}) * 2.0);
  m.output("split", reshape(x, {2, 2, 3, 2}) + 1.0);
  m.output("other", reshape(transpose(x, {1, 0}), {8, 3}) + 1.0);
  m.output("sums", reduce_sum(reshape(exp(x), {2, 12}), {1}));
  check_values(m.finished());
}

TEST_CASE("convolution as a contraction of windows") {
  // Windows of an image as a gather of shifted slices: guarded loads in the product's operand.
  Model m;
  Expr image = m.data("image", {6, 9, 9, 4}), w = m.parameter("w", {9, 4, 16});
  std::vector<Expr> windows;
  Expr padded = pad(image, {0, 1, 1, 0}, {0, 1, 1, 0});
  for (int64_t u = 0; u < 3; ++u) {
    for (int64_t v = 0; v < 3; ++v) windows.push_back(reshape(slice(padded, {0, u, v, 0}, {6, u + 9, v + 9, 4}), {1, 6, 9, 9, 4}));
  }
  Expr y = contract(concatenate(windows, 0), w, {0, 1, 2, 3, 4}, {0, 4, 5}, {1, 2, 3, 5});
  m.output("y", max(y, 0.0));
  m.output("dw", grad(reduce_sum(y * y, {0, 1, 2, 3}), w));
  check_values(m.finished());
}

TEST_CASE("products: batches, transposed results, many axes, vectors") {
  Model m;
  Expr a = m.data("a", {3, 17, 20}), b = m.data("b", {3, 20, 18}), v = m.data("v", {20}), w = m.data("w", {600, 20});
  m.output("batched", contract(a, b, {0, 1, 2}, {0, 2, 3}, {0, 1, 3}));
  m.output("turned", contract(a, b, {0, 1, 2}, {0, 2, 3}, {3, 0, 1}));
  m.output("summed", contract(a, b, {0, 1, 2}, {0, 2, 3}, {3, 1}));
  m.output("vector", contract(w, v, {0, 1}, {1}, {0}));
  m.output("row", tanh(contract(v, w, {1}, {0, 1}, {0})) + 1.0);
  m.output("gram", contract(w, w, {0, 1}, {0, 2}, {1, 2}));
  check_values(m.finished());
}

TEST_CASE("random numbers do not depend on what they are fused with") {
  Model m;
  Expr x = m.data("x", {30, 40}), seed = m.tensor("seed", role::seed, {}, Element::Int), step = m.tensor("step", role::step, {}, Element::F64);
  Expr keep = cast(lt(random(seed, step, 5, x.type()), 0.7), Element::F32);
  Expr y = x * keep;
  m.output("y", y);
  m.output("turned", transpose(keep, {1, 0}));
  m.output("grad", grad(reduce_sum(tanh(y), {0, 1}), x));
  check_values(m.finished());
}

TEST_CASE("column sums of column sums, rows and columns of the same data") {
  Model m;
  Expr x = m.data("x", {37, 29});
  m.output("rows", reduce_sum(x, {1}));
  m.output("columns", reduce_max(x, {0}));
  m.output("all", reduce_sum(x * x, {0, 1}));
  Expr centred = x - unreduce(reduce_sum(x, {0}) / 37.0, {0}, x.sizes());
  m.output("variance", reduce_sum(centred * centred, {0}));
  m.output("best", argmax(x, 1));
  m.output("worst", argmin(x, 0));
  check_values(m.finished());
}

TEST_CASE("second derivatives through a net of tanh layers") {
  Model m;
  int64_t n = 50;
  Expr x = m.data("x", {n, 1}, Element::F64);
  Expr w = m.parameter("w", {1, 12}, Element::F64), w2 = m.parameter("w2", {12, 1}, Element::F64);
  Expr u = matmul(tanh(matmul(x, w)), w2);
  Expr ux = grad(reduce_sum(u, {0, 1}), x), uxx = grad(reduce_sum(ux, {0, 1}), x);
  Expr f = u * ux - uxx;
  Expr loss = reduce_sum(f * f, {0, 1});
  m.output("loss", loss);
  m.output("dw", grad(loss, w));
  check_values(m.finished());
}
