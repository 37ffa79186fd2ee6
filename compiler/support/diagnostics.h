#pragma once

#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "compiler/support/source.h"

namespace gradc {

enum class Severity { Error, Warning };

enum class DiagnosticKind {
#define GRADC_DIAGNOSTIC(kind, severity, message) kind,
#include "compiler/support/diagnostics.def"
#undef GRADC_DIAGNOSTIC
};

struct DiagnosticInfo {
  const char* name;
  Severity severity;
  const char* format;
};
const DiagnosticInfo& info(DiagnosticKind kind);
const std::vector<DiagnosticKind>& all_diagnostic_kinds();

struct DiagnosticNote {
  SourceSpan span;  // may be missing
  std::string text;
};

// One message about what the user gave us: where, what, and where the other side came from.
struct Diagnostic {
  DiagnosticKind kind;
  SourceSpan span;      // missing for problems outside source text
  std::string place;    // used where there is no span: "data/digits.csv:17:3", "--threads"
  std::string message;
  std::vector<DiagnosticNote> notes;

  Severity severity() const { return info(kind).severity; }
  Diagnostic& note(SourceSpan at, std::string text) {
    notes.push_back({at, std::move(text)});
    return *this;
  }
  Diagnostic& note(std::string text) { return note({}, std::move(text)); }
};

// Collects diagnostics of one compilation. Stages go on after an error where they can, so that one run
// reports several; callers look at has_errors() between stages.
class Diagnostics {
 public:
  template <class... Args>
  Diagnostic& report(DiagnosticKind kind, SourceSpan span, const Args&... args) {
    return add({kind, span, {}, fmt::format(fmt::runtime(info(kind).format), args...), {}});
  }
  template <class... Args>
  Diagnostic& report_at(DiagnosticKind kind, std::string place, const Args&... args) {
    return add({kind, {}, std::move(place), fmt::format(fmt::runtime(info(kind).format), args...), {}});
  }

  bool has_errors() const { return errors_ > 0; }
  size_t error_count() const { return errors_; }
  const std::vector<Diagnostic>& all() const { return list_; }

 private:
  Diagnostic& add(Diagnostic d);  // the same kind at the same span with the same message is kept once
  std::vector<Diagnostic> list_;
  size_t errors_ = 0;
};

// The message as a user sees it: place, sentence, source line with a caret, notes. Ends with a newline.
std::string render(const Diagnostic& d, const SourceManager& sources, bool color);
// All of them in source order, with a closing count where there is more than one error.
std::string render_all(const Diagnostics& diagnostics, const SourceManager& sources, bool color);

}  // namespace gradc
