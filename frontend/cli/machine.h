#pragma once

#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "compiler/support/element.h"
#include "compiler/schedule/target.h"
#include "frontend/cli/machine_kernels.h"

namespace gradc::cli {

// What a number of threads reached: operations a second, bytes a second, both in units of 1e9.
struct Peaks {
  double rate[probe_kinds] = {};
};

// The limits of this machine for one target and number of threads, as our own code reaches them.
struct Machine {
  std::string model;     // of the processor
  std::string cpu;       // the target's
  int vector_bytes = 0;
  int threads = 1;
  std::string measured;  // the day
  WorkingSets sets;
  Peaks one, all;        // one thread, and `threads`

  double gflops(Element element) const { return all.rate[element == Element::F64 ? fma_f64 : fma_f32]; }
  // Where so many bytes, gone over in every step, come from: l1, l2, l3 or dram.
  ProbeKind level(double bytes) const;
};
const char* level_name(ProbeKind level);  // "L2"

// Where the cache directory keeps something measured (`what`: a file's stem) on this processor model, for a target and a number of
// threads. Empty where there is no cache.
std::string measured_file(const char* what, const Target& target, int threads);

// From the cache directory, if measured before.
std::optional<Machine> known_machine(const Target& target, int threads);
// Measures (about half a second) and remembers.
Machine measure_machine(const Target& target, int threads);

nlohmann::ordered_json to_json(const Machine& machine);
void print_text(const Machine& machine);

}  // namespace gradc::cli
