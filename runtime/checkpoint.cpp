#include "runtime/checkpoint.h"

#include <charconv>
#include <cstdlib>

#include "compiler/support/text.h"
#include "runtime/files.h"

namespace gradc {
namespace {

template <class T>
T number(const std::map<std::string, std::string>& metadata, const char* key) {
  T value = 0;
  auto it = metadata.find(key);
  if (it != metadata.end()) std::from_chars(it->second.data(), it->second.data() + it->second.size(), value);
  return value;
}

// Sums are kept to the last bit: hexadecimal, one after the other.
std::string sums_text(const std::vector<double>& sums) {
  std::string text;
  for (double v : sums) text += fmt::format("{}{:a}", text.empty() ? "" : " ", v);
  return text;
}

std::vector<double> parse_sums(const std::string& text) {
  std::vector<double> sums;
  const char* p = text.c_str();
  for (char* end; *p; p = end) {
    sums.push_back(std::strtod(p, &end));
    if (end == p) return {};
  }
  return sums;
}

}  // namespace

void save_checkpoint(const std::string& path, const Variables& variables, const CheckpointInfo& info) {
  NamedArrays arrays;
  for (const auto& [name, entry] : variables.entries()) arrays.emplace(name, variables.get(name));
  write_file_atomically(path, safetensors_bytes(arrays, {{"format", "gradc"},
                                                         {"model", info.model},
                                                         {"epoch", std::to_string(info.at.epoch)},
                                                         {"step", std::to_string(info.at.step)},
                                                         {"in_epoch", std::to_string(info.at.in_epoch)},
                                                         {"rows", sums_text({info.at.rows})},
                                                         {"sums", sums_text(info.at.sums)},
                                                         {"seed", std::to_string(info.seed)}}));
}

std::optional<CheckpointInfo> load_checkpoint(const std::string& path, Variables& variables, Diagnostics& diagnostics,
                                              const std::function<bool(const std::string&)>& passed_over) {
  auto bytes = read_file(path, diagnostics);
  if (!bytes) return std::nullopt;
  std::map<std::string, std::string> metadata;
  auto arrays = parse_safetensors(*bytes, path, diagnostics, &metadata);
  if (!arrays) return std::nullopt;
  if (passed_over) std::erase_if(*arrays, [&](const auto& entry) { return !variables.has(entry.first) && passed_over(entry.first); });
  bool good = true;
  std::vector<std::string> known;
  for (const auto& [name, entry] : variables.entries()) {
    known.push_back(name);
    auto it = arrays->find(name);
    if (it == arrays->end()) {
      diagnostics.report_at(DiagnosticKind::CheckpointLacks, path, name);
      good = false;
    } else if (it->second.shape != entry.shape) {
      diagnostics.report_at(DiagnosticKind::CheckpointShape, path, name, shape_text(it->second.shape), shape_text(entry.shape));
      good = false;
    }
  }
  for (const auto& [name, array] : *arrays) {
    if (variables.has(name)) continue;
    auto& d = diagnostics.report_at(DiagnosticKind::CheckpointUnknown, path, name);
    if (auto close = nearest(name, known)) d.note("did you mean '" + *close + "'?");
    good = false;
  }
  if (!good) return std::nullopt;
  for (const auto& [name, array] : *arrays) variables.set(name, array);
  Position at{number<int64_t>(metadata, "epoch"), number<int64_t>(metadata, "step"), number<int64_t>(metadata, "in_epoch"), 0, parse_sums(metadata["sums"])};
  auto rows = parse_sums(metadata["rows"]);
  if (rows.size() == 1) at.rows = rows[0];
  if (at.epoch < 0 || at.step < 0 || at.in_epoch < 0 || !(at.rows >= 0)) {
    diagnostics.report_at(DiagnosticKind::MalformedArrayFile, path, "checkpoint", fmt::format("epoch {} and step {} are no place in a run", at.epoch, at.step));
    return std::nullopt;
  }
  return CheckpointInfo{metadata["model"], std::move(at), number<uint64_t>(metadata, "seed")};
}

}  // namespace gradc
