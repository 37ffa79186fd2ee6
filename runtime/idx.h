#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "compiler/support/diagnostics.h"
#include "runtime/column.h"

namespace gradc {

// IDX, the format of the MNIST data sets (LeCun, Cortes and Burges 1998): two zero bytes, an element type, the number of sizes,
// the sizes as big-endian 32-bit numbers, and exactly as many big-endian elements as they say. The bytes may be packed by gzip.
// The header is never trusted: reports where it is wrong, with the offset and both sizes, and what would take more than `limit` bytes.
std::optional<Column> parse_idx(std::string_view bytes, const std::string& place, uint64_t limit, Diagnostics& diagnostics);

}  // namespace gradc
