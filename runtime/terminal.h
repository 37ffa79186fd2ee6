#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "runtime/trainer.h"

namespace gradc {

// Colour only where a person looks at it: a terminal, without NO_COLOR (no-color.org).
bool is_terminal(int fd);
bool wants_color(int fd);
int terminal_columns(int fd);  // else $COLUMNS, else 80
// How long a line on fd may be: as wide as the terminal; 0, any length, where a program or a file reads it.
int line_limit(int fd);
// Breaks at spaces so that no line is longer than `limit` (0: one line); lines after the first are indented.
std::string folded(std::string_view text, int limit, int indent);

// One line on stderr that is redrawn at most twenty times a second; nothing at all where stderr is no terminal, or unwanted.
class StatusLine {
 public:
  explicit StatusLine(bool wanted = true);
  ~StatusLine() { clear(); }
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  // make(columns) gives the line; asked for only when it is time for a new one.
  template <class F>
  void draw(F make) {
    if (due()) show(make(columns()));
  }
  // At once: before something that takes long and can't say how far it is.
  void show(const std::string& line);
  void clear();

 private:
  bool due() const;
  static int columns();

  bool enabled_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_{};
};

// "epoch  3/30  [########----]  412/1120  loss 0.2134  61k rows/s", in less than `columns`: first the bar goes, then what is on the right.
std::string progress_line(const Progress& progress, int columns);
// "timing kernels  [########----]  412/1120", the same for any task.
std::string task_line(std::string_view what, double done, double all, std::string_view amount, int columns);
// "epoch  3/30  loss 0.2134  accuracy 0.9412  | test loss 0.2513  accuracy 0.9301  1.2 s"; "step  300/5000 ..." where a run is
// counted in steps (epochs is 0). Where that is longer than `limit`: columns that do not line up, a digit less, further lines.
std::string epoch_line(const EpochReport& report, int64_t epochs, int64_t steps, int limit = 0);

}  // namespace gradc
