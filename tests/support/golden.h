#pragma once

#include <string>

namespace gradc::test {

// The repository's root, and a file below it as text (a test failure where it can't be read).
std::string source_path(const std::string& relative);
std::string read_text(const std::string& relative);

// Compares a text with a file below the repository's root; the message shows the first line that differs.
// With --update on the command line of the tests, or GRADC_UPDATE=1 in the environment (for ctest), the file is written instead.
void check_golden(const std::string& relative, const std::string& actual);
void update_golden_files();

}  // namespace gradc::test
