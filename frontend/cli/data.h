#pragma once

#include "frontend/cli/session.h"
#include "runtime/batches.h"

namespace gradc::cli {

// The rows that a data reader of the train block gives, as the model's inputs.
struct LoadedData {
  Dataset rows;
  std::string place;                 // the file, for messages; empty for inline rows
  std::vector<int64_t> lines;        // of each row in the file; empty where rows have no lines
};

// The name of the dimension that counts rows: the leading dimension of the first input that leaves it open. Empty without one.
Symbol batch_dim(const std::vector<InputInfo>& signature);

// Reads, checks and transforms the data. Reports every fault that it finds and stops.
LoadedData load_data(Session& session, const DataSpec& spec);

// Sizes of the model's free dimensions for these rows (the batch dimension included, as the number of all rows).
std::map<Symbol, int64_t> bind_dims(Session& session, const Dataset& data);

// Every value that is used as an index must be inside: reports the first few rows where one is not, and stops.
void check_indices(Session& session, const LoadedData& data, const std::vector<InputInfo>& inputs);

}  // namespace gradc::cli
