#include <catch2/catch.hpp>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <set>

#include "compiler/support/error.h"
#include "runtime/checkpoint.h"
#include "runtime/files.h"
#include "runtime/terminal.h"
#include "runtime/threads.h"
#include "runtime/trainer.h"

using namespace gradc;

namespace {

// w <- w - 0.1 (w - mean of x); loss = (w - mean x)^2 / 2. Buffers: x[N], w, loss, step.
template <int N>
void fit_mean(GradcFrame* frame) {
  auto* x = static_cast<double*>(frame->buffers[0]);
  auto* w = static_cast<double*>(frame->buffers[1]);
  double mean = 0;
  for (int i = 0; i < N; ++i) mean += x[i] / N;
  *static_cast<double*>(frame->buffers[2]) = (*w - mean) * (*w - mean) / 2;
  *w -= 0.1 * (*w - mean);
}
// The same without the update.
template <int N>
void mean_loss(GradcFrame* frame) {
  double w = *static_cast<double*>(frame->buffers[1]);
  fit_mean<N>(frame);
  *static_cast<double*>(frame->buffers[1]) = w;
}

StepPlan plan(GradcStepFn entry, int64_t rows) {
  StepPlan p;
  p.buffers = {{"x", StepBuffer::Input, Element::F64, {rows}}, {"w", StepBuffer::Parameter, Element::F64, {}}, {"loss", StepBuffer::Output, Element::F64, {}}};
  p.entry = entry;
  return p;
}

struct MeanModel {
  ThreadPool pool{1};
  Variables variables;
  StepRunner train4{plan(fit_mean<4>, 4), variables, pool}, train2{plan(fit_mean<2>, 2), variables, pool};
  StepRunner eval4{plan(mean_loss<4>, 4), variables, pool}, eval2{plan(mean_loss<2>, 2), variables, pool};
  StepFactory factory = [this](bool training, int64_t rows) -> StepRunner& { return step(training, rows); };

  StepRunner& step(bool training, int64_t rows) {
    REQUIRE((rows == 4 || rows == 2));
    return rows == 4 ? (training ? train4 : eval4) : (training ? train2 : eval2);
  }
};

Dataset rows_with(const std::vector<double>& values) {
  Dataset d;
  d.rows = static_cast<int64_t>(values.size());
  Array x = Array::zeros(Element::F64, {d.rows});
  std::copy(values.begin(), values.end(), x.as<double>());
  d.inputs.emplace("x", rows_of(std::move(x)));
  return d;
}

Dataset ramp_rows(int64_t rows) {
  std::vector<double> values(static_cast<size_t>(rows));
  std::iota(values.begin(), values.end(), 0.0);
  return rows_with(values);
}

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("gradc-test-" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST_CASE("a permutation is one, and a function of seed and epoch") {
  auto a = permutation(1000, 1, 1);
  auto sorted = a;
  std::sort(sorted.begin(), sorted.end());
  std::vector<int64_t> identity(1000);
  std::iota(identity.begin(), identity.end(), 0);
  CHECK(sorted == identity);
  CHECK(a == permutation(1000, 1, 1));
  CHECK(a != permutation(1000, 1, 2));
  CHECK(a != permutation(1000, 2, 1));
  CHECK(permutation(0, 1, 1).empty());
  // Where row 0 lands over many epochs is close to uniform: chi-squared over ten places, 9 degrees of freedom, 0.999 quantile.
  std::vector<int> places(10, 0);
  for (uint32_t e = 1; e <= 5000; ++e) {
    auto p = permutation(10, 3, e);
    ++places[static_cast<size_t>(std::find(p.begin(), p.end(), 0) - p.begin())];
  }
  double chi = 0;
  for (int n : places) chi += (n - 500.0) * (n - 500.0) / 500;
  CHECK(chi < 27.9);
}

TEST_CASE("the split holds out the share that was asked for, and every row once") {
  auto [train, test] = split(ramp_rows(101), 0.2, 5);
  CHECK(train.rows == 81);
  CHECK(test.rows == 20);
  std::vector<double> all;
  for (const Dataset* d : {&train, &test}) {
    CHECK(static_cast<int64_t>(d->picked.size()) == d->rows);
    for (int64_t row : d->picked) all.push_back(to_array(*d->inputs.at("x").column).at(row));
  }
  std::sort(all.begin(), all.end());
  for (size_t i = 0; i < all.size(); ++i) CHECK(all[i] == static_cast<double>(i));
}

TEST_CASE("training drops the remainder unless it is kept; evaluation never does") {
  Feed data{ramp_rows(10), {}}, none;
  for (bool keep : {false, true}) {
    MeanModel m;
    TrainOptions options;
    options.batch = 4;
    options.epochs = 3;
    options.keep_remainder = keep;
    options.metrics = {"loss"};
    TrainResult r = train(data, none, options, m.factory, {});
    CHECK(r.at.epoch == 3);
    CHECK(r.at.step == (keep ? 9 : 6));
  }
  MeanModel m;
  Array w = Array::zeros(Element::F64, {});
  w.as<double>()[0] = 4.5;
  m.variables.set("w", w);
  // Batches 0..3, 4..7, 8..9: means 1.5, 5.5, 8.5; squared distances to 4.5 halved, weighted by rows.
  Metrics metrics = evaluate(data, 4, {"loss"}, 0, m.factory);
  CHECK(metrics[0].second == Approx((4 * 9.0 / 2 + 4 * 1.0 / 2 + 2 * 16.0 / 2) / 10).epsilon(1e-15));
  CHECK(m.variables.get("w").at(0) == 4.5);
}

TEST_CASE("a run that is resumed goes on as one that never stopped") {
  Feed data{ramp_rows(9), {}}, none;
  TrainOptions options;
  options.batch = 4;
  options.metrics = {"loss"};
  MeanModel whole;
  options.epochs = 5;
  std::vector<EpochReport> reports, resumed;
  auto into = [](std::vector<EpochReport>& list) {
    TrainHooks hooks;
    hooks.report = [&list](const EpochReport& r, const Position&) { list.push_back(r); };
    return hooks;
  };
  TrainResult a = train(data, none, options, whole.factory, into(reports));
  // Stopped inside an epoch, after any number of steps: the next report holds the whole epoch's mean all the same.
  for (int64_t stop_after : {1, 2, 3, 5, 7}) {
    MeanModel parts;
    resumed.clear();
    TrainHooks hooks = into(resumed);
    int64_t steps = 0;
    hooks.stop = [&] { return steps++ == stop_after; };
    TrainResult first = train(data, none, options, parts.factory, hooks);
    CHECK(first.end == TrainEnd::Interrupted);
    CHECK(first.at.step == stop_after);
    TrainOptions rest = options;
    rest.start = first.at;
    TrainResult b = train(data, none, rest, parts.factory, into(resumed));
    CHECK(a.at.step == b.at.step);
    CHECK(whole.variables.get("w").bytes == parts.variables.get("w").bytes);
    REQUIRE(resumed.size() == reports.size());
    for (size_t i = 0; i < reports.size(); ++i) CHECK(resumed[i].train == reports[i].train);
  }
}

TEST_CASE("steps end training inside an epoch, and a stop ends it between steps") {
  Feed data{ramp_rows(20), {}}, none;
  MeanModel m;
  TrainOptions options;
  options.batch = 4;
  options.steps = 7;
  options.metrics = {"loss"};
  CHECK(train(data, none, options, m.factory, {}).at.step == 7);
  int asked = 0, reported = 0;
  options.every = 5;
  TrainHooks hooks;
  hooks.stop = [&] { return ++asked > 3; };
  hooks.report = [&](const EpochReport&, const Position&) { ++reported; };
  TrainResult r = train(data, none, options, m.factory, hooks);
  CHECK(r.end == TrainEnd::Interrupted);
  CHECK(reported == 0);
}

TEST_CASE("reports come at epochs, at a fiftieth of the steps, or as often as asked for") {
  Feed data{ramp_rows(20), {}}, none;  // five steps an epoch
  auto reported_at = [&](const TrainOptions& options) {
    MeanModel m;
    std::vector<int64_t> at;
    TrainHooks hooks;
    hooks.report = [&](const EpochReport& r, const Position&) { at.push_back(r.step); };
    train(data, none, options, m.factory, hooks);
    return at;
  };
  TrainOptions options;
  options.batch = 4;
  options.metrics = {"loss"};
  options.epochs = 2;
  CHECK(reported_at(options) == std::vector<int64_t>{5, 10});
  options.every = 4;
  CHECK(reported_at(options) == std::vector<int64_t>{4, 8, 10});
  options.epochs.reset();
  options.every.reset();
  options.steps = 103;
  std::vector<int64_t> at = reported_at(options);
  REQUIRE(at.size() == 52);
  CHECK((at[0] == 2 && at[1] == 4 && at[50] == 102 && at[51] == 103));
}

TEST_CASE("evaluation prefers batches that leave no remainder") {
  CHECK(evaluation_batch(10000, 128) == 125);
  CHECK(evaluation_batch(360, 64) == 60);
  CHECK(evaluation_batch(64, 8) == 64);
  CHECK(evaluation_batch(40, 8) == 40);
  CHECK(evaluation_batch(10007, 128) == 128);  // a prime
  CHECK(evaluation_batch(0, 8) == 1);
}

TEST_CASE("windows of a text lie side by side, slide by less than a window, and end before the last byte") {
  auto text = std::make_shared<const Column>(Column{Stored::U8, {21}, std::string("abcdefghijklmnopqrstu")});
  Dataset fixed = windows(text, 0, 21, 5, false), sliding = windows(text, 0, 21, 5, true), part = windows(text, 10, 21, 5, false);
  CHECK((fixed.rows == 4 && fixed.slack == 0));  // 20 bytes have a successor
  CHECK((sliding.rows == 3 && sliding.slack == 4));
  CHECK((part.rows == 2 && part.raw.at("bytes").first == 10 && part.raw.at("shifted").first == 11));
  CHECK(windows(text, 0, 5, 5, true).rows == 0);
  CHECK((windows(text, 0, 6, 5, true).rows == 1 && windows(text, 0, 6, 5, true).slack == 0));
  std::set<int64_t> shifts;
  for (uint32_t epoch = 1; epoch < 100; ++epoch) shifts.insert(window_shift(sliding.slack, 3, epoch));
  CHECK(shifts == std::set<int64_t>{0, 1, 2, 3, 4});
  CHECK(window_shift(4, 3, 7) == window_shift(4, 3, 7));
}

TEST_CASE("a loss that is no number ends training and is named") {
  Feed data{rows_with({0, 1, NAN, 3}), {}}, none;
  MeanModel m;
  TrainOptions options;
  options.batch = 4;
  options.epochs = 3;
  options.metrics = {"loss"};
  TrainResult r = train(data, none, options, m.factory, {});
  CHECK(r.end == TrainEnd::Diverged);
  CHECK(r.diverged_metric == "loss");
  CHECK(r.at.step == 1);
}

TEST_CASE("a checkpoint restores every bit, and says what does not fit") {
  Folder folder;
  std::string path = folder.path / "c.safetensors";
  MeanModel m;
  Array w = Array::zeros(Element::F64, {});
  w.as<double>()[0] = 0.1;
  m.variables.set("w", w);
  save_checkpoint(path, m.variables, {"mean", {3, 12, 2, 128, {0.1, -1e300}}, 99});
  MeanModel other;
  Diagnostics d;
  auto info = load_checkpoint(path, other.variables, d);
  REQUIRE(info);
  CHECK((info->model == "mean" && info->at.epoch == 3 && info->at.step == 12 && info->seed == 99));
  CHECK((info->at.in_epoch == 2 && info->at.rows == 128 && info->at.sums == std::vector<double>{0.1, -1e300}));
  CHECK(other.variables.get("w").bytes == w.bytes);

  Variables wrong;
  wrong.declare({"w", StepBuffer::Parameter, Element::F64, {2}});
  wrong.declare({"v", StepBuffer::Parameter, Element::F64, {}});
  CHECK_FALSE(load_checkpoint(path, wrong, d));
  CHECK(d.error_count() == 2);
}

TEST_CASE("a file is replaced as a whole or not at all") {
  Folder folder;
  std::string path = folder.path / "f";
  write_file_atomically(path, "old");
  write_file_atomically(path, "new");
  Diagnostics d;
  CHECK(read_file(path, d) == "new");
  CHECK_THROWS_AS(write_file_atomically((folder.path / "no/such/folder/f").string(), "x"), EnvironmentError);
  CHECK_FALSE(read_file(folder.path, d));  // a directory
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 1);
}

TEST_CASE("the progress line fits the terminal") {
  Progress p{3, 30, 412, 1120, 0.21341, 61234};
  for (int columns : {20, 40, 60, 80, 200}) CHECK(static_cast<int>(progress_line(p, columns).size()) < columns);
  CHECK(progress_line(p, 80) == "epoch  3/30  [##########-------------------]  412/1120  loss 0.2134  61k rows/s");
  CHECK(progress_line(p, 52) == "epoch  3/30  412/1120  loss 0.2134  61k rows/s");
  CHECK(progress_line(p, 40) == "epoch  3/30  412/1120  loss 0.2134");
  CHECK(progress_line(p, 8) == "epoch  ");
  for (int columns : {1, 10, 30, 80}) CHECK(static_cast<int>(task_line("timing steps", 0.5, 2, "0.5/2.0 s", columns).size()) < columns);
  CHECK(task_line("timing steps", 0.5, 2, "0.5/2.0 s", 80) == "timing steps  [########------------------------]  0.5/2.0 s");
  CHECK(task_line("timing steps", 3, 2, "3.0/2.0 s", 40) == "timing steps  [############]  3.0/2.0 s");
}

TEST_CASE("long lines are broken at spaces for a terminal only") {
  CHECK(folded("losses     1.5 1.25 1.125", 0, 11) == "losses     1.5 1.25 1.125");
  CHECK(folded("losses     1.5 1.25 1.125", 20, 11) == "losses     1.5 1.25\n           1.125");
  CHECK(folded("a bc", 1, 2) == "a\n  bc");  // no room for a word: it stands alone
  CHECK(folded("", 10, 2).empty());
}

TEST_CASE("a report says where training is and what it has reached") {
  EpochReport r{3, 300, {{"loss", 0.21341}, {"accuracy", 0.94}}, {{"loss", 0.25}}, 1.234};
  CHECK(epoch_line(r, 30, 0) == "epoch  3/30  loss 0.2134   accuracy 0.94  | test loss 0.25  1.23 s");
  CHECK(epoch_line(r, 0, 5000) == "step  300/5000  loss 0.2134   accuracy 0.94  | test loss 0.25  1.23 s");
  // A narrow terminal: first the columns go, then a digit, then the line is broken.
  CHECK(epoch_line(r, 30, 0, 65) == "epoch  3/30  loss 0.2134  accuracy 0.94  | test loss 0.25  1.23 s");
  CHECK(epoch_line(r, 30, 0, 64) == "epoch  3/30  loss 0.213  accuracy 0.94  | test loss 0.25  1.23 s");
  CHECK(epoch_line(r, 30, 0, 45) == "epoch  3/30  loss 0.2134  accuracy 0.94\n  test loss 0.25  1.23 s");
  CHECK(epoch_line(r, 30, 0, 20) == "epoch  3/30  loss\n  0.2134  accuracy\n  0.94\n  test loss 0.25\n  1.23 s");
  r.test.clear();
  CHECK(epoch_line(r, 0, 0) == "epoch 3  loss 0.2134   accuracy 0.94  1.23 s");
}
