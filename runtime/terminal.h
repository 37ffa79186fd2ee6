#pragma once

#include <chrono>
#include <string>

#include "runtime/trainer.h"

namespace gradc {

// Colour only where a person looks at it: a terminal, without NO_COLOR (no-color.org).
bool is_terminal(int fd);
bool wants_color(int fd);
int terminal_columns(int fd);  // 80 where unknown

// One line on stderr that is redrawn at most twenty times a second; nothing at all where stderr is no terminal.
class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar() { clear(); }
  void draw(const Progress& progress);
  void clear();

 private:
  bool enabled_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_{};
};

// "epoch  3/30  [########----]  412/1120  loss 0.2134  61k rows/s", cut to `columns`.
std::string progress_line(const Progress& progress, int columns);
// "epoch  3/30  loss 0.2134  accuracy 0.9412  | test loss 0.2513  accuracy 0.9301  1.2 s"; "step  300/5000 ..." where a run is
// counted in steps (epochs is 0).
std::string epoch_line(const EpochReport& report, int64_t epochs, int64_t steps);

}  // namespace gradc
