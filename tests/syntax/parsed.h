#pragma once

#include <memory>
#include <string>

#include "frontend/syntax/format.h"
#include "frontend/syntax/parser.h"
#include "frontend/syntax/print.h"

namespace gradc::test {

// A text, parsed under the name "test.grad".
struct Parsed {
  explicit Parsed(const std::string& text, const std::string& name = "test.grad")
      : id(sources.add(name, text)), file(parse(id, sources, diagnostics)) {}

  bool ok() const { return !diagnostics.has_errors(); }
  std::string errors() const { return render_all(diagnostics, sources, false); }
  std::string formatted() const { return ast::format(*file, sources); }

  SourceManager sources;
  Diagnostics diagnostics;
  FileId id;
  std::unique_ptr<ast::File> file;
};

// The models of the language's documentation, and one file with every construct.
inline const char* const samples[] = {"burgers", "char_lstm",         "digits", "everything", "gan",
                                      "gpt",     "one_hidden_neuron", "resnet"};

}  // namespace gradc::test
