#pragma once

#include "compiler/schedule/kernel.h"

// The kernels that find out what a machine can do, in our own kernel form: what they reach, a model's kernels could reach.
namespace gradc::cli {

// Bytes that a measurement of reading goes over again and again, so that they stay in one level of the memory.
struct WorkingSets {
  int64_t l1 = 0, l2 = 0, l3 = 0, dram = 0;
};

// One measurement: `work` is what one block does, in operations or bytes.
struct Probe {
  double work = 0;
  int64_t solo_blocks = 0;  // how many of the blocks one thread runs when it is measured alone
};

enum ProbeKind { fma_f32, fma_f64, read_l1, read_l2, read_l3, read_dram, triad_dram, probe_kinds };

// One instance a probe, in the order of ProbeKind. Buffers, all inputs that the caller provides: `numbers` (f32, for all but one of
// the probes), `doubles`, and the results nobody looks at.
struct ProbeProgram {
  KernelProgram kernels;
  std::vector<Probe> probes;
};
ProbeProgram probe_program(const Target& target, const WorkingSets& sets, int threads);

}  // namespace gradc::cli
