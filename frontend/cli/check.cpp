#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "compiler/eval/eval.h"
#include "frontend/cli/check_rules.h"
#include "frontend/cli/convert.h"
#include "frontend/cli/data.h"
#include "frontend/cli/differences.h"
#include "runtime/terminal.h"

namespace gradc::cli {
namespace {

constexpr int64_t batch = 4, exhaustive = 64, sampled = 32;
constexpr int directions = 4;

struct ParameterResult {
  std::string name, loss;
  double max_rel_err = 0;
  int compared = 0, kinks = 0;
};
struct PassResult {
  std::string name;
  double max_rel_err = 0;
};

class Checker {
 public:
  explicit Checker(const CheckVerb& verb) : verb_(verb), session_(verb.model) { session_.element = Element::F64; }

  int run() {
    prepare();
    check_parameters();
    rules_ = check_rules(gradients_.compiled.backward, interpreter_inputs(), draws_);
    check_passes();
    return report();
  }

 private:
  void prepare() {
    const auto& train = session_.program->train();
    ElaborateRequest request = session_.request(true, false);
    if (train && train->data) {
      source_ = std::make_unique<Source>(session_, *train->data);
      rows_ = std::min(batch, source_->data().rows);
      request.dims = bind_dims(session_, source_->types(rows_));
    }
    request.default_dim = batch;
    Elaboration meaning = session_.elaborate(request);
    if (meaning.metrics.empty() || std::none_of(meaning.parameters.begin(), meaning.parameters.end(), [](auto& p) { return bool(p.loss); })) {
      session_.diagnostics.report_at(DiagnosticKind::NothingToCheck, verb_.model.file);
      throw Stop{user_error};
    }
    for (const ParameterInfo& p : meaning.parameters) {
      if (p.loss) parameters_.push_back({p.path.str(), p.loss.str()});
    }
    for (const ParameterResult& p : parameters_) {
      if (std::find(request.outputs.begin(), request.outputs.end(), p.loss) == request.outputs.end()) request.outputs.push_back(p.loss);
    }
    losses_ = request.outputs;
    value_ = session_.build(session_.elaborate(request));
    for (const ParameterResult& p : parameters_) request.outputs.push_back(gradient(p));
    gradients_ = session_.build(session_.elaborate(request));
    session_.initialize(gradients_.meaning);
    fill_inputs();
    gradients_.runner->run(1, session_.seed);
    require_finite();
  }

  void require_finite() {
    for (const std::string& loss : losses_) {
      double value = gradients_.runner->scalar(loss);
      if (std::isfinite(value)) continue;
      auto& d = session_.diagnostics.report_at(DiagnosticKind::LossNotFinite, verb_.model.file, loss, std::isnan(value) ? "nan" : fmt::format("{}", value));
      if (!source_) d.note("the model has no data, so its inputs are drawn from [-1, 1)");
      throw Stop{user_error};
    }
  }

  static std::string gradient(const ParameterResult& p) { return fmt::format("grad({}, {})", p.loss, p.name); }

  // The first rows of the data. A model without data is checked on random inputs: numbers in [-1, 1), indices inside their range.
  void fill_inputs() {
    const std::vector<InputInfo>& inputs = gradients_.meaning.inputs;
    if (source_) {
      source_->check_indices(inputs);
      for (Step* step : {&value_, &gradients_}) load_first(session_, *source_, rows_, *step->runner);
      return;
    }
    for (const InputInfo& input : inputs) {
      Array a = Array::zeros(input.type.element, input.type.sizes());
      for (int64_t i = 0; i < a.count(); ++i) {
        switch (a.element) {
          case Element::Int: a.as<int64_t>()[i] = draws_.below(input.index_limit.value_or(2)); break;
          case Element::Bool: a.as<uint8_t>()[i] = draws_.uniform() < 0.5; break;
          case Element::F32: a.as<float>()[i] = static_cast<float>(2 * draws_.uniform() - 1); break;
          case Element::F64: a.as<double>()[i] = 2 * draws_.uniform() - 1; break;
          case Element::None: break;
        }
      }
      for (Step* step : {&value_, &gradients_}) {
        if (step->runner->has(input.name.str())) step->runner->set(input.name.str(), a);
      }
    }
  }

  double loss_at(const std::string& loss, double* values, const std::vector<double>& base, const std::vector<double>& direction, double s) {
    for (size_t i = 0; i < base.size(); ++i) values[i] = base[i] + s * direction[i];
    value_.runner->run(1, session_.seed);
    return value_.runner->scalar(loss);
  }

  void check_parameters() {
    for (ParameterResult& result : parameters_) {
      Array symbolic = gradients_.runner->get(gradient(result));
      int64_t n = symbolic.count();
      auto* values = reinterpret_cast<double*>(value_.runner->data(result.name));
      std::vector<double> base(values, values + n), g(symbolic.as<double>(), symbolic.as<double>() + n);
      double largest = 0;
      for (double v : g) largest = std::max(largest, std::abs(v));
      std::vector<double> direction(static_cast<size_t>(n), 0.0);
      auto compare = [&](double expected, double size, double scale) {
        Difference d = differentiate([&](double s) { return loss_at(result.loss, values, base, direction, s); }, size);
        std::copy(base.begin(), base.end(), values);
        if (d.at_kink(scale)) ++result.kinks;
        else result.max_rel_err = std::max(result.max_rel_err, d.error_of(expected, scale)), ++result.compared;
      };
      // Differences are measured against the element, or a thousandth of the parameter's largest gradient where the element
      // itself is smaller: below that, rounding of the loss is all there is to see.
      double floor = std::max(1e-3 * largest, 1e-9);
      for (int64_t k = 0; k < std::min(n, n <= exhaustive ? n : sampled); ++k) {
        auto i = static_cast<size_t>(n <= exhaustive ? k : draws_.below(n));
        direction[i] = 1;
        compare(g[i], std::max(1.0, std::abs(base[i])), floor);
        direction[i] = 0;
      }
      for (int k = 0; n > exhaustive && k < directions; ++k) check_direction(g, direction, compare);
    }
  }

  template <class Compare>
  void check_direction(const std::vector<double>& g, std::vector<double>& direction, Compare compare) {
    double norm = 0, expected = 0, g_norm = 0;
    for (double& v : direction) v = 2 * draws_.uniform() - 1, norm += v * v;
    for (size_t i = 0; i < g.size(); ++i) {
      direction[i] /= std::sqrt(norm);
      expected += g[i] * direction[i];
      g_norm += g[i] * g[i];
    }
    compare(expected, 1.0, std::max(1e-3 * std::sqrt(g_norm / static_cast<double>(g.size())), 1e-9));
    std::fill(direction.begin(), direction.end(), 0.0);
  }

  std::map<Symbol, Tensor> interpreter_inputs() {
    std::map<Symbol, Tensor> inputs;
    for (const InputInfo& input : gradients_.meaning.inputs) {
      if (gradients_.runner->has(input.name.str())) inputs.emplace(input.name, to_tensor(gradients_.runner->get(input.name.str())));
    }
    for (const auto& [name, entry] : session_.variables().entries()) {
      inputs.emplace(name, to_tensor(session_.variables().get(name)));
    }
    Tensor step = Tensor::zeros({Element::F64, {}}), seed = Tensor::zeros({Element::Int, {}});
    step.set(0, 1);
    seed.as<int64_t>()[0] = static_cast<int64_t>(session_.seed);
    inputs.emplace("step", step);
    inputs.emplace("seed", seed);
    return inputs;
  }

  static double largest_of(const Tensor& x) {
    double largest = 0;
    for (int64_t i = 0; i < x.type.count(); ++i) largest = std::max(largest, std::abs(x.at(i)));
    return largest;
  }

  // Largest difference over all outputs, each measured against its largest element, or against a millionth of the largest of all
  // outputs: a gradient that is 0 but for rounding (that of the bias of attention's keys, say) is a sum of terms far above it.
  static double difference(const std::map<Symbol, Tensor>& a, const std::map<Symbol, Tensor>& b) {
    double worst = 0, whole = 0;
    for (const auto& [_, x] : a) whole = std::max(whole, largest_of(x));
    for (const auto& [name, x] : a) {
      const Tensor& y = b.at(name);
      double largest = std::max(largest_of(x), 1e-6 * whole);
      for (int64_t i = 0; i < x.type.count(); ++i) worst = std::max(worst, relative(x.at(i), y.at(i), largest));
    }
    return worst;
  }

  // Translation validation: the graph before and after every pass, and the compiled code, on this model's own values.
  void check_passes() {
    auto inputs = interpreter_inputs();
    Graph graph = gradients_.compiled.backward;
    auto expected = evaluate(graph, inputs);
    for (const RewritePass& pass : rewrite_passes()) {
      graph = pass.run(graph);
      passes_.push_back({pass.name, difference(expected, evaluate(graph, inputs))});
    }
    passes_.push_back({"optimized", difference(expected, evaluate(gradients_.compiled.optimized, inputs))});
    std::map<Symbol, Tensor> compiled;
    for (const auto& [name, tensor] : expected) compiled.emplace(name, to_tensor(gradients_.runner->get(name.str())));
    passes_.push_back({"machine-code", difference(expected, compiled)});
  }

  int report() {
    double worst = 0;
    for (const auto& p : parameters_) worst = std::max(worst, p.max_rel_err);
    for (const auto& r : rules_) worst = std::max(worst, r.max_rel_err);
    bool ok = worst < verb_.tolerance;
    for (const auto& p : passes_) ok = ok && p.max_rel_err < pass_tolerance;
    verb_.model.json ? print_json(ok, worst) : print_text(ok, worst);
    return ok ? success : user_error;
  }

  void print_json(bool ok, double worst) {
    nlohmann::ordered_json out = {{"ok", ok}, {"max_rel_err", worst}, {"parameters", nlohmann::ordered_json::array()}, {"passes", nlohmann::ordered_json::array()}};
    for (const auto& p : parameters_) out["parameters"].push_back({{"name", p.name}, {"max_rel_err", p.max_rel_err}, {"compared", p.compared}, {"kinks", p.kinks}});
    for (const auto& r : rules_) out["derivatives"].push_back({{"name", r.name}, {"max_rel_err", r.max_rel_err}, {"compared", r.compared}, {"kinks", r.kinks}});
    for (const auto& p : passes_) out["passes"].push_back({{"name", p.name}, {"max_rel_err", p.max_rel_err}});
    fmt::print("{}\n", out.dump());
  }

  void print_text(bool ok, double worst) {
    const int limit = line_limit(STDOUT_FILENO);
    fmt::print("{}\n", folded(fmt::format("symbolic against numeric gradients of {}, f64:", fmt::join(losses_, " and ")), limit, 2));
    auto line = [&](const auto& p) {
      fmt::print("{}\n", folded(fmt::format("  {:<28} {:>9.2e}  {} compared{}{}", p.name, p.max_rel_err, p.compared,
                                            p.kinks ? fmt::format(", {} at a kink", p.kinks) : "", p.max_rel_err < verb_.tolerance ? "" : "   TOO LARGE"), limit, 31));
    };
    for (const auto& p : parameters_) line(p);
    if (!rules_.empty()) fmt::print("{}\n", folded("derivatives written in the model against differences of their functions:", limit, 2));
    for (const auto& r : rules_) line(r);
    fmt::print("every pass against the graph as derived:\n");
    for (const auto& p : passes_) fmt::print("  {:<28} {:>9.2e}{}\n", p.name, p.max_rel_err, p.max_rel_err < pass_tolerance ? "" : "   TOO LARGE");
    fmt::print("{}: largest relative difference {:.2e}\n", ok ? "passed" : "FAILED", worst);
  }

  // f64 rounding over the longest sums of the examples; a wrong rule is off by far more.
  static constexpr double pass_tolerance = 1e-9;

  const CheckVerb& verb_;
  Session session_;
  std::unique_ptr<Source> source_;
  int64_t rows_ = 0;
  Draws draws_{0x6772616463};
  std::vector<std::string> losses_;
  Step value_, gradients_;
  std::vector<ParameterResult> parameters_;
  std::vector<RuleResult> rules_;
  std::vector<PassResult> passes_;
};

}  // namespace

int check(const CheckVerb& verb) { return Checker(verb).run(); }

}  // namespace gradc::cli
