#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "tests/support/nest_program.h"

using namespace gradc;
using test::check_program;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

// Reductions of the rows of a [rows, columns] input along the vectorised loop.
std::string rows_reduced(const char* combiner, const char* element, int columns) {
  return fmt::format(R"(
buffer b0 input "x" {1}[5, {2}]
buffer b1 output "y" {1}[5]
body 0 "rows" nest (s0: {1}, s1: out {1})
  dim i0 = 5
  dim i1 = {2}
  vector i1
  parallel for i0
    section
      for i1 vector
        v0: {1} = load s0[{2}*i0 + i1]
        v1: {1} = reduce {0} v0
    section
      store {1} s1[i0] = v1
call "k" body 0 (b0, b1)
)", combiner, element, columns);
}

}  // namespace

TEST_CASE("rows reduced along the vectorised loop") {
  for (const char* element : {"f32", "f64", "int"}) {
    for (const char* combiner : {"sum", "prod", "max", "min"}) {
      for (int columns : {3, 128, 257}) check_program(rows_reduced(combiner, element, columns), 2048);
    }
    for (int columns : {1, 8, 16, 31, 64, 100, 1024}) check_program(rows_reduced("sum", element, columns), 2048);
  }
}

TEST_CASE("NaN and zeros in reduced extremes") {
  for (const char* combiner : {"max", "min"}) {
    KernelProgram p = test::parse_program(rows_reduced(combiner, "f32", 50));
    auto inputs = test::some_inputs(p);
    Tensor& x = inputs.at("x");
    for (int64_t i = 50; i < 250; ++i) x.set(i, 0);
    x.set(17, nan_value);
    x.set(77, -0.0);
    for (int64_t i = 100; i < 150; ++i) x.set(i, -0.0);
    for (int64_t i = 150; i < 200; ++i) x.set(i, -infinity);
    for (int64_t i = 200; i < 250; ++i) x.set(i, infinity);
    check_program(p, inputs, 0);
  }
}

TEST_CASE("softmax: a section sees the reductions of the earlier ones") {
  for (int columns : {3, 10, 40, 128}) {
    check_program(fmt::format(R"(
buffer b0 input "x" f32[7, {0}]
buffer b1 output "y" f32[7, {0}]
body 0 "softmax" nest (s0: f32, s1: out f32)
  dim i0 = 7
  dim i1 = {0}
  vector i1
  parallel for i0 step 3
    for i0
      section
        for i1 vector
          v0: f32 = load s0[{0}*i0 + i1]
          v1: f32 = reduce max v0
      section
        for i1 vector
          v2: f32 = load s0[{0}*i0 + i1]
          v3: f32 = sub v2 v1
          v4: f32 = exp v3
          v5: f32 = reduce sum v4
          store f32 s1[{0}*i0 + i1] = v4
      section
        v6: f32 = const 1
        v7: f32 = div v6 v5
      section
        for i1 vector
          v8: f32 = load s1[{0}*i0 + i1]
          v9: f32 = mul v8 v7
          store f32 s1[{0}*i0 + i1] = v9
call "k" body 0 (b0, b1)
)", columns), 16);
  }
}

TEST_CASE("columns reduced under a vectorised outer loop, a partial sum a block") {
  for (int columns : {1, 5, 16, 64, 75}) {
    check_program(fmt::format(R"(
buffer b0 input "x" f32[37, {0}]
buffer b1 input "scale" f32[{0}]
buffer b2 output "y" f32[37, {0}]
buffer b3 output "partial" f32[4, {0}]
body 0 "columns" nest (s0: f32, s1: f32, s2: out f32, s3: out f32)
  dim i0 = 37
  dim i1 = {0}
  vector i1
  parallel for i0 step 10
    for i1 vector
      section
        for i0
          v0: f32 = load s0[{0}*i0 + i1]
          v1: f32 = load s1[i1]
          v2: f32 = tanh v1
          v3: f32 = mul v0 v2
          store f32 s2[{0}*i0 + i1] = v3
          v4: f32 = reduce sum v3
      section
        store f32 s3[i1; {0}*block] = v4
call "k" body 0 (b0, b1, b2, b3)
)", columns), 64);
  }
}

TEST_CASE("sums over two loops, the inner one vectorised") {
  for (int columns : {4, 19, 64}) {
    check_program(fmt::format(R"(
buffer b0 input "x" f64[6, 9, {0}]
buffer b1 output "y" f64[6]
buffer b2 output "z" f64[6, 9]
body 0 "sums" nest (s0: f64, s1: out f64, s2: out f64)
  dim i0 = 6
  dim i1 = 9
  dim i2 = {0}
  vector i2
  parallel for i0
    section
      for i1
        for i2 vector
          v0: f64 = load s0[{1}*i0 + {0}*i1 + i2]
          v1: f64 = index i1
          v2: f64 = mul v0 v1
          v3: f64 = reduce sum v2
    section
      store f64 s1[i0] = v3
    section
      for i1
        v4: f64 = index i1
        v5: f64 = mul v4 v3
        store f64 s2[9*i0 + i1] = v5
call "k" body 0 (b0, b1, b2)
)", columns, 9 * columns), 512);
  }
}

TEST_CASE("accumulated over loops outside, first as a plain store") {
  for (int columns : {3, 16, 50}) {
    check_program(fmt::format(R"(
buffer b0 input "x" f32[4, 12, {0}]
buffer b1 output "y" f32[4, {0}]
body 0 "accumulate" nest (s0: f32, s1: out f32)
  dim i0 = 4
  dim i1 = 12
  dim i2 = {0}
  vector i2
  parallel for i0
    for i1 step 5
      for i2 vector
        section
          for i1
            v0: f32 = load s0[{1}*i0 + {0}*i1 + i2]
            v1: f32 = reduce sum v0
        section
          accumulate sum f32 s1[{0}*i0 + i2] = v1 first i1
call "k" body 0 (b0, b1)
)", columns, 12 * columns), 64);
  }
}

TEST_CASE("the first extreme's index") {
  for (const char* combiner : {"max", "min"}) {
    for (const char* element : {"f32", "f64", "int"}) {
      for (int columns : {1, 37, 130}) {
        KernelProgram p = test::parse_program(fmt::format(R"(
buffer b0 input "x" {1}[6, {2}]
buffer b1 output "along" int[6]
buffer b2 output "across" int[{2}]
body 0 "along" nest (s0: {1}, s1: out int)
  dim i0 = 6
  dim i1 = {2}
  vector i1
  parallel for i0
    section
      for i1 vector
        v0: {1} = load s0[{2}*i0 + i1]
        v1: int = reduce_index {0} v0 over i1
    section
      store int s1[i0] = v1
body 1 "across" nest (s0: {1}, s1: out int)
  dim i0 = 6
  dim i1 = {2}
  vector i1
  for i1 vector
    section
      for i0
        v0: {1} = load s0[{2}*i0 + i1]
        v1: int = reduce_index {0} v0 over i0
    section
      store int s1[i1] = v1
call "k0" body 0 (b0, b1)
call "k1" body 1 (b0, b2)
)", combiner, element, columns));
        auto inputs = test::some_inputs(p);
        Tensor& x = inputs.at("x");
        for (int64_t i = 0; i < x.type.count(); ++i) x.set(i, std::round(x.at(i)));  // many ties
        if (element[0] == 'f') {
          for (int64_t i = 0; i < columns; ++i) {
            x.set(columns + i, -infinity), x.set(2 * columns + i, infinity), x.set(3 * columns + i, i % 2 ? 0.0 : -0.0);
          }
          x.set(4 * columns + columns / 2, nan_value);
          x.set(5 * columns - 1, nan_value);
        }
        check_program(p, inputs, 0);
      }
    }
  }
}

TEST_CASE("rows gathered by index, and scattered back") {
  for (int width : {1, 6, 16, 33}) {
    check_program(fmt::format(R"(
buffer b0 input "table" f32[5, {0}]
buffer b1 input "row" int[13]
buffer b2 output "picked" f32[13, {0}]
buffer b3 parameter "counts" f32[5, {0}]
buffer b4 parameter "lanes" f32[5]
body 0 "gather" nest (s0: f32, s1: int, s2: out f32)
  dim i0 = 13
  dim i1 = {0}
  vector i1
  parallel for i0 step 4
    for i0
      for i1 vector
        section
          v0: int = load s1[i0]
          v1: f32 = load s0[i1; {0}*v0 in 5]
          store f32 s2[{0}*i0 + i1] = v1
body 1 "scatter" nest (s0: f32, s1: int, s2: out f32)
  dim i0 = 13
  dim i1 = {0}
  vector i1
  for i0
    for i1 vector
      section
        v0: int = load s1[i0]
        v1: f32 = load s0[{0}*i0 + i1]
        accumulate sum f32 s2[i1; {0}*v0 in 5] = v1
body 2 "scatter_lanes" nest (s0: int, s1: out f32)
  dim i0 = 13
  vector i0
  for i0 vector
    section
      v0: int = load s0[i0]
      v1: f32 = index i0
      accumulate sum f32 s1[0; 1*v0 in 5] = v1
call "k0" body 0 (b0, b1, b2)
call "k1" body 1 (b2, b1, b3)
call "k2" body 2 (b1, b4)
)", width));
  }
}

TEST_CASE("elements gathered by a different index in each lane") {
  check_program(R"(
buffer b0 input "x" f64[8, 10]
buffer b1 input "at" int[45]
buffer b2 output "y" f64[45]
body 0 "gather" nest (s0: f64, s1: int, s2: out f64)
  dim i0 = 45
  vector i0
  parallel for i0 step 20
    for i0 vector
      section
        v0: int = load s1[i0]
        v1: int = abs v0
        v2: f64 = load s0[3; 10*v1 in 8; 1*v0 in 7]
        store f64 s2[i0] = v2
call "k" body 0 (b0, b1, b2)
)");
}
