#pragma once

#include <memory>
#include <string>

#include <llvm/ADT/ArrayRef.h>

namespace gradc {

// Places objects in this process's memory and binds them to each other and to the C library. Owns the code.
//
// RuntimeDyld without ORC on top: objects are complete when they get here, so materialisation on demand, symbol tables
// per library and lookup queues would be overhead at every start.
class Linker {
 public:
  Linker();
  ~Linker();
  Linker(const Linker&) = delete;
  Linker& operator=(const Linker&) = delete;

  // False where the bytes are not an object of this machine (a damaged cache entry); nothing is added then.
  bool add(llvm::ArrayRef<char> object);
  // Binds all that was added and makes it executable. Once.
  void finish();
  void* address(const std::string& symbol) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gradc
