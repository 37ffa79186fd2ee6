// What a trained model is for: metrics of a checkpoint, values for new rows, new text.
#include <catch2/catch.hpp>

#include <cmath>
#include <sstream>

#include <nlohmann/json.hpp>

#include "runtime/npy.h"
#include "tests/support/process.h"

using namespace gradc;
using namespace gradc::test;
using nlohmann::json;

namespace {

const char* classifier = R"(use nn

model small(image: [N, 2], label: int[N]) {
    h      = image |> Dense(4) |> BatchNorm() |> relu |> Dropout(0.2)
    logits = h |> Dense(3)
    loss     = mean(cross_entropy(logits, label))
    accuracy = mean(argmax(logits) == label)
}

train small {
    data      = csv("rows.csv") { image = columns(0..2); label = int(column(2)) }
    test      = 0.3
    batch     = 8
    optimizer = adam(lr = 1e-2)
    epochs    = 2
}
)";

const char* line = R"(
model line(x: [N], y: [N]) {
    param w: [] = 2
    yhat  = w * x + 1
    total = sum(x)
    loss  = mean((yhat - y) ** 2)
}

train line {
    data      = rows { x = [1, 2]; y = [3, 5] }
    optimizer = gradient_descent(lr = 0)
    epochs    = 1
}
)";

// What follows a byte depends on that byte alone.
const char* bigrams = R"(
use nn
dim T = 6

model chars(token: int[N, T], next: int[N, T]) {
    logits = Embedding(128, 128)(token)
    loss   = mean(cross_entropy(logits, next))
}

train chars {
    data      = text("book.txt", window = T) { token = bytes; next = shifted }
    batch     = 8
    optimizer = adam(lr = 0.1)
    epochs    = 20
}
)";

struct Trained {
  Workplace place;
  std::vector<json> events;
  Trained(const std::string& model, const std::string& data) {
    place.write("m.grad", model);
    if (!data.empty()) place.write(data.find(',') != std::string::npos ? "rows.csv" : "book.txt", data);
    ProcessResult r = place.gradc({"train", "m.grad", "--json", "--out", "run"});
    INFO(r.err);
    REQUIRE(r.code == 0);
    std::istringstream in(r.out);
    for (std::string text; std::getline(in, text);) events.push_back(json::parse(text));
  }
  ProcessResult use(const std::string& verb, std::vector<std::string> more) const {
    std::vector<std::string> all{verb, "m.grad", "--checkpoint", "run/checkpoint.safetensors"};
    all.insert(all.end(), more.begin(), more.end());
    return place.gradc(all);
  }
  std::string output(const std::string& verb, const std::vector<std::string>& more) const {
    ProcessResult r = use(verb, more);
    INFO(r.err);
    CHECK(r.code == 0);
    return r.out;
  }
  void fails(int code, const std::string& verb, const std::vector<std::string>& more, const std::string& part) const {
    ProcessResult r = use(verb, more);
    INFO(r.out << r.err);
    CHECK(r.code == code);
    CHECK(r.err.find(part) != std::string::npos);
    CHECK(r.err.find("internal error") == std::string::npos);
  }
};

std::string csv_rows() {
  std::string s;
  for (int i = 0; i < 50; ++i) s += std::to_string(i * 7 % 11) + "," + std::to_string(i * 5 % 13) + "," + std::to_string(i % 3) + "\n";
  return s;
}

std::string cycles() {
  std::string s;
  for (int i = 0; i < 100; ++i) s += "abcd";
  return s;
}

}  // namespace

TEST_CASE("eval gives the metrics that training ended with, in the evaluation form of the model") {
  Trained t(classifier, csv_rows());
  auto report = json::parse(t.output("eval", {"--json"}));
  CHECK(report["metrics"] == t.events.back()["test"]);
  CHECK(report["rows"] == 15);
  CHECK(report["step"] == t.events.back()["step"]);
  auto on_train = json::parse(t.output("eval", {"--json", "--on", "train"}));
  CHECK(on_train["rows"] == 35);
  CHECK(on_train["metrics"] != report["metrics"]);
  CHECK(t.output("eval", {}).find("accuracy") != std::string::npos);
  t.fails(2, "eval", {"--on", "both"}, "--on");
  t.fails(1, "eval", {"--set", "train.test=0", "--on", "test"}, "the train block has no test data");
  CHECK(t.place.gradc({"eval", "m.grad"}).code == 2);
  CHECK(t.place.gradc({"eval", "m.grad", "--checkpoint", "none"}).code == 1);
}

TEST_CASE("predict takes any number of rows, and no labels where none are needed") {
  Trained t(line, "");
  Array x = Array::zeros(Element::F32, {600});
  for (int i = 0; i < 600; ++i) x.as<float>()[i] = static_cast<float>(i);
  t.place.write("x.npy", npy_bytes(x));
  auto scalars = json::parse(t.output("predict", {"--input", "x=x.npy", "--output", "yhat", "--output", "x", "--save", "out.npz", "--json"}));
  CHECK(scalars["yhat"] == json{{"element", "f32"}, {"shape", {600}}});
  Diagnostics d;
  auto out = parse_npz(t.place.read("out.npz"), "", d);
  REQUIRE(out);
  for (int i = 0; i < 600; ++i) REQUIRE(out->at("yhat").at(i) == 2 * i + 1);
  // What looks at all rows sees all of them.
  CHECK(json::parse(t.output("predict", {"--input", "x=x.npy", "--output", "total", "--json"})) == json{{"total", 599 * 600 / 2}});
  t.fails(1, "predict", {"--input", "x=x.npy", "--output", "loss"}, "there is no array for the input 'y'");
  t.fails(1, "predict", {"--input", "z=x.npy", "--output", "yhat"}, "the model has no input called 'z'");
  t.fails(1, "predict", {"--input", "x=x.npy", "--output", "yhatt"}, "unknown name 'yhatt'");
  t.fails(2, "predict", {"--input", "x=x.npy"}, "--output");
  t.place.write("empty.npy", npy_bytes(Array::zeros(Element::F32, {0})));
  t.fails(1, "predict", {"--input", "x=empty.npy", "--output", "yhat"}, "there are no rows");
}

TEST_CASE("predict gives the same rows in one batch and in several") {
  Trained t(classifier, csv_rows());
  Array all = Array::zeros(Element::F32, {300, 2}), few = Array::zeros(Element::F32, {20, 2});
  for (int i = 0; i < 600; ++i) all.as<float>()[i] = std::sin(static_cast<float>(i));
  for (int i = 0; i < 40; ++i) few.as<float>()[i] = all.as<float>()[560 + i];
  t.place.write("all.npy", npy_bytes(all));
  t.place.write("few.npy", npy_bytes(few));
  t.output("predict", {"--input", "image=all.npy", "--output", "logits", "--save", "all.npz"});
  t.output("predict", {"--input", "image=few.npy", "--output", "logits", "--save", "few.npz"});
  Diagnostics d;
  auto a = parse_npz(t.place.read("all.npz"), "", d), b = parse_npz(t.place.read("few.npz"), "", d);
  REQUIRE((a && b));
  for (int i = 0; i < 60; ++i) CHECK(a->at("logits").at(840 + i) == Approx(b->at("logits").at(i)).epsilon(1e-5));
}

TEST_CASE("generate goes on as the text did, the same for the same seed") {
  Trained t(bigrams, cycles());
  CHECK(t.output("generate", {"--prompt", "a", "--length", "7", "--temperature", "0"}) == "abcdabcd\n");
  CHECK(t.output("generate", {"--prompt", "dabcdabcdabc", "--length", "5", "--top-k", "1"}) == "dabcdabcdabcdabcd\n");
  std::vector<std::string> hot{"--prompt", "a", "--length", "60", "--temperature", "5", "--seed", "1"};
  std::string first = t.output("generate", hot);
  CHECK(first.size() == 62);
  CHECK(first == t.output("generate", hot));
  hot.back() = "2";
  CHECK(first != t.output("generate", hot));
  auto report = json::parse(t.output("generate", {"--prompt", "bc", "--length", "4", "--temperature", "0", "--json"}));
  CHECK(report["prompt"] == "bc");
  CHECK(report["text"] == "dabc");
  CHECK(t.output("generate", {"--length", "0", "--prompt", "ab"}) == "ab\n");
  t.fails(2, "generate", {"--temperature", "-1"}, "--temperature");
  t.fails(2, "generate", {"--top-k", "0"}, "--top-k");
  t.fails(1, "generate", {"--prompt", "\xC3\xA9"}, "a byte is 195, outside 0 to 127");
  t.fails(1, "generate", {"--logits", "loss"}, "no text can be made with this model");
  t.fails(1, "generate", {"--logits", "nothing"}, "unknown name 'nothing'");
}

TEST_CASE("generate refuses a model that reads no text") {
  Trained t(line, "");
  t.fails(1, "generate", {"--prompt", "a"}, "no text can be made with this model: it reads 'rows'");
}
