#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <nlohmann/json.hpp>

#include "compiler/support/error.h"
#include "frontend/cli/data.h"
#include "runtime/checkpoint.h"
#include "runtime/files.h"
#include "runtime/terminal.h"
#include "runtime/trainer.h"

namespace gradc::cli {
namespace {

using nlohmann::ordered_json;

volatile std::sig_atomic_t interrupt_requested = 0;

// The first Ctrl-C ends training after the step in hand and keeps the checkpoint; a second one ends the process at once.
void on_interrupt(int) {
  interrupt_requested = 1;
  std::signal(SIGINT, SIG_DFL);
}

ordered_json to_json(const Metrics& metrics) {
  ordered_json object = ordered_json::object();
  for (const auto& [name, value] : metrics) object[name] = value;
  return object;
}

// The folder of a run: metrics.jsonl and checkpoint.safetensors.
class RunFolder {
 public:
  explicit RunFolder(const std::string& path) : path_(path) {
    if (path.empty()) return;
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) throw EnvironmentError(fmt::format("cannot create '{}': {}", path, error.message()));
  }
  explicit operator bool() const { return !path_.empty(); }
  std::string checkpoint() const { return path_ + "/checkpoint.safetensors"; }
  bool has_checkpoint() const { return !path_.empty() && std::filesystem::exists(checkpoint()); }

  // The events of an earlier run that a resumed one continues, up to the epoch it stands at.
  void keep_events(int64_t epoch) {
    Diagnostics ignored;
    auto text = std::filesystem::exists(path_ + "/metrics.jsonl") ? read_file(path_ + "/metrics.jsonl", ignored) : std::nullopt;
    if (!text) return;
    for (size_t at = 0; at < text->size();) {
      size_t end = std::min(text->find('\n', at), text->size());
      auto event = ordered_json::parse(text->substr(at, end - at), nullptr, false);
      if (event.is_object() && event.value("event", "") == "epoch" && event.value("epoch", int64_t{0}) <= epoch) events_ += event.dump() + "\n";
      at = end + 1;
    }
  }
  void add(const ordered_json& event) {
    if (path_.empty()) return;
    if (!out_.is_open()) {
      // What is kept of an earlier run is replaced in one piece; new events are appended as they come.
      write_file_atomically(path_ + "/metrics.jsonl", events_);
      out_.open(path_ + "/metrics.jsonl", std::ios::app);
    }
    out_ << event.dump() << std::endl;
    if (!out_) throw EnvironmentError(fmt::format("cannot write '{}/metrics.jsonl'", path_));
  }

 private:
  std::string path_, events_;
  std::ofstream out_;
};

class TrainVerbRunner {
 public:
  explicit TrainVerbRunner(const TrainVerb& verb) : verb_(verb), session_(verb.model), folder_(verb.out) {
    if (!session_.program->train()) {
      session_.diagnostics.report_at(DiagnosticKind::NoTrainBlock, verb.model.file);
      throw Stop{user_error};
    }
    spec_ = &*session_.program->train();
  }

  int run() {
    load();
    TrainOptions options = make_options();
    prepare_variables(options);
    announce(options);
    auto old_handler = std::signal(SIGINT, on_interrupt);
    TrainResult result = gradc::train(train_rows_, test_rows_, options, [this](bool training, int64_t rows) -> StepRunner& { return *step(training, rows).runner; },
                                      hooks(options));
    std::signal(SIGINT, old_handler);
    return finish(result);
  }

 private:
  void load() {
    LoadedData data;
    if (spec_->data) data = load_data(session_, *spec_->data);
    std::vector<InputInfo> signature = session_.program->signature(session_.model, session_.diagnostics);
    batch_dim_ = batch_dim(signature);
    dims_ = bind_dims(session_, data.rows);
    LoadedData test;
    if (spec_->test) {
      test = load_data(session_, *spec_->test);
      test_rows_ = test.rows;
      train_rows_ = data.rows;
    } else if (spec_->test_share > 0) {
      std::tie(train_rows_, test_rows_) = split(data.rows, spec_->test_share, session_.seed);
    } else {
      train_rows_ = data.rows;
    }
    if (batch_dim_ && train_rows_.rows == 0) {
      session_.diagnostics.report_at(DiagnosticKind::NoRows, data.place);
      throw Stop{user_error};
    }
    // Labels are checked before the first step, on all rows, held-out ones included.
    const Elaboration& meaning = step(true, batch_rows()).meaning;
    check_indices(session_, data, meaning.inputs);
    check_indices(session_, test, meaning.inputs);
  }

  int64_t batch_rows() const {
    int64_t rows = std::max<int64_t>(1, train_rows_.rows);
    return spec_->batch ? std::min(*spec_->batch, rows) : rows;
  }

  Step& step(bool training, int64_t rows) {
    auto [it, fresh] = steps_.try_emplace({training, rows});
    if (fresh) {
      ElaborateRequest request = session_.request(training, training);
      request.dims = dims_;
      if (batch_dim_) request.dims[batch_dim_] = rows;
      it->second = session_.build(session_.elaborate(request));
    }
    return it->second;
  }

  TrainOptions make_options() {
    TrainOptions options;
    options.batch = batch_rows();
    options.epochs = spec_->epochs;
    options.steps = spec_->steps;
    options.keep_remainder = spec_->keep_remainder;
    options.seed = session_.seed;
    for (Symbol m : step(true, batch_rows()).meaning.metrics) options.metrics.push_back(m.str());
    return options;
  }

  void prepare_variables(TrainOptions& options) {
    session_.initialize(step(true, batch_rows()).meaning);
    if (!verb_.resume || !folder_.has_checkpoint()) return;
    auto info = load_checkpoint(folder_.checkpoint(), session_.variables(), session_.diagnostics);
    session_.stop_on_errors();
    if (info->seed != options.seed) {
      session_.diagnostics.report_at(DiagnosticKind::ResumeSeed, folder_.checkpoint(), info->seed, options.seed);
      throw Stop{user_error};
    }
    options.first_epoch = info->epoch;
    options.first_step = info->step;
    done_ = {info->epoch, info->step, {}, {}, 0};
    folder_.keep_events(info->epoch);
  }

  void announce(const TrainOptions& options) {
    if (verb_.model.json || verb_.quiet) return;
    const Elaboration& meaning = step(true, batch_rows()).meaning;
    int64_t count = 0;
    for (const ParameterInfo& p : meaning.parameters) count += p.type.count();
    std::string rows = train_rows_.rows == 0 ? "" : fmt::format("{} rows to train on, ", train_rows_.rows);
    if (test_rows_.rows > 0) rows += fmt::format("{} held out, ", test_rows_.rows);
    int threads = session_.pool().threads();
    fmt::print("{}: {} parameters in {} tensors\n{}batches of {}, {} on {} thread{}\n", session_.sources.file(spec_->span.file).name, count,
               meaning.parameters.size(), rows, options.batch, gradc::name(session_.element), threads, threads == 1 ? "" : "s");
    if (options.first_epoch > 0) fmt::print("resumed after epoch {}, step {}\n", options.first_epoch, options.first_step);
    std::fflush(stdout);
  }

  ordered_json event(const char* kind, const EpochReport& report) {
    ordered_json e = {{"event", kind}, {"epoch", report.epoch}, {"step", report.step}, {"train", to_json(report.train)}};
    if (!report.test.empty()) e["test"] = to_json(report.test);
    e["seconds"] = report.seconds;
    e["digest"] = digest(session_.variables());
    return e;
  }

  // Very short epochs would spend their time on the disk: between the first and the last, one checkpoint a second.
  void save(const EpochReport& report, bool last) {
    auto now = std::chrono::steady_clock::now();
    if (!folder_ || (!last && saved_ && now - *saved_ < std::chrono::seconds(1))) return;
    saved_ = now;
    save_checkpoint(folder_.checkpoint(), session_.variables(), {session_.model.str(), report.epoch, report.step, session_.seed});
  }

  TrainHooks hooks(const TrainOptions& options) {
    TrainHooks hooks;
    if (!verb_.model.json && !verb_.quiet) hooks.progress = [this](const Progress& p) { bar_.draw(p); };
    hooks.stop = [] { return interrupt_requested != 0; };
    int64_t epochs = options.epochs.value_or(0);
    hooks.epoch = [this, epochs](const EpochReport& report) {
      bar_.clear();
      if (verb_.model.json || folder_) {
        ordered_json e = event("epoch", report);
        if (verb_.model.json) fmt::print("{}\n", e.dump());
        save(report, false);
        folder_.add(e);
      }
      if (!verb_.model.json && !verb_.quiet) fmt::print("{}\n", epoch_line(report, epochs));
      std::fflush(stdout);
      done_ = report;
    };
    return hooks;
  }

  int finish(const TrainResult& result) {
    bar_.clear();
    if (result.end == TrainEnd::Diverged) {
      session_.diagnostics.report_at(DiagnosticKind::Diverged, verb_.model.file, result.diverged_metric, result.last.step, result.last.epoch)
          .note(folder_ ? fmt::format("'{}' holds the last whole epoch", folder_.checkpoint()) : "nothing was saved: --out was not given");
      return user_error;
    }
    if (result.end == TrainEnd::Done) save(done_, true);
    if (verb_.model.json || folder_) {
      ordered_json e = event("end", done_);
      if (verb_.model.json) fmt::print("{}\n", e.dump());
      folder_.add(e);
    }
    if (!verb_.model.json) {
      for (const auto& [name, value] : done_.test) {
        if (name != "loss") fmt::print("test {}: {:.4f}\n", name, value);
      }
      if (result.end == TrainEnd::Interrupted) fmt::print("interrupted in epoch {}\n", done_.epoch + 1);
      if (folder_ && saved_) fmt::print("saved {}\n", folder_.checkpoint());
    }
    return result.end == TrainEnd::Interrupted ? interrupted : success;
  }

  const TrainVerb& verb_;
  Session session_;
  RunFolder folder_;
  const TrainSpec* spec_ = nullptr;
  Symbol batch_dim_;
  std::map<Symbol, int64_t> dims_;
  Dataset train_rows_, test_rows_;
  std::map<std::pair<bool, int64_t>, Step> steps_;
  ProgressBar bar_;
  EpochReport done_;
  std::optional<std::chrono::steady_clock::time_point> saved_;
};

}  // namespace

int train(const TrainVerb& verb) { return TrainVerbRunner(verb).run(); }

}  // namespace gradc::cli
