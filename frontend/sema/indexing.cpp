// x[...] outside index notation: elements, slices and rows.
#include "frontend/sema/elaborator.h"

namespace gradc::sema {
namespace {

int64_t wrap_index(int64_t i, int64_t size) { return i < 0 ? i + size : i; }

}  // namespace

Value Elaborator::index(const ast::Index& e, const ast::Expr& at) {
  if (auto path = ast::path_of(at)) {
    if (auto v = find_path(*path)) return *v;
  }
  Value base = evaluate(*e.base);
  if (const ListValue* list = base.list(); list && e.items.size() == 1) {
    int64_t size = static_cast<int64_t>(list->items.size());
    int64_t i = wrap_index(integer_of(evaluate(*e.items[0]), e.items[0]->span, "an index"), size);
    if (i >= 0 && i < size) return list->items[static_cast<size_t>(i)];
    report(DiagnosticKind::SliceOutOfRange, e.items[0]->span, quote(e.items[0]->span), quote(e.base->span), size);
    abort();
  }
  At here(*this, at.span);
  Expr x = expr(base, e.base->span);
  if (e.items.size() > x.rank()) {
    note_origin(report(DiagnosticKind::TooManyIndices, at.span, quote(e.base->span), to_string(x.type()), e.items.size()), base, e.base->span);
    abort();
  }
  std::vector<int64_t> starts(x.rank(), 0), limits = x.sizes(), sizes;
  std::vector<Dim> dims;
  for (size_t i = 0; i < x.rank(); ++i) {
    int64_t size = x.size(i);
    const ast::Expr* item = i < e.items.size() ? e.items[i].get() : nullptr;
    auto* range = item ? ast::strip(*item).as<ast::Range>() : nullptr;
    if (range) {
      if (range->from) starts[i] = wrap_index(integer_of(evaluate(*range->from), range->from->span, "the start of a slice"), size);
      if (range->to) limits[i] = wrap_index(integer_of(evaluate(*range->to), range->to->span, "the end of a slice"), size);
    } else if (item) {
      Value v = evaluate(*item);
      if (v.as<TensorRef>() && e.items.size() == 1) {
        Expr picked = expr(v, item->span);
        if (picked.element() != Element::Int) {
          report(DiagnosticKind::IndexNotInt, item->span, quote(item->span), to_string(picked.type()));
          abort();
        }
        limit_index(v, size, fmt::format("the {} rows of '{}'", size, quote(e.base->span)), at.span);
        return wrap(gather(x, picked, 0));
      }
      starts[i] = wrap_index(integer_of(v, item->span, "an index"), size);
      limits[i] = starts[i] + 1;
    }
    if (starts[i] < 0 || limits[i] > size || starts[i] > limits[i] || (item && !range && starts[i] >= size)) {
      report(DiagnosticKind::SliceOutOfRange, item->span, quote(item->span), quote(e.base->span), size);
      abort();
    }
    if (item && !range) continue;
    Dim d = x.type().dims[i];
    if (limits[i] - starts[i] != d.size) d = {limits[i] - starts[i], {}};
    dims.push_back(d);
    sizes.push_back(d.size);
  }
  check_size(dims, at.span);
  return wrap(with_dims(reshape(slice(x, starts, limits), sizes), dims));
}

}  // namespace gradc::sema
