#include <fmt/format.h>

#include "tests/support/nest_program.h"

using namespace gradc;
using test::check_program;

TEST_CASE("point-wise work over one dim, in every length and element") {
  for (const char* element : {"f32", "f64", "int"}) {
    for (int n : {1, 2, 3, 7, 8, 9, 16, 31, 33, 64, 100, 131}) {
      check_program(fmt::format(R"(
buffer b0 input "a" {0}[{1}]
buffer b1 input "b" {0}[{1}]
buffer b2 output "c" {0}[{1}]
body 0 "add" nest (s0: {0}, s1: {0}, s2: out {0})
  dim i0 = {1}
  vector i0
  for i0 vector
    section
      v0: {0} = load s0[i0]
      v1: {0} = load s1[i0]
      v2: {0} = add v0 v1
      v3: {0} = mul v2 v0
      store {0} s2[i0] = v3
call "k" body 0 (b0, b1, b2)
)", element, n));
    }
  }
}

TEST_CASE("rows, columns and scalars are spread") {
  for (int columns : {1, 5, 16, 37}) {
    check_program(fmt::format(R"(
buffer b0 input "x" f32[6, {0}]
buffer b1 input "row" f32[{0}]
buffer b2 input "column" f32[6]
buffer b3 input "scalar" f32[]
buffer b4 output "y" f32[6, {0}]
body 0 "affine" nest (s0: f32, s1: f32, s2: f32, s3: f32, s4: out f32)
  dim i0 = 6
  dim i1 = {0}
  vector i1
  parallel for i0 step 4
    for i0
      for i1 vector
        section
          v0: f32 = load s0[{0}*i0 + i1]
          v1: f32 = load s1[i1]
          v2: f32 = load s2[i0]
          v3: f32 = load s3[0]
          v4: f32 = add v2 v3
          v5: f32 = fma v0 v1 v4
          v6: f32 = neg v3
          v7: f32 = sub v5 v6
          store f32 s4[{0}*i0 + i1] = v7
call "k" body 0 (b0, b1, b2, b3, b4)
)", columns));
  }
}

TEST_CASE("tiles that do not divide the extents") {
  for (int step : {3, 8, 24, 50}) {
    check_program(fmt::format(R"(
buffer b0 input "x" f32[11, 50]
buffer b1 output "y" f32[50, 11]
body 0 "transpose" nest (s0: f32, s1: out f32)
  dim i0 = 11
  dim i1 = 50
  vector i1
  parallel for i1 step {0}
    parallel for i0 step 4
      for i0
        for i1 vector
          section
            v0: f32 = load s0[50*i0 + i1]
            store f32 s1[i0 + 11*i1] = v0
call "k" body 0 (b0, b1)
)", step));
  }
}

TEST_CASE("nested tiles of one dim") {
  check_program(R"(
buffer b0 input "x" f64[77]
buffer b1 output "y" f64[77]
body 0 "reversed" nest (s0: f64, s1: out f64)
  dim i0 = 77
  vector i0
  parallel for i0 step 40
    for i0 step 12
      for i0 vector
        section
          v0: f64 = load s0[-i0 + 76]
          store f64 s1[i0] = v0
call "k" body 0 (b0, b1)
)");
}

TEST_CASE("elements of different sizes in one loop") {
  for (int n : {3, 8, 29}) {
    check_program(fmt::format(R"(
buffer b0 input "flag" bool[{0}]
buffer b1 input "count" int[{0}]
buffer b2 input "x" f32[{0}]
buffer b3 input "y" f64[{0}]
buffer b4 output "wide" f64[{0}]
buffer b5 output "narrow" f32[{0}]
buffer b6 output "whole" int[{0}]
buffer b7 output "positive" bool[{0}]
body 0 "mixed" nest (s0: bool, s1: int, s2: f32, s3: f64, s4: out f64, s5: out f32, s6: out int, s7: out bool)
  dim i0 = {0}
  vector i0
  for i0 vector
    section
      v0: bool = load s0[i0]
      v1: int = load s1[i0]
      v2: f32 = load s2[i0]
      v3: f64 = load s3[i0]
      v4: f64 = cast v1
      v5: f64 = cast v2
      v6: f64 = select v0 v4 v5
      v7: f64 = add v6 v3
      store f64 s4[i0] = v7
      v8: f32 = cast v7
      store f32 s5[i0] = v8
      v9: int = cast v7
      store int s6[i0] = v9
      v10: f64 = const 0
      v11: bool = lt v10 v7
      v12: bool = not v0
      v13: bool = or v11 v12
      store bool s7[i0] = v13
      v14: int = index 3*i0 + 2
      v15: f32 = index i0
call "k" body 0 (b0, b1, b2, b3, b4, b5, b6, b7)
)", n));
  }
}

TEST_CASE("a parameter is updated in place") {
  check_program(R"(
buffer b0 parameter "w" f32[45]
buffer b1 input "g" f32[45]
buffer b2 input "rate" f32[]
body 0 "sgd" nest (s0: out f32, s1: f32, s2: f32)
  dim i0 = 45
  vector i0
  parallel for i0 step 16
    for i0 vector
      section
        v0: f32 = load s0[i0]
        v1: f32 = load s1[i0]
        v2: f32 = load s2[0]
        v3: f32 = mul v1 v2
        v4: f32 = sub v0 v3
        store f32 s0[i0] = v4
call "k" body 0 (b0, b1, b2)
)");
}

TEST_CASE("pads, with gaps between the elements") {
  check_program(R"(
buffer b0 input "x" f32[5, 9]
buffer b1 output "y" f32[8, 20]
buffer b2 output "z" f32[20]
body 0 "pad" nest (s0: f32, s1: out f32)
  dim i0 = 8
  dim i1 = 20
  vector i1
  parallel for i0
    for i1 vector
      section
        v0: f32 = load s0[9*i0 + i1 - 21] when (i0 - 2) in 5 and (i1 - 3) in 9 else 2.5
        store f32 s1[20*i0 + i1] = v0
body 1 "spread" nest (s0: f32, s1: out f32)
  dim i0 = 20
  dim i1 = 10
  dim i2 = 2
  vector i1
  for i2
    for i1 vector
      section
        v0: f32 = load s0[i1] when (2*i1 + i2 - 1) in 9 by 2 else -1
        store f32 s1[2*i1 + i2] = v0
call "k0" body 0 (b0, b1)
call "k1" body 1 (b0, b2)
)");
}

TEST_CASE("nothing is read from an empty tensor") {
  check_program(R"(
buffer b0 input "x" f32[0]
buffer b1 output "y" f32[7]
buffer b2 output "sum" f32[]
body 0 "pad" nest (s0: f32, s1: out f32)
  dim i0 = 7
  vector i0
  for i0 vector
    section
      v0: f32 = load s0[i0] when (i0) in 0 else 4
      store f32 s1[i0] = v0
body 1 "sum" nest (s0: f32, s1: out f32)
  dim i0 = 0
  section
    for i0
      v0: f32 = load s0[0]
      v1: f32 = reduce sum v0
  section
    store f32 s1[0] = v1
call "k0" body 0 (b0, b1)
call "k1" body 1 (b0, b2)
)");
}

TEST_CASE("random numbers are the interpreter's") {
  for (const char* element : {"f32", "f64"}) {
    KernelProgram p = test::parse_program(fmt::format(R"(
buffer b0 input "seed" int[]
buffer b1 input "step" int[]
buffer b2 output "u" {0}[3, 21]
buffer b3 output "w" {0}[3, 21]
body 0 "uniform" nest (s0: int, s1: int, s2: out {0})
  dim i0 = 3
  dim i1 = 21
  vector i1
  parallel for i0
    for i1 vector
      section
        v0: int = load s0[0]
        v1: int = load s1[0]
        v2: {0} = random v0 v1 site 0 at 21*i0 + i1
        store {0} s2[21*i0 + i1] = v2
call "k" body 0 (b0, b1, b2) sites 7
call "l" body 0 (b0, b1, b3) sites 4026531841
)", element));
    Tensor seed = Tensor::zeros({Element::Int, {}}), step = seed;
    *seed.as<int64_t>() = 0x123456789abcdef0;
    *step.as<int64_t>() = 0x90000001;
    check_program(p, {{"seed", seed}, {"step", step}}, 0);
    // The same as a list of single blocks, which a step calls without a table.
    std::get<Nest>(p.bodies[0].form).parallel = 0;
    check_program(p, {{"seed", seed}, {"step", step}}, 0);
  }
}
