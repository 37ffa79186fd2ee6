#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/support/typed_id.h"

namespace gradc {

using FileId = TypedId<struct FileTag>;

// A half-open range of bytes of one source file.
struct SourceSpan {
  FileId file;
  uint32_t begin = 0;
  uint32_t end = 0;

  explicit operator bool() const { return bool(file); }
  auto operator<=>(const SourceSpan&) const = default;
  // The smallest span that holds both; a missing span gives the other.
  static SourceSpan cover(SourceSpan a, SourceSpan b);
};

struct LineColumn {
  uint32_t line = 0;    // from 1
  uint32_t column = 0;  // from 1, in bytes
};

struct SourceFile {
  std::string name;  // as shown to the user
  std::string text;
  bool library = false;  // embedded in the binary, not the user's own
  std::vector<uint32_t> line_starts;
};

// Every source text of a compilation: the user's file and the embedded library files.
class SourceManager {
 public:
  FileId add(std::string name, std::string text, bool library = false);
  // Reads a file from disk; nothing where it can't be read (errno says why).
  std::optional<FileId> load(const std::string& path);
  std::optional<FileId> find(std::string_view name) const;

  const SourceFile& file(FileId id) const { return files_[id.at()]; }
  size_t size() const { return files_.size(); }
  std::string_view text(SourceSpan span) const;
  LineColumn place(FileId file, uint32_t offset) const;
  // "model.grad:12:5"; empty where the span is missing.
  std::string describe(SourceSpan span) const;
  // The whole line that holds the offset, without its newline.
  std::string_view line_text(FileId file, uint32_t offset) const;

 private:
  std::deque<SourceFile> files_;  // references stay valid while files are added
};

}  // namespace gradc
