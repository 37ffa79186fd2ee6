// safetensors: 8 bytes of header length, a JSON header, then the data (format 0.4).
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "runtime/npy.h"

namespace gradc {
namespace {

using nlohmann::json;

constexpr const char* dtype_names[] = {"BOOL", "I64", "F32", "F64"};

std::optional<Element> dtype(const std::string& name) {
  for (size_t i = 0; i < std::size(dtype_names); ++i) {
    if (name == dtype_names[i]) return static_cast<Element>(i);
  }
  return std::nullopt;
}

// One entry of the header against the data; the error is empty on success.
std::string read_tensor(const json& entry, std::string_view data, Array& out) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() || !entry.contains("shape") ||
      !entry["shape"].is_array() || !entry.contains("data_offsets") || !entry["data_offsets"].is_array() ||
      entry["data_offsets"].size() != 2) {
    return "its header entry lacks dtype, shape or data_offsets";
  }
  auto element = dtype(entry["dtype"]);
  if (!element) return fmt::format("element type {} is not one of BOOL, I64, F32, F64", entry["dtype"].get<std::string>());
  std::vector<int64_t> shape;
  for (const json& s : entry["shape"]) {
    if (!s.is_number_integer()) return "its shape is not a list of integers";
    shape.push_back(s.get<int64_t>());
  }
  auto n = checked_count(shape);
  const json &from = entry["data_offsets"][0], &to = entry["data_offsets"][1];
  if (!n || !from.is_number_unsigned() || !to.is_number_unsigned()) return "its shape or offsets are out of range";
  auto begin = from.get<uint64_t>(), end = to.get<uint64_t>();
  if (begin > end || end > data.size() || end - begin != static_cast<uint64_t>(*n) * byte_size(*element)) {
    return fmt::format("shape {} does not fit its data", shape_text(shape));
  }
  out = Array::zeros(*element, shape);
  if (end > begin) std::memcpy(out.bytes.data(), data.data() + begin, end - begin);
  if (*element == Element::Bool) {
    for (int64_t i = 0; i < *n; ++i) out.as<uint8_t>()[i] = out.as<uint8_t>()[i] != 0;
  }
  return "";
}

}  // namespace

std::optional<NamedArrays> parse_safetensors(std::string_view bytes, const std::string& place, Diagnostics& diagnostics,
                                             std::map<std::string, std::string>* metadata) {
  auto bad = [&](const std::string& why) {
    diagnostics.report_at(DiagnosticKind::MalformedArrayFile, place, ".safetensors", why);
    return std::nullopt;
  };
  if (bytes.size() < 8) return bad("it is cut short");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  if (length > bytes.size() - 8) return bad("its header is cut short");
  json header = json::parse(bytes.substr(8, length), nullptr, false);
  if (!header.is_object()) return bad("its header is not JSON");
  std::string_view data = bytes.substr(8 + length);
  NamedArrays arrays;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      for (const auto& [key, value] : entry.items()) {
        if (metadata && value.is_string()) (*metadata)[key] = value.get<std::string>();
      }
      continue;
    }
    std::string error = read_tensor(entry, data, arrays[name]);
    if (!error.empty()) return bad(fmt::format("tensor '{}': {}", name, error));
  }
  return arrays;
}

std::string safetensors_bytes(const NamedArrays& arrays, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& [name, array] : arrays) {
    header[name] = {{"dtype", dtype_names[static_cast<size_t>(array.element)]},
                    {"shape", array.shape},
                    {"data_offsets", {offset, offset + array.bytes.size()}}};
    offset += array.bytes.size();
  }
  std::string text = header.is_null() ? "{}" : header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // data aligned to 8 bytes
  uint64_t length = text.size();
  std::string out(reinterpret_cast<const char*>(&length), 8);
  out.reserve(8 + text.size() + offset);
  out += text;
  for (const auto& [name, array] : arrays) out.append(reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size());
  return out;
}

}  // namespace gradc
