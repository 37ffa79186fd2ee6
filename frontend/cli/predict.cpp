// Values of a trained model for new rows, in batches, so that any number of rows fits into memory.
#include <cstdio>
#include <cstring>

#include <nlohmann/json.hpp>

#include "frontend/cli/arrays.h"
#include "frontend/cli/values.h"
#include "runtime/checkpoint.h"

namespace gradc::cli {
namespace {

constexpr int64_t rows_at_once = 256;

class Predictor {
 public:
  explicit Predictor(const PredictVerb& verb) : verb_(verb), session_(verb.model) {}

  int run() {
    NamedArrays given = read_given(session_, verb_.arrays).inputs;
    read_inputs(given);
    predict();
    return report();
  }

 private:
  // Names, shapes and the number of rows. Inputs that the outputs do not need (labels) may be missing.
  void read_inputs(NamedArrays& given) {
    dims_ = dims_of_given(session_, given);
    signature_ = session_.program->signature(session_.model, session_.diagnostics);
    batch_dim_ = batch_dim(signature_);
    auto rows = dims_.find(batch_dim_);
    if (rows != dims_.end()) rows_ = rows->second;
    for (auto& [name, array] : given) {
      auto input = std::find_if(signature_.begin(), signature_.end(), [&, n = Symbol(name)](const InputInfo& i) { return i.name == n; });
      const bool rowwise = batch_dim_ && !input->dims.empty() && input->dims[0] == batch_dim_;
      (rowwise ? by_row_ : whole_).emplace(name, std::move(array));
    }
  }

  Step build(int64_t rows) {
    ElaborateRequest request = session_.request(false, false);
    request.dims = dims_;
    if (batch_dim_ && rows_ > 0) request.dims[batch_dim_] = rows;
    request.outputs = verb_.outputs;
    request.default_dim = 1;
    Step step = session_.build(session_.elaborate(request));
    NamedArrays needed = whole_;
    for (const auto& [name, array] : by_row_) needed.emplace(name, rows_of_array(array, 0, rows));
    std::vector<InputInfo> inputs = step.meaning.inputs;
    std::erase_if(inputs, [&](const InputInfo& i) { return !step.runner->has(i.name.str()) && !needed.count(i.name.str()); });
    check_inputs(session_, needed, inputs);
    return step;
  }

  static Array rows_of_array(const Array& a, int64_t begin, int64_t count) {
    std::vector<int64_t> shape = a.shape;
    const size_t width = a.shape[0] == 0 ? 0 : a.bytes.size() / static_cast<size_t>(a.shape[0]);
    shape[0] = count;
    Array part = Array::zeros(a.element, shape);
    std::memcpy(part.bytes.data(), a.bytes.data() + static_cast<size_t>(begin) * width, part.bytes.size());
    return part;
  }

  // Outputs with a row for each row of the input can be made batch by batch; a mean over all rows cannot.
  bool all_by_row(const Step& one, const Step& other, int64_t rows, int64_t other_rows) const {
    for (const std::string& name : verb_.outputs) {
      const auto &a = one.runner->buffer(name).shape, &b = other.runner->buffer(name).shape;
      if (a.empty() || a[0] != rows || b[0] != other_rows || !std::equal(a.begin() + 1, a.end(), b.begin() + 1, b.end())) return false;
    }
    return true;
  }

  void predict() {
    if (batch_dim_ && rows_ == 0 && !by_row_.empty()) {
      session_.diagnostics.report_at(DiagnosticKind::NoRows, "--input");
      session_.stop_on_errors();
    }
    const int64_t batch = std::min(rows_at_once, std::max<int64_t>(rows_, 1)), rest = rows_ % batch;
    Step step = build(batch);
    std::optional<Step> last;
    if (rows_ > batch) {
      last = build(rest > 0 ? rest : batch - 1);
      if (!all_by_row(step, *last, batch, rest > 0 ? rest : batch - 1)) {
        last.reset();
        step = build(rows_);
        initialize(step);
        return run_rows(step, 0, rows_);
      }
    }
    initialize(step);
    for (int64_t begin = 0; begin + batch <= std::max(rows_, batch); begin += batch) run_rows(step, begin, batch);
    if (rows_ > batch && rest > 0) run_rows(*last, rows_ - rest, rest);
  }

  void initialize(const Step& step) {
    session_.initialize(step.meaning);
    load_checkpoint(verb_.arrays.checkpoint, session_.variables(), session_.diagnostics, own_variables(step.meaning, true));
    session_.stop_on_errors();
    NamedArrays all = whole_;
    all.insert(by_row_.begin(), by_row_.end());
    check_indices(session_, all, step.meaning.inputs);
  }

  void run_rows(Step& step, int64_t begin, int64_t count) {
    for (const auto& [name, array] : whole_) {
      if (step.runner->has(name)) step.runner->set(name, array);
    }
    for (const auto& [name, array] : by_row_) {
      if (step.runner->has(name)) step.runner->set(name, rows_of_array(array, begin, count));
    }
    step.runner->run(1, session_.seed);
    for (const std::string& name : verb_.outputs) {
      Array value = step.runner->get(name);
      auto [it, fresh] = results_.try_emplace(name, value);
      if (fresh) continue;
      it->second.shape[0] += value.shape[0];
      it->second.bytes.insert(it->second.bytes.end(), value.bytes.begin(), value.bytes.end());
    }
  }

  int report() {
    nlohmann::ordered_json shapes = nlohmann::ordered_json::object();
    for (const std::string& name : verb_.outputs) {
      const Array& a = results_.at(name);
      if (!verb_.model.json) print_text(name, a);
      else if (a.shape.empty()) shapes[name] = scalar_json(a);
      else shapes[name] = {{"element", gradc::name(a.element)}, {"shape", a.shape}};
    }
    if (verb_.model.json) fmt::print("{}\n", shapes.dump());
    if (!verb_.save.empty()) write_arrays(verb_.save, results_, session_.diagnostics);
    session_.stop_on_errors();
    return success;
  }

  const PredictVerb& verb_;
  Session session_;
  std::vector<InputInfo> signature_;
  Symbol batch_dim_;
  std::map<Symbol, int64_t> dims_;
  int64_t rows_ = 0;
  NamedArrays by_row_, whole_, results_;
};

}  // namespace

int predict(const PredictVerb& verb) { return Predictor(verb).run(); }

}  // namespace gradc::cli
