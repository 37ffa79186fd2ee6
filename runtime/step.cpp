#include "runtime/step.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

#include <fmt/format.h>

#include "compiler/support/error.h"
#include "compiler/support/text.h"

namespace gradc {
namespace {

size_t bytes_of(const StepBuffer& b) {
  auto n = checked_count(b.shape);
  GRADC_ASSERT(n, "buffer '{}' is too large", b.name);
  return static_cast<size_t>(*n) * byte_size(b.element);
}

Array array_at(const std::byte* data, Element element, const std::vector<int64_t>& shape) {
  Array a = Array::zeros(element, shape);
  if (!a.bytes.empty()) std::memcpy(a.bytes.data(), data, a.bytes.size());
  return a;
}

void store(const Array& value, Element element, std::byte* data) {
  Array converted = value.converted(element);
  if (!converted.bytes.empty()) std::memcpy(data, converted.bytes.data(), converted.bytes.size());
}

}  // namespace

void AlignedBytes::Free::operator()(std::byte* p) const { mapped ? static_cast<void>(munmap(p, mapped)) : std::free(p); }

// Where the next block with pages of its own begins within its first page. A kernel walks several tensors in step (a weight and its
// moments): were all to begin at a page, the same elements of each would fall into the same few sets of every cache and look alike
// in the low bits by which loads are told from earlier stores. With Adam behind a product that costs a tenth of the time.
static size_t next_lead() {
  constexpr size_t lead = 9 * 64, places = 7;
  static std::atomic<size_t> blocks{0};
  return lead * (blocks.fetch_add(1, std::memory_order_relaxed) % places);
}

// Fresh pages are zero already. They are made present at once, in as few pieces as the system has: one page fault after the other
// costs several times the zeroing.
AlignedBytes::AlignedBytes(size_t bytes) : size_(bytes) {
  constexpr size_t own_pages = size_t{64} << 10, huge = size_t{2} << 20;
  auto check = [&](void* p) {
    if (!p) throw EnvironmentError(fmt::format("out of memory: {} could not be allocated", human_bytes(static_cast<double>(bytes))));
    return static_cast<std::byte*>(p);
  };
  auto up = [](size_t n, size_t unit) { return (n + unit - 1) / unit * unit; };
  if (bytes < own_pages) {
    const size_t rounded = std::max<size_t>(up(bytes, 64), 64);
    data_ = std::unique_ptr<std::byte, Free>(check(std::aligned_alloc(64, rounded)), Free{0});
    std::memset(data_.get(), 0, rounded);
    return;
  }
  lead_ = next_lead();
  const bool large = bytes >= 2 * huge;
  const size_t rounded = up(lead_ + bytes, large ? huge : 4096), mapped = large ? rounded + huge : rounded;
  void* base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  std::byte* start = check(base == MAP_FAILED ? nullptr : base);
  if (large) {  // onto a boundary of large pages; what lies outside goes back
    const size_t before = up(reinterpret_cast<uintptr_t>(start), huge) - reinterpret_cast<uintptr_t>(start);
    if (before > 0) munmap(start, before);
    if (huge > before) munmap(start + before + rounded, huge - before);
    start += before;
    madvise(start, rounded, MADV_HUGEPAGE);
  }
  data_ = std::unique_ptr<std::byte, Free>(start, Free{rounded});
#ifdef MADV_POPULATE_WRITE
  madvise(start, rounded, MADV_POPULATE_WRITE);  // an older system does without
#endif
}

Variables::Entry& Variables::declare(const StepBuffer& b) {
  auto it = entries_.find(b.name);
  if (it == entries_.end()) it = entries_.emplace(b.name, Entry{b.element, b.shape, AlignedBytes(bytes_of(b))}).first;
  GRADC_ASSERT(it->second.element == b.element && it->second.shape == b.shape, "'{}' has two types", b.name);
  return it->second;
}

void Variables::set(const std::string& name, const Array& value) {
  Entry& e = entries_.at(name);
  GRADC_ASSERT(e.shape == value.shape, "'{}' has shape {}, not {}", name, shape_text(e.shape), shape_text(value.shape));
  store(value, e.element, e.bytes.data());
}

void Variables::fill(const std::string& name, double value) {
  Entry& e = entries_.at(name);
  size_t n = e.bytes.size() / byte_size(e.element);
  switch (e.element) {
    case Element::Bool: std::fill_n(reinterpret_cast<uint8_t*>(e.bytes.data()), n, value != 0); break;
    case Element::Int: std::fill_n(reinterpret_cast<int64_t*>(e.bytes.data()), n, static_cast<int64_t>(value)); break;
    case Element::F32: std::fill_n(reinterpret_cast<float*>(e.bytes.data()), n, static_cast<float>(value)); break;
    case Element::F64: std::fill_n(reinterpret_cast<double*>(e.bytes.data()), n, value); break;
    case Element::None: break;
  }
}

Array Variables::get(const std::string& name) const {
  const Entry& e = entries_.at(name);
  return array_at(e.bytes.data(), e.element, e.shape);
}

StepRunner::StepRunner(StepPlan plan, Variables& variables, ThreadPool& pool) : plan_(std::move(plan)) {
  AlignedBytes arena(static_cast<size_t>(plan_.arena_bytes));
  std::byte* arena_start = arena.data();
  memory_bytes_ = plan_.arena_bytes;
  owned_.push_back(std::move(arena));
  for (size_t i = 0; i < plan_.buffers.size(); ++i) {
    const StepBuffer& b = plan_.buffers[i];
    std::byte* p = nullptr;
    if (b.kind == StepBuffer::Temporary) {
      p = arena_start + b.offset;
    } else if (b.kind == StepBuffer::Local) {
      p = nullptr;
    } else if (b.kind == StepBuffer::Parameter || b.kind == StepBuffer::State) {
      p = variables.declare(b).bytes.data();
    } else {
      owned_.emplace_back(bytes_of(b));
      memory_bytes_ += static_cast<int64_t>(owned_.back().size());
      p = owned_.back().data();
    }
    pointers_.push_back(p);
    if (b.kind != StepBuffer::Temporary && b.kind != StepBuffer::Local && b.kind != StepBuffer::Shadow) by_name_.emplace(b.name, static_cast<int>(i));
  }
  if (has("step")) step_ = reinterpret_cast<double*>(data("step"));
  if (has("seed")) seed_ = reinterpret_cast<int64_t*>(data("seed"));
  pool.reserve_scratch(static_cast<size_t>(plan_.scratch_bytes));
  frame_.buffers = reinterpret_cast<void**>(pointers_.data());
  frame_.parallel = pool.threads() > 1 ? &ThreadPool::run_frame : nullptr;
  frame_.pool = &pool;
}

void StepRunner::set(const std::string& name, const Array& value) {
  const StepBuffer& b = buffer(name);
  GRADC_ASSERT(b.shape == value.shape, "'{}' has shape {}, not {}", name, shape_text(b.shape), shape_text(value.shape));
  store(value, b.element, data(name));
}

Array StepRunner::get(const std::string& name) const {
  const StepBuffer& b = buffer(name);
  return array_at(data(name), b.element, b.shape);
}

double StepRunner::scalar(const std::string& name) const { return get(name).at(0); }

void StepRunner::run(int64_t step, uint64_t seed, int64_t count) {
  if (step_) *step_ = static_cast<double>(step);
  if (seed_) *seed_ = static_cast<int64_t>(seed);
  frame_.scratch = static_cast<ThreadPool*>(frame_.pool)->scratch();  // may have grown for another step
  frame_.further = count - 1;
  plan_.entry(&frame_);
}

}  // namespace gradc
