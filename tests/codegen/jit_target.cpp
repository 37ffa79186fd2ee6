#include <algorithm>

#include <catch2/catch.hpp>

#include "compiler/jit/jit.h"

using namespace gradc;

TEST_CASE("the native target describes this machine") {
  std::string error;
  const auto target = make_target("native", error);
  REQUIRE(target);
  CHECK((target->vector_bytes == 16 || target->vector_bytes == 32 || target->vector_bytes == 64));
  CHECK(target->vector_registers == (target->vector_bytes == 64 ? 32 : 16));
  CHECK(target->l1_bytes >= 8 << 10);
  CHECK(target->l2_bytes >= target->l1_bytes);
  CHECK(target->features.find('+') != std::string::npos);
}

TEST_CASE("a named CPU does not depend on the host") {
  std::string error;
  const auto target = make_target("x86-64", error);
  REQUIRE(target);
  CHECK(target->vector_bytes == 16);
  CHECK(target->cpu == "x86-64");
  CHECK(target->features.empty());
  CHECK(target->l2_bytes == Target{}.l2_bytes);
  if (const auto v3 = make_target("x86-64-v3", error)) CHECK(v3->vector_bytes == 32);
}

TEST_CASE("an unknown CPU is refused with the nearest name") {
  std::string error;
  CHECK(!make_target("x86-64-v33", error));
  CHECK(error.find("did you mean 'x86-64-v3'") != std::string::npos);
  CHECK(!make_target("", error) == false);
  const auto names = known_cpus();
  CHECK(std::find(names.begin(), names.end(), "native") != names.end());
  CHECK(std::find(names.begin(), names.end(), "znver3") != names.end());
}

TEST_CASE("a CPU that this machine cannot stand in for is refused") {
  std::string error;
  int refused = 0;
  // No machine has the extensions of both vendors.
  for (const char* cpu : {"znver4", "bdver4", "sapphirerapids", "knl"}) {
    error.clear();
    if (make_target(cpu, error)) continue;
    ++refused;
    CHECK(error.find("cannot run") != std::string::npos);
  }
  CHECK(refused > 0);
}
