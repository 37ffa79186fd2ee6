#include "compiler/codegen/sum_order.h"

#include <algorithm>

#include "compiler/codegen/contraction_plan.h"
#include "compiler/codegen/contraction_window_plan.h"
#include "compiler/codegen/rounding.h"

namespace gradc {
namespace {

SumOrder order_of(const WindowPlan& p) {
  return {.lanes = p.lanes, .terms = p.piece_terms, .windows = true, .sums_places = p.windows.sums_places, .piece_axis = p.piece.axis, .piece_length = p.piece.length};
}

// By column, for tiles of so many rows.
std::vector<std::pair<int64_t, int>> copies_by_column(const ContractionPlan& p, int64_t rows) {
  std::vector<std::pair<int64_t, int>> out;
  for (int64_t block = 0; block < p.N; block += p.block_n) {
    const int64_t end = std::min(p.N, block + p.block_n);
    for (int64_t from = block; from < end; from += p.nr) {
      const int64_t to = std::min(end, from + p.nr);
      const int copies = sum_copies(rows, ceil_div(to - from, p.lanes));
      if (out.empty() || out.back().second != copies) out.emplace_back(to, copies);
      out.back().first = to;
    }
  }
  return out;
}

std::optional<SumOrder> order_of(const ContractionPlan& p) {
  SumOrder o{.lanes = p.lanes, .terms = p.kc, .swapped = p.swapped, .dot = p.dot, .vector_k = p.vector_k, .vector_m = p.vector_m, .vector_n = p.vector_n};
  if (p.dot) return o;
  const std::set<int64_t> heights = tile_heights(p);
  if (heights.empty()) return {};
  o.copies = copies_by_column(p, *heights.begin());
  for (int64_t rows : heights) {
    if (copies_by_column(p, rows) != o.copies) return {};
  }
  return o;
}

// Adds what is not the contraction's own tiling and keeps its bits.
void consider(std::vector<Tiling>& out, const Contraction& c, const Tiling& t, const Target& target) {
  if (t == tiling_of(c) || std::find(out.begin(), out.end(), t) != out.end() || !retiled(c, t, target)) return;
  out.push_back(t);
}

}  // namespace

std::optional<SumOrder> sum_order(const Contraction& contraction, const Target& target) {
  if (!is_float(contraction.element)) return {};
  if (auto windows = plan_windows(contraction, target)) return order_of(*windows);
  return order_of(plan(contraction, target));
}

Tiling tiling_of(const Contraction& c) { return {c.mr, c.nr, c.block_m, c.block_n}; }

std::optional<Contraction> retiled(const Contraction& c, const Tiling& t, const Target& target) {
  // Read from a file, a tiling may be anything.
  constexpr int64_t tallest = 1024, longest = int64_t{1} << 40;
  if (std::min({t.mr, t.nr, t.block_m, t.block_n}) < 1 || std::max(t.mr, t.nr) > tallest || std::max(t.block_m, t.block_n) > longest) return {};
  if (c.panels > 0 && (c.panels % t.nr != 0 || t.block_n % c.panels != 0)) return {};
  const auto order = sum_order(c, target);
  if (!order) return {};
  Contraction other = c;
  other.mr = t.mr, other.nr = t.nr, other.block_m = t.block_m, other.block_n = t.block_n;
  if (sum_order(other, target) != order) return {};
  return other;
}

std::vector<Tiling> register_tilings(const Contraction& c, const Target& target) {
  const int64_t lanes = target.vector_bytes / static_cast<int64_t>(byte_size(c.element)), registers = target.vector_registers;
  const int64_t columns = ceil_div(std::max<int64_t>(extent(c, DimRole::N), 1), lanes);
  std::vector<Tiling> out;
  // One row of the right operand and a broadcast beside the sums.
  for (int64_t vectors = 1; vectors <= std::min(columns, registers / 4); ++vectors) {
    const int64_t most = (registers - vectors - 1) / vectors;
    for (int64_t rows : {most, most * 3 / 4, most / 2, c.mr}) {
      // Fewer sums than half of the registers keep the multiply-adds waiting for loads.
      if (rows < 1 || rows > most || 2 * rows * vectors < registers) continue;
      consider(out, c, {rows, vectors * lanes, c.block_m, round_up(c.block_n, vectors * lanes)}, target);
    }
  }
  return out;
}

std::vector<Tiling> block_tilings(const Contraction& c, const Target& target) {
  const int64_t m = std::max<int64_t>(extent(c, DimRole::M), 1), n = std::max<int64_t>(extent(c, DimRole::N), 1);
  const int64_t rows = std::min(c.block_m, m), columns = std::min(c.block_n, round_up(n, c.nr)), unit = std::max(c.nr, c.panels);
  std::vector<Tiling> out;
  auto add = [&](int64_t r, int64_t w) {
    // Whole tiles; blocks so small that handing them out costs as much as they do are not worth a try.
    const Tiling t{c.mr, c.nr, r >= m ? m : round_up(r, c.mr), w >= n ? round_up(n, unit) : round_up(w, unit)};
    if (t.block_m * t.block_n * extent(c, DimRole::K) >= (1 << 18)) consider(out, c, t, target);
  };
  for (int64_t w : {ceil_div(columns, 4), ceil_div(columns, 2), columns, 2 * columns, n}) add(rows, w);
  for (int64_t r : {ceil_div(rows, 4), ceil_div(rows, 2), 2 * rows, m}) add(r, columns);
  return out;
}

}  // namespace gradc
