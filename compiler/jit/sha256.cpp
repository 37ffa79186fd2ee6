#include "compiler/jit/sha256.h"

#include <llvm/ADT/StringExtras.h>
#include <llvm/Support/SHA256.h>

namespace gradc {

struct Sha256::State {
  llvm::SHA256 hash;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;

void Sha256::update(const void* data, size_t bytes) {
  // LLVM counts the bytes of one call in 32 bits.
  auto* p = static_cast<const uint8_t*>(data);
  for (constexpr size_t most = size_t{1} << 30; bytes > 0;) {
    size_t n = std::min(bytes, most);
    state_->hash.update(llvm::ArrayRef<uint8_t>(p, n));
    p += n;
    bytes -= n;
  }
}

std::string Sha256::hex() { return llvm::toHex(state_->hash.result(), /*LowerCase=*/true); }

}  // namespace gradc
