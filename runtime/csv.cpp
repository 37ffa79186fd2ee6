#include "runtime/csv.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

namespace gradc {
namespace {

constexpr size_t error_limit = 10;

// Walks the text record by record. A field refers to the text, or to `unquoted` where quotes had to be resolved.
class Records {
 public:
  Records(std::string_view text, char separator) : text_(text), separator_(separator) {}

  // False at the end of the text.
  bool next(std::vector<std::string>& fields, int64_t& line) {
    while (at_ < text_.size() && (text_[at_] == '\n' || text_[at_] == '\r')) line_ += text_[at_++] == '\n';
    if (at_ >= text_.size()) return false;
    line = line_;
    fields.clear();
    for (bool more = true; more;) fields.push_back(field(more));
    return true;
  }
  bool unclosed_quote = false;

 private:
  std::string field(bool& more) {
    std::string out;
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t') && text_[at_] != separator_) ++at_;
    if (at_ < text_.size() && text_[at_] == '"') {
      quoted(out);
    }
    while (at_ < text_.size() && text_[at_] != separator_ && text_[at_] != '\n' && text_[at_] != '\r') out += text_[at_++];
    while (!out.empty() && (out.back() == ' ' || out.back() == '\t')) out.pop_back();
    more = at_ < text_.size() && text_[at_] == separator_;
    if (more) ++at_;
    return out;
  }

  void quoted(std::string& out) {
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') {
          ++at_;
          return;
        }
        ++at_;
      }
      line_ += text_[at_] == '\n';
      out += text_[at_];
    }
    unclosed_quote = true;
  }

  std::string_view text_;
  char separator_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

bool parse_number(const std::string& field, double& value) {
  const char *begin = field.data(), *end = begin + field.size();
  if (begin != end && *begin == '+') ++begin;
  auto [last, error] = std::from_chars(begin, end, value);
  return begin != end && error == std::errc() && last == end;
}

bool looks_like_header(const std::vector<std::string>& fields) {
  for (const std::string& f : fields) {
    double ignored;
    if (f.empty() || parse_number(f, ignored)) return false;
  }
  return true;
}

class TableReader {
 public:
  TableReader(std::string_view text, std::string place, const CsvOptions& options, Diagnostics& diagnostics)
      : records_(text, options.separator), place_(std::move(place)), options_(options), diagnostics_(diagnostics) {}

  std::optional<Table> read() {
    std::vector<std::string> fields;
    int64_t line = 1;
    for (bool first = true; errors_ < error_limit && records_.next(fields, line); first = false) {
      if (first) {
        width_ = fields.size();
        first_line_ = line;
        if (options_.header.value_or(looks_like_header(fields))) {
          table_.columns = fields;
          continue;
        }
      }
      add_row(fields, line);
    }
    if (records_.unclosed_quote) fail(fmt::format("{}:{}", place_, line), DiagnosticKind::CsvUnclosedQuote);
    if (errors_ == 0 && table_.lines.empty()) fail(place_, DiagnosticKind::NoRows);
    if (errors_ > 0) return std::nullopt;
    table_.values = Array::zeros(Element::F64, {static_cast<int64_t>(table_.lines.size()), static_cast<int64_t>(width_)});
    std::memcpy(table_.values.bytes.data(), numbers_.data(), numbers_.size() * sizeof(double));
    return std::move(table_);
  }

 private:
  template <class... Args>
  void fail(std::string at, DiagnosticKind kind, const Args&... args) {
    diagnostics_.report_at(kind, std::move(at), args...);
    ++errors_;
  }

  void add_row(const std::vector<std::string>& fields, int64_t line) {
    if (fields.size() != width_) {
      return fail(fmt::format("{}:{}", place_, line), DiagnosticKind::CsvRowWidth, fields.size(), first_line_, width_);
    }
    for (size_t column = 0; column < fields.size(); ++column) {
      double value = 0;
      auto at = [&] { return fmt::format("{}:{}: column {}", place_, line, column + 1); };
      if (fields[column].empty()) {
        fail(at(), DiagnosticKind::CsvMissingValue);
      } else if (!parse_number(fields[column], value)) {
        fail(at(), DiagnosticKind::CsvNotANumber, fields[column].substr(0, 40));
      } else if (!std::isfinite(value)) {
        fail(at(), DiagnosticKind::CsvNotFinite, fields[column].substr(0, 40));
      }
      numbers_.push_back(value);
    }
    table_.lines.push_back(line);
  }

  Records records_;
  std::string place_;
  const CsvOptions& options_;
  Diagnostics& diagnostics_;
  Table table_;
  std::vector<double> numbers_;
  size_t width_ = 0, errors_ = 0;
  int64_t first_line_ = 1;
};

}  // namespace

std::optional<Table> parse_csv(std::string_view text, const std::string& place, const CsvOptions& options, Diagnostics& diagnostics) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return TableReader(text, place, options, diagnostics).read();
}

}  // namespace gradc
