#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

// Number of single-character insertions, deletions, replacements and swaps of neighbours between two words
// (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b);

// The candidate closest to a misspelt word, where one is close enough to be worth naming.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates);

// Glob with '*' (any run of characters) and '?' (one character), over the whole of text.
bool glob_match(std::string_view pattern, std::string_view text);

// The shortest decimal that reads back as the same double ("0.1", "1e-08", "-inf", "nan").
std::string shortest(double value);

// "12 B", "3.4 KiB", "1.2 GiB".
std::string human_bytes(double bytes);

}  // namespace gradc
