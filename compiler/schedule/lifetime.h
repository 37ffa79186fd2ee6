#pragma once

#include <vector>

#include "compiler/schedule/kernel.h"

// When a buffer holds something that is still wanted, in a step with loops.
namespace gradc::scheduling {

// What a call does with one buffer.
struct Touch {
  BufferId buffer;
  bool reads_first = false;     // it is read before this call writes it, if it does
  std::vector<int32_t> moves{};  // loops that its slot moves with
};
using CallTouches = std::vector<std::vector<Touch>>;  // by call

// Call k happens at 2k; loops begin and end between calls, at 2 * begin - 1 and 2 * end - 1.
struct Lifetime {
  int begin = -2, end = -2;
  bool used() const { return begin > -2; }
  bool meets(const Lifetime& o) const { return used() && o.used() && begin <= o.end && o.begin <= end; }
};
constexpr int moment(size_t call) { return 2 * static_cast<int>(call); }

// By buffer. One that only a loop's own calls touch, each trip anew, lives within a trip; anything else that a loop touches lives
// as long as the loop.
std::vector<Lifetime> lifetimes(size_t buffers, const CallTouches& calls, const std::vector<CallLoop>& loops);

// Whether the first statement of a body that touches the slot reads it.
bool reads_first(const KernelBody& body, int slot);
CallTouches touches_of(const KernelProgram& program);

}  // namespace gradc::scheduling
