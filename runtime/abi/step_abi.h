#pragma once

#include <cstdint>

// The contract between compiled code and the runtime: plain C types, no dependency on the compiler.
// A compiled step is one function that runs all kernels of one training step (or one evaluation) in order.

extern "C" {

// Runs blocks [begin, end) of one kernel. `buffers` are the kernel's arguments by slot, then the sites of its random numbers, a word
// each; `scratch` is private to the worker, 64-byte aligned, at least GradcStepInfo::scratch_bytes long.
typedef void (*GradcKernelFn)(void* const* buffers, int64_t begin, int64_t end, void* scratch);

struct GradcFrame;

// Runs all `blocks` blocks of a kernel, on any number of threads, and returns when all are done.
typedef void (*GradcParallelFn)(struct GradcFrame* frame, GradcKernelFn kernel, void* const* buffers, int64_t blocks);

struct GradcFrame {
  void** buffers;            // one pointer per buffer of the kernel program, set by the runtime
  GradcParallelFn parallel;  // null: the step runs every block itself, one after the other
  void* pool;                // the runtime's own
  void* scratch;             // of the calling thread
  // Where not null: called before kernel 0, between kernels and after the last, with the index of the kernel that comes next
  // (profiling, `bench`); kernels in a loop come once a trip. Trips that threads share out are traced by the thread that makes them, which
  // ends with -1.
  void (*trace)(struct GradcFrame* frame, int64_t kernel);
  void* trace_data;
  // Steps that the same call makes after the first, on the same inputs, with the input `step` counted up: what a caller does
  // between two steps can cost more than a tiny step.
  int64_t further;
};

typedef void (*GradcStepFn)(struct GradcFrame* frame);
}
