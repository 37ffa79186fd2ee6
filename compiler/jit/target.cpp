#include <algorithm>

#include <llvm/ADT/SmallVector.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/X86TargetParser.h>
#include <unistd.h>

#include "compiler/jit/jit.h"
#include "compiler/support/text.h"

namespace gradc {
namespace {

using FeatureSet = llvm::StringMap<bool>;

bool has(const FeatureSet& features, llvm::StringRef name) { return features.lookup(name); }

// Widths follow what can be generated well, not what merely exists: 64 bytes need masks on every length and element size.
void set_vector_shape(Target& target, const FeatureSet& features) {
  // Each of them needs avx512f, which LLVM's list of x86-64-v4's features leaves to be understood.
  const bool avx512 = has(features, "avx512vl") && has(features, "avx512dq") && has(features, "avx512bw");
  const bool avx2 = has(features, "avx2") && has(features, "fma");
  target.vector_bytes = avx512 ? 64 : avx2 ? 32 : 16;
  target.vector_registers = avx512 ? 32 : 16;
}

int64_t cache_bytes(int level, int64_t fallback) {
  const long size = sysconf(level);
  return size > 0 ? size : fallback;
}

Target native_target(const FeatureSet& host) {
  Target target;
  target.cpu = llvm::sys::getHostCPUName().str();
  std::vector<std::string> flags;
  for (const auto& feature : host) flags.push_back((feature.getValue() ? "+" : "-") + feature.getKey().str());
  std::sort(flags.begin(), flags.end());  // the map's order is not stable, and the text is part of cache keys
  for (const std::string& flag : flags) target.features += (target.features.empty() ? "" : ",") + flag;
  set_vector_shape(target, host);
  target.l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, target.l1_bytes);
  target.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, target.l2_bytes);
  return target;
}

}  // namespace

std::vector<std::string> known_cpus() {
  llvm::SmallVector<llvm::StringRef, 128> names;
  llvm::X86::fillValidCPUArchList(names, /*Only64Bit=*/true);
  std::vector<std::string> result{"native"};
  for (llvm::StringRef name : names) result.push_back(name.str());
  return result;
}

std::optional<Target> make_target(const std::string& cpu, std::string& error) {
  const FeatureSet host = llvm::sys::getHostCPUFeatures();
  if (cpu.empty() || cpu == "native") return native_target(host);

  const std::vector<std::string> names = known_cpus();
  if (std::find(names.begin(), names.end(), cpu) == names.end()) {
    const auto guess = nearest(cpu, names);
    error = fmt::format("unknown CPU '{}'{}", cpu, guess ? fmt::format("; did you mean '{}'?", *guess) : "");
    return std::nullopt;
  }
  llvm::SmallVector<llvm::StringRef, 64> required;
  llvm::X86::getFeaturesForCPU(cpu, required);
  FeatureSet features;
  std::string missing;
  for (llvm::StringRef feature : required) {
    features[feature] = true;
    // 64-bit mode is where this process runs; the host's table does not list it.
    if (!has(host, feature) && feature != "64bit" && host.count(feature)) missing += (missing.empty() ? "" : ", ") + feature.str();
  }
  if (!missing.empty()) {
    error = fmt::format("this machine cannot run code for '{}': it lacks {}", cpu, missing);
    return std::nullopt;
  }
  // Cache sizes stay at their defaults: the code for a named CPU must not depend on the machine that makes it.
  Target target;
  target.cpu = cpu;
  set_vector_shape(target, features);
  return target;
}

}  // namespace gradc
