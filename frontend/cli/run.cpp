#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "compiler/support/text.h"
#include "frontend/cli/arrays.h"

namespace gradc::cli {
namespace {

// Up to this many elements are printed in full.
constexpr int64_t printed_elements = 64;

std::string elements(const Array& a, size_t axis, int64_t& at) {
  if (axis == a.shape.size()) return a.element == Element::Bool ? (a.at(at++) != 0 ? "true" : "false") : shortest(a.at(at++));
  std::string out = "[";
  for (int64_t i = 0; i < a.shape[axis]; ++i) out += (i ? ", " : "") + elements(a, axis + 1, at);
  return out + "]";
}

std::string summary(const Array& a) {
  double sum = 0, squares = 0, low = INFINITY, high = -INFINITY;
  for (int64_t i = 0; i < a.count(); ++i) {
    double v = a.at(i);
    sum += v, squares += v * v, low = std::min(low, v), high = std::max(high, v);
  }
  return fmt::format("mean {:.6g}, norm {:.6g}, from {:.6g} to {:.6g}", sum / static_cast<double>(a.count()), std::sqrt(squares), low, high);
}

void print_text(const std::string& name, const Array& a) {
  std::string type = fmt::format("{}{}", gradc::name(a.element), shape_text(a.shape));
  int64_t at = 0;
  if (a.shape.empty()) fmt::print("{} = {}\n", name, elements(a, 0, at));
  else if (a.count() <= printed_elements) fmt::print("{} : {} = {}\n", name, type, elements(a, 0, at));
  else fmt::print("{} : {}, {}\n", name, type, summary(a));
}

nlohmann::ordered_json scalar_json(const Array& a) {
  if (a.element == Element::Bool) return a.at(0) != 0;
  if (a.element == Element::Int) return a.as<int64_t>()[0];
  return a.at(0);
}

}  // namespace

int run(const RunVerb& verb) {
  Session session(verb.model);
  ElaborateRequest request = session.request(verb.train, false);
  request.outputs = verb.outputs;
  Step step = prepare(session, request, verb.arrays);
  step.runner->run(verb.step, session.seed);

  NamedArrays results;
  nlohmann::ordered_json scalars = nlohmann::ordered_json::object();
  for (const Output& output : step.compiled.typed.outputs) {
    Array value = step.runner->get(output.name.str());
    if (!verb.model.json) print_text(output.name.str(), value);
    else if (value.shape.empty()) scalars[output.name.str()] = scalar_json(value);
    results.emplace(output.name.str(), std::move(value));
  }
  if (verb.model.json) fmt::print("{}\n", scalars.dump());
  if (!verb.save.empty()) write_arrays(verb.save, results, session.diagnostics);
  session.stop_on_errors();
  return success;
}

}  // namespace gradc::cli
