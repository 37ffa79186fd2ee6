#pragma once

#include <functional>
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

// Reports every variable that is missing in the file, unknown to the model or of another shape; then nothing is changed. What is
// no variable here, but of which `passed_over` is true, is none of those: states of optimisers where the model is only used,
// parameters that a part of the model does without.
std::optional<CheckpointInfo> load_checkpoint(const std::string& path, Variables& variables, Diagnostics& diagnostics,
                                              const std::function<bool(const std::string&)>& passed_over = {});

}  // namespace gradc
