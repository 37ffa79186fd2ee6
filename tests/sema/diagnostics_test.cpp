// Every bad model gives exactly its messages, and every kind of message has a bad model.
#include <algorithm>
#include <filesystem>
#include <set>

#include <catch2/catch.hpp>

#include "tests/sema/elaborated.h"
#include "tests/support/golden.h"

using namespace gradc;
using namespace gradc::test;

namespace {

std::vector<std::string> kinds_of_sema() {
  std::string table = read_text("compiler/support/diagnostics.def");
  size_t begin = table.find("// ---- sema ----");
  REQUIRE(begin != std::string::npos);
  std::string rows = table.substr(begin, table.find("// ----", begin + 17) - begin);
  std::vector<std::string> out;
  const std::string opening = "GRADC_DIAGNOSTIC(";
  for (size_t at = rows.find(opening); at != std::string::npos; at = rows.find(opening, at)) {
    at += opening.size();
    out.push_back(rows.substr(at, rows.find(',', at) - at));
  }
  return out;
}

std::vector<std::string> bad_models() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(source_path("tests/diagnostics/sema"))) {
    if (entry.path().extension() == ".grad") out.push_back(entry.path().stem());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string kind_in_name(const std::string& stem) { return stem.substr(0, stem.find('-')); }

ElaborateRequest training_step() {
  ElaborateRequest r;
  r.update = true;
  r.dims = {{"N", 4}};
  return r;
}

}  // namespace

TEST_CASE("every bad model gives exactly its messages") {
  for (const std::string& name : bad_models()) {
    std::string path = "tests/diagnostics/sema/" + name;
    Elaborated e(read_text(path + ".grad"), training_step(), {}, name + ".grad");
    INFO(name);
    bool warning = name == "UnusedParameter" || name == "DimensionNames" || name == "ScanCarryKept";
    CHECK(e.result.has_value() == warning);
    check_golden(path + ".expected", e.messages());
    if (!std::isupper(static_cast<unsigned char>(name[0]))) continue;
    for (const Diagnostic& d : e.diagnostics.all()) CHECK(info(d.kind).name == kind_in_name(name));
  }
}

TEST_CASE("every message of the analysis has a bad model") {
  // The others need arrays, tables or settings: in the test cases below.
  std::set<std::string> covered{"UnknownSetting", "DataShape", "UnknownColumn", "ColumnOutOfRange", "DimensionConflict", "ArrayMismatch", "PadSmaller"};
  for (const std::string& name : bad_models()) covered.insert(kind_in_name(name));
  for (const std::string& kind : kinds_of_sema()) {
    INFO(kind);
    CHECK(covered.count(kind) == 1);
  }
}

TEST_CASE("settings: what cannot be set is refused with the nearest") {
  Elaborated e(read_text("examples/digits.grad"), training_step(), {{"train.bath", "32"}}, "digits.grad");
  CHECK_FALSE(e.program);
  CHECK(e.messages() == "--set: error: 'train.bath' is nothing that can be set\n  note: did you mean 'train.batch'?\n");
}

TEST_CASE("data that do not fit the model") {
  auto transform = [](const std::string& reader, const std::vector<std::string>& header) {
    Elaborated e("model m(x: [N, 2]) {\n    loss = mean(x)\n}\n\ntrain m {\n    data = " + reader + "\n}\n", training_step());
    REQUIRE(e.program);
    Type table{Element::F64, {{5, {}}, {4, {}}}};
    auto g = e.program->elaborate_data(*e.program->train()->data, {{"table", table}}, header, Element::F32, e.diagnostics);
    CHECK(g.has_value() == e.messages().empty());
    return e.messages();
  };
  CHECK(transform("csv(\"a.csv\") { x = columns(1..3) }", {}) == "");
  CHECK(transform("csv(\"a.csv\") { x = columns(1..4) }", {}).find("error: the data for 'x' have shape [5, 3], but the model declares x: [N, 2]") != std::string::npos);
  CHECK(transform("csv(\"a.csv\") { x = columns(3..5) }", {}).find("error: columns(3..5) is outside the table, which has 4 columns") != std::string::npos);
  std::string unknown = transform("csv(\"a.csv\", header = true) { x = concat(expand(column(\"with\"), 1), columns(0..1)) }", {"width", "height", "a", "b"});
  CHECK(unknown.find("error: there is no column \"with\"") != std::string::npos);
  CHECK(unknown.find("did you mean \"width\"?") != std::string::npos);
}

TEST_CASE("the block of an image reader: shapes implied by the input, and what does not fit") {
  auto transform = [](const std::string& input, const std::string& value, std::map<Symbol, int64_t> dims = {{"N", 5}}) {
    Elaborated e("model m(x: " + input + ") {\n    loss = mean(x)\n}\n\ntrain m {\n    data = idx(\"a.gz\") { x = " + value + " }\n}\n", training_step());
    REQUIRE(e.program);
    Type images{Element::Int, {{5, {}}, {28, {}}, {28, {}}}};
    auto g = e.program->elaborate_data(*e.program->train()->data, {{"input", images}}, {}, Element::F32, e.diagnostics, dims);
    CHECK(g.has_value() == e.messages().empty());
    return g ? to_string((*g)[g->outputs.at(0).node].type) : e.messages();
  };
  CHECK(transform("[N, 784]", "flatten(input / 255)") == "f32[5, 784]");
  CHECK(transform("[N, 32, 32]", "pad(input / 255)") == "f32[5, 32, 32]");
  CHECK(transform("[N, 32, 32, 3]", "pad(input / 255)") == "f32[5, 32, 32, 3]");
  CHECK(transform("[N, 28, 28, 1]", "expand(input / 255, -1)") == "f32[5, 28, 28, 1]");
  CHECK(transform("int[N, 28, 28]", "input") == "int[5, 28, 28]");
  CHECK(transform("[N, 7]", "normal([N, 7])") == "f32[N=5, 7]");
  CHECK(transform("[N, 7]", "normal()") == "f32[N=5, 7]");
  CHECK(transform("[N, 7]", "uniform(-1, 1, rows = 3)", {}) == "f32[N=3, 7]");
  CHECK(transform("[N, 20, 32]", "pad(input / 255)").find("'input / 255' is [5, 28, 28], which cannot be padded to x: [N, 20, 32]") != std::string::npos);
  CHECK(transform("[N, 784]", "pad(input / 255)").find("which cannot be padded to") != std::string::npos);
  CHECK(transform("[N, 784]", "input / 255").find("the data for 'x' have shape [5, 28, 28], but the model declares x: [N, 784]") != std::string::npos);
  CHECK(transform("[N, 7]", "normal([N, 7])", {}).find("the size of dimension 'N' is not known") != std::string::npos);
  CHECK(transform("[N, 7]", "normal()", {}).find("the size of dimension 'N' is not known") != std::string::npos);
  CHECK(transform("[6, 7]", "normal(rows = 5)", {}).find("the data for 'x' have shape [5, 7], but the model declares x: [6, 7]") != std::string::npos);
  CHECK(transform("[N, 7]", "normal(rows = 0)", {}).find("the number of rows must be positive, not 0") != std::string::npos);
}

TEST_CASE("arrays that do not fit the model or each other") {
  Elaborated e("model m(x: [N, 2], y: [N]) {\n    loss = mean(x) + mean(y)\n}\n", training_step());
  REQUIRE(e.program);
  auto array = [](const std::vector<int64_t>& sizes) { return tensor_of(Element::F32, sizes, {}).type; };
  Diagnostics none;
  CHECK(e.program->bind("m", {{"x", array({5, 2})}, {"y", array({5})}}, none) == std::map<Symbol, int64_t>{{"N", 5}});
  CHECK(none.all().empty());
  Diagnostics conflict, mismatch;
  e.program->bind("m", {{"x", array({5, 2})}, {"y", array({6})}}, conflict);
  REQUIRE(conflict.all().size() == 1);
  CHECK(conflict.all()[0].message == "dimension N is 6 in 'y' but 5 in 'x'");
  e.program->bind("m", {{"x", array({5, 3})}}, mismatch);
  REQUIRE(mismatch.all().size() == 1);
  CHECK(mismatch.all()[0].message == "the array for 'x' has shape [5, 3], but the model declares x: [N, 2]");
}
