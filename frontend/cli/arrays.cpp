#include "frontend/cli/arrays.h"

#include <numeric>

#include "compiler/support/text.h"
#include "frontend/cli/convert.h"
#include "runtime/checkpoint.h"

namespace gradc::cli {
namespace {

// --input x=x.npy, or --input x=all.npz, where the key is the name.
void read_named(Session& session, const std::vector<std::string>& entries, const char* flag, NamedArrays& to) {
  for (const std::string& entry : entries) {
    size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) {
      session.diagnostics.report_at(DiagnosticKind::MalformedArrayFlag, flag, entry, flag);
      continue;
    }
    std::string name = entry.substr(0, equals);
    auto arrays = read_arrays(entry.substr(equals + 1), session.diagnostics);
    if (!arrays) continue;
    auto it = arrays->find(name);
    if (it == arrays->end()) it = arrays->find("");
    if (it == arrays->end()) {
      session.diagnostics.report_at(DiagnosticKind::ArrayNotInFile, flag, entry.substr(equals + 1), name);
    } else if (!to.emplace(name, std::move(it->second)).second) {
      session.diagnostics.report_at(DiagnosticKind::ArrayGivenTwice, flag, name);
    }
  }
}

void read_all(Session& session, const std::string& path, const char* flag, NamedArrays& to) {
  if (path.empty()) return;
  auto arrays = read_arrays(path, session.diagnostics);
  if (!arrays) return;
  for (auto& [name, array] : *arrays) {
    if (!to.emplace(name, std::move(array)).second) session.diagnostics.report_at(DiagnosticKind::ArrayGivenTwice, flag, name);
  }
}

bool fits(Element given, Element wanted) {
  if (given == wanted) return true;
  if (is_float(wanted)) return given != Element::Bool;  // widening, rounding to f32, and integers as numbers
  return wanted == Element::Int && given == Element::Bool;
}

void unknown_name(Session& session, const std::string& name, const char* what, const std::vector<std::string>& known) {
  auto& d = session.diagnostics.report_at(DiagnosticKind::UnknownArray, "", what, name);
  if (auto close = nearest(name, known)) d.note("did you mean '" + *close + "'?");
  else if (!known.empty()) d.note(fmt::format("the model has {}", fmt::join(known, ", ")));
}

void check_type(Session& session, const std::string& name, const Array& array, const Type& type, SourceSpan span) {
  if (array.shape != type.sizes()) {
    session.diagnostics.report_at(DiagnosticKind::ArrayShape, "", name, shape_text(array.shape), shape_to_string(type))
        .note(span, "declared here");
  } else if (!fits(array.element, type.element)) {
    session.diagnostics.report_at(DiagnosticKind::ArrayElement, "", name, gradc::name(array.element), gradc::name(type.element))
        .note(span, "declared here");
  }
}

Elaboration with_gradients(Session& session, ElaborateRequest request, Elaboration meaning) {
  bool updates = std::any_of(meaning.graph.outputs.begin(), meaning.graph.outputs.end(), [](const Output& o) { return o.kind == OutputKind::Update; });
  if (updates || meaning.metrics.empty()) return meaning;
  std::vector<Symbol> metrics = meaning.metrics;
  request.update = false;
  for (Symbol m : metrics) request.outputs.push_back(m.str());
  for (const ParameterInfo& p : meaning.parameters) {
    if (p.used) request.outputs.push_back(fmt::format("grad({}, {})", metrics.front(), p.path));
  }
  meaning = session.elaborate(request);
  meaning.metrics = metrics;
  return meaning;
}

}  // namespace

// Names first: the shapes of an input with a wrong name would leave a dimension unbound, which is a worse message.
std::map<Symbol, int64_t> dims_of_given(Session& session, const NamedArrays& inputs) {
  std::vector<std::string> known;
  for (const InputInfo& input : session.program->signature(session.model, session.diagnostics)) known.push_back(input.name.str());
  std::map<Symbol, Type> types;
  for (const auto& [name, array] : inputs) {
    if (std::find(known.begin(), known.end(), name) == known.end()) unknown_name(session, name, "input", known);
    types.emplace(name, type_of(array));
  }
  session.stop_on_errors();
  return bind_dims(session, types);
}

GivenArrays read_given(Session& session, const ArrayOptions& options) {
  GivenArrays given;
  read_named(session, options.input, "--input", given.inputs);
  read_named(session, options.param, "--param", given.variables);
  read_named(session, options.state, "--state", given.variables);
  read_all(session, options.inputs, "--inputs", given.inputs);
  read_all(session, options.params, "--params", given.variables);
  session.stop_on_errors();
  return given;
}

void check_inputs(Session& session, const NamedArrays& given, const std::vector<InputInfo>& inputs) {
  std::vector<std::string> known;
  for (const InputInfo& input : inputs) known.push_back(input.name.str());
  for (const auto& [name, array] : given) {
    auto it = std::find(known.begin(), known.end(), name);
    if (it == known.end()) unknown_name(session, name, "input", known);
    else check_type(session, name, array, inputs[static_cast<size_t>(it - known.begin())].type, inputs[static_cast<size_t>(it - known.begin())].span);
  }
  for (const InputInfo& input : inputs) {
    if (!given.count(input.name.str())) {
      session.diagnostics.report(DiagnosticKind::InputMissing, input.span, input.name, shape_to_string(input.type));
    }
  }
  session.stop_on_errors();
}

void check_variables(Session& session, const NamedArrays& given, const Elaboration& meaning) {
  std::vector<std::string> known;
  std::map<std::string, std::pair<Type, SourceSpan>> types;
  for (const ParameterInfo& p : meaning.parameters) types.emplace(p.path.str(), std::pair(p.type, p.span));
  for (const StateInfo& s : meaning.states) types.emplace(s.path.str(), std::pair(s.type, s.span));
  for (const auto& [name, type] : types) known.push_back(name);
  for (const auto& [name, array] : given) {
    auto it = types.find(name);
    if (it == types.end()) unknown_name(session, name, "parameter or state", known);
    else check_type(session, name, array, it->second.first, it->second.second);
  }
  session.stop_on_errors();
}

Step prepare(Session& session, ElaborateRequest request, const ArrayOptions& options, WithoutOptimizer otherwise) {
  GivenArrays given = read_given(session, options);
  const TrainSpec* train = session.program->train() ? &*session.program->train() : nullptr;
  std::unique_ptr<Source> source;
  int64_t rows = 0;
  if (given.inputs.empty() && train && train->data) {
    source = std::make_unique<Source>(session, *train->data);
    rows = source->data().rows;
    request.epoch_steps = rows == 0 ? 1 : std::max<int64_t>(1, rows / train->batch.value_or(rows));
    if (train->batch) rows = std::min(*train->batch, rows);
    request.dims = bind_dims(session, source->types(rows));
  } else if (!given.inputs.empty()) {
    request.dims = dims_of_given(session, given.inputs);
  } else if (train && train->batch) {
    request.default_dim = *train->batch;
  }
  Elaboration meaning = session.elaborate(request);
  if (otherwise == WithoutOptimizer::write_gradients) meaning = with_gradients(session, request, std::move(meaning));
  Step step = session.build(std::move(meaning));
  if (source) {
    source->check_indices(step.meaning.inputs);
  } else {
    check_inputs(session, given.inputs, step.meaning.inputs);
    check_indices(session, given.inputs, step.meaning.inputs);
  }
  check_variables(session, given.variables, step.meaning);
  std::vector<std::string> names;
  for (const auto& [name, array] : given.variables) names.push_back(name);
  session.initialize(step.meaning, names);
  for (const auto& [name, array] : given.variables) {
    if (session.variables().has(name)) session.variables().set(name, array);
  }
  if (!options.checkpoint.empty()) {
    load_checkpoint(options.checkpoint, session.variables(), session.diagnostics, own_variables(step.meaning, !request.update));
    session.stop_on_errors();
  }
  if (source) load_first(session, *source, rows, *step.runner);
  for (const auto& [name, array] : given.inputs) {
    if (step.runner->has(name)) step.runner->set(name, array);
  }
  return step;
}

}  // namespace gradc::cli
