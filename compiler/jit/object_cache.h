#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "compiler/jit/machine.h"

namespace gradc {

// Compiled bodies on disk, named by what they were made from. A cache can't fail: what can't be read or written, or is
// damaged, counts as absent.
class ObjectCache {
 public:
  explicit ObjectCache(std::string directory);  // empty: nothing is kept

  std::optional<ObjectCode> load(const std::string& key) const;
  void store(const std::string& key, const ObjectCode& object) const;

  // The key of a source text compiled for a target by this very program.
  static std::string key(std::string_view source, const Target& target, std::string_view options);

 private:
  std::string path(const std::string& key) const;
  std::string directory_;
};

}  // namespace gradc
