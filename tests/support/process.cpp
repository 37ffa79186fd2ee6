#include "tests/support/process.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <pty.h>
#include <sstream>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>

namespace gradc::test {
namespace {

void child(const std::vector<std::string>& command, const std::string& directory, int out, int err) {
  int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  if (chdir(directory.c_str()) != 0) _exit(126);
  std::vector<char*> argv;
  for (const std::string& a : command) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

void drain(int fds[2], std::string* texts[2]) {
  pollfd polls[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}};
  for (int open_count = 2; open_count > 0;) {
    poll(polls, 2, -1);
    for (int i = 0; i < 2; ++i) {
      if (polls[i].fd < 0 || polls[i].revents == 0) continue;
      char chunk[1 << 14];
      ssize_t n = ::read(polls[i].fd, chunk, sizeof chunk);
      if (n > 0) {
        texts[i]->append(chunk, static_cast<size_t>(n));
      } else {
        close(polls[i].fd);
        polls[i].fd = -1;
        --open_count;
      }
    }
  }
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& command, const std::string& directory) {
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("fork");
  if (pid == 0) child(command, directory, out[1], err[1]);
  close(out[1]);
  close(err[1]);
  ProcessResult result;
  int fds[2] = {out[0], err[0]};
  std::string* texts[2] = {&result.out, &result.err};
  drain(fds, texts);
  int status = 0;
  waitpid(pid, &status, 0);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

ProcessResult run_in_terminal(const std::vector<std::string>& command, int columns, const std::string& directory) {
  winsize size{};
  size.ws_row = 24;
  size.ws_col = static_cast<unsigned short>(columns);
  int terminal = -1;
  const pid_t pid = forkpty(&terminal, nullptr, nullptr, &size);
  if (pid < 0) throw std::runtime_error("forkpty");
  if (pid == 0) child(command, directory, STDOUT_FILENO, STDERR_FILENO);
  ProcessResult result;
  char chunk[1 << 14];
  for (ssize_t n; (n = ::read(terminal, chunk, sizeof chunk)) > 0;) result.out.append(chunk, static_cast<size_t>(n));  // ends with an error where the other side is gone
  close(terminal);
  int status = 0;
  waitpid(pid, &status, 0);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

Workplace::Workplace() {
  std::string pattern = (std::filesystem::temp_directory_path() / "gradc-test-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp");
  folder_ = pattern;
}

Workplace::~Workplace() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::vector<std::string> Workplace::command(const std::vector<std::string>& arguments) const {
  setenv("GRADC_CACHE", (folder_ + "/cache").c_str(), 1);
  std::vector<std::string> all{GRADC_PROGRAM};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

ProcessResult Workplace::gradc(const std::vector<std::string>& arguments) const { return run_process(command(arguments), folder_); }

ProcessResult Workplace::gradc_in_terminal(const std::vector<std::string>& arguments, int columns) const {
  return run_in_terminal(command(arguments), columns, folder_);
}

ProcessResult Workplace::gradc_under(std::vector<std::string> tool, const std::vector<std::string>& arguments) const {
  const std::vector<std::string> rest = command(arguments);
  tool.insert(tool.end(), rest.begin(), rest.end());
  return run_process(tool, folder_);
}

void Workplace::write(const std::string& name, const std::string& content) const {
  std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
  std::ofstream(path(name), std::ios::binary) << content;
}

std::string Workplace::read(const std::string& name) const {
  std::ostringstream text;
  text << std::ifstream(path(name), std::ios::binary).rdbuf();
  return text.str();
}

std::string source(const std::string& relative) { return std::string(GRADC_SOURCE_DIR) + "/" + relative; }

}  // namespace gradc::test
