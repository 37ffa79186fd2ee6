#include "frontend/sema/notation.h"

#include <algorithm>

#include "frontend/sema/builtins.h"

namespace gradc::sema {
namespace {

constexpr int64_t max_factor = int64_t{1} << 30;  // of indices and offsets, so that nothing overflows

void unite(std::vector<Label>& into, const std::vector<Label>& more) {
  for (Label l : more) {
    if (position(into, l) < 0) into.push_back(l);
  }
}

std::vector<Label> without(const std::vector<Label>& labels, const std::vector<Label>& dropped) {
  std::vector<Label> out;
  for (Label l : labels) {
    if (position(dropped, l) < 0) out.push_back(l);
  }
  return out;
}

// a * b * c as its factors.
void flatten(const ast::Expr& e, std::vector<const ast::Expr*>& out) {
  const ast::Expr& inner = ast::strip(e);
  auto* b = inner.as<ast::Binary>();
  if (b && b->op == ast::BinaryOp::Mul) flatten(*b->lhs, out), flatten(*b->rhs, out);
  else out.push_back(&inner);
}

}  // namespace

int64_t position(const std::vector<Label>& labels, Label l) {
  auto it = std::find(labels.begin(), labels.end(), l);
  return it == labels.end() ? -1 : it - labels.begin();
}

// ---- indices and their sizes ----

Label Notation::declare(const ast::Ident& index, bool summed) {
  auto [it, fresh] = scope_.try_emplace(index.name, static_cast<Label>(indices_.size()));
  if (!fresh) {
    sema_.report(DiagnosticKind::IndexTwice, index.span, index.name).note(info(it->second).span, fmt::format("'{}' is an index from here on", index.name));
    sema_.abort();
  }
  IndexInfo i;
  i.name = index.name;
  i.span = index.span;
  i.summed = summed;
  indices_.push_back(std::move(i));
  return it->second;
}

bool Notation::mentions(const ast::Expr& e) const {
  const ast::Expr& inner = ast::strip(e);
  auto any = [&](const auto&... parts) { return (mentions(*parts) || ...); };
  if (auto* n = inner.as<ast::Name>()) return scope_.count(n->name) != 0;
  if (auto* i = inner.as<ast::Index>()) return std::any_of(i->items.begin(), i->items.end(), [&](const ast::ExprPtr& item) { return mentions(*item); });
  if (inner.as<ast::IndexReduction>()) return true;
  if (auto* u = inner.as<ast::Unary>()) return any(u->operand);
  if (auto* b = inner.as<ast::Binary>()) return any(b->lhs, b->rhs);
  if (auto* p = inner.as<ast::Pipe>()) return any(p->value, p->stage);
  if (auto* c = inner.as<ast::Call>()) return std::any_of(c->arguments.begin(), c->arguments.end(), [&](const ast::Argument& a) { return mentions(*a.value); });
  return false;
}

void Notation::collect(const ast::Expr& e) {
  const ast::Expr& inner = ast::strip(e);
  if (auto* i = inner.as<ast::Index>()) return collect_read(*i, inner);
  if (auto* r = inner.as<ast::IndexReduction>()) {
    Scope outer = scope_;
    std::vector<Label> labels;
    for (const ast::Ident& i : r->indices) labels.push_back(declare(i, true));
    reductions_[r] = std::move(labels);
    collect(*r->body);
    scope_ = std::move(outer);
    return;
  }
  if (auto* u = inner.as<ast::Unary>()) collect(*u->operand);
  if (auto* b = inner.as<ast::Binary>()) {
    if (b->op == ast::BinaryOp::MatMul && mentions(inner)) refuse(inner);
    collect(*b->lhs), collect(*b->rhs);
  }
  if (auto* p = inner.as<ast::Pipe>()) collect(*p->value), collect(*p->stage);
  if (auto* c = inner.as<ast::Call>()) {
    for (const ast::Argument& a : c->arguments) collect(*a.value);
  }
}

void Notation::collect_read(const ast::Index& i, const ast::Expr& at) {
  if (std::none_of(i.items.begin(), i.items.end(), [&](const ast::ExprPtr& item) { return mentions(*item); })) {
    for (const ast::ExprPtr& item : i.items) check_bound(*item);
    return;
  }
  Read read;
  read.base = sema_.evaluate(*i.base);
  At here(sema_, i.base->span);
  Expr x = sema_.expr(read.base, i.base->span);
  if (!read.base.as<TensorRef>()) read.base = sema_.wrap(x);  // a list of numbers
  if (i.items.size() != x.rank()) {
    Diagnostic& d = sema_.report(DiagnosticKind::IndexCount, at.span, sema_.quote(i.base->span), to_string(x.type()), x.rank(), i.items.size());
    sema_.note_origin(d, read.base, i.base->span);
    sema_.abort();
  }
  for (size_t a = 0; a < i.items.size(); ++a) {
    Affine f = affine(*i.items[a]);
    if (f.plain()) settle(f.terms[0].label, x.size(a), x.type().dims[a].name, sema_.quote(at.span), at.span, read.base);
    else for (const Affine::Term& t : f.terms) indices_[static_cast<size_t>(t.label)].window = i.items[a]->span;
    read.axes.push_back(std::move(f));
  }
  reads_[&i] = std::move(read);
}

// A name in brackets that is neither an index nor anything else.
void Notation::check_bound(const ast::Expr& item) {
  auto* n = ast::strip(item).as<ast::Name>();
  if (!n || sema_.frame().scope->find(n->name)) return;
  if (sema_.is_known(n->name)) return;
  Diagnostic& d = sema_.report(DiagnosticKind::IndexUnbound, item.span, n->name);
  d.note(fmt::format("an index is named on the left, as in y[{0}] = ..., or by a reduction, as in sum[{0}](...)", n->name));
  std::vector<std::string> names;
  for (const auto& [name, _] : scope_) names.push_back(name.str());
  if (!names.empty()) d.note(fmt::format("the indices here are {}", fmt::join(names, ", ")));
  sema_.abort();
}

Affine Notation::combined(Affine a, const Affine& b, int64_t scale) const {
  a.offset += scale * b.offset;
  for (const Affine::Term& t : b.terms) {
    auto same = std::find_if(a.terms.begin(), a.terms.end(), [&](const Affine::Term& o) { return o.label == t.label; });
    if (same == a.terms.end()) a.terms.push_back({t.label, scale * t.scale});
    else same->scale += scale * t.scale;
  }
  std::erase_if(a.terms, [](const Affine::Term& t) { return t.scale == 0; });
  return a;
}

void Notation::not_affine(const ast::Expr& e) {
  sema_.report(DiagnosticKind::IndexNotAffine, e.span, sema_.quote(e.span)).note("as in x[2 * i + u - 1]; rows picked by a tensor of indices are gather(x, index)");
  sema_.abort();
}

Affine Notation::affine(const ast::Expr& e) {
  const ast::Expr& inner = ast::strip(e);
  Affine out;
  out.span = e.span;
  if (auto* n = inner.as<ast::Name>(); n && scope_.count(n->name)) {
    out.terms.push_back({scope_.at(n->name), 1});
    return out;
  }
  check_bound(inner);
  if (!mentions(inner)) {
    if (inner.as<ast::Range>()) not_affine(e);
    Value v = sema_.evaluate(inner);
    if (v.as<TensorRef>()) not_affine(e);
    out.offset = sema_.integer_of(v, e.span, "an offset");
    if (std::abs(out.offset) > max_factor) not_affine(e);
    return out;
  }
  auto limited = [&](Affine a) {
    bool fits = std::abs(a.offset) <= max_factor;
    for (const Affine::Term& t : a.terms) fits = fits && std::abs(t.scale) <= max_factor;
    if (!fits) not_affine(e);
    a.span = e.span;
    return a;
  };
  if (auto* u = inner.as<ast::Unary>(); u && u->op == ast::UnaryOp::Negate) return limited(combined(out, affine(*u->operand), -1));
  if (auto* b = inner.as<ast::Binary>()) {
    if (b->op == ast::BinaryOp::Add) return limited(combined(affine(*b->lhs), affine(*b->rhs), 1));
    if (b->op == ast::BinaryOp::Sub) return limited(combined(affine(*b->lhs), affine(*b->rhs), -1));
    if (b->op == ast::BinaryOp::Mul) {
      Affine l = affine(*b->lhs), r = affine(*b->rhs);
      if (l.terms.empty()) return limited(combined(out, r, l.offset));
      if (r.terms.empty()) return limited(combined(out, l, r.offset));
    }
  }
  not_affine(e);
}

void Notation::settle(Label label, int64_t size, Symbol dim, const std::string& where, SourceSpan at, const Value& by) {
  IndexInfo& i = indices_[static_cast<size_t>(label)];
  if (!i.size) {
    i.size = size, i.dim = dim, i.settled = where, i.settled_at = at, i.settled_by = by;
    return;
  }
  if (*i.size == size) {
    sema_.check_names({size, i.dim}, {size, dim}, i.settled_at, at, at);
    if (!i.dim) i.dim = dim;
    return;
  }
  Diagnostic& d = sema_.report(DiagnosticKind::IndexSizes, at, i.name, *i.size, i.settled, size, where);
  if (i.dim || dim) d.note(fmt::format("that is axis {} against axis {}", i.dim ? fmt::format("{} = {}", i.dim, *i.size) : std::to_string(*i.size), dim ? fmt::format("{} = {}", dim, size) : std::to_string(size)));
  sema_.note_origin(d, i.settled_by, i.settled_at);
  sema_.note_origin(d, by, at);
  sema_.abort();
}

// y[n, i]: [N, 8] = ...: sizes that are known hold for the indices; names that are free are bound by the result.
void Notation::settle_declared(const ast::IndexBind& s, const std::vector<Label>& order) {
  const std::vector<ast::ShapeDim>& dims = s.type->dims;
  if (dims.size() != order.size()) {
    sema_.report(DiagnosticKind::WrongCount, s.type->span, order.size(), sema_.quote(s.type->span), fmt::format("{} sizes", dims.size()));
    sema_.abort();
  }
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i].is_ellipsis()) continue;
    auto* n = ast::strip(*dims[i].size).as<ast::Name>();
    if (n && !sema_.frame().scope->find(n->name)) continue;
    settle(order[i], sema_.dimension(*dims[i].size), n ? n->name : Symbol(), sema_.quote(s.type->span), dims[i].span, None{});
  }
}

void Notation::check_settled() {
  for (const IndexInfo& i : indices_) {
    if (!i.size && !i.window) {
      sema_.report(DiagnosticKind::IndexUnused, i.span, i.name);
      sema_.abort();
    }
    if (!i.size) {
      Diagnostic& d = sema_.report(DiagnosticKind::IndexOpen, i.span, i.name, sema_.quote(i.window));
      if (i.summed) d.note(fmt::format("it takes the size of an axis where it stands alone, as '{}' in w[{}]", i.name, i.name));
      else d.note("declare the shape of the result, as in y[n, i]: [N, 8] = ...");
      sema_.abort();
    }
    if (*i.size >= 1) continue;
    sema_.report(DiagnosticKind::OutOfBounds, i.settled_at, fmt::format("the size of index '{}'", i.name), 1, *i.size);
    sema_.abort();
  }
}

// ---- building ----

std::vector<Dim> Notation::dims_of(const std::vector<Label>& labels) const {
  std::vector<Dim> dims;
  for (Label l : labels) dims.push_back({size(l), info(l).dim});
  return dims;
}

// A tensor with labelled axes in the order of other labels: those that it lacks become axes of size 1, which broadcasting repeats.
Value Notation::spread(const Labelled& from, const std::vector<Label>& labels, SourceSpan at) {
  if (!from.value.as<TensorRef>() || (from.labels.empty() && sema_.type(*from.value.as<TensorRef>()).rank() == 0)) return from.value;
  Expr x = sema_.expr(from.value, at);
  std::vector<int64_t> perm, sizes;
  std::vector<Dim> dims;
  for (Label l : labels) {
    int64_t axis = position(from.labels, l);
    if (axis >= 0) perm.push_back(axis);
    dims.push_back(axis >= 0 ? x.type().dims[static_cast<size_t>(axis)] : Dim{1, {}});
    sizes.push_back(dims.back().size);
  }
  return sema_.wrap(with_dims(reshape(transpose(x, perm), sizes), dims), from.value.as<TensorRef>()->weak);
}

Labelled Notation::pointwise(const std::vector<Labelled>& parts, SourceSpan at, const std::function<Value(const std::vector<Value>&)>& build) {
  std::vector<Label> labels;
  for (const Labelled& p : parts) unite(labels, p.labels);
  At here(sema_, at);
  std::vector<Value> values;
  for (const Labelled& p : parts) values.push_back(spread(p, labels, at));
  Value v = build(values);
  if (labels.empty()) return {v, labels};
  auto* t = v.as<TensorRef>();
  Type type = t ? sema_.type(*t) : Type{};
  Type wanted{type.element, dims_of(labels)};
  if (t && type.same_shape(wanted)) return {v, labels};
  sema_.report(DiagnosticKind::NotElementwise, at, sema_.quote(at), sema_.describe(v), shape_to_string(wanted))
      .note("in index notation a function is applied element by element; reductions name their indices, as in sum[k](...)");
  sema_.abort();
}

Labelled Notation::reduced(const char* reducer, const Labelled& x, const std::vector<Label>& over, SourceSpan at) {
  std::vector<Value> axes;
  for (Label l : over) axes.push_back(number(static_cast<double>(position(x.labels, l))));
  bool position_of = Symbol(reducer) == Symbol("argmax") || Symbol(reducer) == Symbol("argmin");
  if (position_of && axes.size() != 1) {
    sema_.report(DiagnosticKind::WrongCount, at, 1, sema_.quote(at), fmt::format("{} indices", axes.size()));
    sema_.abort();
  }
  const Builtin* f = find_builtin(reducer);
  Value v = sema_.call(f, {{{}, x.value, at}, {position_of ? "axis" : "axes", axes.size() == 1 ? axes[0] : list_of(axes), at}}, at);
  return {v, without(x.labels, over)};
}

// Multiplies two factors and sums the dropped labels, which nothing else needs.
Labelled Notation::multiplied(const Labelled& a, const Labelled& b, const std::vector<Label>& dropped, SourceSpan sa, SourceSpan sb, SourceSpan at) {
  Labelled x = a, y = b;
  std::vector<Label> both, only_x, only_y;
  for (Label l : dropped) {
    bool in_x = position(x.labels, l) >= 0, in_y = position(y.labels, l) >= 0;
    (in_x && in_y ? both : in_x ? only_x : only_y).push_back(l);
  }
  if (!only_x.empty()) x = reduced("sum", x, only_x, sa);
  if (!only_y.empty()) y = reduced("sum", y, only_y, sb);
  auto is_float_tensor = [&](const Labelled& l) {
    auto* t = l.value.as<TensorRef>();
    return t && !t->weak && is_float(sema_.type(*t).element);
  };
  if (both.empty() || (!is_float_tensor(x) && !is_float_tensor(y))) {
    Labelled product = pointwise({x, y}, at, [&](const std::vector<Value>& v) { return sema_.binary(ast::BinaryOp::Mul, v[0], v[1], sa, sb, at); });
    return both.empty() ? product : reduced("sum", product, both, at);
  }
  At here(sema_, at);
  Expr p = sema_.float_expr(x.value, sa), q = sema_.float_expr(y.value, sb);
  if (p.element() != q.element()) {
    sema_.report(DiagnosticKind::ElementMismatch, at, "*", sema_.quote(sa), sema_.describe(x.value), sema_.quote(sb), sema_.describe(y.value));
    sema_.abort();
  }
  std::vector<Label> all = x.labels;
  unite(all, y.labels);
  std::vector<Label> out = without(all, both);
  auto numbers = [](const std::vector<Label>& labels) { return std::vector<int64_t>(labels.begin(), labels.end()); };
  std::vector<Dim> dims = dims_of(out);
  sema_.check_size(dims, at);
  return {sema_.wrap(with_dims(contract(p, q, numbers(x.labels), numbers(y.labels), numbers(out)), dims)), out};
}

// sum[k, l](a * b * c): factor by factor, each index summed as soon as no later factor needs it.
Labelled Notation::sum_of_product(const std::vector<const ast::Expr*>& factors, const std::vector<Label>& summed, SourceSpan at) {
  std::vector<Labelled> parts;
  std::vector<SourceSpan> spans;
  Labelled scale{number(1), {}};
  for (const ast::Expr* f : factors) {
    Labelled l = build(*f);
    if (l.labels.empty()) {
      scale = pointwise({scale, l}, at, [&](const std::vector<Value>& v) { return sema_.binary(ast::BinaryOp::Mul, v[0], v[1], at, f->span, at); });
      continue;
    }
    parts.push_back(std::move(l));
    spans.push_back(f->span);
  }
  auto needed_after = [&](size_t k, Label l) {
    for (size_t i = k + 1; i < parts.size(); ++i) {
      if (position(parts[i].labels, l) >= 0) return true;
    }
    return false;
  };
  Labelled product = parts[0];
  for (size_t k = 1; k < parts.size(); ++k) {
    std::vector<Label> labels = product.labels, dropped;
    unite(labels, parts[k].labels);
    for (Label l : labels) {
      if (position(summed, l) >= 0 && !needed_after(k, l)) dropped.push_back(l);
    }
    product = multiplied(product, parts[k], dropped, spans[0], spans[k], at);
  }
  if (parts.size() == 1) product = reduced("sum", product, summed, at);
  auto* n = scale.value.as<Num>();
  if (n && n->value == 1) return product;
  return pointwise({product, scale}, at, [&](const std::vector<Value>& v) { return sema_.binary(ast::BinaryOp::Mul, v[0], v[1], at, at, at); });
}

Labelled Notation::build_reduction(const ast::IndexReduction& r, SourceSpan at) {
  const std::vector<Label>& labels = reductions_.at(&r);
  Scope outer = scope_;
  for (size_t i = 0; i < labels.size(); ++i) scope_[r.indices[i].name] = labels[i];
  std::vector<const ast::Expr*> factors;
  flatten(*r.body, factors);
  std::string reducer = r.reducer.name.str();
  bool sum = reducer == "sum", mean = reducer == "mean";
  std::vector<const ast::Expr*> tensors;
  std::copy_if(factors.begin(), factors.end(), std::back_inserter(tensors), [&](const ast::Expr* f) { return mentions(*f); });
  Labelled out;
  if ((sum || mean) && factors.size() > 1 && !tensors.empty()) {
    out = sum_of_product(factors, labels, at);
    double count = 1;
    for (Label l : labels) count *= static_cast<double>(size(l));
    if (mean) out = pointwise({out}, at, [&](const std::vector<Value>& v) { return sema_.binary(ast::BinaryOp::Div, v[0], number(count), at, at, at); });
  } else {
    Labelled body = build(*r.body);
    for (size_t i = 0; i < labels.size(); ++i) {
      if (position(body.labels, labels[i]) >= 0) continue;
      sema_.report(DiagnosticKind::IndexUnused, r.indices[i].span, r.indices[i].name);
      sema_.abort();
    }
    out = reduced(reducer.c_str(), body, labels, at);
  }
  scope_ = std::move(outer);
  return out;
}

// An index as a number: where(i >= j, a[i, j], 0).
Labelled Notation::counter(Label label, SourceSpan at) {
  At here(sema_, at);
  return {sema_.wrap(iota(sema_.builder(), 0, {Element::Int, dims_of({label})})), {label}};
}

Value Notation::logical(const char* op, const std::vector<Value>& values, const std::vector<SourceSpan>& spans, SourceSpan at) {
  for (size_t i = 0; i < values.size(); ++i) {
    auto* t = values[i].as<TensorRef>();
    if (values[i].as<bool>() || (t && sema_.type(*t).element == Element::Bool)) continue;
    sema_.report(DiagnosticKind::WrongType, spans[i], sema_.quote(spans[i]), "a truth value", sema_.describe(values[i]));
    sema_.abort();
  }
  return sema_.pointwise(op, values, spans, at, false, [&](const std::vector<Expr>& x) {
    if (x.size() == 1) return logical_not(x[0]);
    Expr p = cast(x[0], Element::Bool), q = cast(x[1], Element::Bool);
    return Symbol(op) == Symbol("and") ? logical_and(p, q) : logical_or(p, q);
  });
}

Labelled Notation::build_call(const ast::Expr& callee, const std::vector<std::pair<Symbol, const ast::Expr*>>& parts, SourceSpan at) {
  std::vector<Labelled> values;
  for (const auto& [_, e] : parts) values.push_back(build(*e));
  return pointwise(values, at, [&](const std::vector<Value>& v) {
    std::vector<Arg> args;
    for (size_t k = 0; k < v.size(); ++k) args.push_back({parts[k].first, v[k], parts[k].second->span});
    return sema_.call(sema_.evaluate(callee), std::move(args), at);
  });
}

Labelled Notation::build(const ast::Expr& e) {
  const ast::Expr& inner = ast::strip(e);
  if (!mentions(inner)) return {sema_.evaluate(inner), {}};
  if (auto* n = inner.as<ast::Name>()) return counter(scope_.at(n->name), inner.span);
  if (auto* i = inner.as<ast::Index>()) return view(reads_.at(i), inner);
  if (auto* r = inner.as<ast::IndexReduction>()) return build_reduction(*r, inner.span);
  if (auto* u = inner.as<ast::Unary>(); u && u->op == ast::UnaryOp::Negate) {
    return pointwise({build(*u->operand)}, inner.span, [&](const std::vector<Value>& v) { return sema_.binary(ast::BinaryOp::Mul, v[0], number(-1), u->operand->span, u->op_span, inner.span); });
  }
  if (auto* b = inner.as<ast::Binary>(); b && b->op != ast::BinaryOp::MatMul && b->op != ast::BinaryOp::And && b->op != ast::BinaryOp::Or) {
    return pointwise({build(*b->lhs), build(*b->rhs)}, inner.span, [&](const std::vector<Value>& v) { return sema_.binary(b->op, v[0], v[1], b->lhs->span, b->rhs->span, inner.span); });
  }
  if (auto* u = inner.as<ast::Unary>()) {
    return pointwise({build(*u->operand)}, inner.span, [&](const std::vector<Value>& v) { return logical("not", v, {u->operand->span}, inner.span); });
  }
  if (auto* b = inner.as<ast::Binary>(); b && b->op != ast::BinaryOp::MatMul) {
    return pointwise({build(*b->lhs), build(*b->rhs)}, inner.span, [&](const std::vector<Value>& v) { return logical(ast::spelling(b->op), v, {b->lhs->span, b->rhs->span}, inner.span); });
  }
  std::vector<std::pair<Symbol, const ast::Expr*>> parts;
  if (auto* p = inner.as<ast::Pipe>()) parts.emplace_back(Symbol(), p->value.get());
  const ast::Expr* called = inner.as<ast::Pipe>() ? &ast::strip(*inner.as<ast::Pipe>()->stage) : &inner;
  auto* c = called->as<ast::Call>();
  for (size_t i = 0; c && i < c->arguments.size(); ++i) parts.emplace_back(c->arguments[i].name ? c->arguments[i].name->name : Symbol(), c->arguments[i].value.get());
  if (c || (inner.as<ast::Pipe>() && called->as<ast::Name>())) return build_call(c ? *c->callee : *called, parts, inner.span);
  refuse(inner);
}

void Notation::refuse(const ast::Expr& e) {
  sema_.report(DiagnosticKind::NotInNotation, e.span, sema_.quote(e.span)).note("arithmetic, comparisons, functions element by element and reductions such as sum[k](...) have");
  sema_.abort();
}

Value Notation::reduction(const ast::Expr& e) {
  collect(e);
  check_settled();
  return build(e).value;
}

void Notation::bind(const ast::IndexBind& s) {
  std::vector<Label> order;
  for (const ast::Ident& i : s.indices) order.push_back(declare(i, false));
  Restore<std::string> base(sema_.frame_->base, sema_.base_of(s.name.name));
  collect(*s.value);
  if (s.type) settle_declared(s, order);
  check_settled();
  At here(sema_, s.value->span);
  Labelled l = build(*s.value);
  Value v;
  if (std::all_of(order.begin(), order.end(), [&](Label i) { return position(l.labels, i) >= 0; })) {
    v = spread(l, order, s.value->span);
  } else {  // an index of the declared shape alone: repeated along it
    Expr x = sema_.expr(spread(l, order, s.value->span), s.value->span);
    std::vector<Dim> dims = dims_of(order);
    sema_.check_size(dims, s.value->span);
    v = sema_.wrap(sema_.broadcast_to(x, dims));
  }
  if (s.type) sema_.unify(*s.type, v, s.name.name.str(), s.value->span);
  sema_.assign(s.name, v);
}

void Elaborator::index_bind(const ast::IndexBind& s) { Notation(*this).bind(s); }
Value Elaborator::index_reduction(const ast::Expr& e) { return Notation(*this).reduction(e); }

}  // namespace gradc::sema
