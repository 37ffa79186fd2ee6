#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "compiler/support/diagnostics.h"

namespace gradc {

// Whether the bytes begin as gzip does (RFC 1952).
bool is_gzip(std::string_view bytes);

// Unpacks gzip piece by piece, so that a reader takes what a header promises and no more: a file of a few bytes that would
// unpack to gigabytes costs nothing. Members follow each other as one content; what follows the last one is damage.
class GzipReader {
 public:
  explicit GzipReader(std::string_view packed);
  ~GzipReader();
  // Unpacks up to `size` bytes; fewer only at the end or where the file is damaged.
  size_t read(char* to, size_t size);
  const std::string& error() const { return error_; }  // "at byte 17 of the packed data: ..."; empty while all is well

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
  std::string_view packed_;
  std::string error_;
  bool done_ = false;
};

// The content, or `bytes` itself where it is not gzip. Reports what is damaged, and what would take more than `limit` bytes.
std::optional<std::string> unpacked(std::string bytes, const std::string& place, uint64_t limit, Diagnostics& diagnostics);

}  // namespace gradc
