#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include <cstring>
#include <vector>

#include "tests/support/golden.h"

// Catch's main, and --update: golden files are written anew where they differ.
int main(int argc, char** argv) {
  std::vector<char*> arguments;
  for (int i = 0; i < argc; ++i) {
    if (std::strcmp(argv[i], "--update") == 0) gradc::test::update_golden_files();
    else arguments.push_back(argv[i]);
  }
  return Catch::Session().run(static_cast<int>(arguments.size()), arguments.data());
}
