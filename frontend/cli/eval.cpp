// Metrics of a trained model on data that the training did not see.
#include <cstdio>

#include <nlohmann/json.hpp>

#include "frontend/cli/steps.h"
#include "runtime/checkpoint.h"

namespace gradc::cli {

int eval(const EvalVerb& verb) {
  Session session(verb.model);
  Steps steps(session, false);
  session.initialize(steps.main().meaning);
  auto info = load_checkpoint(verb.checkpoint, session.variables(), session.diagnostics, own_variables(steps.main().meaning, true));
  session.stop_on_errors();

  const bool on_test = steps.has_test() && verb.on != "train";
  if (verb.on == "test" && !on_test) {
    session.diagnostics.report_at(DiagnosticKind::NothingToTestOn, verb.model.file).note("--on train gives the metrics on the rows that the model is trained on");
    throw Stop{user_error};
  }
  const Feed& feed = on_test ? steps.test_rows() : steps.training_rows();
  const int64_t rows = feed.data.rows;
  Metrics metrics = evaluate(feed, evaluation_batch(rows, steps.batch_rows()), steps.metrics(), session.seed, steps.factory());

  if (verb.model.json) {
    nlohmann::ordered_json values = nlohmann::ordered_json::object();
    for (const auto& [name, value] : metrics) values[name] = value;
    nlohmann::ordered_json out = {{"checkpoint", verb.checkpoint}, {"epoch", info->at.epoch}, {"step", info->at.step}, {"on", on_test ? "test" : "train"}, {"rows", rows}, {"metrics", values}};
    fmt::print("{}\n", out.dump());
    return success;
  }
  fmt::print("{} after epoch {}, step {}\n", verb.checkpoint, info->at.epoch, info->at.step);
  if (rows > 0) fmt::print("{} {}rows\n", rows, on_test ? "test " : "training ");
  for (const auto& [name, value] : metrics) fmt::print("  {:<16} {:.6g}\n", name, value);
  return success;
}

}  // namespace gradc::cli
