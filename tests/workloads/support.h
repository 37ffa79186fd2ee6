#pragma once

#include <string>
#include <vector>

#include "compiler/schedule/kernel.h"

// What the tool makes of the workloads of the benchmark. Time is the benchmark's business; here is what it rests on.
namespace gradc::test {

inline const std::vector<std::string> workloads{"tiny", "mlp", "mlp_wide", "cnn", "resnet", "lstm", "gpt", "elementwise", "pinn"};
// AVX2 with 16 registers and AVX-512 with 32, or what of them the machine can run.
const std::vector<std::string>& processors();

// The training step of a workload for a processor, read back from what `inspect` prints.
const KernelProgram& step_of(const std::string& workload, const std::string& cpu);
std::string assembly_of(const std::string& workload, const std::string& cpu);

bool is_contraction(const KernelProgram& program, const KernelInstance& call);
int64_t bytes_of(const Buffer& buffer);
// The statements of a call that touch one of its slots, in the order in which they run.
std::vector<const Stmt*> touches(const KernelProgram& program, const KernelInstance& call, size_t slot);

}  // namespace gradc::test
