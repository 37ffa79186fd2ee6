// Random numbers, initial values, derivatives, layers and the length of training.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "compiler/support/text.h"
#include "frontend/sema/builtins.h"

namespace gradc::sema {
namespace {

bool shape_first(const BuiltinCall& c) { return c.has(0) && c.value(0).list() && !c.has(1) && !c.has(2); }

// The shape of a draw: as written, or that of the parameter that is being declared, or that of the model's input whose data are
// being given, where `rows` says how many. A list in the first place is the shape: normal([N, 64]).
std::vector<Dim> random_shape(const BuiltinCall& c) {
  constexpr size_t shape = 2, rows = 3;
  if (shape_first(c)) return c.sema.shape_of(c.value(0), c.at(0));
  if (c.has(shape)) return c.sema.shape_of(c.value(shape), c.at(shape));
  if (c.sema.data_input()) return drawn_shape(c, rows);
  if (c.has(rows)) {
    c.sema.report(DiagnosticKind::OnlyInData, c.args[rows]->named_at(), "rows");
    c.sema.abort();
  }
  if (const Type* t = c.sema.expected_shape()) return t->dims;
  c.sema.report(DiagnosticKind::ShapeNeeded, c.span, c.builtin.name);
  c.sema.abort();
}

Value uniform(const BuiltinCall& c) {
  double low = shape_first(c) ? 0 : c.number(0, 0), high = c.number(1, 1);
  Expr u = cast(c.sema.uniform_random(random_shape(c), c.span), c.sema.number_element());
  return c.sema.wrap(u * (high - low) + low);
}

// Box and Muller 1958: sqrt(-2 log(1 - u)) cos(2 pi v) of two independent uniforms is standard normal.
Value normal(const BuiltinCall& c) {
  double mean = shape_first(c) ? 0 : c.number(0, 0), deviation = c.number(1, 1);
  std::vector<Dim> dims = random_shape(c);
  auto draw = [&] { return cast(c.sema.uniform_random(dims, c.span), c.sema.number_element()); };
  Expr u = draw(), v = draw();
  Expr z = sqrt(-2.0 * log(1.0 - u)) * cos(v * (2 * std::numbers::pi));
  return c.sema.wrap(z * deviation + mean);
}

// Inputs and outputs of one unit: [in, out], with a receptive field in front for convolutions.
Value fan(const BuiltinCall& c, bool inputs) {
  const Type* t = c.sema.expected_shape();
  if (!t) {
    c.sema.report(DiagnosticKind::OnlyInInitialValue, c.span, c.builtin.name);
    c.sema.abort();
  }
  double field = 1;
  for (size_t i = 0; i + 2 < t->rank(); ++i) field *= static_cast<double>(t->size(i));
  if (t->rank() < 2) return number(static_cast<double>(t->count()));
  return number(field * static_cast<double>(t->size(t->rank() - (inputs ? 2 : 1))));
}

Value excluded(const BuiltinCall& c) {
  const ListValue* list = c.value(0).list();
  std::vector<Value> patterns = list ? list->items : std::vector<Value>{c.value(0)};
  return std::any_of(patterns.begin(), patterns.end(), [&](const Value& p) {
    auto* text = p.as<std::string>();
    if (!text) {
      c.sema.report(DiagnosticKind::WrongType, c.at(0), c.sema.quote(c.at(0)), "patterns of parameter paths, as in [\"*.b\"],", c.sema.describe(p));
      c.sema.abort();
    }
    return glob_match(*text, c.sema.optimized_path());
  });
}

[[noreturn]] void steps_unknown(const BuiltinCall& c) {
  c.sema.report(DiagnosticKind::StepsUnknown, c.span);
  c.sema.abort();
}

Value epoch_steps(const BuiltinCall& c) {
  if (c.sema.epoch_steps() == 0) steps_unknown(c);
  return number(static_cast<double>(c.sema.epoch_steps()));
}

// Whichever of 'steps' and 'epochs' ends first, counted in updates of the parameters in hand.
Value train_steps(const BuiltinCall& c) {
  const TrainSpec* train = c.sema.world().train;
  std::optional<int64_t> steps = train ? train->steps : std::nullopt;
  if (train && train->epochs && c.sema.epoch_steps() > 0) {
    int64_t all = *train->epochs * c.sema.epoch_steps();
    steps = steps ? std::min(*steps, all) : all;
  }
  if (!steps) steps_unknown(c);
  return number(std::max(1.0, std::floor(static_cast<double>(*steps) / static_cast<double>(c.sema.period()))));
}

Value transform(const BuiltinCall& c, GradientTransform::Kind kind) {
  OptimizerValue v;
  v.span = c.span;
  v.transforms.push_back({kind, c.number(0, 0), c.span});
  return std::make_shared<const OptimizerValue>(std::move(v));
}

}  // namespace

const std::vector<Builtin>& model_builtins() {
  static const std::vector<Builtin> all = {
      {"uniform", "low?, high?, shape?, rows?", "uniform random numbers, in [0, 1) by default; rows: in data, how many", uniform},
      {"normal", "mean?, deviation?, shape?, rows?", "normal random numbers, standard by default; rows: in data, how many", normal},
      {"random_like", "x", "uniform random numbers in [0, 1) in the shape of x",
       [](const BuiltinCall& c) { return c.sema.wrap(c.sema.uniform_random(c.tensor(0).type().dims, c.span)); }},
      {"fan_in", "", "number of inputs of a unit of the parameter being declared", [](const BuiltinCall& c) { return fan(c, true); }},
      {"fan_out", "", "number of outputs of the parameter being declared", [](const BuiltinCall& c) { return fan(c, false); }},
      {"grad", "y, x", "gradient of the scalar y by x", [](const BuiltinCall& c) { return c.sema.gradient(c.value(0), c.value(1), c.at(0), c.at(1)); }},
      {"stop_gradient", "x", "x, as a constant to every derivative",
       [](const BuiltinCall& c) -> Value {
         if (c.value(0).as<Num>()) return c.value(0);
         return c.sema.wrap(stop_gradient(c.tensor(0)));
       }},
      {"Sequential", "parts...", "a layer: one part after the other",
       [](const BuiltinCall& c) -> Value { return c.sema.sequential(c.rest, c.span); }},
      {"clip_global_norm", "limit", "gradients scaled by min(1, limit / (norm + 1e-6)), the norm over all of them",
       [](const BuiltinCall& c) { return transform(c, GradientTransform::ClipGlobalNorm); }},
      {"clip_value", "limit", "each element of the gradients cut to [-limit, limit]",
       [](const BuiltinCall& c) { return transform(c, GradientTransform::ClipValue); }},
      {"accumulate", "steps", "the mean of the gradients of so many steps, and one update after them",
       [](const BuiltinCall& c) {
         int64_t steps = c.sema.integer_of(c.value(0), c.at(0), "the number of steps");
         if (steps < 1) {
           c.sema.report(DiagnosticKind::NotPositive, c.at(0), "the number of steps", steps);
           c.sema.abort();
         }
         return transform(c, GradientTransform::Accumulate);
       }},
      {"excluded", "patterns", "in an optimizer: whether the parameter's path matches one of the patterns",
       [](const BuiltinCall& c) -> Value { return excluded(c); }},
      {"train_steps", "", "the number of steps of the train block", train_steps},
      {"epoch_steps", "", "the number of steps of one pass over the data", epoch_steps},
  };
  return all;
}

}  // namespace gradc::sema
