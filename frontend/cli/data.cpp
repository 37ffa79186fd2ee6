#include "frontend/cli/data.h"

#include <cmath>
#include <filesystem>

#include "compiler/eval/eval.h"
#include "compiler/support/error.h"
#include "frontend/cli/convert.h"
#include "runtime/csv.h"
#include "runtime/files.h"

namespace gradc::cli {
namespace {

constexpr int reported_rows = 5;

// What a reader gives before the transformation in its braces.
struct Raw {
  std::map<Symbol, Tensor> tensors;
  std::vector<std::string> columns;
};

std::string resolve(Session& session, const DataSpec& spec, size_t which) {
  std::filesystem::path path = spec.paths.at(which);
  if (path.is_absolute()) return path.string();
  // Relative to the model file, so that a model can be trained from any directory.
  return (std::filesystem::path(session.sources.file(spec.span.file).name).parent_path() / path).lexically_normal().string();
}

Raw read_csv(Session& session, const DataSpec& spec, LoadedData& loaded) {
  loaded.place = resolve(session, spec, 0);
  auto text = read_file(loaded.place, session.diagnostics);
  session.stop_on_errors();
  CsvOptions options;
  if (auto it = spec.numbers.find("header"); it != spec.numbers.end()) options.header = it->second != 0;
  if (auto it = spec.texts.find("separator"); it != spec.texts.end() && it->second.size() == 1) options.separator = it->second[0];
  auto table = parse_csv(*text, loaded.place, options, session.diagnostics);
  session.stop_on_errors();
  loaded.lines = std::move(table->lines);
  Raw raw;
  raw.columns = std::move(table->columns);
  raw.tensors.emplace("table", to_tensor(table->values));
  return raw;
}

Raw read_raw(Session& session, const DataSpec& spec, LoadedData& loaded) {
  if (spec.reader == Symbol("csv")) return read_csv(session, spec, loaded);
  GRADC_ASSERT(spec.reader == Symbol("rows"), "no reader for '{}'", spec.reader);
  return {};
}

std::string row_place(const LoadedData& loaded, int64_t row) {
  if (loaded.place.empty()) return fmt::format("row {}", row + 1);
  return static_cast<size_t>(row) < loaded.lines.size() ? fmt::format("{}:{}", loaded.place, loaded.lines[static_cast<size_t>(row)]) : loaded.place;
}

// int(...) of a number with a fraction would cut it off without a word: such data are refused.
void check_integers(Session& session, const Graph& transform, Interpreter& interpreter, const LoadedData& loaded) {
  for (size_t i = 0; i < transform.size(); ++i) {
    const Node& n = transform[NodeId(i)];
    if (n.op->kind != OpKind::Pointwise || n.operands.size() != 1 || n.type.element != Element::Int) continue;
    const Tensor& from = interpreter.value(n.operands[0]);
    if (!is_float(from.type.element) || from.type.rank() == 0) continue;
    int64_t width = from.type.count() / std::max<int64_t>(1, from.type.size(0));
    int reported = 0;
    for (int64_t k = 0; k < from.type.count() && reported < reported_rows; ++k) {
      double v = from.at(k);
      if (v == std::floor(v)) continue;
      session.diagnostics.report_at(DiagnosticKind::NotAnInteger, row_place(loaded, k / width), v);
      ++reported;
    }
  }
  session.stop_on_errors();
}

}  // namespace

Symbol batch_dim(const std::vector<InputInfo>& signature) {
  for (const InputInfo& input : signature) {
    if (input.type.rank() > 0 && input.type.size(0) == 0) return input.dims[0];
  }
  return {};
}

LoadedData load_data(Session& session, const DataSpec& spec) {
  LoadedData loaded;
  Raw raw = read_raw(session, spec, loaded);
  std::map<Symbol, Type> types;
  for (const auto& [name, tensor] : raw.tensors) types.emplace(name, tensor.type);
  auto transform = session.program->elaborate_data(spec, types, raw.columns, session.element, session.diagnostics);
  session.stop_on_errors();
  Interpreter interpreter(*transform, std::move(raw.tensors));
  check_integers(session, *transform, interpreter, loaded);

  std::vector<InputInfo> signature = session.program->signature(session.model, session.diagnostics);
  Symbol batch = batch_dim(signature);
  for (const Output& output : transform->outputs) {
    Array array = to_array(interpreter.value(output.node));
    auto input = std::find_if(signature.begin(), signature.end(), [&](const InputInfo& i) { return i.name == output.name; });
    bool rowwise = input != signature.end() && batch && !input->dims.empty() && input->dims[0] == batch;
    if (rowwise && !array.shape.empty()) loaded.rows.rows = array.shape[0];
    (rowwise ? loaded.rows.rowwise : loaded.rows.whole).emplace(output.name.str(), std::move(array));
  }
  session.stop_on_errors();
  return loaded;
}

std::map<Symbol, int64_t> bind_dims(Session& session, const Dataset& data) {
  std::map<Symbol, Type> types;
  for (const auto* part : {&data.rowwise, &data.whole}) {
    for (const auto& [name, array] : *part) types.emplace(name, type_of(array));
  }
  auto dims = session.program->bind(session.model, types, session.diagnostics);
  session.stop_on_errors();
  return dims;
}

void check_indices(Session& session, const LoadedData& data, const std::vector<InputInfo>& inputs) {
  for (const InputInfo& input : inputs) {
    if (!input.index_limit) continue;
    for (const auto* part : {&data.rows.rowwise, &data.rows.whole}) {
      auto it = part->find(input.name.str());
      if (it == part->end()) continue;
      const Array& array = it->second;
      int64_t width = array.shape.empty() ? 1 : array.count() / std::max<int64_t>(1, array.shape[0]);
      int reported = 0;
      for (int64_t k = 0; k < array.count() && reported < reported_rows; ++k) {
        int64_t v = array.as<int64_t>()[k];
        if (v >= 0 && v < *input.index_limit) continue;
        auto& d = session.diagnostics.report_at(DiagnosticKind::IndexOutOfRange, row_place(data, k / width), input.name, v,
                                                *input.index_limit - 1);
        if (reported++ == 0) d.note(input.limit_span, fmt::format("it picks one of {}", input.limit_name));
      }
    }
  }
  session.stop_on_errors();
}

}  // namespace gradc::cli
