#include "runtime/processors.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

namespace gradc {

int usable_processors() {
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) == 0) return std::max(1, CPU_COUNT(&usable));
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

int current_processor() { return sched_getcpu(); }

bool leave_processor(std::thread::native_handle_type thread, int processor) {
  cpu_set_t usable;
  if (processor < 0 || processor >= CPU_SETSIZE || pthread_getaffinity_np(thread, sizeof usable, &usable) != 0) return false;
  cpu_set_t others = usable;
  CPU_CLR(processor, &others);
  if (CPU_COUNT(&others) == 0 || pthread_setaffinity_np(thread, sizeof others, &others) != 0) return false;
  pthread_setaffinity_np(thread, sizeof usable, &usable);
  return true;
}

}  // namespace gradc
