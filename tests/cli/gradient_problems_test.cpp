// Derivatives that do not exist: every model in tests/diagnostics/gradients is refused with exactly its message.
#include <filesystem>
#include <set>

#include <catch2/catch.hpp>

#include "tests/support/golden.h"
#include "tests/support/process.h"

using namespace gradc::test;

TEST_CASE("what has no derivative is refused, with the path from the loss") {
  std::set<std::string> kinds;
  for (const auto& entry : std::filesystem::directory_iterator(source_path("tests/diagnostics/gradients"))) {
    if (entry.path().extension() != ".grad") continue;
    std::string name = entry.path().stem(), path = "tests/diagnostics/gradients/" + name;
    INFO(name);
    Workplace place;
    place.write(name + ".grad", read_text(path + ".grad"));
    auto r = place.gradc({"inspect", name + ".grad", "--stage", "backward"});
    CHECK(r.code == 1);
    CHECK(r.out == "");
    check_golden(path + ".expected", r.err);
    kinds.insert(name.substr(0, name.find('-')));
  }
  // The other two kinds of this group are found by the analysis before (GradientOfNonScalar, GradientByNonTensor).
  CHECK(kinds == std::set<std::string>{"GradNoPath", "GradNotDifferentiable"});
}
