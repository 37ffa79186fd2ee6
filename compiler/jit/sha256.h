#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace gradc {

// SHA-256 (FIPS 180-4) by LLVM's support library, behind a header that needs no LLVM.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void update(const void* data, size_t bytes);
  std::string hex();  // of all that was given so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gradc
