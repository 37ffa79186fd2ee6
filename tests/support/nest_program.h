#pragma once

#include <map>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "compiler/jit/jit.h"
#include "tests/support/kernel_interpreter.h"
#include "tests/support/run_program.h"

// Kernel programs written as text, compiled for several targets and held against the kernel interpreter.
namespace gradc::test {

inline std::vector<Target> nest_targets() {
  std::vector<Target> result;
  std::string error;
  for (const char* cpu : {"native", "x86-64-v3", "x86-64"}) {
    if (auto target = make_target(cpu, error)) result.push_back(*target);
  }
  REQUIRE(!result.empty());
  return result;
}

inline KernelProgram parse_program(const std::string& text) {
  SourceManager sources;
  KernelParseResult r = parse_kernels("kernels \"test\"\ntarget \"x86-64-v3\" \"\" vector_bytes 32 registers 16 l1 32768 l2 524288\narena 0 lower_bound 0\n\n" + text, sources);
  INFO(text << "\n" << r.error);
  REQUIRE(r.program);
  INFO(print(*r.program, sources));
  REQUIRE(verify(*r.program) == std::vector<std::string>{});
  return *r.program;
}

// Deterministic numbers: floats in [-2, 2), integers from -9 to 9, truth values.
inline Tensor some_numbers(const Type& type, uint64_t seed) {
  Tensor t = Tensor::zeros(type);
  for (int64_t i = 0; i < type.count(); ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    auto draw = static_cast<int64_t>(seed >> 33);
    t.set(i, is_float(type.element) ? static_cast<double>(draw % 4096) / 1024 - 2 : type.element == Element::Int ? static_cast<double>(draw % 19 - 9) : static_cast<double>(draw % 2));
  }
  return t;
}

inline std::map<Symbol, Tensor> some_inputs(const KernelProgram& p) {
  std::map<Symbol, Tensor> inputs;
  uint64_t seed = 1;
  for (const Buffer& b : p.buffers) {
    if (b.kind == BufferKind::Input || b.kind == BufferKind::Parameter || b.kind == BufferKind::State) inputs[b.name] = some_numbers(b.type, ++seed);
  }
  return inputs;
}

// Holds compiled code against the interpreter on every target; `tolerance` in units of the format's epsilon relative to
// max(1, |value|), 0 for equal bits (any NaN equals any other).
inline void check_program(KernelProgram program, const std::map<Symbol, Tensor>& inputs, double tolerance) {
  for (const Target& target : nest_targets()) {
    program.target = target;
    INFO(print(program.bodies[0]) << "for " << target.cpu);
    StepResult expected = run_kernels(program, inputs);
    REQUIRE(expected.problems == std::vector<std::string>{});
    auto step = compile(program, {});
    RunResult got = run_program(program, *step, inputs);
    REQUIRE(got == run_program(program, *step, inputs, /*blocks_backwards=*/true));
    JitOptions apart;
    apart.fuse = false;
    REQUIRE(got == run_program(program, *compile(program, apart), inputs));
    auto compare = [&](const std::map<Symbol, Tensor>& want, const std::map<Symbol, Tensor>& have) {
      for (const auto& [name, tensor] : want) {
        double epsilon = tensor.type.element == Element::F32 ? 0x1p-23 : tensor.type.element == Element::F64 ? 0x1p-52 : 0;
        for (int64_t i = 0; i < tensor.type.count(); ++i) {
          double a = tensor.at(i), b = have.at(name).at(i);
          bool same = std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
          if (!same && tolerance > 0) same = std::abs(a - b) <= tolerance * epsilon * std::max(1.0, std::abs(a));
          if (!same) FAIL(name.str() << "[" << i << "] = " << b << ", not " << a);
        }
      }
    };
    compare(expected.outputs, got.outputs);
    compare(expected.stored, got.stored);
  }
}

inline void check_program(const std::string& text, double tolerance = 0) {
  KernelProgram p = parse_program(text);
  check_program(p, some_inputs(p), tolerance);
}

}  // namespace gradc::test
