// Random numbers, initial values, derivatives, layers and data columns.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "compiler/support/text.h"
#include "frontend/sema/builtins.h"

namespace gradc::sema {
namespace {

std::vector<Dim> random_shape(const BuiltinCall& c, size_t i) {
  if (c.has(i)) return c.sema.shape_of(c.value(i), c.at(i));
  if (const Type* t = c.sema.expected_shape()) return t->dims;
  c.sema.report(DiagnosticKind::ShapeNeeded, c.span, c.builtin.name);
  c.sema.abort();
}

Value uniform(const BuiltinCall& c) {
  double low = c.number(0, 0), high = c.number(1, 1);
  Expr u = c.sema.uniform_random(random_shape(c, 2), c.span);
  return c.sema.wrap(u * (high - low) + low);
}

// Box and Muller 1958: sqrt(-2 log(1 - u)) cos(2 pi v) of two independent uniforms is standard normal.
Value normal(const BuiltinCall& c) {
  double mean = c.number(0, 0), deviation = c.number(1, 1);
  std::vector<Dim> dims = random_shape(c, 2);
  Expr u = c.sema.uniform_random(dims, c.span), v = c.sema.uniform_random(dims, c.span);
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

Value train_steps(const BuiltinCall& c) {
  const TrainSpec* train = c.sema.world().train;
  if (train && train->steps) return number(std::max(1.0, std::floor(static_cast<double>(*train->steps) / static_cast<double>(c.sema.period()))));
  c.sema.report(DiagnosticKind::StepsUnknown, c.span);
  c.sema.abort();
}

Value transform(const BuiltinCall& c, GradientTransform::Kind kind) {
  OptimizerValue v;
  v.span = c.span;
  v.transforms.push_back({kind, c.number(0, 0), c.span});
  return std::make_shared<const OptimizerValue>(std::move(v));
}

Expr table(const BuiltinCall& c) {
  const Binding* b = c.sema.frame().scope->find("table");
  if (c.sema.frame().kind == Frame::Data && b) return c.sema.expr(b->value, c.span);
  c.sema.report(DiagnosticKind::OnlyInData, c.span, c.builtin.name);
  c.sema.abort();
}

int64_t column_number(const BuiltinCall& c, int64_t columns) {
  if (auto* text = c.value(0).as<std::string>()) {
    const std::vector<std::string>& names = c.sema.columns();
    auto it = std::find(names.begin(), names.end(), *text);
    if (it != names.end()) return it - names.begin();
    Diagnostic& d = c.sema.report(DiagnosticKind::UnknownColumn, c.at(0), *text);
    if (auto near = nearest(*text, names)) d.note(fmt::format("did you mean \"{}\"?", *near));
    else if (names.empty()) d.note("the data has no header line: give the column's number, from 0");
    c.sema.abort();
  }
  int64_t i = c.sema.integer_of(c.value(0), c.at(0), "a column");
  if (i >= 0 && i < columns) return i;
  c.sema.report(DiagnosticKind::ColumnOutOfRange, c.span, c.sema.quote(c.span), columns);
  c.sema.abort();
}

Value columns(const BuiltinCall& c) {
  Expr t = table(c);
  auto* r = c.value(0).as<RangeValue>();
  if (!r || r->from < 0 || r->to > t.size(1) || r->from >= r->to) {
    c.sema.report(DiagnosticKind::ColumnOutOfRange, c.span, c.sema.quote(c.span), t.size(1));
    c.sema.abort();
  }
  return c.sema.wrap(slice(t, {0, r->from}, {t.size(0), r->to}));
}

Value column(const BuiltinCall& c) {
  Expr t = table(c);
  int64_t i = column_number(c, t.size(1));
  return c.sema.wrap(reshape(slice(t, {0, i}, {t.size(0), i + 1}), {t.size(0)}));
}

}  // namespace

const std::vector<Builtin>& model_builtins() {
  static const std::vector<Builtin> all = {
      {"uniform", "low?, high?, shape?", "uniform random numbers, in [0, 1) by default", uniform},
      {"normal", "mean?, deviation?, shape?", "normal random numbers, standard by default", normal},
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
      {"columns", "range", "columns of a table, [N, count]", columns},
      {"column", "which", "one column of a table by number or header, [N]", column},
  };
  return all;
}

}  // namespace gradc::sema
