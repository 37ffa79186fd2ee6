#include "compiler/support/source.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

namespace gradc {

SourceSpan SourceSpan::cover(SourceSpan a, SourceSpan b) {
  if (!a) return b;
  if (!b || a.file != b.file) return a;
  return {a.file, std::min(a.begin, b.begin), std::max(a.end, b.end)};
}

FileId SourceManager::add(std::string name, std::string text, bool library) {
  SourceFile file{.name = std::move(name), .text = std::move(text), .library = library, .line_starts = {0}};
  for (uint32_t i = 0; i < file.text.size(); ++i) {
    if (file.text[i] == '\n') file.line_starts.push_back(i + 1);
  }
  files_.push_back(std::move(file));
  return FileId(files_.size() - 1);
}

std::optional<FileId> SourceManager::load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) return std::nullopt;
  return add(path, std::move(text).str());
}

std::optional<FileId> SourceManager::find(std::string_view name) const {
  for (size_t i = 0; i < files_.size(); ++i) {
    if (files_[i].name == name) return FileId(i);
  }
  return std::nullopt;
}

std::string_view SourceManager::text(SourceSpan span) const {
  if (!span) return {};
  return std::string_view(file(span.file).text).substr(span.begin, span.end - span.begin);
}

LineColumn SourceManager::place(FileId id, uint32_t offset) const {
  const auto& starts = file(id).line_starts;
  auto next = std::upper_bound(starts.begin(), starts.end(), offset);
  auto line = static_cast<uint32_t>(next - starts.begin());
  return {line, offset - starts[line - 1] + 1};
}

std::string SourceManager::describe(SourceSpan span) const {
  if (!span) return {};
  LineColumn at = place(span.file, span.begin);
  return fmt::format("{}:{}:{}", file(span.file).name, at.line, at.column);
}

std::string_view SourceManager::line_text(FileId id, uint32_t offset) const {
  const SourceFile& f = file(id);
  uint32_t begin = f.line_starts[place(id, offset).line - 1];
  size_t end = f.text.find('\n', begin);
  if (end == std::string::npos) end = f.text.size();
  return std::string_view(f.text).substr(begin, end - begin);
}

}  // namespace gradc
