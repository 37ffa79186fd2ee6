#include "compiler/support/diagnostics.h"

#include <algorithm>
#include <array>

#include "compiler/support/error.h"

namespace gradc {

void internal_error(const char* file, int line, const std::string& message) {
  throw InternalError(fmt::format("{}:{}: {}", file, line, message));
}

namespace {

constexpr DiagnosticInfo table[] = {
#define GRADC_DIAGNOSTIC(kind, severity, message) {#kind, Severity::severity, message},
#include "compiler/support/diagnostics.def"
#undef GRADC_DIAGNOSTIC
};

struct Style {
  const char *error = "", *warning = "", *note = "", *bold = "", *caret = "", *reset = "";
};
constexpr Style plain;
constexpr Style ansi{"\033[1;31m", "\033[1;35m", "\033[1;36m", "\033[1m", "\033[1;32m", "\033[0m"};

// Tabs become one space, so that the caret stands under the right character.
std::string printable(std::string_view line) {
  std::string text(line);
  std::replace_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return text;
}

size_t display_width(std::string_view utf8) {
  return static_cast<size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// The source line with a caret line under it, cut to a window round the span where the line is long.
std::string excerpt(SourceSpan span, const SourceManager& sources, const Style& style) {
  constexpr size_t window = 110;
  LineColumn at = sources.place(span.file, span.begin);
  std::string_view line = sources.line_text(span.file, span.begin);
  size_t column = at.column - 1;
  size_t length = std::min<size_t>(std::max<uint32_t>(span.end - span.begin, 1), std::max<size_t>(line.size() - std::min(column, line.size()), 1));
  size_t from = column > window / 2 && line.size() > window ? column - window / 2 : 0;
  while (from > 0 && from < line.size() && (line[from] & 0xC0) == 0x80) --from;
  std::string_view shown = line.substr(std::min(from, line.size()), window);
  size_t pad = display_width(line.substr(from, column - from));
  size_t marks = std::max<size_t>(1, display_width(line.substr(std::min(column, line.size()), std::min(length, window))));
  std::string number = std::to_string(at.line);
  return fmt::format("  {} | {}\n  {} | {}{}{}{}{}\n", number, printable(shown), std::string(number.size(), ' '),
                     std::string(pad, ' '), style.caret, "^", std::string(marks - 1, '~'), style.reset);
}

}  // namespace

const DiagnosticInfo& info(DiagnosticKind kind) { return table[static_cast<size_t>(kind)]; }

const std::vector<DiagnosticKind>& all_diagnostic_kinds() {
  static const std::vector<DiagnosticKind> kinds = [] {
    std::vector<DiagnosticKind> list;
    for (size_t i = 0; i < std::size(table); ++i) list.push_back(static_cast<DiagnosticKind>(i));
    return list;
  }();
  return kinds;
}

Diagnostic& Diagnostics::add(Diagnostic d) {
  for (Diagnostic& old : list_) {
    if (old.kind == d.kind && old.span == d.span && old.place == d.place && old.message == d.message) return old;
  }
  if (d.severity() == Severity::Error) ++errors_;
  list_.push_back(std::move(d));
  return list_.back();
}

std::string render(const Diagnostic& d, const SourceManager& sources, bool color) {
  const Style& style = color ? ansi : plain;
  bool error = d.severity() == Severity::Error;
  std::string place = d.span ? sources.describe(d.span) : d.place;
  std::string out = fmt::format("{}{}{}{}{}:{} {}{}{}\n", style.bold, place.empty() ? "gradc" : place, ": ",
                                error ? style.error : style.warning, error ? "error" : "warning", style.reset, style.bold,
                                d.message, style.reset);
  if (d.span) out += excerpt(d.span, sources, style);
  for (const DiagnosticNote& n : d.notes) {
    std::string at = n.span ? sources.describe(n.span) + ": " : std::string("  ");
    out += fmt::format("{}{}note:{} {}\n", at, style.note, style.reset, n.text);
    if (n.span) out += excerpt(n.span, sources, style);
  }
  return out;
}

std::string render_all(const Diagnostics& diagnostics, const SourceManager& sources, bool color) {
  std::vector<const Diagnostic*> order;
  for (const Diagnostic& d : diagnostics.all()) order.push_back(&d);
  std::stable_sort(order.begin(), order.end(), [](auto* a, auto* b) {
    return std::pair(a->span.file, a->span.begin) < std::pair(b->span.file, b->span.begin);
  });
  std::string out;
  for (const Diagnostic* d : order) out += render(*d, sources, color);
  if (diagnostics.error_count() > 1) out += fmt::format("{} errors\n", diagnostics.error_count());
  return out;
}

}  // namespace gradc
