#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

// Looking at assembly as LLVM prints it.
namespace gradc::test {

using Lines = std::vector<std::string>;

struct AssemblyLoop {
  std::string function;
  Lines lines;  // from the label to the jump back
  bool framed;  // the function keeps its frame in rbp, which is a register like others elsewhere
};

// The innermost loops: the lines from a label to the last jump back to it, without a smaller loop inside.
inline std::vector<AssemblyLoop> innermost_loops(const std::string& text) {
  std::vector<AssemblyLoop> loops;
  Lines lines;
  std::map<std::string, size_t> labels;
  std::string function;
  bool framed = false;
  size_t last_loop_begin = 0, last_loop_end = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line); lines.push_back(line)) {
    const size_t colon = line.rfind(':');
    if (!line.empty() && line[0] != '\t' && line[0] != '.' && line[0] != '#' && colon != std::string::npos) function = line.substr(0, colon), framed = false;
    framed |= line == "\tmovq\t%rsp, %rbp";
    if (line.starts_with(".L")) labels[line.substr(0, line.find(':'))] = lines.size();
    const size_t target = line.find(".L");
    if (!line.starts_with("\tj") || target == std::string::npos) continue;
    const auto label = labels.find(line.substr(target));
    const bool again = !loops.empty() && label != labels.end() && label->second == last_loop_begin;  // a loop with a way round something
    if (again) loops.pop_back();
    if (label == labels.end() || (label->second < last_loop_end && !again)) continue;
    loops.push_back({function, {lines.begin() + static_cast<std::ptrdiff_t>(label->second), lines.end()}, framed});
    last_loop_begin = label->second;
    last_loop_end = lines.size();
  }
  return loops;
}

inline size_t count(const Lines& lines, const std::string& what) {
  return static_cast<size_t>(std::count_if(lines.begin(), lines.end(), [&](const std::string& l) { return l.find(what) != std::string::npos; }));
}

// Registers that the loop's multiply-adds add to.
inline std::set<std::string> sums_of(const Lines& lines) {
  std::set<std::string> sums;
  for (const std::string& l : lines)
    if (l.find("\tvfmadd") != std::string::npos) sums.insert(l.substr(l.rfind('%')));
  return sums;
}

inline size_t stack_accesses(const AssemblyLoop& loop) { return count(loop.lines, "%rsp") + (loop.framed ? count(loop.lines, "%rbp") : 0); }

// A sum that is stored and loaded again for each step costs more than its multiply-add, and so does an address in a loop of one step. What a
// break reads of its addresses may be in memory: next to sixty-four multiply-adds and more that is nothing.
inline bool keeps_registers(const AssemblyLoop& loop) {
  if (loop.function.find(".breaks") == std::string::npos) return stack_accesses(loop) == 0;
  for (const std::string& l : loop.lines) {
    const bool vector = l.find("%xmm") != std::string::npos || l.find("%ymm") != std::string::npos || l.find("%zmm") != std::string::npos;
    if (vector && (l.find("(%rsp") != std::string::npos || (loop.framed && l.find("(%rbp") != std::string::npos))) return false;
  }
  return stack_accesses(loop) * 8 <= count(loop.lines, "\tvfmadd");
}

}  // namespace gradc::test
