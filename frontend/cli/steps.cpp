#include "frontend/cli/steps.h"

namespace gradc::cli {

Steps::Steps(Session& session, bool training) : session_(session), training_(training) {
  if (!session.program->train()) {
    session.diagnostics.report_at(DiagnosticKind::NoTrainBlock, session.file());
    throw Stop{user_error};
  }
  spec_ = &*session.program->train();
  batch_dim_ = batch_dim(session_.program->signature(session_.model, session_.diagnostics));
  session_.stop_on_errors();
  if (spec_->data) data_ = std::make_unique<Source>(session_, *spec_->data);
  if (spec_->test) test_data_ = std::make_unique<Source>(session_, *spec_->test);
  if (data_) {
    auto [rows, held_out] = data_->parts(spec_->test ? 0 : spec_->test_share);
    train_ = data_->feed(std::move(rows));
    if (!spec_->test && held_out.rows > 0) test_ = data_->feed(std::move(held_out));
  }
  if (test_data_) test_ = test_data_->feed(test_data_->data());
  if (batch_dim_ && data_ && !data_->drawn() && train_.data.rows == 0) {
    session_.diagnostics.report_at(DiagnosticKind::NoRows, data_->place());
    throw Stop{user_error};
  }
  // Labels are checked before the first step, on all rows, held-out ones included.
  const Elaboration& meaning = main().meaning;
  for (Source* source : {data_.get(), test_data_.get()}) {
    if (source) source->check_indices(meaning.inputs);
  }
}

int64_t Steps::batch_rows() const {
  int64_t rows = std::max<int64_t>(1, train_.data.rows);
  return spec_->batch ? std::min(*spec_->batch, rows) : rows;
}

// Sizes of the model's dimensions where so many rows are seen at once.
std::map<Symbol, int64_t> Steps::dims(bool training, int64_t rows) {
  Source* source = !training && test_data_ ? test_data_.get() : data_.get();
  if (!source) return {};
  auto dims = bind_dims(session_, source->types(rows));
  auto drawn = dims.find(batch_dim_);
  if (training && source->drawn() && spec_->batch && drawn != dims.end() && drawn->second != *spec_->batch) {
    session_.diagnostics.report(DiagnosticKind::BatchOfDraws, source->spec().span, *spec_->batch, drawn->second).note("leave one of the two out");
    throw Stop{user_error};
  }
  return dims;
}

Step& Steps::step(bool training, int64_t rows) {
  auto [it, fresh] = steps_.try_emplace({training, rows});
  if (fresh) {
    ElaborateRequest request = session_.request(training, training);
    request.dims = dims(training, rows);
    request.epoch_steps = std::max<int64_t>(1, steps_per_epoch(train_.data.rows, batch_rows(), spec_->keep_remainder));
    it->second = session_.build(session_.elaborate(request));
  }
  return it->second;
}

int64_t Steps::rows_at_once() {
  for (const InputInfo& i : main().meaning.inputs) {
    if (batch_dim_ && !i.dims.empty() && i.dims[0] == batch_dim_) return i.type.size(0);
  }
  return batch_rows();
}

std::vector<std::string> Steps::metrics() {
  std::vector<std::string> names;
  for (Symbol m : main().meaning.metrics) names.push_back(m.str());
  return names;
}

}  // namespace gradc::cli
