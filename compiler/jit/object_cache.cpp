#include "compiler/jit/object_cache.h"

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/Support/xxhash.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gradc {
namespace {

namespace fs = std::filesystem;

// An entry is this header and then the object. The checksum finds what a full disk, a crash or a hand has damaged.
struct Header {
  char magic[8];
  uint64_t size;
  uint64_t low, high;
};
constexpr char magic[8] = {'g', 'r', 'a', 'd', 'c', 'o', '1', '\n'};

llvm::XXH128_hash_t checksum(std::string_view bytes) {
  return llvm::xxh3_128bits(llvm::ArrayRef(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

Header header_of(const ObjectCode& object) {
  const auto sum = checksum({object.data(), object.size()});
  Header header{{}, object.size(), sum.low64, sum.high64};
  std::memcpy(header.magic, magic, sizeof magic);
  return header;
}

// A rebuilt compiler may generate other code: its file's size and time stand for its version.
const std::string& build_id() {
  static const std::string id = [] {
    struct stat info {};
    if (stat("/proc/self/exe", &info) != 0) return std::string("unknown");
    return fmt::format("{}.{}.{}.{}", info.st_size, info.st_ino, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  }();
  return id;
}

}  // namespace

ObjectCache::ObjectCache(std::string directory) : directory_(std::move(directory)) {}

std::string ObjectCache::path(const std::string& key) const { return directory_ + "/" + key + ".o"; }

std::string ObjectCache::key(std::string_view source, const Target& target, std::string_view options) {
  const std::string text = fmt::format("{}\n{}\n{}\n{} {} {} {}\n{}\n{}\n{}", LLVM_VERSION_STRING, target.cpu, target.features,
                                       target.vector_bytes, target.vector_registers, target.l1_bytes, target.l2_bytes, build_id(), options,
                                       source);
  const auto sum = checksum(text);
  return fmt::format("{:016x}{:016x}", sum.high64, sum.low64);
}

std::optional<ObjectCode> ObjectCache::load(const std::string& key) const {
  if (directory_.empty()) return std::nullopt;
  std::ifstream in(path(key), std::ios::binary);
  Header header{};
  if (!in.read(reinterpret_cast<char*>(&header), sizeof header)) return std::nullopt;
  std::error_code failed;
  if (fs::file_size(path(key), failed) != sizeof header + header.size || failed) return std::nullopt;
  ObjectCode object(header.size);
  if (!in.read(object.data(), static_cast<std::streamsize>(object.size()))) return std::nullopt;
  const Header expected = header_of(object);
  if (std::memcmp(&header, &expected, sizeof header) != 0) return std::nullopt;
  return object;
}

void ObjectCache::store(const std::string& key, const ObjectCode& object) const {
  if (directory_.empty()) return;
  std::error_code failed;
  fs::create_directories(directory_, failed);
  // Written beside and renamed, so that a reader sees all of it or nothing; the name is unique to this writer.
  static std::atomic<unsigned> serial{0};
  const std::string temporary = fmt::format("{}.{}.{}", path(key), getpid(), serial++);
  const Header header = header_of(object);
  {
    std::ofstream out(temporary, std::ios::binary);
    out.write(reinterpret_cast<const char*>(&header), sizeof header);
    out.write(object.data(), static_cast<std::streamsize>(object.size()));
    out.close();
    if (!out) {
      fs::remove(temporary, failed);
      return;
    }
  }
  fs::rename(temporary, path(key), failed);
  if (failed) fs::remove(temporary, failed);
}

}  // namespace gradc
