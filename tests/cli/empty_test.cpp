// Sizes of zero, wherever a user can bring one in, are refused in the user's words: nothing here may be an internal error.
#include <catch2/catch.hpp>

#include "runtime/npy.h"
#include "tests/support/process.h"

using namespace gradc;
using namespace gradc::test;

namespace {

const char* model = R"(
dim T = 4
model m(x: [N, T], y: [N]) {
    param w: [T] = ones()
    hs = scan x_t in x along T with h = zeros([N]) {
        h = tanh(h + x_t)
        emit h
    }
    loss = mean((x @ w - y) ** 2) + mean(hs)
}
train m {
    data      = csv("rows.csv") { x = columns(0..4); y = column(4) }
    batch     = 2
    epochs    = 1
    optimizer = adam()
}
)";

void refused(const Workplace& place, std::vector<std::string> command, const std::string& part) {
  ProcessResult r = place.gradc(command);
  INFO(command[0] << ' ' << command.back() << '\n' << r.out << r.err);
  CHECK(r.code == 1);
  CHECK(r.err.find(part) != std::string::npos);
}

std::string changed(const std::string& from, const std::string& to) {
  std::string text = model;
  size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a size of zero in settings, arrays, expressions and data is refused") {
  Workplace place;
  place.write("m.grad", model);
  place.write("rows.csv", "1,2,3,4,5\n2,3,4,5,6\n3,4,5,6,7\n");
  place.write("none.csv", "");
  place.write("x.npy", npy_bytes(Array::zeros(Element::F32, {0, 4})));
  place.write("y.npy", npy_bytes(Array::zeros(Element::F32, {0})));

  for (const char* verb : {"train", "check", "inspect", "bench"}) refused(place, {verb, "m.grad", "--set", "T=0"}, "a tensor of shape [N=");
  refused(place, {"train", "m.grad", "--set", "train.batch=0"}, "the batch must be positive, not 0");
  refused(place, {"run", "m.grad", "--input", "x=x.npy", "--input", "y=y.npy", "--output", "loss"}, "a tensor of shape [N=0, T=4] has no elements");
  refused(place, {"run", "m.grad", "--output", "x[0..0]"}, "a tensor of shape [0, T=4] has no elements");
  refused(place, {"run", "m.grad", "--output", "mean(x[.., 2..2])"}, "a tensor of shape [N=2, 0] has no elements");

  place.write("none.grad", changed("rows.csv", "none.csv"));
  refused(place, {"train", "none.grad"}, "there are no rows of data");
  place.write("cut.grad", changed("columns(0..4)", "columns(0..4)[.., 0..0]"));
  refused(place, {"train", "cut.grad"}, "a tensor of shape [3, 0] has no elements");
  place.write("rows.grad", changed("csv(\"rows.csv\") { x = columns(0..4); y = column(4) }", "rows { x = []; y = [] }"));
  refused(place, {"train", "rows.grad"}, "'[]' should be a tensor");
  place.write("drawn.grad", changed("csv(\"rows.csv\") { x = columns(0..4); y = column(4) }", "draws { x = normal(); y = uniform(0, 1, rows = 0) }"));
  refused(place, {"train", "drawn.grad"}, "the number of rows must be positive, not 0");
}

TEST_CASE("a dimension that only counts may be zero") {
  Workplace place;
  place.write("m.grad", "dim layers = 2\nmodel m(x: [N, 3]) {\n param w: [3] = ones()\n y = x\n for i in 0..layers { y = tanh(y) }\n loss = sum(y @ w)\n}\n");
  CHECK(place.gradc({"check", "m.grad", "--set", "layers=0"}).code == 0);
}
