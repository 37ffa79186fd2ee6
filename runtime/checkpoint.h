#pragma once

#include <map>
#include <optional>
#include <string>

#include "compiler/support/diagnostics.h"
#include "runtime/npy.h"
#include "runtime/step.h"
#include "runtime/trainer.h"

namespace gradc {

// Where a run stands. All of it is in the safetensors file: tensors by path (states of optimisers included), the rest as metadata.
struct CheckpointInfo {
  std::string model;
  Position at;
  uint64_t seed = 0;
};

// Atomic: an older checkpoint of that name stays whole until the new one is complete. Throws EnvironmentError.
void save_checkpoint(const std::string& path, const Variables& variables, const CheckpointInfo& info);

// Whether the optimiser's states in a checkpoint ("h1.W.adam.m" of the parameter h1.W) are wanted: to go on training they are, to
// use the model they are passed over.
enum class OptimizerStates { wanted, passed_over };

// Reports every variable that is missing in the file, unknown to the model or of another shape; then nothing is changed.
std::optional<CheckpointInfo> load_checkpoint(const std::string& path, Variables& variables, Diagnostics& diagnostics,
                                              OptimizerStates states = OptimizerStates::wanted);

}  // namespace gradc
