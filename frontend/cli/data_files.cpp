// The files of data readers: where they are looked for, and what is in them.
#include <filesystem>

#include "compiler/support/error.h"
#include "frontend/cli/data.h"
#include "frontend/syntax/children.h"
#include "runtime/csv.h"
#include "runtime/files.h"
#include "runtime/gzip.h"
#include "runtime/idx.h"

namespace gradc::cli {
namespace {

namespace fs = std::filesystem;

// Where Debian's packages of data sets put them, dataset-NAME under NAME.
constexpr const char* system_datasets = "/usr/share/datasets";
constexpr const char* packaged[] = {"fashion-mnist"};

// A reader may fill half of the memory that is free; a step needs some too.
uint64_t memory_limit() { return static_cast<uint64_t>(available_memory()) / 2; }

class FileReader {
 public:
  FileReader(Session& session, const DataSpec& spec) : session_(session), spec_(spec) {}

  RawRows read() {
    if (spec_.reader == Symbol("csv")) csv();
    else if (spec_.reader == Symbol("idx")) idx();
    else if (spec_.reader == Symbol("npz")) npz();
    else if (spec_.reader == Symbol("text")) text();
    else GRADC_ASSERT(spec_.reader == Symbol("rows") || spec_.reader == Symbol("draws"), "no reader for '{}'", spec_.reader);
    return std::move(raw_);
  }

 private:
  // Folders given by --data come first, so that the same model can be trained on other files; then the model's own.
  std::string find(const std::string& name) {
    fs::path path = name;
    if (path.is_absolute()) return name;
    std::vector<fs::path> folders(session_.data_folders().begin(), session_.data_folders().end());
    folders.push_back(fs::path(session_.sources.file(spec_.span.file).name).parent_path());
    folders.push_back(system_datasets);
    std::error_code ignored;
    for (const fs::path& folder : folders) {
      fs::path candidate = (folder / path).lexically_normal();
      if (fs::exists(candidate, ignored)) return candidate.string();
    }
    auto& d = session_.diagnostics.report_at(DiagnosticKind::CannotReadFile, "", (folders[folders.size() - 2] / path).lexically_normal().string(), "No such file or directory");
    d.note(spec_.span, fmt::format("the model's '{}' reads it", spec_.reader));
    for (size_t i = 0; i + 2 < folders.size(); ++i) d.note(fmt::format("it is not in '{}' either", folders[i].string()));
    for (const char* set : packaged) {
      if (path.begin()->string() == set) d.note(fmt::format("Debian's package dataset-{} puts it into '{}': apt-get install dataset-{}", set, system_datasets, set));
    }
    throw Stop{user_error};
  }

  std::string bytes(size_t which) {
    raw_.place = find(spec_.paths.at(which));
    auto content = read_file(raw_.place, session_.diagnostics);
    session_.stop_on_errors();
    return std::move(*content);
  }
  std::string content(size_t which) {
    auto text = unpacked(bytes(which), raw_.place, memory_limit(), session_.diagnostics);
    session_.stop_on_errors();
    return std::move(*text);
  }

  void no_rows_if_empty() {
    if (raw_.rows == 0) session_.diagnostics.report_at(DiagnosticKind::NoRows, raw_.place);
    session_.stop_on_errors();
  }

  void add(const std::string& name, Column column, Element element) {
    RowField rows;
    rows.shape.assign(column.shape.begin() + 1, column.shape.end());
    rows.stride = 1;
    for (int64_t s : rows.shape) rows.stride *= s;
    rows.element = element;
    rows.column = std::make_shared<const Column>(std::move(column));
    raw_.fields.emplace(name, RawRows::Field{std::move(rows), raw_.place});
  }

  void csv() {
    std::string text = content(0);
    CsvOptions options;
    if (auto it = spec_.numbers.find("header"); it != spec_.numbers.end()) options.header = it->second != 0;
    if (auto it = spec_.texts.find("separator"); it != spec_.texts.end() && it->second.size() == 1) options.separator = it->second[0];
    auto table = parse_csv(text, raw_.place, options, session_.diagnostics);
    session_.stop_on_errors();
    raw_.lines = std::move(table->lines);
    raw_.columns = std::move(table->columns);
    raw_.rows = table->values.shape[0];
    raw_.table = std::move(table->values);
  }

  void idx() {
    constexpr const char* names[] = {"input", "target"};
    for (size_t i = 0; i < spec_.paths.size(); ++i) {
      std::string packed = bytes(i);
      auto column = parse_idx(packed, raw_.place, memory_limit(), session_.diagnostics);
      session_.stop_on_errors();
      int64_t rows = column->shape[0];
      if (i == 0) raw_.rows = rows;
      else if (rows != raw_.rows) {
        session_.diagnostics.report_at(DiagnosticKind::RowCounts, "", raw_.place, rows, raw_.fields.at("input").place, raw_.rows).note(spec_.span, "both are read here");
        throw Stop{user_error};
      }
      Element element = element_of(column->stored);
      add(names[i], std::move(*column), element);
    }
    no_rows_if_empty();
  }

  static void collect_names(const ast::Expr& e, std::set<std::string>& names) {
    if (auto* n = e.as<ast::Name>()) names.insert(n->name.str());
    ast::for_each_child(e, [&](const ast::Expr& child) { collect_names(child, names); });
  }

  // The arrays that the block names. The longest first axis counts the rows; what is shorter has no rows of its own.
  void npz() {
    std::set<std::string> used;
    for (const ast::DataBinding& b : spec_.syntax->bindings) collect_names(*b.value, used);
    auto columns = parse_npz_columns(content(0), raw_.place, session_.diagnostics);
    session_.stop_on_errors();
    std::erase_if(*columns, [&](const auto& entry) { return used.count(entry.first) == 0; });
    for (const auto& [name, column] : *columns) {
      if (!column.shape.empty()) raw_.rows = std::max(raw_.rows, column.shape[0]);
    }
    for (auto& [name, column] : *columns) {
      Element element = element_of(column.stored);
      if (!column.shape.empty() && column.shape[0] == raw_.rows) add(name, std::move(column), element);
      else raw_.constants.emplace(name, to_array(column));
    }
    no_rows_if_empty();
  }

  void text() {
    Column column{Stored::U8, {}, content(0)};
    raw_.window = static_cast<int64_t>(spec_.numbers.at("window"));
    const auto size = static_cast<int64_t>(column.bytes.size());
    column.shape = {size};
    raw_.text = std::make_shared<const Column>(std::move(column));
    Dataset all = windows(raw_.text, 0, size, raw_.window, !spec_.test);
    if (all.rows == 0) session_.diagnostics.report_at(DiagnosticKind::TooLittleText, raw_.place, size, raw_.window, raw_.window + 1);
    session_.stop_on_errors();
    raw_.rows = all.rows;
    for (auto& [name, field] : all.raw) raw_.fields.emplace(name, RawRows::Field{std::move(field), raw_.place});
  }

  Session& session_;
  const DataSpec& spec_;
  RawRows raw_;
};

}  // namespace

RawRows read_files(Session& session, const DataSpec& spec) { return FileReader(session, spec).read(); }

}  // namespace gradc::cli
