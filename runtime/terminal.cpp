#include "runtime/terminal.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>
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

// left [####----] right, or without the bar where there is no room for one.
std::string with_bar(const std::string& left, double share, const std::vector<std::string>& right, int columns) {
  std::string ends;
  for (const std::string& r : right) ends += "  " + r;
  const int room = columns - 1 - static_cast<int>(left.size() + ends.size()) - 4;
  if (room >= 4) {
    const int width = std::min(room, 32), done = static_cast<int>(width * std::clamp(share, 0.0, 1.0));
    return left + "  [" + std::string(static_cast<size_t>(done), '#') + std::string(static_cast<size_t>(width - done), '-') + "]" + ends;
  }
  const auto most = static_cast<size_t>(std::max(0, columns - 1));
  std::string line = left;
  for (const std::string& r : right) {
    if (line.size() + 2 + r.size() > most) break;
    line += "  " + r;
  }
  return line.substr(0, most);
}

}  // namespace

bool is_terminal(int fd) { return isatty(fd) == 1; }

bool wants_color(int fd) {
  const char *no_color = std::getenv("NO_COLOR"), *term = std::getenv("TERM");
  return is_terminal(fd) && !(no_color && *no_color) && !(term && std::string_view(term) == "dumb");
}

int terminal_columns(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  const int said = columns ? std::atoi(columns) : 0;
  return said > 0 ? said : 80;
}

int line_limit(int fd) { return is_terminal(fd) ? terminal_columns(fd) : 0; }

std::string folded(std::string_view text, int limit, int indent) {
  std::string out, line;
  size_t at = 0;
  while (at < text.size()) {
    const size_t word = std::min(text.find_first_not_of(' ', at), text.size()), end = std::min(text.find(' ', word), text.size());
    const std::string_view next = text.substr(at, end - at);  // with the spaces before it
    if (limit > 0 && static_cast<int>(line.size() + next.size()) > limit && line.find_first_not_of(' ') != std::string::npos) {
      out += line + "\n";
      line = std::string(static_cast<size_t>(indent), ' ');
      at = word;
      continue;
    }
    line += next;
    at = end;
  }
  return out + line;
}

std::string progress_line(const Progress& p, int columns) {
  const double share = p.steps > 0 ? static_cast<double>(p.step) / static_cast<double>(p.steps) : 0;
  return with_bar(counter("epoch", p.epoch, p.epochs), share,
                  {fmt::format("{}/{}", p.step, p.steps), fmt::format("loss {:.4g}", p.loss), counted(p.rows_per_second) + " rows/s"}, columns);
}

std::string task_line(std::string_view what, double done, double all, std::string_view amount, int columns) {
  return with_bar(std::string(what), all > 0 ? done / all : 1, {std::string(amount)}, columns);
}

std::string epoch_line(const EpochReport& r, int64_t epochs, int64_t steps, int limit) {
  auto list = [](const Metrics& metrics, int width, int digits = 4) {
    std::string out;
    for (const auto& [name, value] : metrics) out += fmt::format("{}{} {:<{}}", out.empty() ? "" : "  ", name, fmt::format("{:.{}g}", value, digits), width);
    return out.substr(0, out.find_last_not_of(' ') + 1);
  };
  const std::string head = epochs == 0 && steps > 0 ? counter("step", r.step, steps) : counter("epoch", r.epoch, epochs);
  auto line = [&](int width, int digits) {
    return fmt::format("{}  {}{}  {:.2f} s", head, list(r.train, width, digits), r.test.empty() ? "" : "  | test " + list(r.test, width, digits), r.seconds);
  };
  auto fits = [&](const std::string& s) { return limit <= 0 || static_cast<int>(s.size()) <= limit; };
  for (auto [width, digits] : {std::pair{7, 4}, {0, 4}, {0, 3}}) {
    if (std::string whole = line(width, digits); fits(whole)) return whole;
  }
  std::string parts = folded(head + "  " + list(r.train, 0), limit, 2);
  if (!r.test.empty()) parts += "\n" + folded("  test " + list(r.test, 0), limit, 2);
  const std::string time = fmt::format("  {:.2f} s", r.seconds);
  const size_t last = parts.size() - (parts.rfind('\n') + 1);
  return parts + (fits(std::string(last, ' ') + time) ? "" : "\n") + time;
}

StatusLine::StatusLine(bool wanted) : enabled_(wanted && is_terminal(STDERR_FILENO)) {}

bool StatusLine::due() const { return enabled_ && std::chrono::steady_clock::now() - last_ >= std::chrono::milliseconds(50); }

int StatusLine::columns() { return terminal_columns(STDERR_FILENO); }

void StatusLine::show(const std::string& line) {
  if (!enabled_) return;
  last_ = std::chrono::steady_clock::now();
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
  std::fflush(stderr);
  shown_ = true;
}

void StatusLine::clear() {
  if (!shown_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace gradc
