// Data readers from end to end: the same rows give the same bits through every reader; draws and windows are what they say.
#include <catch2/catch.hpp>

#include <cmath>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "runtime/npy.h"
#include "tests/support/process.h"

using namespace gradc;
using namespace gradc::test;
using nlohmann::json;

namespace {

constexpr int64_t rows = 40, pixels = 9;

int pixel(int64_t row, int64_t i) { return static_cast<int>((row * 37 + i * 101 + row * i * 7) % 256); }
int label(int64_t row) { return static_cast<int>(row * row % 3); }

std::string big_endian(uint32_t v) { return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8), static_cast<char>(v)}; }

std::string images() {
  std::string s{0, 0, 8, 3};
  s += big_endian(rows) + big_endian(3) + big_endian(3);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < pixels; ++i) s += static_cast<char>(pixel(r, i));
  }
  return s;
}
std::string labels(int64_t n = rows) {
  std::string s{0, 0, 8, 1};
  s += big_endian(static_cast<uint32_t>(n));
  for (int64_t r = 0; r < n; ++r) s += static_cast<char>(label(r));
  return s;
}
std::string table() {
  std::string s;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < pixels; ++i) s += std::to_string(pixel(r, i)) + ",";
    s += std::to_string(label(r)) + "\n";
  }
  return s;
}
std::string archive() {
  Array x = Array::zeros(Element::F64, {rows, pixels}), y = Array::zeros(Element::Int, {rows}), scale = Array::zeros(Element::F64, {1});
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < pixels; ++i) x.as<double>()[r * pixels + i] = pixel(r, i);
    y.as<int64_t>()[r] = label(r);
  }
  scale.as<double>()[0] = 255;
  return npz_bytes({{"x_train", x}, {"y_train", y}, {"scale", scale}});
}

std::string classifier(const std::string& data) {
  return R"(use nn

model small(image: [N, 9], label: int[N]) {
    h      = image |> Dense(8) |> relu |> Dropout(0.3)
    logits = h |> Dense(3)
    loss     = mean(cross_entropy(logits, label))
    accuracy = mean(argmax(logits) == label)
}

train small {
    data      = )" + data + R"(
    test      = 0.25
    batch     = 8
    optimizer = adam(lr = 1e-2)
    epochs    = 3
}
)";
}

std::vector<json> lines(const std::string& text) {
  std::vector<json> events;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) events.push_back(json::parse(line));
  return events;
}

std::vector<json> trained(const Workplace& place, const std::string& file, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments{"train", file, "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  ProcessResult r = place.gradc(arguments);
  INFO(r.err);
  REQUIRE(r.code == 0);
  return lines(r.out);
}

NamedArrays outputs(const Workplace& place, const std::string& file, const std::vector<std::string>& names, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments{"run", file, "--save", "out.npz"};
  for (const std::string& n : names) arguments.insert(arguments.end(), {"--output", n});
  arguments.insert(arguments.end(), more.begin(), more.end());
  ProcessResult r = place.gradc(arguments);
  INFO(r.err);
  REQUIRE(r.code == 0);
  Diagnostics d;
  auto out = parse_npz(place.read("out.npz"), "out.npz", d);
  REQUIRE(out);
  return *out;
}

}  // namespace

TEST_CASE("the same rows give the same bits through csv, idx and npz") {
  Workplace place;
  place.write("rows.csv", table());
  place.write("images", images());
  place.write("labels", labels());
  place.write("rows.npz", archive());
  place.write("csv.grad", classifier("csv(\"rows.csv\") { image = columns(0..9) / 255; label = int(column(9)) }"));
  place.write("idx.grad", classifier("idx(\"images\", \"labels\") { image = flatten(input / 255); label = target }"));
  place.write("npz.grad", classifier("npz(\"rows.npz\") { image = x_train / scale; label = y_train }"));
  auto csv = trained(place, "csv.grad"), idx = trained(place, "idx.grad"), npz = trained(place, "npz.grad");
  REQUIRE(csv.size() == 4);
  for (size_t i = 0; i < csv.size(); ++i) {
    for (const char* key : {"train", "test", "digest"}) {
      CHECK(csv[i][key] == idx[i][key]);
      CHECK(csv[i][key] == npz[i][key]);
    }
  }
}

TEST_CASE("a second source is what is tested on, and files are looked for in --data first") {
  Workplace place;
  place.write("images", images());
  place.write("labels", labels());
  std::string model = classifier("idx(\"images\", \"labels\") { image = flatten(input / 255); label = target }");
  model.replace(model.find("0.25"), 4, "idx(\"images\", \"labels\") { image = flatten(input / 255); label = target }");
  place.write("m.grad", model);
  // Tested on the rows that it is trained on: the last test loss is the loss of the final parameters over all 40 rows.
  auto events = trained(place, "m.grad", {"--out", "run"});
  auto all = outputs(place, "m.grad", {"loss", "accuracy"}, {"--checkpoint", "run/checkpoint.safetensors", "--set", "train.batch=40"});
  CHECK(events.back()["test"]["loss"].get<double>() == Approx(all.at("loss").at(0)).epsilon(1e-6));
  CHECK(events.back()["test"]["accuracy"].get<double>() == Approx(all.at("accuracy").at(0)).epsilon(1e-6));
  place.write("elsewhere/labels", labels(7));
  ProcessResult r = place.gradc({"train", "m.grad", "--data", "elsewhere"});
  CHECK(r.code == 1);
  CHECK(r.err.find("'elsewhere/labels' has 7 rows, but 'images' has 40") != std::string::npos);
}

TEST_CASE("text gives bytes and the bytes after them") {
  Workplace place;
  std::string book;
  for (int i = 0; i < 100; ++i) book += static_cast<char>('a' + i * i % 26);
  place.write("book.txt", book);
  place.write("m.grad", R"(
model m(token: int[N, 7], next: int[N, 7]) {
    param w: [256] = zeros()
    loss = mean(gather(w, token)) + mean(gather(w, next))
}

train m {
    data  = text("book.txt", window = 7) { token = bytes; next = shifted }
    batch = 3
    steps = 4
}
)");
  auto out = outputs(place, "m.grad", {"token", "next"});
  CHECK(out.at("token").shape == std::vector<int64_t>{3, 7});
  for (int64_t k = 0; k < 21; ++k) {
    CHECK(out.at("token").at(k) == book[static_cast<size_t>(k)]);
    CHECK(out.at("next").at(k) == book[static_cast<size_t>(k) + 1]);
  }
}

TEST_CASE("draws are those of the counter, in every step new, for any number of threads the same") {
  Workplace place;
  place.write("m.grad", R"(
model m(t: [N, 2], edge: [M], z: [N, 3]) {
    param w: [] = 1
    loss = mean((w - t) ** 2) + mean(edge) ** 2 + mean(z) ** 2
}

train m {
    data      = draws { t = uniform(-1, 1, rows = 50); edge = uniform(rows = 7); z = normal([50, 3]) }
    optimizer = gradient_descent(lr = 0.1)
    steps     = 6
}
)");
  auto out = outputs(place, "m.grad", {"t", "edge", "z"}, {"--seed", "5"});
  CHECK(out.at("t").shape == std::vector<int64_t>{50, 2});
  CHECK(out.at("edge").shape == std::vector<int64_t>{7});
  double mean = 0, square = 0;
  for (int64_t k = 0; k < 150; ++k) mean += out.at("z").at(k) / 150, square += out.at("z").at(k) * out.at("z").at(k) / 150;
  CHECK(std::abs(mean) < 0.33);              // four standard errors
  CHECK(std::abs(square - 1) < 0.47);
  std::set<double> seen;
  for (int64_t k = 0; k < 100; ++k) {
    double v = out.at("t").at(k);
    CHECK((v >= -1 && v < 1));
    seen.insert(v);
  }
  CHECK(seen.size() == 100);
  auto other = outputs(place, "m.grad", {"t"}, {"--seed", "6"});
  CHECK(other.at("t").bytes != out.at("t").bytes);
  // New points in every step: the metric changes even though nothing is trained.
  auto events = trained(place, "m.grad", {"--set", "train.optimizer=gradient_descent(lr = 0)"});
  std::set<double> losses;
  for (size_t i = 0; i + 1 < events.size(); ++i) losses.insert(events[i]["train"]["loss"].get<double>());
  CHECK(losses.size() == 6);
  std::string one = trained(place, "m.grad", {"--threads", "1"}).back()["digest"];
  CHECK(one == trained(place, "m.grad", {"--threads", "2"}).back()["digest"].get<std::string>());
  CHECK(one == trained(place, "m.grad", {"--threads", "4"}).back()["digest"].get<std::string>());
}

TEST_CASE("draws beside rows, dropout and shuffles are the same after a resume") {
  Workplace place;
  place.write("images", images());
  place.write("labels", labels());
  std::string model = classifier("idx(\"images\", \"labels\") { image = flatten(input / 255) + normal(0, 0.1, [N, 9]); label = target }");
  place.write("m.grad", model);
  auto whole = trained(place, "m.grad", {"--set", "train.epochs=6"});
  trained(place, "m.grad", {"--out", "run"});
  auto rest = trained(place, "m.grad", {"--out", "run", "--resume", "--set", "train.epochs=6"});
  REQUIRE(rest.size() == 4);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(rest[i]["digest"] == whole[i + 3]["digest"]);
    CHECK(rest[i]["train"] == whole[i + 3]["train"]);
    CHECK(rest[i]["test"] == whole[i + 3]["test"]);
  }
  // Stopped after the first of an epoch's three steps, and gone on from there.
  trained(place, "m.grad", {"--out", "mid", "--set", "train.steps=7"});
  auto mid = trained(place, "m.grad", {"--out", "mid", "--resume", "--set", "train.epochs=6"});
  CHECK(mid.back()["digest"] == whole.back()["digest"]);
}

TEST_CASE("a table may look at all its rows, a reader by batches must not") {
  Workplace place;
  place.write("rows.csv", table());
  place.write("images", images());
  place.write("labels", labels());
  place.write("csv.grad", classifier("csv(\"rows.csv\") { image = (columns(0..9) - mean(columns(0..9), axes = [0])) / 255; label = int(column(9)) }"));
  trained(place, "csv.grad");
  place.write("idx.grad", classifier("idx(\"images\", \"labels\") { image = flatten((input - mean(input / 1, axes = [0])) / 255); label = target }"));
  ProcessResult r = place.gradc({"train", "idx.grad"});
  CHECK(r.code == 1);
  CHECK(r.err.find("the data for 'image' mix rows") != std::string::npos);
}

TEST_CASE("schedules in epochs know how many steps an epoch has") {
  Workplace place;
  place.write("m.grad", R"(
model m(x: [N]) {
    param w: [] = 0
    loss = mean(x * w)
}

train m {
    data      = rows { x = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1] }
    batch     = 2
    epochs    = 4
    optimizer = gradient_descent(lr = cosine(1, epochs = 2))
}
)");
  // The gradient is 1, so w falls by the sum of the rates: half a cosine over 2 * 5 steps, then 0.
  double expected = 0;
  for (int t = 1; t <= 10; ++t) expected += 0.5 * (1 + std::cos(M_PI * (t - 1) / 10));
  auto r = trained(place, "m.grad", {"--out", "run", "--dtype", "f64"});
  Diagnostics d;
  auto saved = parse_safetensors(place.read("run/checkpoint.safetensors"), "", d);
  REQUIRE(saved);
  CHECK(saved->at("w").at(0) == Approx(-expected).epsilon(1e-12));
}
