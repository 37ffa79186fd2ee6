#include "frontend/cli/starts.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "frontend/cli/distribution.h"

extern char** environ;

namespace gradc::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int most_repeats = 5;
constexpr double enough_ms = 1000;  // of cold starts; slow ones repeat less

double since(Clock::time_point begin) { return std::chrono::duration<double, std::milli>(Clock::now() - begin).count(); }

// A folder that is gone with the object.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gradc-start-XXXXXX").string();
    if (mkdtemp(pattern.data())) path_ = pattern;
  }
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The arguments of this process, as the system keeps them.
std::vector<std::string> own_arguments() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::string all((std::istreambuf_iterator<char>(in)), {});
  std::vector<std::string> arguments;
  for (size_t at = 0; at < all.size(); at = all.find('\0', at) + 1) arguments.emplace_back(all.c_str() + at);
  return arguments;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& s : strings) out.push_back(s.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> environment_with_cache(const std::string& cache) {
  std::vector<std::string> out = {"GRADC_CACHE=" + cache};
  for (char** e = environ; *e; ++e) {
    if (std::string_view(*e).rfind("GRADC_CACHE=", 0) != 0) out.emplace_back(*e);
  }
  return out;
}

// One start; negative where it fails.
double start(const std::string& cache) {
  std::vector<std::string> arguments = own_arguments(), environment = environment_with_cache(cache);
  arguments.emplace_back("--until-first-step");
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const Clock::time_point begin = Clock::now();
  const bool spawned = posix_spawn(&child, "/proc/self/exe", &actions, nullptr, pointers(arguments).data(), pointers(environment).data()) == 0;
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  char byte = 0;
  const bool told = spawned && read(ends[0], &byte, 1) == 1;
  const double ms = since(begin);
  close(ends[0]);
  int status = 0;
  if (spawned) waitpid(child, &status, 0);
  return told && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? ms : -1;
}

}  // namespace

std::optional<Starts> measure_starts() {
  std::vector<double> cold, warm;
  const Clock::time_point begin = Clock::now();
  while (cold.empty() || (static_cast<int>(cold.size()) < most_repeats && since(begin) < enough_ms)) {
    Scratch cache;
    if (cache.path().empty()) return {};
    for (std::vector<double>* kind : {&cold, &warm}) {
      double ms = start(cache.path());
      if (ms < 0) return {};
      kind->push_back(ms);
    }
  }
  return Starts{distribution(cold).median, distribution(warm).median};
}

void end_after_first_step() {
  const char byte = '\n';
  _exit(write(STDOUT_FILENO, &byte, 1) == 1 ? 0 : 1);
}

}  // namespace gradc::cli
