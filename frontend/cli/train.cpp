#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "compiler/support/error.h"
#include "frontend/cli/steps.h"
#include "runtime/checkpoint.h"
#include "runtime/files.h"
#include "runtime/terminal.h"

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

  // The events of an earlier run that a resumed one continues, up to the step it stands at.
  void keep_events(int64_t step) {
    Diagnostics ignored;
    auto text = std::filesystem::exists(path_ + "/metrics.jsonl") ? read_file(path_ + "/metrics.jsonl", ignored) : std::nullopt;
    if (!text) return;
    for (size_t at = 0; at < text->size();) {
      size_t end = std::min(text->find('\n', at), text->size());
      auto event = ordered_json::parse(text->substr(at, end - at), nullptr, false);
      if (event.is_object() && event.value("event", "") == "epoch" && event.value("step", int64_t{0}) <= step) events_ += event.dump() + "\n";
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
  explicit TrainVerbRunner(const TrainVerb& verb) : verb_(verb), session_(verb.model), folder_(verb.out), steps_(session_, true), spec_(&steps_.spec()) {}

  int run() {
    TrainOptions options = make_options();
    prepare_variables(options);
    announce(options);
    auto old_handler = std::signal(SIGINT, on_interrupt);
    TrainResult result = gradc::train(steps_.training_rows(), steps_.test_rows(), options, steps_.factory(), hooks(options));
    std::signal(SIGINT, old_handler);
    return finish(result);
  }

 private:
  TrainOptions make_options() {
    TrainOptions options;
    options.batch = steps_.batch_rows();
    options.epochs = spec_->epochs;
    options.steps = spec_->steps;
    options.every = spec_->every;
    options.keep_remainder = spec_->keep_remainder;
    options.seed = session_.seed;
    options.metrics = steps_.metrics();
    return options;
  }

  void prepare_variables(TrainOptions& options) {
    session_.initialize(steps_.main().meaning);
    if (!verb_.resume || !folder_.has_checkpoint()) return;
    auto info = load_checkpoint(folder_.checkpoint(), session_.variables(), session_.diagnostics);
    session_.stop_on_errors();
    if (info->seed != options.seed) {
      session_.diagnostics.report_at(DiagnosticKind::ResumeSeed, folder_.checkpoint(), info->seed, options.seed);
      throw Stop{user_error};
    }
    options.start = info->at;
    if (options.start.sums.size() != options.metrics.size()) options.start.rows = 0, options.start.sums.clear();
    done_.epoch = info->at.epoch;
    done_.step = info->at.step;
    folder_.keep_events(info->at.step);
  }

  void announce(const TrainOptions& options) {
    if (verb_.model.json || verb_.quiet) return;
    const Elaboration& meaning = steps_.main().meaning;
    int64_t count = 0, rows = steps_.training_rows().data.rows, tested = steps_.test_rows().data.rows;
    for (const ParameterInfo& p : meaning.parameters) count += p.type.count();
    std::string text = rows == 0 ? "" : fmt::format("{} rows to train on, ", rows);
    if (tested > 0) text += fmt::format("{} {}, ", tested, steps_.has_test_source() ? "to test on" : "held out");
    int threads = session_.pool().threads();
    fmt::print("{}: {} parameters in {} tensors\n{}batches of {}, {} on {} thread{}\n", session_.sources.file(spec_->span.file).name, count,
               meaning.parameters.size(), text, steps_.rows_at_once(), gradc::name(session_.element), threads, threads == 1 ? "" : "s");
    if (options.start.step > 0) fmt::print("resumed after {} epochs, step {}\n", options.start.epoch, options.start.step);
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
  void save(const Position& at, bool last) {
    auto now = std::chrono::steady_clock::now();
    if (!folder_ || (!last && saved_ && now - *saved_ < std::chrono::seconds(1))) return;
    saved_ = now;
    save_checkpoint(folder_.checkpoint(), session_.variables(), {session_.model.str(), at, session_.seed});
  }

  TrainHooks hooks(const TrainOptions& options) {
    TrainHooks hooks;
    if (!verb_.model.json && !verb_.quiet) hooks.progress = [this](const Progress& p) { status_.draw([&](int columns) { return progress_line(p, columns); }); };
    hooks.stop = [] { return interrupt_requested != 0; };
    int64_t epochs = options.epochs.value_or(0), steps = options.steps.value_or(0);
    hooks.report = [this, epochs, steps](const EpochReport& report, const Position& at) {
      status_.clear();
      if (verb_.model.json || folder_) {
        ordered_json e = event("epoch", report);
        if (verb_.model.json) fmt::print("{}\n", e.dump());
        save(at, false);
        folder_.add(e);
      }
      if (!verb_.model.json && !verb_.quiet) fmt::print("{}\n", epoch_line(report, epochs, steps, line_limit(STDOUT_FILENO)));
      std::fflush(stdout);
      done_ = report;
    };
    return hooks;
  }

  int finish(const TrainResult& result) {
    status_.clear();
    if (result.end == TrainEnd::Diverged) {
      session_.diagnostics.report_at(DiagnosticKind::Diverged, verb_.model.file, result.diverged_metric, result.at.step, result.at.epoch + 1)
          .note(folder_ ? fmt::format("'{}' holds the state at the last report", folder_.checkpoint()) : "nothing was saved: --out was not given");
      return user_error;
    }
    save(result.at, true);
    if (verb_.model.json || folder_) {
      EpochReport last = done_;
      last.epoch = result.at.epoch;
      last.step = result.at.step;
      ordered_json e = event("end", last);
      if (verb_.model.json) fmt::print("{}\n", e.dump());
      folder_.add(e);
    }
    if (!verb_.model.json) {
      for (const auto& [name, value] : done_.test) {
        if (name != "loss") fmt::print("test {}: {:.4f}\n", name, value);
      }
      if (result.end == TrainEnd::Interrupted) fmt::print("interrupted in epoch {} after step {}{}\n", result.at.epoch + 1, result.at.step, folder_ ? "; --resume goes on from there" : "");
      if (folder_) fmt::print("saved {}\n", folder_.checkpoint());
    }
    return result.end == TrainEnd::Interrupted ? interrupted : success;
  }

  const TrainVerb& verb_;
  Session session_;
  RunFolder folder_;
  Steps steps_;
  const TrainSpec* spec_;
  StatusLine status_;
  EpochReport done_;
  std::optional<std::chrono::steady_clock::time_point> saved_;
};

}  // namespace

int train(const TrainVerb& verb) { return TrainVerbRunner(verb).run(); }

}  // namespace gradc::cli
