// What has a meaning in the block of a data reader: columns of a table, shapes implied by the input that is given.
#include <algorithm>

#include "compiler/support/text.h"
#include "frontend/sema/builtins.h"

namespace gradc::sema {
namespace {

Expr table(const BuiltinCall& c) {
  const Binding* b = c.sema.frame().scope->find("table");
  if (c.sema.frame().kind == Frame::Data && b) return c.sema.expr(b->value, c.span);
  c.sema.report(DiagnosticKind::OnlyInData, c.span, c.builtin.name);
  c.sema.abort();
}

int64_t column_number(const BuiltinCall& c, int64_t columns) {
  if (auto* text = c.value(0).as<std::string>()) {
    const std::vector<std::string>& names = c.sema.columns();
    auto it = std::find(names.begin(), names.end(), *text);
    if (it != names.end()) return it - names.begin();
    Diagnostic& d = c.sema.report(DiagnosticKind::UnknownColumn, c.at(0), *text);
    if (auto near = nearest(*text, names)) d.note(fmt::format("did you mean \"{}\"?", *near));
    else if (names.empty()) d.note("the data has no header line: give the column's number, from 0");
    c.sema.abort();
  }
  int64_t i = c.sema.integer_of(c.value(0), c.at(0), "a column");
  if (i >= 0 && i < columns) return i;
  c.sema.report(DiagnosticKind::ColumnOutOfRange, c.span, c.sema.quote(c.span), columns);
  c.sema.abort();
}

Value columns(const BuiltinCall& c) {
  Expr t = table(c);
  auto* r = c.value(0).as<RangeValue>();
  if (!r || r->from < 0 || r->to > t.size(1) || r->from >= r->to) {
    c.sema.report(DiagnosticKind::ColumnOutOfRange, c.span, c.sema.quote(c.span), t.size(1));
    c.sema.abort();
  }
  return c.sema.wrap(slice(t, {0, r->from}, {t.size(0), r->to}));
}

Value column(const BuiltinCall& c) {
  Expr t = table(c);
  int64_t i = column_number(c, t.size(1));
  return c.sema.wrap(reshape(slice(t, {0, i}, {t.size(0), i + 1}), {t.size(0)}));
}

}  // namespace

std::vector<Dim> drawn_shape(const BuiltinCall& c, size_t rows) {
  const InputInfo& input = *c.sema.data_input();
  std::vector<Dim> dims = input.type.dims;
  if (c.has(rows)) {
    int64_t n = c.sema.integer_of(c.value(rows), c.at(rows), "the number of rows");
    if (n <= 0) {
      c.sema.report(DiagnosticKind::NotPositive, c.at(rows), "the number of rows", n);
      c.sema.abort();
    }
    if (dims.empty() || (dims[0].size != 0 && dims[0].size != n)) {
      Type drawn = input.type;
      if (drawn.dims.empty()) drawn.dims.push_back({});
      drawn.dims[0].size = n;
      c.sema.report(DiagnosticKind::DataShape, c.span, input.name, shape_to_string(drawn), c.sema.quote(input.span)).note(input.span, fmt::format("'{}' is declared here", input.name));
      c.sema.abort();
    }
    dims[0].size = n;
  }
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i].size == 0) dims[i].size = c.sema.known_dimension(dims[i].name, c.span);
  }
  return dims;
}

Value pad_to_input(const BuiltinCall& c) {
  const InputInfo& input = *c.sema.data_input();
  Expr x = c.tensor(0);
  std::vector<Dim> wanted = input.type.dims, dims = x.type().dims;
  if (dims.size() + 1 == wanted.size() && wanted.back().size > 0) {
    std::vector<int64_t> sizes = x.sizes();
    sizes.push_back(1);
    dims.push_back({wanted.back().size, {}});
    x = c.sema.broadcast_to(reshape(x, sizes), dims);
  }
  std::vector<int64_t> low(dims.size(), 0), high(dims.size(), 0);
  bool fits = dims.size() == wanted.size();
  for (size_t i = 1; fits && i < dims.size(); ++i) {
    int64_t border = wanted[i].size == 0 ? 0 : wanted[i].size - dims[i].size;
    fits = border >= 0;
    low[i] = border / 2;
    high[i] = border - low[i];
  }
  if (!fits) {
    c.sema.report(DiagnosticKind::PadSmaller, c.span, c.sema.quote(c.at(0)), shape_to_string(c.tensor(0).type()), c.sema.quote(input.span)).note(input.span, fmt::format("'{}' is declared here", input.name));
    c.sema.abort();
  }
  return c.sema.wrap(pad(x, low, high, c.number(3, 0)));
}

const std::vector<Builtin>& data_builtins() {
  static const std::vector<Builtin> all = {
      {"columns", "range", "columns of a table, [N, count]", columns},
      {"column", "which", "one column of a table by number or header, [N]", column},
  };
  return all;
}

}  // namespace gradc::sema
