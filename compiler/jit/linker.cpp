#include "compiler/jit/linker.h"

#include <cmath>
#include <cstring>

#include <dlfcn.h>
#include <llvm/BinaryFormat/Magic.h>
#include <llvm/ExecutionEngine/JITSymbol.h>
#include <llvm/ExecutionEngine/RuntimeDyld.h>
#include <llvm/Object/ELFObjectFile.h>
#include <llvm/Support/MemoryBuffer.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compiler/support/error.h"

namespace gradc {
namespace {

uintptr_t page_size() {
  static const auto size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  return size;
}
constexpr uintptr_t table_slack = 64 << 10;
uintptr_t pages(uintptr_t bytes) { return (bytes + page_size() - 1) / page_size() * page_size(); }

// One mapping per object holds code, constants and data next to each other, so that 32-bit relative addresses always reach.
// Memory is writable until finalizeMemory() and never writable and executable at once.
class CodeMemory final : public llvm::RuntimeDyld::MemoryManager {
 public:
  CodeMemory() = default;
  CodeMemory(const CodeMemory&) = delete;
  CodeMemory& operator=(const CodeMemory&) = delete;
  ~CodeMemory() override {
    for (const Mapping& m : mappings_) munmap(m.base, m.size);
  }

  bool needsToReserveAllocationSpace() override { return true; }

  void reserveAllocationSpace(uintptr_t code, llvm::Align, uintptr_t constants, llvm::Align, uintptr_t data, llvm::Align) override {
    // RuntimeDyld's figure leaves out some entries of the offset table; pages that are not touched cost nothing.
    const uintptr_t sizes[] = {pages(code), pages(constants), pages(data) + table_slack};
    const uintptr_t total = std::max(sizes[0] + sizes[1] + sizes[2], page_size());
    void* base = mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) throw EnvironmentError(fmt::format("cannot map {} bytes for machine code: {}", total, std::strerror(errno)));
    auto* at = static_cast<uint8_t*>(base);
    mappings_.push_back({base, total});
    for (int kind = 0; kind < 3; ++kind) {
      next_[kind] = at;
      end_[kind] = at += sizes[kind];
    }
    executable_.push_back({base, sizes[0]});
    read_only_.push_back({static_cast<uint8_t*>(base) + sizes[0], sizes[1]});
  }

  uint8_t* allocateCodeSection(uintptr_t size, unsigned align, unsigned, llvm::StringRef) override { return take(0, size, align); }
  uint8_t* allocateDataSection(uintptr_t size, unsigned align, unsigned, llvm::StringRef, bool constant) override {
    return take(constant ? 1 : 2, size, align);
  }
  void registerEHFrames(uint8_t*, uint64_t, size_t) override {}  // no exception passes through compiled code
  void deregisterEHFrames() override {}

  bool finalizeMemory(std::string* message) override {
    return !protect(executable_, PROT_READ | PROT_EXEC, message) || !protect(read_only_, PROT_READ, message);
  }

 private:
  struct Mapping {
    void* base;
    uintptr_t size;
  };

  uint8_t* take(int kind, uintptr_t size, unsigned align) {
    const auto at = (reinterpret_cast<uintptr_t>(next_[kind]) + align - 1) / align * align;
    next_[kind] = reinterpret_cast<uint8_t*>(at + size);
    GRADC_ASSERT(next_[kind] <= end_[kind], "section {} overflows its reservation", kind);
    return reinterpret_cast<uint8_t*>(at);
  }

  static bool protect(const std::vector<Mapping>& parts, int protection, std::string* message) {
    for (const Mapping& part : parts) {
      if (part.size == 0 || mprotect(part.base, part.size, protection) == 0) continue;
      if (message) *message = std::strerror(errno);
      return false;
    }
    return true;
  }

  std::vector<Mapping> mappings_, executable_, read_only_;
  uint8_t *next_[3]{}, *end_[3]{};
};

// What compiled code may call. Listed, so that it does not depend on which libraries the process happens to export.
void* library_symbol(llvm::StringRef name) {
  struct Entry {
    const char* name;
    void* address;
  };
#define GRADC_MATH(fn) {#fn, reinterpret_cast<void*>(static_cast<double (*)(double)>(::fn))}, {#fn "f", reinterpret_cast<void*>(static_cast<float (*)(float)>(::fn##f))}
#define GRADC_MATH2(fn)                                                     \
  {#fn, reinterpret_cast<void*>(static_cast<double (*)(double, double)>(::fn))}, \
      {#fn "f", reinterpret_cast<void*>(static_cast<float (*)(float, float)>(::fn##f))}
  static const Entry table[] = {
      {"memcpy", reinterpret_cast<void*>(&std::memcpy)},
      {"memmove", reinterpret_cast<void*>(&std::memmove)},
      {"memset", reinterpret_cast<void*>(&std::memset)},
      {"fma", reinterpret_cast<void*>(static_cast<double (*)(double, double, double)>(::fma))},
      {"fmaf", reinterpret_cast<void*>(static_cast<float (*)(float, float, float)>(::fmaf))},
      GRADC_MATH(sqrt), GRADC_MATH(exp), GRADC_MATH(exp2), GRADC_MATH(expm1), GRADC_MATH(log), GRADC_MATH(log2), GRADC_MATH(log1p),
      GRADC_MATH(sin), GRADC_MATH(cos), GRADC_MATH(tanh), GRADC_MATH(erf), GRADC_MATH(floor), GRADC_MATH(ceil),
      GRADC_MATH(round), GRADC_MATH(roundeven), GRADC_MATH(nearbyint), GRADC_MATH(rint), GRADC_MATH(trunc),
      GRADC_MATH2(pow), GRADC_MATH2(fmod),
  };
#undef GRADC_MATH
#undef GRADC_MATH2
  for (const Entry& entry : table)
    if (name == entry.name) return entry.address;
  return dlsym(RTLD_DEFAULT, name.str().c_str());
}

class LibraryResolver final : public llvm::JITSymbolResolver {
 public:
  void lookup(const LookupSet& symbols, OnResolvedFunction done) override {
    LookupResult result;
    for (llvm::StringRef name : symbols) {
      void* address = library_symbol(name);
      GRADC_ASSERT(address, "compiled code calls unknown function {}", name.str());
      result[name] = llvm::JITEvaluatedSymbol(reinterpret_cast<uint64_t>(address), llvm::JITSymbolFlags::Exported);
    }
    done(std::move(result));
  }
  llvm::Expected<LookupSet> getResponsibilitySet(const LookupSet& symbols) override { return symbols; }
};

}  // namespace

struct Linker::Impl {
  CodeMemory memory;
  LibraryResolver resolver;
  llvm::RuntimeDyld dyld{memory, resolver};
};

Linker::Linker() : impl_(std::make_unique<Impl>()) {}
Linker::~Linker() = default;

bool Linker::add(llvm::ArrayRef<char> object) {
  const llvm::MemoryBufferRef buffer(llvm::StringRef(object.data(), object.size()), "object");
  auto file = llvm::object::ObjectFile::createELFObjectFile(buffer);
  if (!file) {
    llvm::consumeError(file.takeError());
    return false;
  }
  if ((*file)->getArch() != llvm::Triple::x86_64) return false;
  impl_->dyld.loadObject(**file);
  GRADC_ASSERT(!impl_->dyld.hasError(), "linking: {}", impl_->dyld.getErrorString().str());
  return true;
}

void Linker::finish() {
  impl_->dyld.resolveRelocations();
  GRADC_ASSERT(!impl_->dyld.hasError(), "linking: {}", impl_->dyld.getErrorString().str());
  std::string message;
  if (impl_->memory.finalizeMemory(&message)) throw EnvironmentError("cannot make compiled code executable: " + message);
}

void* Linker::address(const std::string& symbol) const { return impl_->dyld.getSymbolLocalAddress(symbol); }

}  // namespace gradc
