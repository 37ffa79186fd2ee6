#include "runtime/checkpoint.h"

#include <charconv>

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

}  // namespace

void save_checkpoint(const std::string& path, const Variables& variables, const CheckpointInfo& info) {
  NamedArrays arrays;
  for (const auto& [name, entry] : variables.entries()) arrays.emplace(name, variables.get(name));
  write_file_atomically(path, safetensors_bytes(arrays, {{"format", "gradc"},
                                                         {"model", info.model},
                                                         {"epoch", std::to_string(info.epoch)},
                                                         {"step", std::to_string(info.step)},
                                                         {"seed", std::to_string(info.seed)}}));
}

std::optional<CheckpointInfo> load_checkpoint(const std::string& path, Variables& variables, Diagnostics& diagnostics) {
  auto bytes = read_file(path, diagnostics);
  if (!bytes) return std::nullopt;
  std::map<std::string, std::string> metadata;
  auto arrays = parse_safetensors(*bytes, path, diagnostics, &metadata);
  if (!arrays) return std::nullopt;
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
  return CheckpointInfo{metadata["model"], number<int64_t>(metadata, "epoch"), number<int64_t>(metadata, "step"),
                        number<uint64_t>(metadata, "seed")};
}

}  // namespace gradc
