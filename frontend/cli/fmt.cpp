#include <cstdio>

#include "frontend/cli/session.h"
#include "frontend/syntax/format.h"
#include "frontend/syntax/parser.h"
#include "runtime/files.h"

namespace gradc::cli {
namespace {

// The layout of one file; nothing where it can't be read or parsed, which is reported.
std::optional<std::string> formatted(const std::string& name, const std::string& text, Messages& messages) {
  FileId id = messages.sources.add(name, text);
  auto tree = parse(id, messages.sources, messages.diagnostics);
  if (messages.diagnostics.has_errors()) return std::nullopt;
  return ast::format(*tree, messages.sources);
}

// Each file has messages of its own: a broken one does not keep the others from being laid out.
int fmt_one(const FmtVerb& verb, const std::string& file) {
  const bool piped = file == "-";
  Messages messages;
  auto text = read_file(piped ? "/dev/stdin" : file, messages.diagnostics);
  if (!text) return user_error;
  auto laid_out = formatted(piped ? "standard input" : file, *text, messages);
  if (!laid_out) return user_error;
  bool same = *laid_out == *text;
  if (verb.check) {
    if (!same) fmt::print("{}\n", file);
    return same ? success : user_error;
  }
  if (piped) fmt::print("{}", *laid_out);
  else if (!same) write_file_atomically(file, *laid_out);
  return success;
}

}  // namespace

int fmt_files(const FmtVerb& verb) {
  int code = success;
  for (const std::string& file : verb.files) code = std::max(code, fmt_one(verb, file));
  return code;
}

}  // namespace gradc::cli
