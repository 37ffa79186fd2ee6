#include "runtime/batches.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "compiler/support/error.h"
#include "compiler/support/philox.h"

namespace gradc {
namespace {

// Epochs count from 1, so epoch 0 is free for the split into training and test rows.
constexpr uint32_t split_epoch = 0, shuffle_site = 0x53485546;

size_t row_bytes(const Array& a) { return a.shape[0] == 0 ? 0 : a.bytes.size() / static_cast<size_t>(a.shape[0]); }

Dataset rows_of(const Dataset& data, const std::vector<int64_t>& order, int64_t begin, int64_t end) {
  Dataset out{{}, data.whole, end - begin};
  for (const auto& [name, from] : data.rowwise) {
    std::vector<int64_t> shape = from.shape;
    shape[0] = end - begin;
    Array to = Array::zeros(from.element, shape);
    size_t width = row_bytes(from);
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(to.bytes.data() + static_cast<size_t>(i - begin) * width, from.bytes.data() + static_cast<size_t>(order[static_cast<size_t>(i)]) * width, width);
    }
    out.rowwise.emplace(name, std::move(to));
  }
  return out;
}

}  // namespace

std::vector<int64_t> permutation(int64_t n, uint64_t seed, uint32_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = n - 1; i > 0; --i) {
    auto u = static_cast<uint64_t>(i);
    auto bits = philox4x32({static_cast<uint32_t>(u), static_cast<uint32_t>(u >> 32), shuffle_site, epoch},
                           {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
    // 64 random bits times a range below 2^40 leaves a bias below 2^-24: no test can see it.
    __extension__ using wide = unsigned __int128;
    auto draw = static_cast<uint64_t>((wide{uint64_t{bits[0]} << 32 | bits[1]} * (u + 1)) >> 64);
    std::swap(order[static_cast<size_t>(i)], order[draw]);
  }
  return order;
}

std::pair<Dataset, Dataset> split(const Dataset& data, double share, uint64_t seed) {
  auto held_out = static_cast<int64_t>(std::llround(share * static_cast<double>(data.rows)));
  std::vector<int64_t> order = permutation(data.rows, seed, split_epoch);
  int64_t cut = data.rows - held_out;
  return {rows_of(data, order, 0, cut), rows_of(data, order, cut, data.rows)};
}

void load_batch(const Dataset& data, const std::vector<int64_t>& order, int64_t begin, int64_t count, StepRunner& step) {
  for (const auto& [name, from] : data.rowwise) {
    if (!step.has(name)) continue;  // an input that this graph does not need
    const StepBuffer& buffer = step.buffer(name);
    GRADC_ASSERT(buffer.element == from.element && !buffer.shape.empty() && buffer.shape[0] == count, "batch of '{}'", name);
    size_t width = row_bytes(from);
    std::byte* to = step.data(name);
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(to + static_cast<size_t>(i) * width, from.bytes.data() + static_cast<size_t>(order[static_cast<size_t>(begin + i)]) * width, width);
    }
  }
}

void load_whole(const Dataset& data, StepRunner& step) {
  for (const auto& [name, array] : data.whole) {
    if (step.has(name)) step.set(name, array);
  }
}

}  // namespace gradc
