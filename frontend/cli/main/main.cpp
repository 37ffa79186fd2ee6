#include <malloc.h>

#include "frontend/cli/options.h"

int main(int argc, char** argv) {
#ifdef __GLIBC__
  // Arrays of some megabytes pass through a few copies on their way from a file to their place. Blocks of that size are kept for the next
  // copy when they are freed: the system would give them back as pages to be cleared and faulted in anew, a tenth of a warm start.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 128 << 20);
#endif
  return gradc::cli::main(argc, argv);
}
