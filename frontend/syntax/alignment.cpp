#include "frontend/syntax/alignment.h"

#include <algorithm>
#include <map>
#include <vector>

namespace gradc::ast {
namespace {

// A run of characters without a gap; a string counts as one, and so does a comment with all of its text.
struct Piece {
  size_t column;
  std::string_view text;
};

size_t piece_end(std::string_view line, size_t at) {
  if (line[at] == '#') return line.size();
  for (bool quoted = false; at < line.size(); ++at) {
    if (quoted && line[at] == '\\') ++at;
    else if (line[at] == '"') quoted = !quoted;
    else if (!quoted && line[at] == ' ') break;
  }
  return std::min(at, line.size());
}

std::vector<Piece> pieces_of(std::string_view line) {
  std::vector<Piece> pieces;
  for (size_t at = line.find_first_not_of(' '); at < line.size(); at = line.find_first_not_of(' ', at)) {
    size_t end = piece_end(line, at);
    pieces.push_back({at, line.substr(at, end - at)});
    at = end;
  }
  return pieces;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    line.remove_suffix(line.size() - (line.find_last_not_of(" \t\r") + 1));
    lines.push_back(line);
    at = end + 1;
  }
  return lines;
}

// The pieces alone, a space between two: what two lines have in common that differ in their gaps only.
std::string key_of(std::string_view line) {
  std::string key;
  for (const Piece& p : pieces_of(line)) {
    if (!key.empty()) key += ' ';
    key += p.text;
  }
  return key;
}

bool wide(const std::vector<Piece>& pieces, size_t i) {
  return i > 0 && pieces[i].column - (pieces[i - 1].column + pieces[i - 1].text.size()) > 1;
}

// Whether the source's line aligns at least what the layout aligns.
bool aligns_as_much(const std::vector<Piece>& source, const std::vector<Piece>& layout) {
  for (size_t i = 0; i < layout.size(); ++i) {
    if (wide(layout, i) && source[i].column < layout[i].column) return false;
  }
  return true;
}

bool starts_at(std::string_view line, size_t column) {
  return column > 0 && column < line.size() && line[column] != ' ' && line[column - 1] == ' ';
}

}  // namespace

std::string keep_alignment(std::string_view canonical, std::string_view source, size_t line_limit) {
  const std::vector<std::string_view> layout = lines_of(canonical), written = lines_of(source);
  std::map<std::string, std::vector<size_t>> places;
  for (size_t i = 0; i < written.size(); ++i) places[key_of(written[i])].push_back(i);

  std::vector<std::string> lines(layout.begin(), layout.end());
  for (size_t i = 0, next = 0; i < layout.size(); ++i) {
    auto found = places.find(key_of(layout[i]));
    if (layout[i].empty() || found == places.end()) continue;
    auto place = std::lower_bound(found->second.begin(), found->second.end(), next);
    if (place == found->second.end()) continue;
    next = *place + 1;
    std::vector<Piece> mine = pieces_of(layout[i]), theirs = pieces_of(written[*place]);
    if (written[*place].find('\t') != std::string_view::npos || mine.size() != theirs.size()) continue;
    std::string line = std::string(mine[0].column, ' ') + std::string(written[*place].substr(theirs[0].column));
    if (line.size() <= line_limit && aligns_as_much(pieces_of(line), mine)) lines[i] = std::move(line);
  }

  // A line that falls back to the layout may take its neighbour's reason away, so until nothing changes.
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < lines.size(); ++i) {
      if (lines[i] == layout[i]) continue;
      std::vector<Piece> pieces = pieces_of(lines[i]);
      bool reasoned = true;
      for (size_t k = 1; k < pieces.size() && reasoned; ++k) {
        if (!wide(pieces, k)) continue;
        reasoned = (i > 0 && starts_at(lines[i - 1], pieces[k].column)) || (i + 1 < lines.size() && starts_at(lines[i + 1], pieces[k].column));
      }
      if (reasoned) continue;
      lines[i] = layout[i];
      changed = true;
    }
  }
  std::string out;
  for (const std::string& line : lines) out += line + '\n';
  return out;
}

}  // namespace gradc::ast
