#pragma once

#include "frontend/cli/data.h"
#include "runtime/npy.h"

namespace gradc::cli {

// The arrays a user gave for one model: inputs by name, parameters and states by path.
struct GivenArrays {
  NamedArrays inputs, variables;
};

// Reads the files of --input, --inputs, --param, --params, --state, --checkpoint. Stops on errors.
GivenArrays read_given(Session& session, const ArrayOptions& options);

// Checks names, shapes and element types against the model, with both sides in the message; stops on errors.
void check_inputs(Session& session, const NamedArrays& given, const std::vector<InputInfo>& inputs);
// The sizes of the model's free dimensions for these inputs; names and shapes that are not the model's stop it.
std::map<Symbol, int64_t> dims_of_given(Session& session, const NamedArrays& inputs);
void check_variables(Session& session, const NamedArrays& given, const Elaboration& meaning);

// What a step that should update does in a model without an optimiser: nothing, or every gradient becomes an output, so that
// the work can't be optimised away.
enum class WithoutOptimizer { nothing, write_gradients };

// A step for the given inputs, or, where none are given, for the first rows of the train block's data; variables
// initialised and set, inputs loaded. What run and bench start from.
Step prepare(Session& session, ElaborateRequest request, const ArrayOptions& options,
             WithoutOptimizer otherwise = WithoutOptimizer::nothing);

}  // namespace gradc::cli
