#include "tests/support/callgrind.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace gradc::test {
namespace {

// "12,343,689 ( 4.17%)  ???:0x578f000 [???]" begins with a number.
int64_t leading_number(const std::string& line) {
  std::string digits;
  for (char c : line) {
    if (c >= '0' && c <= '9') digits += c;
    if (c == '(') break;
  }
  return digits.empty() ? 0 : std::stoll(digits);
}

}  // namespace

Instructions count_instructions(const Workplace& place, const std::vector<std::string>& arguments) {
  const std::string counts = place.path("callgrind.out");
  const ProcessResult run = place.gradc_under({"valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=" + counts}, arguments);
  if (run.code == 127) throw std::runtime_error("valgrind is not there: sh tests/dependencies.sh test");
  if (run.code != 0) throw std::runtime_error("under valgrind: " + run.err);
  const ProcessResult table = run_process({"callgrind_annotate", "--threshold=100", "--auto=no", counts});
  if (table.code != 0) throw std::runtime_error("callgrind_annotate: " + table.err);
  Instructions found;
  std::istringstream lines(table.out);
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with("PROGRAM TOTALS")) found.all = leading_number(line);
    if (line.ends_with("[???]")) found.generated += leading_number(line);
  }
  return found;
}

}  // namespace gradc::test
