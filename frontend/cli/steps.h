#pragma once

#include "frontend/cli/data.h"
#include "runtime/trainer.h"

namespace gradc::cli {

// The data of a train block with the steps that run on it: the training step (with the optimisers' updates) and the evaluation
// step, two compiled graphs of one model that share its variables.
class Steps {
 public:
  // Reads the data, compiles the step for one batch in the form that is asked for and checks every index. Stops on errors.
  Steps(Session& session, bool training);
  // Shared by pointers into it: stays where it is.
  Steps(const Steps&) = delete;

  const TrainSpec& spec() const { return *spec_; }
  const Feed& training_rows() const { return train_; }
  const Feed& test_rows() const { return test_; }
  bool has_test() const { return test_.data.rows > 0 || test_.transform; }
  bool has_test_source() const { return test_data_ != nullptr; }
  // Rows of one training step.
  int64_t batch_rows() const;
  // The number of rows that one training step sees, also where they are drawn.
  int64_t rows_at_once();
  // The step for so many rows, compiled when first asked for.
  Step& step(bool training, int64_t rows);
  // A step whose variables are all of them: what is initialised, and saved.
  Step& main() { return step(training_, training_ || !has_test() ? batch_rows() : evaluation_batch(test_.data.rows, batch_rows())); }
  StepFactory factory() {
    return [this](bool training, int64_t rows) -> StepRunner& { return *step(training, rows).runner; };
  }
  std::vector<std::string> metrics();

 private:
  std::map<Symbol, int64_t> dims(bool training, int64_t rows);

  Session& session_;
  const TrainSpec* spec_ = nullptr;
  bool training_;
  Symbol batch_dim_;
  std::unique_ptr<Source> data_, test_data_;
  Feed train_, test_;
  std::map<std::pair<bool, int64_t>, Step> steps_;
};

}  // namespace gradc::cli
