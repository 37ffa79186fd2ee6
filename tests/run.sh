#!/bin/sh
# Installs, builds and runs the whole test suite: g++ release build with everything, then AddressSanitizer and
# UndefinedBehaviorSanitizer over the unit, golden and error tests. GRADC_QUICK=1 leaves the second part out.
set -eu
cd "$(dirname "$0")/.."
sh tests/dependencies.sh test
jobs=$(nproc)
began=$(date +%s)
note() { echo "== $* ($(( $(date +%s) - began )) s)"; }

note "release build"
cmake --preset release -DGRADC_WERROR=ON -DGRADC_BUILD_TESTS=ON >/dev/null
cmake --build --preset release -j "$jobs"
note "tests of the release build"
ctest --preset release -j "$jobs" --output-on-failure --no-tests=error

if [ -z "${GRADC_QUICK:-}" ]; then
  note "build with sanitizers"
  cmake --preset asan-ubsan -DGRADC_BUILD_TESTS=ON >/dev/null
  cmake --build --preset asan-ubsan -j "$jobs"
  note "unit, golden and error tests with sanitizers"
  GRADC_FUZZ_SCALE=0.02 ctest --preset asan-ubsan -j "$jobs" --output-on-failure --no-tests=error -LE 'examples|bench|slow|workloads'
fi
note "all tests passed"
