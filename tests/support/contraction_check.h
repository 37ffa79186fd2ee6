#pragma once

#include <cmath>

#include <catch2/catch.hpp>

#include "tests/support/contraction_body.h"
#include "tests/support/kernel_interpreter.h"
#include "tests/support/nest_program.h"
#include "tests/support/run_program.h"

namespace gradc::test {

inline Type vector_type(Element element, int64_t count) { return {element, {{count, {}}}}; }

// Of product_body, without batch.
inline std::vector<Type> product_slots(const ProductShape& s) {
  return {vector_type(s.element, s.m * s.k), vector_type(s.element, s.k * s.n), vector_type(s.element, s.m * s.n)};
}

inline Tensor numbers(const Type& type, uint64_t seed) {
  Tensor t = Tensor::zeros(type);
  for (int64_t i = 0; i < type.count(); ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const auto draw = static_cast<int64_t>(seed >> 40) % 2001 - 1000;
    t.set(i, is_float(type.element) ? static_cast<double>(draw) / 1000 : static_cast<double>(draw % 7));
  }
  return t;
}

// Runs a body compiled and interpreted; every slot that is written must agree within the error of a sum of `terms` products.
inline void check_body(const KernelBody& body, const Target& target, const std::vector<Type>& slots, int64_t terms) {
  const KernelProgram program = program_of(body, target, slots);
  INFO(print(body));
  REQUIRE(verify(program) == std::vector<std::string>{});
  std::map<Symbol, Tensor> inputs;
  for (size_t i = 0; i < slots.size(); ++i)
    if (!body.slots[i].written) inputs[fmt::format("s{}", i)] = numbers(slots[i], i + 1);
  const auto step = compile(program, {});
  const RunResult result = run_program(program, *step, inputs);
  REQUIRE(result == run_program(program, *step, inputs, /*blocks_backwards=*/true));
  const StepResult expected = run_kernels(program, inputs);
  REQUIRE(expected.problems == std::vector<std::string>{});
  for (const auto& [name, tensor] : expected.outputs) {
    const Tensor& got = result.outputs.at(name);
    const double unit = tensor.type.element == Element::F32 ? std::ldexp(1, -23) : tensor.type.element == Element::F64 ? std::ldexp(1, -52) : 0;
    // Operands are at most 1 and epilogues here at most double: both sums are within terms * unit of the true one.
    const double tolerance = 4 * static_cast<double>(terms + 2) * unit;
    for (int64_t i = 0; i < tensor.type.count(); ++i)
      if (!(std::abs(got.at(i) - tensor.at(i)) <= tolerance)) FAIL(name.str() << "[" << i << "] = " << got.at(i) << ", not " << tensor.at(i));
  }
}

}  // namespace gradc::test
