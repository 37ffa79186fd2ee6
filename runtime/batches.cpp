#include "runtime/batches.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "compiler/support/error.h"
#include "compiler/support/philox.h"

namespace gradc {
namespace {

// Epochs count from 1, so epoch 0 is free for the split into training and test rows.
constexpr uint32_t split_epoch = 0, shuffle_site = 0x53485546, shift_site = 0x57494E44;

// Uniform in 0..limit. 64 random bits times a range below 2^40 leave a bias below 2^-24: no test can see it.
uint64_t draw_up_to(uint64_t limit, uint64_t index, uint32_t site, uint64_t seed, uint32_t epoch) {
  auto bits = philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), site, epoch},
                         {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  __extension__ using wide = unsigned __int128;
  return static_cast<uint64_t>((wide{uint64_t{bits[0]} << 32 | bits[1]} * (limit + 1)) >> 64);
}

int64_t count_of(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (int64_t s : shape) n *= s;
  return n;
}

void gather(const Dataset& data, const std::string& name, const RowField& field, const Batch& batch, StepRunner& step) {
  if (!step.has(name)) return;  // an input that this graph does not need
  const StepBuffer& buffer = step.buffer(name);
  const int64_t width = count_of(field.shape);
  GRADC_ASSERT(buffer.element == field.element && count_of(buffer.shape) == width * batch.count, "batch of '{}'", name);
  std::byte* to = step.data(name);
  const size_t bytes = static_cast<size_t>(width) * byte_size(field.element);
  for (int64_t i = 0; i < batch.count; ++i) {
    int64_t row = data.picked.empty() ? batch.rows[i] : data.picked[static_cast<size_t>(batch.rows[i])];
    field.column->read(field.first + row * field.stride + batch.shift, width, field.element, to + static_cast<size_t>(i) * bytes);
  }
}

}  // namespace

RowField rows_of(Array array) {
  GRADC_ASSERT(!array.shape.empty(), "rows of a number");
  RowField field;
  field.shape.assign(array.shape.begin() + 1, array.shape.end());
  field.stride = count_of(field.shape);
  field.element = array.element;
  field.column = std::make_shared<const Column>(to_column(array));
  return field;
}

Dataset windows(std::shared_ptr<const Column> text, int64_t begin, int64_t end, int64_t length, bool sliding) {
  Dataset data;
  const int64_t usable = end - begin - 1;  // the last element only follows another
  data.rows = std::max<int64_t>(0, usable) / length;
  if (sliding && data.rows > 0) {
    // Sliding costs at most one window; a text of one window slides as far as it can.
    data.rows = std::max<int64_t>(1, (usable - (length - 1)) / length);
    data.slack = std::min(length - 1, usable - data.rows * length);
  }
  data.raw.emplace("bytes", RowField{text, begin, length, {length}, Element::Int});
  data.raw.emplace("shifted", RowField{text, begin + 1, length, {length}, Element::Int});
  return data;
}

std::vector<int64_t> permutation(int64_t n, uint64_t seed, uint32_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = n - 1; i > 0; --i) {
    auto u = static_cast<uint64_t>(i);
    std::swap(order[static_cast<size_t>(i)], order[draw_up_to(u, u, shuffle_site, seed, epoch)]);
  }
  return order;
}

int64_t window_shift(int64_t slack, uint64_t seed, uint32_t epoch) {
  return slack > 0 ? static_cast<int64_t>(draw_up_to(static_cast<uint64_t>(slack), 0, shift_site, seed, epoch)) : 0;
}

std::pair<Dataset, Dataset> split(const Dataset& data, double share, uint64_t seed) {
  GRADC_ASSERT(data.picked.empty(), "a split of a split");
  auto held_out = static_cast<int64_t>(std::llround(share * static_cast<double>(data.rows)));
  std::vector<int64_t> order = permutation(data.rows, seed, split_epoch);
  auto part = [&](int64_t begin, int64_t end) {
    Dataset out = data;  // fields share their columns
    out.rows = end - begin;
    out.picked.assign(order.begin() + begin, order.begin() + end);
    return out;
  };
  int64_t cut = data.rows - held_out;
  return {part(0, cut), part(cut, data.rows)};
}

void load_batch(const Feed& feed, const Batch& batch, StepRunner& step) {
  const Dataset& data = feed.data;
  for (const auto& [name, field] : data.inputs) gather(data, name, field, batch, step);
  for (const auto& [name, array] : data.whole) {
    if (step.has(name)) step.set(name, array);
  }
  StepRunner* transform = feed.transform ? feed.transform(batch.count) : nullptr;
  if (!transform) return;
  for (const auto& [name, field] : data.raw) gather(data, name, field, batch, *transform);
  transform->run(batch.step, batch.seed);
  for (const StepBuffer& made : transform->plan().buffers) {
    if (made.kind != StepBuffer::Output || !step.has(made.name)) continue;
    const StepBuffer& wanted = step.buffer(made.name);
    GRADC_ASSERT(wanted.element == made.element && wanted.shape == made.shape, "batch of '{}'", made.name);
    std::memcpy(step.data(made.name), transform->data(made.name), static_cast<size_t>(count_of(made.shape)) * byte_size(made.element));
  }
}

}  // namespace gradc
