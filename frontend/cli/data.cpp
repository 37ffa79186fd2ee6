#include "frontend/cli/data.h"

#include <cmath>

#include "compiler/eval/eval.h"
#include "compiler/support/error.h"
#include "frontend/cli/convert.h"

namespace gradc::cli {
namespace {

constexpr int reported_rows = 5;
constexpr int64_t checked_at_once = 1024;  // rows that a check holds in memory

// Of every node: whether it depends on rows that are read, and on random draws.
struct Reach {
  bool rows = false, random = false;
};
std::vector<Reach> reach_of(const Graph& g, const std::map<std::string, RawRows::Field>& fields) {
  std::vector<Reach> reach(g.size());
  for (size_t i = 0; i < g.size(); ++i) {
    const Node& n = g[NodeId(i)];
    reach[i].rows = n.op->kind == OpKind::Input && fields.count(n.name.str()) != 0;
    reach[i].random = n.op->kind == OpKind::Random;
    for (NodeId o : n.operands) {
      reach[i].rows |= reach[o.at()].rows;
      reach[i].random |= reach[o.at()].random;
    }
  }
  return reach;
}

Type rows_type(const RowField& field, int64_t rows) {
  Type t{field.element, {{rows, {}}}};
  for (int64_t s : field.shape) t.dims.push_back({s, {}});
  return t;
}

bool same_bytes(const Tensor& batch, int64_t row, const Tensor& alone) {
  size_t width = alone.bytes.size();
  return batch.bytes.size() >= (static_cast<size_t>(row) + 1) * width &&
         std::equal(alone.bytes.begin(), alone.bytes.end(), batch.bytes.begin() + static_cast<long>(static_cast<size_t>(row) * width));
}

void index_outside(Session& session, std::string place, const InputInfo& input, int64_t value, bool first) {
  auto& d = session.diagnostics.report_at(DiagnosticKind::IndexOutOfRange, std::move(place), input.name, value, *input.index_limit - 1);
  if (first) d.note(input.limit_span, fmt::format("it picks one of {}", input.limit_name));
}

// Reports the first few of `values` that are outside; `place` names where element k comes from.
template <class Place>
void check_values(Session& session, const InputInfo& input, const int64_t* values, int64_t count, int& reported, Place place) {
  for (int64_t k = 0; k < count && reported < reported_rows; ++k) {
    if (values[k] >= 0 && values[k] < *input.index_limit) continue;
    index_outside(session, place(k), input, values[k], reported++ == 0);
  }
}

}  // namespace

Symbol batch_dim(const std::vector<InputInfo>& signature) {
  for (const InputInfo& input : signature) {
    if (input.type.rank() > 0 && input.type.size(0) == 0) return input.dims[0];
  }
  return {};
}

std::map<Symbol, int64_t> bind_dims(Session& session, const std::map<Symbol, Type>& types) {
  auto dims = session.program->bind(session.model, types, session.diagnostics);
  session.stop_on_errors();
  return dims;
}

Source::Source(Session& session, const DataSpec& spec) : session_(session), spec_(spec), raw_(read_files(session, spec)) {
  signature_ = session.program->signature(session.model, session.diagnostics);
  session.stop_on_errors();
  batch_ = batch_dim(signature_);
  drawn_rows_ = session.program->train() ? session.program->train()->batch.value_or(0) : 0;
  drawn_ = spec.reader == Symbol("draws");
  data_.rows = raw_.rows;
  if (raw_.table || spec.reader == Symbol("rows")) transform_table();
  else plan_batches();
  session.stop_on_errors();
}

const InputInfo* Source::input(Symbol name) const {
  auto it = std::find_if(signature_.begin(), signature_.end(), [&](const InputInfo& i) { return i.name == name; });
  return it == signature_.end() ? nullptr : &*it;
}

bool Source::is_rowwise(Symbol name) const {
  const InputInfo* i = input(name);
  return i && batch_ && !i->dims.empty() && i->dims[0] == batch_;
}

Graph Source::elaborate(int64_t rows) {
  std::map<Symbol, Type> types;
  for (const auto& [name, field] : raw_.fields) types.emplace(name, rows_type(field.rows, rows));
  for (const auto& [name, array] : raw_.constants) types.emplace(name, type_of(array));
  std::map<Symbol, int64_t> dims;
  if (batch_ && rows > 0) dims.emplace(batch_, rows);
  auto graph = session_.program->elaborate_data(spec_, types, raw_.columns, session_.element, session_.diagnostics, dims);
  session_.stop_on_errors();
  return std::move(*graph);
}

Graph Source::batch_graph(int64_t rows, const std::set<Symbol>& outputs) {
  Graph g = elaborate(rows);
  std::erase_if(g.outputs, [&](const Output& o) { return outputs.count(o.name) == 0; });
  return g.compacted();
}

// A table goes through the graph as a whole, which may therefore look at all rows (to subtract their mean); draws are left for
// the batches.
void Source::transform_table() {
  if (raw_.table) {
    RowField rows = rows_of(std::move(*raw_.table));
    raw_.fields.emplace("table", RawRows::Field{std::move(rows), raw_.place});
  }
  Graph g = elaborate(raw_.table ? raw_.rows : drawn_rows_);
  std::vector<Reach> reach = reach_of(g, raw_.fields);
  Interpreter interpreter(g, raw_tensors(0, raw_.rows));
  check_integers(g, interpreter, 0);
  std::map<Symbol, Type> types;
  for (const Output& o : g.outputs) {
    if (reach[o.node.at()].random) {
      batchwise_.insert(o.name);
      random_.insert(o.name);
      continue;
    }
    const Tensor& value = interpreter.value(o.node);
    types.emplace(o.name, value.type);
    bool rowwise = is_rowwise(o.name) && value.type.rank() > 0;
    if (!rowwise) data_.whole.emplace(o.name.str(), to_array(value));
    else data_.inputs.emplace(o.name.str(), rows_of(to_array(value)));
    if (rowwise) data_.rows = value.type.size(0);
  }
  bind_dims(session_, types);  // reports inputs of different numbers of rows
  if (random_.empty()) raw_.fields.clear();
  for (const auto& [name, field] : raw_.fields) data_.raw.emplace(name, field.rows);
}

void Source::plan_batches() {
  int64_t probe = drawn_ ? drawn_rows_ : std::min<int64_t>(data_.rows, std::max<int64_t>(drawn_rows_, 2));
  Graph g = elaborate(probe);
  std::vector<Reach> reach = reach_of(g, raw_.fields);
  std::optional<Interpreter> interpreter;
  for (const Output& o : g.outputs) {
    const Node& n = g[o.node];
    auto [rows, random] = reach[o.node.at()];
    if (auto field = raw_.fields.find(n.name.str()); n.op->kind == OpKind::Input && field != raw_.fields.end()) {
      data_.inputs.emplace(o.name.str(), field->second.rows);
      files_.emplace(o.name.str(), field->second.place);
    } else if (random || rows || (is_rowwise(o.name) && raw_.constants.empty())) {
      batchwise_.insert(o.name);
      if (random) random_.insert(o.name);
    } else {
      if (!interpreter) interpreter.emplace(g, raw_tensors(0, probe));
      Array value = to_array(interpreter->value(o.node));
      if (is_rowwise(o.name) && !value.shape.empty() && value.shape[0] != data_.rows) {
        session_.diagnostics.report_at(DiagnosticKind::RowCounts, raw_.place, o.name, value.shape[0], raw_.fields.begin()->first, data_.rows)
            .note(input(o.name)->span, fmt::format("'{}' has a row for each row of the data", o.name));
      }
      data_.whole.emplace(o.name.str(), std::move(value));
    }
  }
  session_.stop_on_errors();
  for (const auto& [name, field] : raw_.fields) data_.raw.emplace(name, field.rows);
  if (raw_.text) data_.slack = windows(raw_.text, 0, raw_.text->count(), raw_.window, !spec_.test).slack;
  check_rows_apart();
}

// Batch by batch, "the mean of the rows" would be the mean of whatever batch a row falls into. Rather than be silently something
// else, what a row is given must not depend on its neighbours: it is compared with what it is given alone.
void Source::check_rows_apart() {
  std::set<Symbol> outputs = batchwise_;
  for (Symbol s : random_) outputs.erase(s);
  if (outputs.empty() || data_.rows < 2) return;
  Graph both = batch_graph(2, outputs), one = batch_graph(1, outputs);
  Interpreter together(both, raw_tensors(0, 2));
  for (int64_t row : {0, 1}) {
    Interpreter alone(one, raw_tensors(row, 1));
    for (size_t i = 0; i < both.outputs.size(); ++i) {
      const Symbol name = both.outputs[i].name;
      if (!outputs.count(name) || !is_rowwise(name)) continue;
      if (same_bytes(together.value(both.outputs[i].node), row, alone.value(one.outputs[i].node))) continue;
      outputs.erase(name);
      auto binding = std::find_if(spec_.syntax->bindings.begin(), spec_.syntax->bindings.end(), [&](const ast::DataBinding& b) { return b.name.name == name; });
      session_.diagnostics.report(DiagnosticKind::DataMixesRows, binding->value->span, name).note("this reader's block is evaluated batch by batch, so each row has to be computed from that row alone");
    }
  }
  session_.stop_on_errors();
}

std::map<Symbol, Tensor> Source::raw_tensors(int64_t begin, int64_t rows, int64_t shift) const {
  std::map<Symbol, Tensor> tensors;
  for (const auto& [name, field] : raw_.fields) {
    const RowField& f = field.rows;
    Tensor t = Tensor::zeros(rows_type(f, rows));
    const int64_t width = rows == 0 ? 0 : t.type.count() / rows;
    const size_t bytes = static_cast<size_t>(width) * byte_size(f.element);
    for (int64_t i = 0; i < rows; ++i) f.column->read(f.first + (begin + i) * f.stride + shift, width, f.element, t.bytes.data() + static_cast<size_t>(i) * bytes);
    tensors.emplace(name, std::move(t));
  }
  for (const auto& [name, array] : raw_.constants) tensors.emplace(name, to_tensor(array));
  return tensors;
}

std::pair<Dataset, Dataset> Source::parts(double held_out) const {
  if (held_out == 0) return {data_, {}};
  if (!raw_.text) return split(data_, held_out, session_.seed);
  const int64_t size = raw_.text->count(), cut = size - static_cast<int64_t>(std::llround(held_out * static_cast<double>(size)));
  auto part = [&](int64_t begin, int64_t end, bool sliding) {
    Dataset d = data_, w = windows(raw_.text, begin, end, raw_.window, sliding);
    for (auto& [name, field] : d.raw) field.first = w.raw.at(name).first;
    for (auto& [name, field] : d.inputs) field.first += begin;
    d.rows = w.rows;
    d.slack = w.slack;
    if (d.rows == 0) session_.diagnostics.report_at(DiagnosticKind::TooLittleText, raw_.place, end - begin, raw_.window, raw_.window + 1);
    return d;
  };
  std::pair<Dataset, Dataset> both{part(0, cut, true), part(cut, size, false)};
  session_.stop_on_errors();
  return both;
}

std::map<Symbol, Type> Source::types(int64_t rows) {
  if (drawn_) rows = drawn_rows_;
  std::map<Symbol, Type> types;
  for (const auto& [name, field] : data_.inputs) types.emplace(name, rows_type(field, rows));
  for (const auto& [name, array] : data_.whole) types.emplace(name, type_of(array));
  if (batchwise_.empty()) return types;
  Graph g = batch_graph(rows, batchwise_);
  for (const Output& o : g.outputs) types.emplace(o.name, g[o.node].type);
  return types;
}

StepRunner* Source::transform(int64_t rows) {
  auto& entry = transforms_[rows];
  if (!entry) {
    entry = std::make_unique<Transform>();
    entry->compiled = session_.compile(batch_graph(rows, batchwise_));
    entry->runner = std::make_unique<StepRunner>(make_plan(entry->compiled.kernels, *entry->compiled.step), entry->none, session_.pool());
    for (const auto& [name, array] : raw_.constants) {
      if (entry->runner->has(name)) entry->runner->set(name, array);
    }
  }
  return entry->runner.get();
}

Feed Source::feed(Dataset part) {
  Feed feed{std::move(part), {}};
  if (!batchwise_.empty()) feed.transform = [this](int64_t rows) { return transform(drawn_ ? drawn_rows_ : rows); };
  return feed;
}

// ---- checks of values ----

std::string Source::row_place(const std::string& file, int64_t row) const {
  if (static_cast<size_t>(row) < raw_.lines.size()) return fmt::format("{}:{}", file, raw_.lines[static_cast<size_t>(row)]);
  return file.empty() ? fmt::format("row {}", row + 1) : fmt::format("{}: row {}", file, row + 1);
}

// int(...) of a number with a fraction would cut it off without a word: such data are refused.
void Source::check_integers(const Graph& graph, Interpreter& interpreter, int64_t first_row) {
  std::vector<Reach> reach = reach_of(graph, raw_.fields);
  for (size_t i = 0; i < graph.size(); ++i) {
    const Node& n = graph[NodeId(i)];
    if (n.op->kind != OpKind::Pointwise || n.operands.size() != 1 || n.type.element != Element::Int || reach[i].random) continue;
    const Tensor& from = interpreter.value(n.operands[0]);
    if (!is_float(from.type.element) || from.type.rank() == 0) continue;
    int64_t width = from.type.count() / std::max<int64_t>(1, from.type.size(0));
    int reported = 0;
    for (int64_t k = 0; k < from.type.count() && reported < reported_rows; ++k) {
      double v = from.at(k);
      if (v == std::floor(v)) continue;
      session_.diagnostics.report_at(DiagnosticKind::NotAnInteger, row_place(raw_.place, first_row + k / width), v);
      ++reported;
    }
  }
  session_.stop_on_errors();
}

void Source::check_indices(const std::vector<InputInfo>& inputs) {
  for (const InputInfo& i : inputs) {
    if (!i.index_limit) continue;
    check_direct(i);
    auto whole = data_.whole.find(i.name.str());
    if (whole != data_.whole.end()) cli::check_indices(session_, {{whole->first, whole->second}}, {i});
  }
  session_.stop_on_errors();
  check_batchwise(inputs);
}

void Source::check_direct(const InputInfo& i) {
  auto it = data_.inputs.find(i.name.str());
  if (it == data_.inputs.end()) return;
  const RowField& f = it->second;
  if (raw_.text) return check_text(i, f);
  auto file = files_.find(i.name.str());
  const std::string& place = file == files_.end() ? raw_.place : file->second;
  int64_t width = 1;
  for (int64_t s : f.shape) width *= s;
  std::vector<int64_t> values(static_cast<size_t>(width));
  int reported = 0;
  for (int64_t row = 0; row < data_.rows && reported < reported_rows; ++row) {
    f.column->read(f.first + row * f.stride, width, Element::Int, reinterpret_cast<std::byte*>(values.data()));
    check_values(session_, i, values.data(), width, reported, [&](int64_t) { return row_place(place, row); });
  }
}

// Every byte can come up, however the windows slide.
void Source::check_text(const InputInfo& i, const RowField& f) {
  int reported = 0;
  for (int64_t k = f.first; k < f.column->count() && reported < reported_rows; ++k) {
    int64_t value = 0;
    f.column->read(k, 1, Element::Int, reinterpret_cast<std::byte*>(&value));
    check_values(session_, i, &value, 1, reported, [&](int64_t) { return fmt::format("{}: byte {}", raw_.place, k); });
  }
}

// What is made batch by batch is made once of all rows, a thousand at a time, where whole numbers come out of it.
void Source::check_batchwise(const std::vector<InputInfo>& inputs) {
  std::set<Symbol> whole_numbers;
  for (const InputInfo& i : inputs) {
    if (i.type.element == Element::Int && batchwise_.count(i.name) && !random_.count(i.name) && is_rowwise(i.name)) whole_numbers.insert(i.name);
  }
  if (whole_numbers.empty()) return;
  std::map<Symbol, int> reported;
  std::optional<Graph> g;
  auto check = [&](int64_t begin, int64_t rows, int64_t shift) {
    Interpreter interpreter(*g, raw_tensors(begin, rows, shift));
    check_integers(*g, interpreter, begin);
    for (const Output& o : g->outputs) {
      auto i = std::find_if(inputs.begin(), inputs.end(), [&](const InputInfo& info) { return info.name == o.name; });
      if (!i->index_limit) continue;
      const Tensor& t = interpreter.value(o.node);
      const int64_t width = t.type.count() / rows;
      check_values(session_, *i, t.as<int64_t>(), t.type.count(), reported[o.name], [&](int64_t k) { return row_place(raw_.place, begin + k / width); });
    }
  };
  const int64_t all = raw_.text ? (raw_.text->count() - 1) / raw_.window : data_.rows;
  for (int64_t begin = 0; begin < all && !session_.diagnostics.has_errors(); begin += checked_at_once) {
    const int64_t rows = std::min(checked_at_once, all - begin);
    if (!g || rows < checked_at_once) g = batch_graph(rows, whole_numbers);
    check(begin, rows, 0);
  }
  if (raw_.text && !session_.diagnostics.has_errors()) {  // the last window, where the text ends
    g = batch_graph(1, whole_numbers);
    check(all - 1, 1, raw_.text->count() - 1 - all * raw_.window);
  }
  session_.stop_on_errors();
}

void check_indices(Session& session, const NamedArrays& arrays, const std::vector<InputInfo>& inputs) {
  for (const InputInfo& input : inputs) {
    auto it = arrays.find(input.name.str());
    if (!input.index_limit || it == arrays.end()) continue;
    const Array array = it->second.converted(Element::Int);
    const int64_t width = array.shape.empty() ? 1 : array.count() / std::max<int64_t>(1, array.shape[0]);
    int reported = 0;
    check_values(session, input, array.as<int64_t>(), array.count(), reported, [&](int64_t k) { return fmt::format("row {}", k / width + 1); });
  }
  session.stop_on_errors();
}

void load_first(Session& session, Source& source, int64_t rows, StepRunner& step) {
  std::vector<int64_t> order(static_cast<size_t>(rows));
  for (int64_t i = 0; i < rows; ++i) order[static_cast<size_t>(i)] = i;
  load_batch(source.feed(source.data()), {order.data(), rows, 0, 1, session.seed}, step);
}

}  // namespace gradc::cli
