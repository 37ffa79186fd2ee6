#include <cstdio>

#include <nlohmann/json.hpp>

#include "frontend/cli/arrays.h"
#include "frontend/cli/values.h"

namespace gradc::cli {
int run(const RunVerb& verb) {
  Session session(verb.model);
  ElaborateRequest request = session.request(verb.train, false);
  request.outputs = verb.outputs;
  Step step = prepare(session, request, verb.arrays);
  step.runner->run(verb.step, session.seed);

  NamedArrays results;
  nlohmann::ordered_json scalars = nlohmann::ordered_json::object();
  for (const Output& output : step.compiled.typed.outputs) {
    Array value = step.runner->get(output.name.str());
    if (!verb.model.json) print_text(output.name.str(), value);
    else if (value.shape.empty()) scalars[output.name.str()] = scalar_json(value);
    results.emplace(output.name.str(), std::move(value));
  }
  if (verb.model.json) fmt::print("{}\n", scalars.dump());
  if (!verb.save.empty()) write_arrays(verb.save, results, session.diagnostics);
  session.stop_on_errors();
  return success;
}

}  // namespace gradc::cli
