#include "runtime/gzip.h"

#include <algorithm>
#include <zlib.h>

#include <fmt/format.h>

#include "compiler/support/text.h"

namespace gradc {

struct GzipReader::Stream {
  z_stream z{};
};

bool is_gzip(std::string_view bytes) { return bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b'; }

GzipReader::GzipReader(std::string_view packed) : stream_(std::make_unique<Stream>()), packed_(packed) {
  if (inflateInit2(&stream_->z, 16 + MAX_WBITS) != Z_OK) error_ = "zlib failed";
  stream_->z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
}

GzipReader::~GzipReader() { inflateEnd(&stream_->z); }

size_t GzipReader::read(char* to, size_t size) {
  constexpr size_t piece = size_t{1} << 30;  // avail_* are 32 bits wide
  z_stream& z = stream_->z;
  size_t done = 0;
  while (done < size && !done_ && error_.empty()) {
    size_t used = static_cast<size_t>(z.next_in - reinterpret_cast<const Bytef*>(packed_.data()));
    z.avail_in = static_cast<uInt>(std::min(piece, packed_.size() - used));
    z.next_out = reinterpret_cast<Bytef*>(to + done);
    z.avail_out = static_cast<uInt>(std::min(piece, size - done));
    int status = inflate(&z, Z_NO_FLUSH);
    done = static_cast<size_t>(reinterpret_cast<char*>(z.next_out) - to);
    used = static_cast<size_t>(z.next_in - reinterpret_cast<const Bytef*>(packed_.data()));
    auto fail = [&](const char* what) { error_ = fmt::format("at byte {} of the packed data: {}", used, what); };
    if (status == Z_STREAM_END) {
      if (used == packed_.size()) done_ = true;
      else if (!is_gzip(packed_.substr(used))) fail("it goes on after its end");
      else inflateReset(&z);
    } else if (status == Z_BUF_ERROR || (status == Z_OK && used == packed_.size() && done < size)) {
      fail("it is cut short");
    } else if (status != Z_OK) {
      fail("it is damaged");
    }
  }
  return done;
}

std::optional<std::string> unpacked(std::string bytes, const std::string& place, uint64_t limit, Diagnostics& diagnostics) {
  if (!is_gzip(bytes)) return bytes;
  GzipReader reader(bytes);
  std::string content;
  for (size_t piece = size_t{1} << 20;; piece = content.size()) {
    size_t before = content.size();
    content.resize(before + std::min<uint64_t>(piece, limit + 1 - before));
    content.resize(before + reader.read(content.data() + before, content.size() - before));
    if (!reader.error().empty()) {
      diagnostics.report_at(DiagnosticKind::MalformedArrayFile, place, "gzip", reader.error());
      return std::nullopt;
    }
    if (content.size() > limit) {
      diagnostics.report_at(DiagnosticKind::DataTooLarge, place, human_bytes(static_cast<double>(bytes.size())), human_bytes(static_cast<double>(limit)));
      return std::nullopt;
    }
    if (content.size() < before + piece) return content;
  }
}

}  // namespace gradc
