#pragma once

#include <string>
#include <vector>

namespace gradc::test {

struct ProcessResult {
  int code = 0;          // exit code, or 128 + signal
  std::string out, err;
};

// Runs a program without a terminal and without input; `directory` is where it runs.
ProcessResult run_process(const std::vector<std::string>& command, const std::string& directory = ".");
// The same in a terminal of that width: `out` is all that a person would see go by, control characters included.
ProcessResult run_in_terminal(const std::vector<std::string>& command, int columns, const std::string& directory = ".");

// The tool under test, with `arguments`, run in a fresh folder that is removed afterwards; its own cache folder keeps tests apart.
class Workplace {
 public:
  Workplace();
  ~Workplace();
  ProcessResult gradc(const std::vector<std::string>& arguments) const;
  ProcessResult gradc_in_terminal(const std::vector<std::string>& arguments, int columns) const;
  // Run by another program: `tool` is its command line without what it shall run.
  ProcessResult gradc_under(std::vector<std::string> tool, const std::vector<std::string>& arguments) const;
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& name, const std::string& content) const;
  std::string read(const std::string& name) const;

 private:
  std::vector<std::string> command(const std::vector<std::string>& arguments) const;

  std::string folder_;
};

// A file of the repository.
std::string source(const std::string& relative);

}  // namespace gradc::test
