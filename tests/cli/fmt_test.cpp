// gradc fmt: what it changes, what it leaves, and how it says so.
#include <catch2/catch.hpp>

#include <filesystem>
#include <set>
#include <sstream>

#include "tests/support/process.h"

using namespace gradc::test;

namespace {

// The text without what a layout may change: blanks, line ends, and ';' between statements that get lines of their own.
std::string substance(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c != ' ' && c != '\n' && c != '\t' && c != ';') out += c;
  }
  return out;
}

std::set<std::string> model_files() {
  std::set<std::string> files;
  for (const char* folder : {"examples", "frontend/library", "tests/bench/workloads"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(source(folder))) {
      if (entry.path().extension() == ".grad") files.insert(entry.path().string());
    }
  }
  return files;
}

const char* untidy = "model line(x:[N],y : [N]){\n\tparam w:[]=0\n  loss=mean((w*x-y)**2)   # fit\n\n\n\n}\n";
const char* tidy =
    "model line(x: [N], y: [N]) {\n"
    "    param w: [] = 0\n"
    "    loss = mean((w * x - y) ** 2)  # fit\n"
    "}\n";

}  // namespace

TEST_CASE("fmt lays a file out, once") {
  Workplace place;
  place.write("line.grad", untidy);
  auto r = place.gradc({"fmt", "line.grad"});
  INFO(r.err);
  CHECK(r.code == 0);
  CHECK(place.read("line.grad") == tidy);
  auto written = std::filesystem::last_write_time(place.path("line.grad"));
  CHECK(place.gradc({"fmt", "line.grad"}).code == 0);
  CHECK(std::filesystem::last_write_time(place.path("line.grad")) == written);
}

TEST_CASE("fmt --check names the files that would change, and changes nothing") {
  Workplace place;
  place.write("untidy.grad", untidy);
  place.write("tidy.grad", tidy);
  auto r = place.gradc({"fmt", "--check", "tidy.grad", "untidy.grad"});
  CHECK(r.code == 1);
  CHECK(r.out == "untidy.grad\n");
  CHECK(place.read("untidy.grad") == untidy);
  CHECK(place.gradc({"fmt", "--check", "tidy.grad"}).code == 0);
}

TEST_CASE("fmt leaves a file that does not parse as it is, and lays out the others") {
  Workplace place;
  place.write("broken.grad", "model m( {\n");
  place.write("untidy.grad", untidy);
  auto r = place.gradc({"fmt", "broken.grad", "untidy.grad", "missing.grad"});
  CHECK(r.code == 1);
  CHECK(r.err.find("broken.grad:1") != std::string::npos);
  CHECK(r.err.find("missing.grad") != std::string::npos);
  CHECK(place.read("broken.grad") == "model m( {\n");
  CHECK(place.read("untidy.grad") == tidy);
}

TEST_CASE("fmt keeps columns that were lined up, and no others") {
  Workplace place;
  const std::string aligned =
      "model m(x: [N, 4]) {\n"
      "    param scale: [4] = ones()    # one a column\n"
      "    param b:     []  = 0         # one for all\n"
      "\n"
      "    hidden = x      |> Dense(2) |> relu\n"
      "    y      = hidden |> Dense(1)\n"
      "    loss   = mean(y)\n"
      "}\n";
  place.write("aligned.grad", aligned);
  auto r = place.gradc({"fmt", "--check", "aligned.grad"});
  INFO(r.out << r.err);
  CHECK(r.code == 0);
  place.write("stray.grad", "model m(x: [N, 4]) {\n    y = x     * 2\n    loss = mean(y)\n}\n");
  CHECK(place.gradc({"fmt", "stray.grad"}).code == 0);
  CHECK(place.read("stray.grad") == "model m(x: [N, 4]) {\n    y    = x * 2\n    loss = mean(y)\n}\n");
}

TEST_CASE("every example, library and workload file is laid out already, with nothing lost where its columns are undone") {
  Workplace place;
  for (const std::string& file : model_files()) {
    INFO(file);
    auto r = place.gradc({"fmt", "--check", file});
    INFO(r.out << r.err);
    CHECK(r.code == 0);
    // The same text without indentation comes back with the same substance, and is final after one pass.
    std::string flat, text = run_process({"/bin/cat", file}).out;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) flat += line.substr(std::min(line.size(), line.find_first_not_of(' '))) + "\n";
    place.write("flat.grad", flat);
    CHECK(place.gradc({"fmt", "flat.grad"}).code == 0);
    CHECK(substance(place.read("flat.grad")) == substance(text));
    CHECK(place.gradc({"fmt", "--check", "flat.grad"}).code == 0);
  }
}
