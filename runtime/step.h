#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/abi/step_abi.h"
#include "runtime/array.h"
#include "runtime/threads.h"

namespace gradc {

// One buffer of a compiled step, in the compiled code's order.
struct StepBuffer {
  enum Kind { Input, Parameter, State, Output, Temporary, Local, Shadow };  // Local: in the scratch of each thread, known to the compiled code alone
  std::string name;
  Kind kind = Temporary;
  Element element = Element::F32;
  std::vector<int64_t> shape;
  int64_t offset = 0;  // Temporary: bytes from the start of the arena
  int source = -1;     // Shadow: the buffer it replaces when the step ends
};

// What the runtime needs to know of a compiled step.
struct StepPlan {
  std::vector<StepBuffer> buffers;
  int64_t arena_bytes = 0;
  int64_t scratch_bytes = 0;  // of each thread
  GradcStepFn entry = nullptr;
};

// Zeroed memory aligned to 64 bytes; large blocks ask for huge pages. Blocks of several pages do not all begin at the start of one.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(size_t bytes);
  std::byte* data() const { return data_.get() + lead_; }
  size_t size() const { return size_; }

 private:
  struct Free {
    size_t mapped;  // bytes of pages of its own; 0: from the heap
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t lead_ = 0;
  size_t size_ = 0;
};

// Parameters and states by path, in canonical (row-major) layout. Shared by the steps of one model: the training step
// writes what the evaluation step reads.
class Variables {
 public:
  struct Entry {
    Element element;
    std::vector<int64_t> shape;
    AlignedBytes bytes;
  };
  // Creates the variable, or checks that it is there with the same type.
  Entry& declare(const StepBuffer& buffer);
  bool has(const std::string& name) const { return entries_.count(name) != 0; }
  const std::map<std::string, Entry>& entries() const { return entries_; }
  void set(const std::string& name, const Array& value);  // the variable must exist with this shape; elements are converted
  void fill(const std::string& name, double value);
  Array get(const std::string& name) const;

 private:
  std::map<std::string, Entry> entries_;
};

// A compiled step with memory to run in.
class StepRunner {
 public:
  // `variables` and `pool` must outlive the runner. Throws EnvironmentError where memory runs out.
  StepRunner(StepPlan plan, Variables& variables, ThreadPool& pool);

  bool has(const std::string& name) const { return by_name_.count(name) != 0; }
  // The memory of an input, an output, a parameter or a state.
  std::byte* data(const std::string& name) const { return pointers_.at(static_cast<size_t>(by_name_.at(name))); }
  const StepBuffer& buffer(const std::string& name) const { return plan_.buffers[static_cast<size_t>(by_name_.at(name))]; }
  void set(const std::string& name, const Array& value);  // same shape; elements are converted
  Array get(const std::string& name) const;
  double scalar(const std::string& name) const;  // a rank-0 output

  // Makes `count` steps on the same inputs, the first of which is number `step`, from 1. Outputs are those of the last.
  void run(int64_t step, uint64_t seed, int64_t count = 1);

  GradcFrame& frame() { return frame_; }
  const StepPlan& plan() const { return plan_; }
  int64_t memory_bytes() const { return memory_bytes_; }

 private:
  StepPlan plan_;
  std::vector<AlignedBytes> owned_;
  std::vector<std::byte*> pointers_;
  std::map<std::string, int> by_name_;
  GradcFrame frame_{};
  double* step_ = nullptr;
  int64_t* seed_ = nullptr;
  int64_t memory_bytes_ = 0;
};

}  // namespace gradc
