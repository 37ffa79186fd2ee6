#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/support/diagnostics.h"
#include "runtime/array.h"

namespace gradc {

// A table of finite numbers.
struct Table {
  Array values;                       // f64[rows, columns]
  std::vector<std::string> columns;   // names of the header line; empty without one
  std::vector<int64_t> lines;         // the line of the file (from 1) of each row, for messages
};

struct CsvOptions {
  std::optional<bool> header;  // unset: the first line is a header where none of its fields is a number
  char separator = ',';
};

// RFC 4180 with quoted fields; blank lines are passed over, a byte-order mark is dropped. Reports, with line and column, every
// field that is no finite number and every row of another width than the first; gives up after ten.
std::optional<Table> parse_csv(std::string_view text, const std::string& place, const CsvOptions& options, Diagnostics& diagnostics);

}  // namespace gradc
