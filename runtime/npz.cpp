// .npz: a zip archive of .npy members (PKWARE APPNOTE 6.3), stored or deflated, with ZIP64 where numpy writes it.
#include <cstring>
#include <zlib.h>

#include <fmt/format.h>

#include "compiler/support/text.h"
#include "runtime/files.h"
#include "runtime/npy.h"

namespace gradc {
namespace {

constexpr uint32_t local_signature = 0x04034b50, central_signature = 0x02014b50, end_signature = 0x06054b50;

uint64_t little(std::string_view s, size_t at, size_t width) {
  uint64_t v = 0;
  for (size_t i = width; i-- > 0;) v = v << 8 | static_cast<unsigned char>(s[at + i]);
  return v;
}

void put(std::string& s, uint64_t v, size_t width) {
  for (size_t i = 0; i < width; ++i) s += static_cast<char>(v >> (8 * i) & 0xFF);
}

struct Member {
  std::string name;
  uint64_t method, crc, packed, size, offset;
};

// ZIP64 extra field (id 1): 8-byte values for those fields that hold all ones, in this order.
void apply_zip64(std::string_view extra, Member& m) {
  while (extra.size() >= 4) {
    uint64_t id = little(extra, 0, 2), length = little(extra, 2, 2);
    if (length > extra.size() - 4) return;
    if (id == 1) {
      std::string_view values = extra.substr(4, length);
      for (uint64_t* field : {&m.size, &m.packed, &m.offset}) {
        if (*field != 0xFFFFFFFF || values.size() < 8) continue;
        *field = little(values, 0, 8);
        values.remove_prefix(8);
      }
      return;
    }
    extra.remove_prefix(4 + length);
  }
}

// The central directory; an empty error means success.
std::string read_directory(std::string_view zip, std::vector<Member>& members) {
  size_t end = zip.rfind(std::string_view("PK\5\6", 4));
  if (end == std::string_view::npos || zip.size() - end < 22) return "it has no zip directory";
  uint64_t count = little(zip, end + 10, 2), at = little(zip, end + 16, 4);
  for (uint64_t i = 0; i < count; ++i) {
    if (at > zip.size() || zip.size() - at < 46 || little(zip, at, 4) != central_signature) return "its zip directory is damaged";
    Member m{"", little(zip, at + 10, 2), little(zip, at + 16, 4), little(zip, at + 20, 4), little(zip, at + 24, 4), little(zip, at + 42, 4)};
    uint64_t name = little(zip, at + 28, 2), extra = little(zip, at + 30, 2), comment = little(zip, at + 32, 2);
    if (zip.size() - at - 46 < name + extra + comment) return "its zip directory is damaged";
    m.name = zip.substr(at + 46, name);
    apply_zip64(zip.substr(at + 46 + name, extra), m);
    members.push_back(std::move(m));
    at += 46 + name + extra + comment;
  }
  return "";
}

std::string inflate_member(std::string_view packed, uint64_t size, std::string& out) {
  // Deflate can't expand more than 1032 to 1 (zlib's technical notes): a larger claim is a lie, not a need for memory.
  if (size / 1032 > packed.size() + 1) return "its unpacked size is impossible";
  out.resize(size);
  z_stream z{};
  if (inflateInit2(&z, -MAX_WBITS) != Z_OK) return "zlib failed";
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  uint64_t in_left = packed.size(), out_left = size;
  int status = Z_OK;
  while (status == Z_OK) {  // avail_* are 32 bits wide
    if (z.avail_in == 0) in_left -= z.avail_in = static_cast<uInt>(std::min<uint64_t>(in_left, 1u << 30));
    if (z.avail_out == 0) out_left -= z.avail_out = static_cast<uInt>(std::min<uint64_t>(out_left, 1u << 30));
    status = inflate(&z, Z_NO_FLUSH);
    if (status == Z_BUF_ERROR && (in_left > 0 || out_left > 0)) status = Z_OK;
  }
  bool complete = status == Z_STREAM_END && out_left == 0 && z.avail_out == 0;
  inflateEnd(&z);
  return complete ? "" : "its compressed data are damaged";
}

std::string extract(std::string_view zip, const Member& m, std::string& out) {
  if (m.offset > zip.size() || zip.size() - m.offset < 30 || little(zip, m.offset, 4) != local_signature) return "its header is damaged";
  uint64_t data = m.offset + 30 + little(zip, m.offset + 26, 2) + little(zip, m.offset + 28, 2);
  if (data > zip.size() || zip.size() - data < m.packed) return "it is cut short";
  std::string_view packed = zip.substr(data, m.packed);
  if (m.method == 0) {
    if (m.packed != m.size) return "its sizes disagree";
    out = packed;
  } else if (m.method == 8) {
    std::string error = inflate_member(packed, m.size, out);
    if (!error.empty()) return error;
  } else {
    return fmt::format("compression method {} is unknown", m.method);
  }
  if (crc32_z(0, reinterpret_cast<const Bytef*>(out.data()), out.size()) != m.crc) return "its checksum is wrong";
  return "";
}

}  // namespace

std::optional<NamedColumns> parse_npz_columns(std::string_view bytes, const std::string& place, Diagnostics& diagnostics) {
  std::vector<Member> members;
  std::string error = read_directory(bytes, members);
  if (!error.empty()) {
    diagnostics.report_at(DiagnosticKind::MalformedArrayFile, place, ".npz", error);
    return std::nullopt;
  }
  NamedColumns arrays;
  for (const Member& m : members) {
    std::string content, name = m.name.ends_with(".npy") ? m.name.substr(0, m.name.size() - 4) : m.name;
    error = extract(bytes, m, content);
    if (!error.empty()) {
      diagnostics.report_at(DiagnosticKind::MalformedArrayFile, place, ".npz", fmt::format("member '{}': {}", m.name, error));
      return std::nullopt;
    }
    auto array = parse_npy_column(content, fmt::format("{}: {}", place, name), diagnostics);
    if (!array) return std::nullopt;
    if (!arrays.emplace(name, std::move(*array)).second) {
      diagnostics.report_at(DiagnosticKind::MalformedArrayFile, place, ".npz", fmt::format("member '{}' is there twice", name));
      return std::nullopt;
    }
  }
  return arrays;
}

std::optional<NamedArrays> parse_npz(std::string_view bytes, const std::string& place, Diagnostics& diagnostics) {
  auto columns = parse_npz_columns(bytes, place, diagnostics);
  if (!columns) return std::nullopt;
  NamedArrays arrays;
  for (auto& [name, column] : *columns) {
    arrays.emplace(name, to_array(column));
    column.bytes = {};
  }
  return arrays;
}

std::string npz_bytes(const NamedArrays& arrays) {
  constexpr uint64_t dos_epoch = 0x00210000;  // 1980-01-01: files of equal content are equal
  std::string zip, directory;
  for (const auto& [key, array] : arrays) {
    std::string content = npy_bytes(array), name = key + ".npy", header;
    uint64_t offset = zip.size(), crc = crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size());
    bool large = content.size() >= 0xFFFFFFFF || offset >= 0xFFFFFFFF;
    std::string extra;
    if (large) {
      put(extra, 1, 2), put(extra, 24, 2), put(extra, content.size(), 8), put(extra, content.size(), 8), put(extra, offset, 8);
    }
    uint64_t size32 = large ? 0xFFFFFFFF : content.size();
    put(header, large ? 45 : 20, 2), put(header, 0x0800, 2), put(header, 0, 2), put(header, dos_epoch, 4), put(header, crc, 4);
    put(header, size32, 4), put(header, size32, 4), put(header, name.size(), 2), put(header, extra.size(), 2);
    put(zip, local_signature, 4);
    zip += header + name + extra + content;
    put(directory, central_signature, 4), put(directory, large ? 45 : 20, 2);
    directory += header;
    put(directory, 0, 2), put(directory, 0, 2), put(directory, 0, 2), put(directory, 0, 4), put(directory, large ? 0xFFFFFFFF : offset, 4);
    directory += name + extra;
  }
  uint64_t start = zip.size();
  zip += directory;
  put(zip, end_signature, 4), put(zip, 0, 4), put(zip, arrays.size(), 2), put(zip, arrays.size(), 2);
  put(zip, directory.size(), 4), put(zip, start, 4), put(zip, 0, 2);
  return zip;
}

std::optional<NamedArrays> read_arrays(const std::string& path, Diagnostics& diagnostics) {
  auto bytes = read_file(path, diagnostics);
  if (!bytes) return std::nullopt;
  if (path.ends_with(".npz")) return parse_npz(*bytes, path, diagnostics);
  if (path.ends_with(".safetensors")) return parse_safetensors(*bytes, path, diagnostics);
  if (path.ends_with(".npy")) {
    auto array = parse_npy(*bytes, path, diagnostics);
    if (!array) return std::nullopt;
    return NamedArrays{{"", std::move(*array)}};
  }
  diagnostics.report_at(DiagnosticKind::UnknownArrayFormat, "", path);
  return std::nullopt;
}

bool write_arrays(const std::string& path, const NamedArrays& arrays, Diagnostics& diagnostics) {
  if (path.ends_with(".npz")) {
    write_file_atomically(path, npz_bytes(arrays));
  } else if (path.ends_with(".safetensors")) {
    write_file_atomically(path, safetensors_bytes(arrays));
  } else if (path.ends_with(".npy") && arrays.size() == 1) {
    write_file_atomically(path, npy_bytes(arrays.begin()->second));
  } else {
    diagnostics.report_at(DiagnosticKind::UnknownArrayFormat, "", path);
    return false;
  }
  return true;
}

}  // namespace gradc
