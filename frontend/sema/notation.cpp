// x[...]: indices and slices; and index notation, where free indices label axes: s[i, j] = sum[k](a[i, k] * b[j, k]).
#include <algorithm>

#include "frontend/sema/elaborator.h"

namespace gradc::sema {
namespace {

int64_t wrap_index(int64_t i, int64_t size) { return i < 0 ? i + size : i; }

int64_t position(const std::vector<Symbol>& labels, Symbol l) {
  auto it = std::find(labels.begin(), labels.end(), l);
  return it == labels.end() ? -1 : it - labels.begin();
}

void unite(std::vector<Symbol>& into, const std::vector<Symbol>& more) {
  for (Symbol l : more) {
    if (position(into, l) < 0) into.push_back(l);
  }
}

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
  return wrap(with_dims(reshape(slice(x, starts, limits), sizes), dims));
}

// A tensor with labelled axes in the order of other labels: those that it lacks become axes of size 1, which broadcasting repeats.
Value Elaborator::spread(const Labelled& from, const std::vector<Symbol>& labels, SourceSpan at) {
  if (!from.value.as<TensorRef>()) return from.value;
  Expr x = expr(from.value, at);
  std::vector<int64_t> perm, sizes;
  std::vector<Dim> dims;
  for (Symbol l : labels) {
    int64_t axis = position(from.labels, l);
    if (axis >= 0) perm.push_back(axis);
    dims.push_back(axis >= 0 ? x.type().dims[static_cast<size_t>(axis)] : Dim{1, {}});
    sizes.push_back(dims.back().size);
  }
  return wrap(with_dims(reshape(transpose(x, perm), sizes), dims), from.value.as<TensorRef>()->weak);
}

Elaborator::Labelled Elaborator::labelled_pointwise(const std::vector<Labelled>& parts, SourceSpan at,
                                                    const std::function<Value(const std::vector<Value>&)>& build) {
  std::vector<Symbol> labels;
  for (const Labelled& p : parts) unite(labels, p.labels);
  std::vector<Value> values;
  for (const Labelled& p : parts) values.push_back(spread(p, labels, at));
  return {build(values), labels};
}

Elaborator::Labelled Elaborator::labelled_reduction(const ast::IndexReduction& r, std::set<Symbol> indices, SourceSpan at) {
  for (const ast::Ident& i : r.indices) indices.insert(i.name);
  std::vector<Symbol> summed;
  for (const ast::Ident& i : r.indices) summed.push_back(i.name);
  auto kept = [&](const std::vector<Symbol>& labels) {
    std::vector<Symbol> out;
    for (Symbol l : labels) {
      if (position(summed, l) < 0) out.push_back(l);
    }
    return out;
  };
  const ast::Expr& body = ast::strip(*r.body);
  auto* product = body.as<ast::Binary>();
  Labelled whole;
  if (r.reducer.name == Symbol("sum") && product && product->op == ast::BinaryOp::Mul) {
    Labelled a = labelled(*product->lhs, indices), b = labelled(*product->rhs, indices);
    auto covers = [&](const Labelled& l) { return std::all_of(summed.begin(), summed.end(), [&](Symbol s) { return position(l.labels, s) >= 0; }); };
    if (a.value.as<TensorRef>() && b.value.as<TensorRef>() && covers(a) && covers(b)) {
      At here(*this, at);
      std::vector<Symbol> all = a.labels;
      unite(all, b.labels);
      Expr x = float_expr(a.value, product->lhs->span), y = float_expr(b.value, product->rhs->span);
      for (size_t i = 0; i < a.labels.size(); ++i) {
        int64_t j = position(b.labels, a.labels[i]);
        if (j < 0 || x.size(i) == y.size(static_cast<size_t>(j))) continue;
        report(DiagnosticKind::IndexSizes, at, a.labels[i], x.size(i), quote(product->lhs->span), y.size(static_cast<size_t>(j)), quote(product->rhs->span));
        abort();
      }
      auto numbers = [&](const std::vector<Symbol>& labels) {
        std::vector<int64_t> out;
        for (Symbol l : labels) out.push_back(position(all, l));
        return out;
      };
      std::vector<Symbol> out = kept(all);
      std::vector<Dim> dims;
      for (Symbol l : out) dims.push_back(position(a.labels, l) >= 0 ? x.type().dims[static_cast<size_t>(position(a.labels, l))] : y.type().dims[static_cast<size_t>(position(b.labels, l))]);
      check_size(dims, at);
      return {wrap(with_dims(contract(x, y, numbers(a.labels), numbers(b.labels), numbers(out)), dims)), out};
    }
    whole = labelled_pointwise({a, b}, body.span, [&](const std::vector<Value>& v) { return binary(product->op, v[0], v[1], product->lhs->span, product->rhs->span, body.span); });
  } else {
    whole = labelled(body, indices);
  }
  std::vector<Value> axes;
  for (const ast::Ident& i : r.indices) {
    int64_t axis = position(whole.labels, i.name);
    if (axis < 0) {
      report(DiagnosticKind::IndexUnused, i.span, i.name, quote(body.span));
      abort();
    }
    axes.push_back(number(static_cast<double>(axis)));
  }
  Symbol reducer = r.reducer.name;
  Value reduced = call(name(ast::Name{reducer}, r.reducer.span),
                       {{{}, whole.value, body.span}, {reducer == Symbol("argmax") || reducer == Symbol("argmin") ? "axis" : "axes", axes.size() == 1 ? axes[0] : list_of(axes), at}}, at);
  return {reduced, kept(whole.labels)};
}

Elaborator::Labelled Elaborator::labelled(const ast::Expr& e, const std::set<Symbol>& indices) {
  const ast::Expr& inner = ast::strip(e);
  if (auto* i = inner.as<ast::Index>()) {
    std::vector<Symbol> labels;
    for (const ast::ExprPtr& item : i->items) {
      auto* n = ast::strip(*item).as<ast::Name>();
      if (!n || !indices.count(n->name)) break;
      if (position(labels, n->name) >= 0) break;
      labels.push_back(n->name);
    }
    if (labels.empty()) return {evaluate(inner), {}};
    Value base = evaluate(*i->base);
    At here(*this, i->base->span);
    Expr x = expr(base, i->base->span);
    if (!base.as<TensorRef>()) base = wrap(x);  // a list of numbers
    if (labels.size() != i->items.size()) {
      report(DiagnosticKind::NotAvailable, inner.span, "an index other than a plain name (windows, diagonals)");
      abort();
    }
    if (labels.size() != x.rank()) {
      report(DiagnosticKind::TooManyIndices, inner.span, quote(i->base->span), to_string(x.type()), labels.size());
      abort();
    }
    return {base, labels};
  }
  if (auto* r = inner.as<ast::IndexReduction>()) return labelled_reduction(*r, indices, inner.span);
  if (auto* u = inner.as<ast::Unary>()) {
    return labelled_pointwise({labelled(*u->operand, indices)}, inner.span, [&](const std::vector<Value>& v) {
      return binary(ast::BinaryOp::Mul, v[0], number(-1), u->operand->span, u->op_span, inner.span);
    });
  }
  if (auto* b = inner.as<ast::Binary>(); b && b->op != ast::BinaryOp::MatMul && b->op != ast::BinaryOp::And && b->op != ast::BinaryOp::Or) {
    return labelled_pointwise({labelled(*b->lhs, indices), labelled(*b->rhs, indices)}, inner.span, [&](const std::vector<Value>& v) {
      return binary(b->op, v[0], v[1], b->lhs->span, b->rhs->span, inner.span);
    });
  }
  if (auto* c = inner.as<ast::Call>()) {
    std::vector<Labelled> parts;
    for (const ast::Argument& a : c->arguments) parts.push_back(labelled(*a.value, indices));
    return labelled_pointwise(parts, inner.span, [&](const std::vector<Value>& v) {
      std::vector<Arg> args;
      for (size_t k = 0; k < v.size(); ++k) args.push_back({c->arguments[k].name ? c->arguments[k].name->name : Symbol(), v[k], c->arguments[k].value->span});
      return call(evaluate(*c->callee), std::move(args), inner.span);
    });
  }
  return {evaluate(inner), {}};
}

void Elaborator::index_bind(const ast::IndexBind& s) {
  std::set<Symbol> indices;
  std::vector<Symbol> order;
  for (const ast::Ident& i : s.indices) {
    if (!indices.insert(i.name).second) {
      report(DiagnosticKind::AxisTwice, i.span, i.name);
      abort();
    }
    order.push_back(i.name);
  }
  Restore<std::string> base(frame_->base, base_of(s.name.name));
  Labelled l = labelled(*s.value, indices);
  for (const ast::Ident& i : s.indices) {
    if (position(l.labels, i.name) >= 0) continue;
    report(DiagnosticKind::IndexUnused, i.span, i.name, quote(s.value->span));
    abort();
  }
  At here(*this, s.value->span);
  Value v = spread(l, order, s.value->span);
  if (s.type) unify(*s.type, v, s.name.name.str(), s.value->span);
  assign(s.name, v);
}

}  // namespace gradc::sema
