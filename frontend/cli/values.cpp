#include "frontend/cli/values.h"

#include <cmath>
#include <cstdio>

#include <fmt/format.h>

#include "compiler/support/text.h"

namespace gradc::cli {
namespace {

// Up to this many elements are printed in full.
constexpr int64_t printed_elements = 64;

std::string elements(const Array& a, size_t axis, int64_t& at) {
  if (axis == a.shape.size()) return a.element == Element::Bool ? (a.at(at++) != 0 ? "true" : "false") : shortest(a.at(at++));
  std::string out = "[";
  for (int64_t i = 0; i < a.shape[axis]; ++i) out += (i ? ", " : "") + elements(a, axis + 1, at);
  return out + "]";
}

std::string summary(const Array& a) {
  double sum = 0, squares = 0, low = INFINITY, high = -INFINITY;
  for (int64_t i = 0; i < a.count(); ++i) {
    double v = a.at(i);
    sum += v, squares += v * v, low = std::min(low, v), high = std::max(high, v);
  }
  return fmt::format("mean {:.6g}, norm {:.6g}, from {:.6g} to {:.6g}", sum / static_cast<double>(a.count()), std::sqrt(squares), low, high);
}

}  // namespace

void print_text(const std::string& name, const Array& a) {
  std::string type = fmt::format("{}{}", gradc::name(a.element), shape_text(a.shape));
  int64_t at = 0;
  if (a.shape.empty()) fmt::print("{} = {}\n", name, elements(a, 0, at));
  else if (a.count() <= printed_elements) fmt::print("{} : {} = {}\n", name, type, elements(a, 0, at));
  else fmt::print("{} : {}, {}\n", name, type, summary(a));
}

nlohmann::ordered_json scalar_json(const Array& a) {
  if (a.element == Element::Bool) return a.at(0) != 0;
  if (a.element == Element::Int) return a.as<int64_t>()[0];
  return a.at(0);
}

}  // namespace gradc::cli
