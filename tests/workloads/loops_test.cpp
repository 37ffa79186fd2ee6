// The inner loops of the workloads' products and convolutions, on either number of registers.
#include <catch2/catch.hpp>

#include "tests/support/assembly.h"
#include "tests/workloads/support.h"

using namespace gradc;
using namespace gradc::test;

TEST_CASE("register tiles of products and convolutions touch no stack while they sum") {
  for (const std::string& cpu : processors()) {
    for (const char* name : {"mlp", "mlp_wide", "cnn", "resnet", "lstm", "gpt", "pinn"}) {
      size_t products = 0, windows = 0;
      for (const AssemblyLoop& loop : innermost_loops(assembly_of(name, cpu))) {
        const std::string& function = loop.function;
        const bool window = function.starts_with("window.") || function.starts_with("\"window.");
        const bool tile = function.starts_with("tile.") || function.starts_with("\"tile.") || function.starts_with("dot.");
        if ((!window && !tile) || count(loop.lines, "\tvfmadd") == 0) continue;
        INFO(name << " for " << cpu << ": " << function);
        CHECK(keeps_registers(loop));
        ++(window ? windows : products);
      }
      INFO(name << " for " << cpu);
      CHECK(products > 0);
      const bool convolves = std::string(name) == "cnn" || std::string(name) == "resnet";
      CHECK((windows > 0) == convolves);
    }
  }
}
