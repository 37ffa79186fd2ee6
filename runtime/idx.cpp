#include "runtime/idx.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "compiler/support/text.h"
#include "runtime/gzip.h"

namespace gradc {
namespace {

constexpr size_t most_sizes = 8;

std::optional<Stored> stored_type(unsigned char code) {
  switch (code) {
    case 0x08: return Stored::U8;
    case 0x09: return Stored::I8;
    case 0x0B: return Stored::I16;
    case 0x0C: return Stored::I32;
    case 0x0D: return Stored::F32;
    case 0x0E: return Stored::F64;
    default: return std::nullopt;
  }
}

// The content one piece after the other, packed or not.
class Content {
 public:
  explicit Content(std::string_view bytes) : rest_(bytes) {
    if (is_gzip(bytes)) gzip_.emplace(bytes);
  }
  size_t read(char* to, size_t size) {
    size_t n = gzip_ ? gzip_->read(to, size) : std::min(size, rest_.size());
    if (!gzip_) {
      std::memcpy(to, rest_.data(), n);
      rest_.remove_prefix(n);
    }
    at_ += n;
    return n;
  }
  size_t at() const { return at_; }
  std::string error() const { return gzip_ ? gzip_->error() : std::string(); }
  // How many bytes are left, where that is known without unpacking them.
  std::optional<size_t> left() const { return gzip_ ? std::nullopt : std::optional(rest_.size()); }

 private:
  std::string_view rest_;
  std::optional<GzipReader> gzip_;
  size_t at_ = 0;
};

class IdxReader {
 public:
  IdxReader(std::string_view bytes, const std::string& place, uint64_t limit, Diagnostics& diagnostics)
      : bytes_(bytes), content_(bytes), place_(place), limit_(limit), diagnostics_(diagnostics) {}

  std::optional<Column> read() {
    if (!header() || !elements()) return std::nullopt;
    return std::move(column_);
  }

 private:
  bool bad(size_t offset, const std::string& why) {
    diagnostics_.report_at(DiagnosticKind::MalformedArrayFile, place_, "IDX", fmt::format("at byte {}: {}", offset, why));
    return false;
  }
  // Damage of the packing explains everything else.
  bool damaged() {
    if (content_.error().empty()) return false;
    diagnostics_.report_at(DiagnosticKind::MalformedArrayFile, place_, "gzip", content_.error());
    return true;
  }

  bool header() {
    unsigned char start[4], size[4 * most_sizes];
    size_t n = content_.read(reinterpret_cast<char*>(start), sizeof start);
    if (damaged()) return false;
    if (n < sizeof start) return bad(0, fmt::format("the header needs at least {} bytes, and {} are there", sizeof start, n));
    if (start[0] != 0 || start[1] != 0) return bad(0, fmt::format("it begins with {:02x} {:02x} and not with two zeros", start[0], start[1]));
    auto stored = stored_type(start[2]);
    if (!stored) return bad(2, fmt::format("element type 0x{:02x} is unknown; 08, 09 and 0b to 0e are defined", start[2]));
    size_t rank = start[3];
    if (rank == 0 || rank > most_sizes) return bad(3, fmt::format("it has {} sizes, and 1 to {} can be read", rank, most_sizes));
    n = content_.read(reinterpret_cast<char*>(size), 4 * rank);
    if (damaged()) return false;
    if (n < 4 * rank) return bad(4, fmt::format("{} sizes need {} bytes, and {} are there", rank, 4 * rank, n));
    for (size_t i = 0; i < rank; ++i) {
      const unsigned char* b = size + 4 * i;
      auto s = static_cast<int32_t>(uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3]);
      if (s < 0) return bad(4 + 4 * i, fmt::format("size {} is negative", s));
      column_.shape.push_back(s);
    }
    column_.stored = *stored;
    return true;
  }

  bool elements() {
    auto count = checked_count(column_.shape);
    const size_t start = content_.at(), width = byte_size(column_.stored);
    if (!count) return bad(4, fmt::format("shape {} is out of range", shape_text(column_.shape)));
    const auto needed = static_cast<uint64_t>(*count) * width;
    auto wrong_size = [&](const std::string& there) {
      return bad(start, fmt::format("shape {} needs {} bytes of data, and {} there", shape_text(column_.shape), needed, there));
    };
    if (auto left = content_.left(); left && *left != needed) return wrong_size(fmt::format("{} are", *left));
    // Deflate can't expand more than 1032 to 1 (zlib's technical notes): a larger claim is a lie, not a need for memory.
    if (!content_.left() && needed / 1032 > bytes_.size()) {
      return wrong_size(fmt::format("{} packed bytes cannot hold more than {}; at most so many are", bytes_.size(), bytes_.size() * 1032));
    }
    if (needed > limit_) {
      diagnostics_.report_at(DiagnosticKind::DataTooLarge, place_, human_bytes(static_cast<double>(needed)), human_bytes(static_cast<double>(limit_)));
      return false;
    }
    column_.bytes.resize(needed);
    size_t n = content_.read(column_.bytes.data(), needed);
    if (damaged()) return false;
    if (n < needed) return wrong_size(fmt::format("{} are", n));
    char more;
    n = content_.read(&more, 1);
    if (damaged()) return false;
    if (n > 0) return wrong_size("more are");
    if (width > 1) {
      for (size_t i = 0; i < needed; i += width) std::reverse(column_.bytes.begin() + static_cast<long>(i), column_.bytes.begin() + static_cast<long>(i + width));
    }
    return true;
  }

  std::string_view bytes_;
  Content content_;
  const std::string& place_;
  uint64_t limit_;
  Diagnostics& diagnostics_;
  Column column_;
};

}  // namespace

std::optional<Column> parse_idx(std::string_view bytes, const std::string& place, uint64_t limit, Diagnostics& diagnostics) {
  return IdxReader(bytes, place, limit, diagnostics).read();
}

}  // namespace gradc
