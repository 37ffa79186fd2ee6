#include "tests/support/run_program.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#include "compiler/support/error.h"

namespace gradc::test {
namespace {

enum class Side { End, Start };

// Bytes between two pages without access, filled with ones (NaN as a float, true as a bool, -1 as an integer).
class Guarded {
 public:
  Guarded(int64_t bytes, Side side) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t inside = (static_cast<size_t>(bytes) + page - 1) / page * page;
    size_ = inside + 2 * page;
    base_ = static_cast<char*>(mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    GRADC_ASSERT(base_ != MAP_FAILED, "no memory for a guarded buffer");
    if (inside > 0) GRADC_ASSERT(mprotect(base_ + page, inside, PROT_READ | PROT_WRITE) == 0, "no memory for a guarded buffer");
    data_ = base_ + page + (side == Side::End ? inside - static_cast<size_t>(bytes) : 0);
    std::memset(data_, 0xff, static_cast<size_t>(bytes));
  }
  Guarded(Guarded&& o) noexcept : base_(std::exchange(o.base_, nullptr)), data_(o.data_), size_(o.size_) {}
  Guarded& operator=(Guarded&&) = delete;
  ~Guarded() {
    if (base_) munmap(base_, size_);
  }
  void* data() const { return data_; }

 private:
  char *base_ = nullptr, *data_ = nullptr;
  size_t size_ = 0;
};

int64_t bytes_of(const Type& type) { return type.count() * static_cast<int64_t>(byte_size(type.element)); }

void run_backwards(GradcFrame* frame, GradcKernelFn kernel, void* const* buffers, int64_t blocks) {
  for (int64_t block = blocks; block-- > 0;) kernel(buffers, block, block + 1, frame->scratch);
}

RunResult run_once(const KernelProgram& program, const CompiledStep& step, const std::map<Symbol, Tensor>& inputs, Side side, bool backwards) {
  std::vector<Guarded> memory;
  const Guarded arena(side == Side::Start ? program.arena_bytes : 0, side);
  // Scratch ends at a page's end as far as its alignment allows.
  const Guarded scratch((step.scratch_bytes() + 63) / 64 * 64, side);
  std::vector<void*> pointers;
  for (const Buffer& buffer : program.buffers) {
    if (buffer.kind == BufferKind::Local) {
      pointers.push_back(nullptr);  // in scratch
      continue;
    }
    if (buffer.kind == BufferKind::Temporary && side == Side::Start) {
      pointers.push_back(static_cast<char*>(arena.data()) + buffer.offset);
      continue;
    }
    pointers.push_back(memory.emplace_back(bytes_of(buffer.type), side).data());
    if (buffer.kind != BufferKind::Input && buffer.kind != BufferKind::Parameter && buffer.kind != BufferKind::State) continue;
    const auto input = inputs.find(buffer.name);
    GRADC_ASSERT(input != inputs.end(), "no value for {}", buffer.name);
    GRADC_ASSERT(input->second.type == buffer.type, "{} is {}, not {}", buffer.name, to_string(buffer.type), to_string(input->second.type));
    std::copy(input->second.bytes.begin(), input->second.bytes.end(), static_cast<std::byte*>(pointers.back()));
  }
  GradcFrame frame{pointers.data(), backwards ? run_backwards : nullptr, nullptr, scratch.data(), nullptr, nullptr};
  step.entry()(&frame);

  RunResult result;
  for (size_t i = 0; i < program.buffers.size(); ++i) {
    const Buffer& buffer = program.buffers[i];
    const bool output = buffer.kind == BufferKind::Output;
    if (!output && buffer.kind != BufferKind::Parameter && buffer.kind != BufferKind::State) continue;
    Tensor value = Tensor::zeros(buffer.type);
    std::copy_n(static_cast<const std::byte*>(pointers[i]), value.bytes.size(), value.bytes.begin());
    (output ? result.outputs : result.stored).insert_or_assign(buffer.name, std::move(value));
  }
  return result;
}

bool same_bits(const std::map<Symbol, Tensor>& a, const std::map<Symbol, Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.type == y.second.type && x.second.bytes == y.second.bytes;
  });
}

}  // namespace

bool RunResult::operator==(const RunResult& o) const { return same_bits(outputs, o.outputs) && same_bits(stored, o.stored); }

RunResult run_program(const KernelProgram& program, const CompiledStep& step, const std::map<Symbol, Tensor>& inputs, bool blocks_backwards) {
  RunResult result = run_once(program, step, inputs, Side::End, blocks_backwards);
  GRADC_ASSERT(result == run_once(program, step, inputs, Side::Start, blocks_backwards), "the result depends on where memory lies");
  return result;
}

}  // namespace gradc::test
