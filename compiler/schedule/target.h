#pragma once

#include <cstdint>
#include <string>

namespace gradc {

// What the scheduler and the code generator know of the machine. jit/ fills it from the host or from --cpu.
struct Target {
  std::string cpu = "x86-64-v3";  // LLVM's name
  std::string features;           // LLVM's feature string ("+avx2,+fma,...")
  int vector_bytes = 32;          // width of the registers worth using
  int vector_registers = 16;
  int64_t l1_bytes = 32 << 10;
  int64_t l2_bytes = 512 << 10;

  // What is read again and again beside a stream stays in L1 up to that size.
  bool stays_in_l1(int64_t bytes) const { return bytes <= l1_bytes * 3 / 4; }
};

}  // namespace gradc
