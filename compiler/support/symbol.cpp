#include "compiler/support/symbol.h"

#include <mutex>
#include <unordered_set>

namespace gradc {
namespace {

struct Interner {
  std::mutex mutex;
  std::unordered_set<std::string> texts;  // node-based: addresses of the strings stay

  const std::string* intern(std::string_view text) {
    std::lock_guard lock(mutex);
    return &*texts.emplace(text).first;
  }
};

Interner& interner() {
  // Leaked on purpose: static destructors of other files may still hold symbols.
  static Interner& instance = *new Interner;
  return instance;
}

}  // namespace

Symbol::Symbol() {
  static const std::string* empty = interner().intern("");
  text_ = empty;
}

Symbol::Symbol(std::string_view text) : text_(interner().intern(text)) {}

}  // namespace gradc
