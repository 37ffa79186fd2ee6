// Mistakes that show only when data, arrays and flags are read: one message with its place, the right exit code, nothing written.
#include <catch2/catch.hpp>

#include <filesystem>

#include "runtime/npy.h"
#include "tests/support/process.h"

using namespace gradc;
using namespace gradc::test;

namespace {

const char* classifier = R"(use nn

model small(image: [N, 2], label: int[N]) {
    logits = image |> Dense(3)
    loss   = mean(cross_entropy(logits, label))
}

train small {
    data      = csv("rows.csv") { image = columns(0..2); label = int(column(2)) }
    batch     = 2
    optimizer = adam(lr = 1e-2)
    epochs    = 2
}
)";

struct Case {
  Workplace place;
  explicit Case(const std::string& rows = "0,1,0\n1,0,1\n1,1,2\n0,0,0\n", const std::string& model = classifier) {
    place.write("m.grad", model);
    if (rows != "none") place.write("rows.csv", rows);
  }
  // The verb fails with this code, and the message holds every part.
  void fails(int code, std::vector<std::string> arguments, const std::vector<std::string>& parts) {
    ProcessResult r = place.gradc(arguments);
    INFO(r.out << r.err);
    CHECK(r.code == code);
    for (const std::string& part : parts) {
      INFO("expected: " << part);
      CHECK(r.err.find(part) != std::string::npos);
    }
    CHECK(r.err.find("internal error") == std::string::npos);
  }
};

std::string array_file(std::vector<int64_t> shape, Element e = Element::F32) { return npy_bytes(Array::zeros(e, std::move(shape))); }

}  // namespace

TEST_CASE("the classifier of these tests trains when nothing is wrong") {
  Case c;
  ProcessResult r = c.place.gradc({"train", "m.grad", "--json"});
  INFO(r.err);
  CHECK(r.code == 0);
}

TEST_CASE("a data file that is missing, empty or malformed") {
  Case("none").fails(1, {"train", "m.grad"}, {"cannot read 'rows.csv'", "No such file"});
  Case("").fails(1, {"train", "m.grad"}, {"rows.csv: error: there are no rows of data"});
  Case("0,1,0\n1,oops,1\n").fails(1, {"train", "m.grad"}, {"rows.csv:2: column 2: error: 'oops' is not a number"});
  Case("0,1,0\n1,0\n").fails(1, {"train", "m.grad"}, {"rows.csv:2: error: this row has 2 columns, line 1 has 3"});
  Case("0,1,0\n1,,2\n").fails(1, {"train", "m.grad"}, {"rows.csv:2: column 2: error: the value is missing"});
}

TEST_CASE("labels are checked before training") {
  Case c("0,1,0\n\n1,0,3\n0,0,-1\n");
  c.fails(1, {"train", "m.grad", "--out", "run"}, {"rows.csv:3: error: label is 3, outside 0 to 2", "rows.csv:4: error: label is -1"});
  CHECK_FALSE(std::filesystem::exists(c.place.path("run/checkpoint.safetensors")));
  Case("0,1,0\n1,0,1.5\n").fails(1, {"train", "m.grad"}, {"rows.csv:2: error: 1.5 is not a whole number"});
}

TEST_CASE("a data set that is not installed: where it was looked for, and which package has it") {
  Case c("none", R"(
model m(image: [N, 28, 28]) {
    param w: [] = 1
    loss = mean(w * image)
}

train m {
    data = idx("fashion-mnist/no-such-file.gz") { image = input / 255 }
}
)");
  c.fails(1, {"train", "m.grad", "--data", "here"},
          {"cannot read 'fashion-mnist/no-such-file.gz': No such file", "m.grad:8", "it is not in 'here' either", "Debian's package dataset-fashion-mnist"});
}

TEST_CASE("IDX files that do not hold what they promise or what the model wants") {
  const std::string model = R"(
model m(image: [N, 4], label: int[N]) {
    param w: [4, 3] = zeros()
    logits = image @ w
    loss   = mean(cross_entropy(logits, label))
}

train m {
    data  = idx("images", "labels") { image = flatten(input / 255); label = target }
    batch = 2
}
)";
  const std::string images("\0\0\x08\x03\0\0\0\x03\0\0\0\x02\0\0\0\x02" "abcdefghijkl", 28), labels("\0\0\x08\x01\0\0\0\x03\0\1\2", 11);
  auto with = [&](const std::string& first, const std::string& second, const std::vector<std::string>& parts) {
    Case c("none", "use nn\n" + model);
    c.place.write("images", first);
    c.place.write("labels", second);
    if (parts.empty()) CHECK(c.place.gradc({"train", "m.grad"}).code == 0);
    else c.fails(1, {"train", "m.grad", "--out", "run"}, parts);
    CHECK_FALSE(std::filesystem::exists(c.place.path("run/metrics.jsonl")));
  };
  with(images, labels, {});
  with(images.substr(0, 20), labels, {"images: error: not a valid IDX file: at byte 16: shape [3, 2, 2] needs 12 bytes of data, and 4 are there"});
  with(images + "x", labels, {"images: error: not a valid IDX file", "needs 12 bytes of data, and 13 are there"});
  with("P5 2 2 255 abcd", labels, {"images: error: not a valid IDX file: at byte 0: it begins with 50 35"});
  with(images, labels.substr(0, 10), {"labels: error: not a valid IDX file: at byte 8"});
  with(images, std::string("\0\0\x08\x01\0\0\0\x02\0\1", 10), {"'labels' has 2 rows, but 'images' has 3"});
  with(images, std::string("\0\0\x08\x01\0\0\0\x03\0\7\2", 11), {"labels: row 2: error: label is 7, outside 0 to 2", "it picks one of the 3 columns"});
  with(std::string("\0\0\x08\x03\0\0\0\x03\0\0\0\x01\0\0\0\x02" "abcdef", 22), labels, {"the data for 'image' have shape [2, 2], but the model declares image: [N, 4]"});
  with(std::string("\0\0\x08\x03\0\0\0\0\0\0\0\x02\0\0\0\x02", 16), std::string("\0\0\x08\x01\0\0\0\0", 8), {"there are no rows of data"});
}

TEST_CASE("text that is too short, and bytes that the model has no place for") {
  const std::string model = R"(
model m(token: int[N, 8]) {
    param w: [128] = zeros()
    loss = mean(gather(w, token))
}

train m {
    data  = text("book.txt", window = 8) { token = bytes }
    steps = 2
}
)";
  Case c("none", model);
  c.place.write("book.txt", "12345678");
  c.fails(1, {"train", "m.grad"}, {"book.txt: error: the text has 8 bytes, and a window of 8 with the byte after it needs 9"});
  c.place.write("book.txt", "");
  c.fails(1, {"train", "m.grad"}, {"the text has 0 bytes"});
  c.place.write("book.txt", "plain ascii, then \xc3\xa9");
  c.fails(1, {"train", "m.grad"}, {"book.txt: byte 18: error: token is 195, outside 0 to 127"});
  c.place.write("book.txt", "long enough to be held out?");
  c.fails(1, {"train", "m.grad", "--set", "train.test=0.1"}, {"the text has 3 bytes"});
}

TEST_CASE("draws that do not fit the batch or each other") {
  const std::string model = R"(
model m(t: [N], z: [N]) {
    param w: [] = 1
    loss = mean((w - t) ** 2) + mean(z)
}

train m {
    data  = draws { t = uniform(0, 1, rows = 8); z = uniform(0, 1, rows = 8) }
    steps = 2
}
)";
  Case c("none", model);
  CHECK(c.place.gradc({"train", "m.grad"}).code == 0);
  c.fails(1, {"train", "m.grad", "--set", "train.batch=4"}, {"m.grad:8", "'batch' is 4, but the draws give 8 rows"});
  std::string uneven = model;
  uneven.replace(uneven.rfind("rows = 8"), 8, "rows = 9");
  Case("none", uneven).fails(1, {"train", "m.grad"}, {"dimension N is 9 in 'z' but 8 in 't'"});
}

TEST_CASE("columns that the file does not have") {
  Case c("0,1\n1,0\n");
  c.fails(1, {"train", "m.grad"}, {"m.grad:9", "2"});
}

TEST_CASE("arrays given to run: wrong name, shape, type, file") {
  Case c;
  c.place.write("image.npy", array_file({5, 2}));
  c.place.write("wide.npy", array_file({5, 3}));
  c.place.write("label.npy", array_file({5}, Element::Int));
  c.place.write("real.npy", array_file({5}));
  c.place.write("four.npy", array_file({4}, Element::Int));
  c.place.write("W.npy", array_file({3, 2}));
  c.place.write("cut.npy", array_file({5, 2}).substr(0, 100));
  std::vector<std::string> good{"run", "m.grad", "--input", "image=image.npy", "--input", "label=label.npy"};
  CHECK(c.place.gradc(good).code == 0);
  auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> all{"run", "m.grad"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  c.fails(1, with({"--input", "imag=image.npy", "--input", "label=label.npy"}), {"no input called 'imag'", "did you mean 'image'"});
  c.fails(1, with({"--input", "image=wide.npy", "--input", "label=label.npy"}), {"image", "[5, 3]", "2", "m.grad:3"});
  c.fails(1, with({"--input", "image=image.npy", "--input", "label=four.npy"}), {"N", "5", "4"});
  c.fails(1, with({"--input", "image=image.npy", "--input", "label=real.npy"}), {"label", "f32", "int"});
  c.fails(1, with({"--input", "image=image.npy"}), {"no array for the input 'label'"});
  c.fails(1, with({"--input", "image=none.npy"}), {"cannot read 'none.npy'"});
  c.fails(1, with({"--input", "image=cut.npy"}), {"not a valid .npy file"});
  c.fails(1, with({"--input", "image"}), {"NAME=FILE"});
  std::vector<std::string> shaped = good;
  shaped.insert(shaped.end(), {"--param", "logits.W=W.npy"});
  c.fails(1, shaped, {"'logits.W' has shape [3, 2]", "[n=2, units=3]"});
  shaped.back() = "logits.V=W.npy";
  c.fails(1, shaped, {"no parameter or state called 'logits.V'", "did you mean 'logits.W'"});
}

TEST_CASE("labels given to run are checked as well") {
  Case c;
  Array label = Array::zeros(Element::Int, {2});
  label.as<int64_t>()[1] = 17;
  c.place.write("image.npy", array_file({2, 2}));
  c.place.write("label.npy", npy_bytes(label));
  c.fails(1, {"run", "m.grad", "--input", "image=image.npy", "--input", "label=label.npy"}, {"label is 17, outside 0 to 2"});
}

TEST_CASE("expressions on the command line have places too") {
  Case c;
  c.fails(1, {"run", "m.grad", "--output", "los"}, {"los", "did you mean 'loss'"});
  c.fails(1, {"run", "m.grad", "--output", "grad(logits, logits.W)"}, {"single number, but 'logits' is f32[N=2, units=3]", "grad(sum(logits), logits.W)"});
  c.fails(1, {"run", "m.grad", "--output", "loss +"}, {"error"});
  c.fails(1, {"inspect", "m.grad", "--stage", "backward", "--wrt", "logits.X"}, {"logits.X"});
}

TEST_CASE("overrides are checked like the file") {
  Case c;
  c.fails(1, {"train", "m.grad", "--set", "train.epoch=3"}, {"epoch", "did you mean"});
  c.fails(1, {"train", "m.grad", "--set", "train.batch=-1"}, {"batch"});
  c.fails(2, {"train", "m.grad", "--set", "train.batch"}, {"KEY=VALUE"});
  c.fails(2, {"train", "m.grad", "--set", "train.batch=1", "--set", "train.batch=2"}, {"set twice"});
}

TEST_CASE("a checkpoint of another model is refused and kept") {
  Case c;
  CHECK(c.place.gradc({"train", "m.grad", "--json", "--out", "run"}).code == 0);
  std::string before = c.place.read("run/checkpoint.safetensors");
  std::string other = classifier;
  other.replace(other.find("Dense(3)"), 8, "Dense(4)");
  c.place.write("m.grad", other);
  c.fails(1, {"train", "m.grad", "--out", "run", "--resume"}, {"'logits.W' has shape [2, 3] in the checkpoint, and [2, 4] in the model"});
  CHECK(c.place.read("run/checkpoint.safetensors") == before);
  c.place.write("run/checkpoint.safetensors", before.substr(0, before.size() / 2));
  c.fails(1, {"train", "m.grad", "--out", "run", "--resume"}, {"not a valid .safetensors file"});
}

TEST_CASE("a loss that leaves the numbers ends training with a message") {
  std::string model = classifier;
  model.replace(model.find("lr = 1e-2"), 9, "lr = 1e39");
  Case c("0,1,0\n1,0,1\n1,1,2\n0,0,0\n", model);
  c.fails(1, {"train", "m.grad", "--set", "train.epochs=20"}, {"'loss' stopped being a finite number in step"});
}

TEST_CASE("memory is counted before it is taken") {
  Case c("none", "model big(x: [N, 100000000]) {\n    param W: [100000000, 100000] = zeros()\n    loss = mean(x @ W)\n}\ntrain big { batch = 4; optimizer = adam() }\n");
  c.fails(3, {"bench", "m.grad"}, {"m.grad: error: one step needs", "TiB of memory", "are free"});
}
