#pragma once

#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <vector>

// Looking at assembly as LLVM prints it.
namespace gradc::test {

using Lines = std::vector<std::string>;

struct AssemblyLoop {
  std::string function;
  Lines lines;  // from the label to the jump back
};

// The innermost loops: the lines from a label to a later jump back to it, without a smaller loop inside.
inline std::vector<AssemblyLoop> innermost_loops(const std::string& text) {
  std::vector<AssemblyLoop> loops;
  Lines lines;
  std::map<std::string, size_t> labels;
  std::string function;
  size_t last_loop_end = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line); lines.push_back(line)) {
    const size_t colon = line.rfind(':');
    if (!line.empty() && line[0] != '\t' && line[0] != '.' && line[0] != '#' && colon != std::string::npos) function = line.substr(0, colon);
    if (line.starts_with(".L")) labels[line.substr(0, line.find(':'))] = lines.size();
    const size_t target = line.find(".L");
    if (!line.starts_with("\tj") || target == std::string::npos) continue;
    const auto label = labels.find(line.substr(target));
    if (label == labels.end() || label->second < last_loop_end) continue;
    loops.push_back({function, {lines.begin() + static_cast<std::ptrdiff_t>(label->second), lines.end()}});
    last_loop_end = lines.size();
  }
  return loops;
}

inline size_t count(const Lines& lines, const std::string& what) {
  return static_cast<size_t>(std::count_if(lines.begin(), lines.end(), [&](const std::string& l) { return l.find(what) != std::string::npos; }));
}

}  // namespace gradc::test
