// Sorting, running totals, rows added by index, stacking; transposed convolution.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <catch2/catch.hpp>

#include "tests/sema/elaborated.h"

using namespace gradc;
using namespace gradc::test;

namespace {

using List = std::vector<double>;

List values(const Tensor& t) {
  List v;
  for (int64_t i = 0; i < t.type.count(); ++i) v.push_back(t.at(i));
  return v;
}

// A model of x and w and what it calls by the given names.
std::map<Symbol, Tensor> run(const std::string& signature, const std::string& body, std::vector<std::string> outputs, std::map<Symbol, Tensor> inputs) {
  ElaborateRequest r = f64_request();
  r.outputs = std::move(outputs);
  Elaborated e("use nn\nmodel m(" + signature + ") {\n " + body + "\n}\n", r);
  INFO(e.messages());
  REQUIRE(e.result);
  CHECK(verify(e.graph(), true) == std::vector<std::string>{});
  return e.evaluate(std::move(inputs));
}

List of_row(const std::string& body, const List& x, const std::string& output = "y") {
  auto n = static_cast<int64_t>(x.size());
  return values(run(fmt::format("x: [{}]", n), body, {output}, {{"x", tensor_of(Element::F64, {n}, x)}}).at(Symbol(output)));
}

List wave(int64_t count, double phase) {
  List v;
  for (int64_t i = 0; i < count; ++i) v.push_back(std::sin(1.7 * static_cast<double>(i * i % 101) + phase));
  return v;
}

void check_near(const List& a, const List& b, double bound = 1e-12) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == Approx(b[i]).margin(bound));
}

}  // namespace

TEST_CASE("sort and argsort: ties in their order, both directions, NaN as the greatest") {
  List x{3, 1, 3, -2, 1};
  CHECK(of_row("y = sort(x)", x) == List{-2, 1, 1, 3, 3});
  CHECK(of_row("y = argsort(x)", x) == List{3, 1, 4, 0, 2});
  CHECK(of_row("y = sort(x, descending = true)", x) == List{3, 3, 1, 1, -2});
  CHECK(of_row("y = argsort(x, descending = true)", x) == List{0, 2, 1, 4, 3});
  CHECK(of_row("y = argsort(x)", {NAN, 1, INFINITY, NAN, 0}) == List{4, 1, 2, 0, 3});
  List many = wave(60, 0.2), sorted = many;
  std::sort(sorted.begin(), sorted.end());
  CHECK(of_row("y = sort(x)", many) == sorted);
  auto columns = run("x: [3, 2]", "y = sort(x, axis = 0)", {"y"}, {{"x", tensor_of(Element::F64, {3, 2}, {5, 0, 1, 2, 3, 1})}});
  CHECK(values(columns.at("y")) == List{1, 0, 3, 1, 5, 2});
}

TEST_CASE("top_k: values and indices, few and many, -inf and NaN among them") {
  List x = wave(40, 0.7);
  x[3] = x[20];
  std::vector<size_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return x[a] > x[b]; });
  for (size_t k : {1, 3, 16, 17, 40}) {
    List expected_values, expected_indices;
    for (size_t i = 0; i < k; ++i) expected_values.push_back(x[order[i]]), expected_indices.push_back(double(order[i]));
    CHECK(of_row(fmt::format("y, at = top_k(x, {})", k), x) == expected_values);
    CHECK(of_row(fmt::format("y, at = top_k(x, {})", k), x, "at") == expected_indices);
  }
  CHECK(of_row("y, at = top_k(x, 4)", {-INFINITY, 2, -INFINITY, 1}, "at") == List{1, 3, 0, 2});
  CHECK(of_row("y, at = top_k(x, 3)", {1, NAN, 2, NAN}, "at") == List{1, 3, 2});
  // The derivative of a value goes to its element.
  List weights{0, 0, 0, 0};
  CHECK(of_row("v, at = top_k(x, 2)\n y = grad(sum(v * [10, 1]), x)", {3, 9, 4, 1}) == List{0, 10, 1, 0});
  CHECK(of_row("y = grad(sum(sort(x) * [1, 2, 3, 4]), x)", {3, 9, 4, 1}) == List{2, 4, 3, 1});
}

TEST_CASE("cumsum and cumprod, their derivatives, and products of zeros") {
  List x{2, -1, 3, 0.5, 4, 1, -2};
  List sums(x.size()), products(x.size());
  std::partial_sum(x.begin(), x.end(), sums.begin());
  std::partial_sum(x.begin(), x.end(), products.begin(), std::multiplies<>());
  CHECK(of_row("y = cumsum(x)", x) == sums);
  CHECK(of_row("y = cumprod(x)", x) == products);
  CHECK(of_row("y = grad(sum(cumsum(x) * [1, 10, 100, 1000]), x)", {1, 2, 3, 4}) == List{1111, 1110, 1100, 1000});
  // d/dx of x1, x1 x2, x1 x2 x3 where x2 = 0
  CHECK(of_row("y = grad(sum(cumprod(x)), x)", {2, 0, 5}) == List{1, 2 + 10, 0});
  auto rows = run("x: [2, 3]", "y = cumsum(x, axis = 0)", {"y"}, {{"x", tensor_of(Element::F64, {2, 3}, {1, 2, 3, 4, 5, 6})}});
  CHECK(values(rows.at("y")) == List{1, 2, 3, 5, 7, 9});
}

TEST_CASE("gather and scatter_add with equal indices, and the derivative of each") {
  Tensor x = tensor_of(Element::F64, {3, 2}, {1, 2, 3, 4, 5, 6}), index = tensor_of(Element::Int, {4}, {2, 0, 2, 2});
  auto r = run("x: [3, 2], i: int[4]",
               "picked = gather(x, i)\n back = scatter_add(picked * [[1], [2], [3], [4]], i, 3)\n one = grad(sum(picked * [[1], [2], [3], [4]]), x)\n"
               " two = grad(sum(back ** 2), x)\n hot = one_hot(i, 3)",
               {"picked", "back", "one", "two", "hot"}, {{"x", x}, {"i", index}});
  CHECK(values(r.at("picked")) == List{5, 6, 1, 2, 5, 6, 5, 6});
  CHECK(values(r.at("back")) == List{2, 4, 0, 0, 40, 48});
  CHECK(values(r.at("one")) == List{2, 2, 0, 0, 8, 8});
  CHECK(values(r.at("two")) == List{2 * 2 * 2, 2 * 4 * 2, 0, 0, 2 * 40 * 8, 2 * 48 * 8});
  CHECK(values(r.at("hot")) == List{0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1});
}

TEST_CASE("stack, unstack, split, roll and reverse") {
  CHECK(of_row("y = stack(x, 2 * x)", {1, 2}) == List{1, 2, 2, 4});
  CHECK(of_row("y = stack(x, 2 * x, axis = 1)", {1, 2}) == List{1, 2, 2, 4});
  CHECK(of_row("y = stack(x, 2 * x, axis = 1)", {1, 3}) == List{1, 2, 3, 6});
  CHECK(of_row("a, b = unstack(stack(x, 2 * x))\n y = b - a", {1, 3}) == List{1, 3});
  CHECK(of_row("a, b = split(x, 2)\n y = concat(b, a)", {1, 2, 3, 4}) == List{3, 4, 1, 2});
  CHECK(of_row("y = roll(x, 1)", {1, 2, 3}) == List{3, 1, 2});
  CHECK(of_row("y = roll(x, -1)", {1, 2, 3}) == List{2, 3, 1});
  CHECK(of_row("y = roll(x, 6)", {1, 2, 3}) == List{1, 2, 3});
  CHECK(of_row("y = reverse(x, 0)", {1, 2, 3}) == List{3, 2, 1});
}

TEST_CASE("transposed convolution is the transpose of convolution") {
  struct Spec {
    int64_t height, width, in, out;
    int64_t kernel[2];
    std::string options;       // of conv
    int64_t groups = 1;
  };
  // The image is what conv reads: conv takes [.., out] to [.., in], its transpose takes [.., in] back.
  std::vector<Spec> specs = {
      {5, 4, 2, 3, {3, 3}, ""},
      {5, 7, 2, 3, {3, 2}, "stride = 2"},
      {6, 7, 1, 2, {3, 3}, "stride = 2, padding = 1"},
      {6, 6, 2, 4, {3, 3}, "stride = 3, padding = \"same\""},
      {7, 6, 2, 4, {2, 3}, "dilation = 2, padding = [0, 1]", 2},
      {4, 5, 4, 4, {3, 3}, "padding = 1", 4},
      {8, 8, 2, 2, {1, 1}, "stride = 2"},
      {4, 4, 2, 2, {2, 2}, "padding = 3"},
      {9, 8, 4, 2, {4, 3}, "stride = [3, 2], padding = [2, 1], dilation = [1, 2]", 2},
  };
  for (const Spec& s : specs) {
    INFO("case " << &s - specs.data());
    std::string comma = s.options.empty() ? "" : ", ", groups = fmt::format(", groups = {}", s.groups);
    std::vector<int64_t> image{2, s.height, s.width, s.out}, filter{s.kernel[0], s.kernel[1], s.out / s.groups, s.in};
    std::string signature = fmt::format("image: [2, {}, {}, {}], w: [{}, {}, {}, {}]", s.height, s.width, s.out, s.kernel[0], s.kernel[1], s.out / s.groups, s.in);
    std::map<Symbol, Tensor> inputs = {{"image", tensor_of(Element::F64, image, wave(2 * s.height * s.width * s.out, 0.1))},
                                       {"w", tensor_of(Element::F64, filter, wave(s.kernel[0] * s.kernel[1] * s.out / s.groups * s.in, 1.1))}};
    std::string conv = "z = conv(image, w" + comma + s.options + groups + ")\n x = sin(z + 1)\n";
    // Where strides leave a rest of the image, output padding brings it back.
    std::vector<int64_t> z = run(signature, conv, {"z"}, inputs).at("z").type.sizes();
    auto size = [&](const std::string& extra) {
      std::string call = "y = conv_transpose(x, transpose(w, [0, 1, 3, 2]), " + s.options + (s.options.empty() ? "" : ", ") + extra + "groups = 1)";
      return call;
    };
    (void)size;
    // [k.., out / groups, in] -> [k.., in, out / groups]
    std::string flipped = "v = transpose(w, [0, 1, 3, 2])\n";
    auto transposed = [&](const std::string& extra) { return " y = conv_transpose(x, v" + comma + s.options + groups + extra + ")\n"; };
    std::vector<int64_t> plain = run(signature, conv + flipped + transposed(""), {"y"}, inputs).at("y").type.sizes();
    std::string extra = fmt::format(", output_padding = [{}, {}]", s.height - plain[1], s.width - plain[2]);
    auto r = run(signature, conv + flipped + transposed(extra) + " expected = grad(sum(z * stop_gradient(x)), image)\n loss = sum(y * y)\n slope = grad(loss, w)\n",
                 {"y", "expected", "slope"}, inputs);
    CHECK(r.at("y").type.sizes() == image);
    check_near(values(r.at("y")), values(r.at("expected")));
  }
}

TEST_CASE("transposed convolution of a sequence, by hand") {
  Tensor x = tensor_of(Element::F64, {1, 3, 1}, {1, 2, 3}), w = tensor_of(Element::F64, {3, 1, 1}, {1, 10, 100});
  auto y = [&](const std::string& options) { return values(run("x: [1, 3, 1], w: [3, 1, 1]", "y = conv_transpose(x, w" + options + ")", {"y"}, {{"x", x}, {"w", w}}).at("y")); };
  CHECK(y("") == List{1, 12, 123, 230, 300});
  CHECK(y(", stride = 2") == List{1, 10, 102, 20, 203, 30, 300});
  CHECK(y(", stride = 2, padding = 1") == List{10, 102, 20, 203, 30});
  CHECK(y(", stride = 2, padding = 1, output_padding = 1") == List{10, 102, 20, 203, 30, 300});
  CHECK(y(", stride = 2, padding = \"same\"") == List{1, 10, 102, 20, 203, 30});
  CHECK(y(", padding = \"same\"") == List{12, 123, 230});
  CHECK(y(", padding = 2") == List{123});
}
