#include <catch2/catch.hpp>

#include "compiler/schedule/schedule.h"
#include "tests/support/nest_program.h"
#include "tests/support/scan_graphs.h"

using namespace gradc;

// Loops as the scheduler makes them, compiled, between pages that may not be touched. Sums of 40000 f32 elements run in index
// order in the interpreter, and as a tree here: these differ by some hundred units in the last place.
TEST_CASE("scheduled scans: compiled code agrees with the kernel interpreter") {
  for (const test::NamedGraph& g : test::scan_graphs()) {
    INFO(g.name);
    const KernelProgram program = schedule(g.graph, Target{});
    test::check_program(program, test::some_inputs(program), 500);
  }
}
