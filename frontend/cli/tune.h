#pragma once

#include <set>
#include <string>

#include "compiler/jit/jit.h"
#include "compiler/jit/tiles.h"
#include "compiler/support/diagnostics.h"
#include "runtime/threads.h"

// gradc --tune: the tiles of products and convolutions chosen by measurement, among those that leave every bit as it is. They are kept
// in the cache directory, for a processor model, a target and a number of threads, and used by whatever is compiled there later.
namespace gradc::cli {

// What was kept; a damaged file gives a warning and nothing.
TileChoices kept_tiles(const Target& target, int threads, Diagnostics& diagnostics);

class Tuner {
 public:
  // `keeps`: what is found is kept for later. `quiet`: nothing on the terminal meanwhile.
  Tuner(ThreadPool& pool, bool keeps, bool quiet) : pool_(pool), keeps_(keeps), quiet_(quiet) {}

  // Times other tiles for every contraction of a program in the scheduler's own tiles that was not timed before, and keeps what is faster.
  void tune(const KernelProgram& program, TileChoices& choices);

 private:
  ThreadPool& pool_;
  const bool keeps_, quiet_;
  std::set<std::string> timed_;  // keys
};

}  // namespace gradc::cli
