#include "runtime/terminal.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

namespace gradc {
namespace {

std::string counted(double n) {
  if (n >= 1e6) return fmt::format("{:.1f}M", n / 1e6);
  if (n >= 1e4) return fmt::format("{:.0f}k", n / 1e3);
  return fmt::format("{:.0f}", n);
}

std::string counter(const char* what, int64_t done, int64_t all) {
  if (all == 0) return fmt::format("{} {}", what, done);
  return fmt::format("{} {:>{}}/{}", what, done, fmt::formatted_size("{}", all), all);
}

}  // namespace

bool is_terminal(int fd) { return isatty(fd) == 1; }

bool wants_color(int fd) {
  const char *no_color = std::getenv("NO_COLOR"), *term = std::getenv("TERM");
  return is_terminal(fd) && !(no_color && *no_color) && !(term && std::string_view(term) == "dumb");
}

int terminal_columns(int fd) {
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string progress_line(const Progress& p, int columns) {
  std::string left = counter("epoch", p.epoch, p.epochs) + "  [";
  std::string right = fmt::format("]  {}/{}  loss {:.4g}  {} rows/s", p.step, p.steps, p.loss, counted(p.rows_per_second));
  int room = columns - 1 - static_cast<int>(left.size() + right.size());
  if (room < 4) return (left + right).substr(0, static_cast<size_t>(std::max(0, columns - 1)));
  int width = std::min(room, 32);
  auto done = static_cast<int>(p.steps > 0 ? width * p.step / p.steps : 0);
  return left + std::string(static_cast<size_t>(done), '#') + std::string(static_cast<size_t>(width - done), '-') + right;
}

std::string epoch_line(const EpochReport& r, int64_t epochs, int64_t steps) {
  auto list = [](const Metrics& metrics) {
    std::string out;
    for (const auto& [name, value] : metrics) out += fmt::format("{}{} {:<7}", out.empty() ? "" : "  ", name, fmt::format("{:.4g}", value));
    return out.substr(0, out.find_last_not_of(' ') + 1);
  };
  std::string line = (epochs == 0 && steps > 0 ? counter("step", r.step, steps) : counter("epoch", r.epoch, epochs)) + "  " + list(r.train);
  if (!r.test.empty()) line += "  | test " + list(r.test);
  return fmt::format("{}  {:.2f} s", line, r.seconds);
}

ProgressBar::ProgressBar() : enabled_(is_terminal(STDERR_FILENO)) {}

void ProgressBar::draw(const Progress& progress) {
  if (!enabled_) return;
  auto now = std::chrono::steady_clock::now();
  if (now - last_ < std::chrono::milliseconds(50)) return;
  last_ = now;
  std::string line = progress_line(progress, terminal_columns(STDERR_FILENO));
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
  std::fflush(stderr);
  shown_ = true;
}

void ProgressBar::clear() {
  if (!shown_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace gradc
