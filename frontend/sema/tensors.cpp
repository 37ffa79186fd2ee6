// Tensors as values: element types, broadcasting and the arithmetic of expressions.
#include <algorithm>
#include <cmath>

#include "compiler/ops/ops.h"
#include "compiler/support/error.h"
#include "frontend/sema/elaborator.h"

namespace gradc::sema {
namespace {

constexpr int64_t max_elements = int64_t{1} << 48;

bool is_integer(double v) { return std::isfinite(v) && v == std::floor(v) && std::abs(v) < 9e15; }

std::optional<double> scalar(const Value& v) {
  if (auto* n = v.as<Num>()) return n->value;
  if (auto* b = v.as<bool>()) return *b ? 1.0 : 0.0;
  return std::nullopt;
}

// Sizes of a nested list of numbers; nothing where it is ragged or holds something else.
bool nested_shape(const Value& v, std::vector<int64_t>& sizes, size_t depth, bool& integers) {
  if (auto n = scalar(v)) {
    integers = integers && is_integer(*n);
    return depth == sizes.size();
  }
  const ListValue* list = v.list();
  if (!list || list->items.empty()) return false;
  int64_t size = static_cast<int64_t>(list->items.size());
  if (depth == sizes.size()) sizes.push_back(size);
  if (sizes[depth] != size) return false;
  return std::all_of(list->items.begin(), list->items.end(), [&](const Value& item) { return nested_shape(item, sizes, depth + 1, integers); });
}

// The leftmost path decides the rank, so it is walked first.
std::optional<std::vector<int64_t>> literal_shape(const Value& v, bool& integers) {
  std::vector<int64_t> sizes;
  for (const Value* p = &v; p->list() && !p->list()->items.empty(); p = &p->list()->items[0]) sizes.push_back(static_cast<int64_t>(p->list()->items.size()));
  if (sizes.empty() || !nested_shape(v, sizes, 0, integers)) return std::nullopt;
  return sizes;
}

Expr literal(GraphBuilder& b, const Value& v, Element element) {
  if (auto n = scalar(v)) return constant(b, *n, {element, {}});
  std::vector<Expr> rows;
  for (const Value& item : v.list()->items) {
    Expr row = literal(b, item, element);
    std::vector<int64_t> sizes = row.sizes();
    sizes.insert(sizes.begin(), 1);
    rows.push_back(reshape(row, sizes));
  }
  return rows.size() == 1 ? rows[0] : concatenate(rows, 0);
}

double fold(ast::BinaryOp op, double a, double b) {
  switch (op) {
    case ast::BinaryOp::Add: return a + b;
    case ast::BinaryOp::Sub: return a - b;
    case ast::BinaryOp::Mul: return a * b;
    case ast::BinaryOp::Div: return a / b;
    case ast::BinaryOp::Mod: return b == 0 ? 0 : std::fmod(a, b);
    case ast::BinaryOp::Pow: return std::pow(a, b);
    default: GRADC_BUG("not arithmetic");
  }
}

bool compare(ast::BinaryOp op, double a, double b) {
  switch (op) {
    case ast::BinaryOp::Less: return a < b;
    case ast::BinaryOp::LessEqual: return a <= b;
    case ast::BinaryOp::Greater: return a > b;
    case ast::BinaryOp::GreaterEqual: return a >= b;
    case ast::BinaryOp::Equal: return a == b;
    default: return a != b;
  }
}

Expr operation(ast::BinaryOp op, Expr a, Expr b) {
  switch (op) {
    case ast::BinaryOp::Add: return a + b;
    case ast::BinaryOp::Sub: return a - b;
    case ast::BinaryOp::Mul: return a * b;
    case ast::BinaryOp::Div: return a / b;
    case ast::BinaryOp::Mod: return rem(a, b);
    case ast::BinaryOp::Pow: return pow(a, b);
    case ast::BinaryOp::Less: return lt(a, b);
    case ast::BinaryOp::LessEqual: return le(a, b);
    case ast::BinaryOp::Greater: return gt(a, b);
    case ast::BinaryOp::GreaterEqual: return ge(a, b);
    case ast::BinaryOp::Equal: return eq(a, b);
    case ast::BinaryOp::NotEqual: return ne(a, b);
    default: GRADC_BUG("not an element-wise operator");
  }
}

// NumPy's rule, from the right; nothing where two sizes differ and neither is 1. Names come from whichever side has one.
std::optional<std::vector<Dim>> broadcast_dims(const std::vector<Dim>& a, const std::vector<Dim>& b) {
  std::vector<Dim> out = a.size() >= b.size() ? a : b;
  const std::vector<Dim>& shorter = a.size() >= b.size() ? b : a;
  for (size_t i = 0; i < shorter.size(); ++i) {
    Dim& o = out[out.size() - 1 - i];
    const Dim& s = shorter[shorter.size() - 1 - i];
    if (o.size != s.size && o.size != 1 && s.size != 1) return std::nullopt;
    if (o.size == 1 && s.size != 1) o = s;
    else if (!o.name && s.size == o.size) o.name = s.name;
  }
  return out;
}

}  // namespace

bool Elaborator::is_tensor(const Value& v) const {
  bool integers = true;
  return v.as<TensorRef>() || (v.list() && literal_shape(v, integers));
}

void Elaborator::check_size(const std::vector<Dim>& dims, SourceSpan at) {
  int64_t count = 1;
  for (const Dim& d : dims) {
    if (d.size == 0) {
      report(DiagnosticKind::EmptyTensor, at, shape_to_string({Element::F32, dims}));
      abort();
    }
    if (count > max_elements / d.size) {
      report(DiagnosticKind::TensorTooLarge, at, shape_to_string({Element::F32, dims}));
      abort();
    }
    count *= d.size;
  }
}

Expr Elaborator::constant_like(double value, Element element, const std::vector<Dim>& dims, SourceSpan at) {
  check_size(dims, at);
  return constant(builder(), value, {element, dims});
}

Expr Elaborator::expr(const Value& v, SourceSpan at, Element wanted) {
  if (v.as<Poison>()) abort();
  if (auto n = scalar(v)) return constant(builder(), *n, {wanted, {}});
  if (auto* t = v.as<TensorRef>()) {
    if (t->initial != in_initial_) {
      note_origin(report(DiagnosticKind::InitialValueNotConstant, at, quote(at)), v, at);
      abort();
    }
    return cast(Expr(builder(), t->node), wanted);
  }
  bool integers = true;
  if (v.list() && literal_shape(v, integers)) return literal(builder(), v, wanted);
  report(DiagnosticKind::WrongType, at, quote(at), "a tensor", describe(v));
  abort();
}

Expr Elaborator::expr(const Value& v, SourceSpan at) {
  if (auto* t = v.as<TensorRef>()) return expr(v, at, t->weak ? model_element() : type(*t).element);
  return expr(v, at, model_element());
}

Expr Elaborator::float_expr(const Value& v, SourceSpan at) {
  auto* t = v.as<TensorRef>();
  return t && !t->weak && is_float(type(*t).element) ? expr(v, at) : expr(v, at, model_element());
}

Expr Elaborator::broadcast_to(Expr x, std::vector<Dim> dims) {
  std::vector<int64_t> kept, axes, sizes;
  size_t lead = dims.size() - x.rank();
  for (size_t i = 0; i < x.rank(); ++i) {
    if (x.size(i) == 1 && dims[lead + i].size != 1) continue;
    kept.push_back(x.size(i));
    axes.push_back(static_cast<int64_t>(lead + i));
  }
  for (const Dim& d : dims) sizes.push_back(d.size);
  if (sizes == x.sizes()) return x;
  return with_dims(broadcast(reshape(x, kept), axes, sizes), dims);
}

Elaborator::Operands Elaborator::align(const std::vector<Value>& values, const std::vector<SourceSpan>& spans, const char* what,
                                       SourceSpan at, bool want_float) {
  std::optional<Element> strong;
  size_t strong_at = 0;
  bool weak = false, ints = false, bools = false, integers = true;
  for (size_t i = 0; i < values.size(); ++i) {
    const Value& v = values[i];
    if (v.as<Poison>()) abort();
    if (auto n = scalar(v)) integers = integers && is_integer(*n);
    if (v.list()) literal_shape(v, integers);
    auto* t = v.as<TensorRef>();
    if (!t) continue;
    Element e = type(*t).element;
    weak = weak || t->weak;
    ints = ints || e == Element::Int;
    bools = bools || e == Element::Bool;
    if (t->weak || !is_float(e)) continue;
    if (strong && *strong != e) {
      report(DiagnosticKind::ElementMismatch, at, what, quote(spans[strong_at]), describe(values[strong_at]), quote(spans[i]), describe(v));
      abort();
    }
    if (!strong) strong_at = i;
    strong = e;
  }
  Operands out;
  out.weak = !strong && weak;
  Element element = strong ? *strong : weak ? Element::F64 : ints && integers && !want_float ? Element::Int : model_element();
  if (!strong && !weak && !ints && bools && !want_float && integers) element = Element::Int;
  // Numbers take the shape of the others once that is known.
  for (size_t i = 0; i < values.size(); ++i) out.exprs.push_back(scalar(values[i]) ? Expr() : expr(values[i], spans[i], element));

  std::vector<Dim> dims;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!out.exprs[i]) continue;
    auto joined = broadcast_dims(dims, out.exprs[i].type().dims);
    if (!joined) {
      size_t other = i;
      for (size_t j = 0; j < i; ++j) {
        if (out.exprs[j] && !broadcast_dims(out.exprs[j].type().dims, out.exprs[i].type().dims)) other = j;
      }
      if (other == i) other = 0;
      Diagnostic& d = report(DiagnosticKind::ShapesDoNotMatch, at, what, quote(spans[other]), describe(values[other]), quote(spans[i]), describe(values[i]));
      note_origin(d, values[other], spans[other]);
      note_origin(d, values[i], spans[i]);
      abort();
    }
    std::vector<Dim> mine = out.exprs[i].type().dims;
    for (size_t k = 1; k <= std::min(dims.size(), mine.size()); ++k) {
      check_names(dims[dims.size() - k], mine[mine.size() - k], spans[0], spans[i], at);
    }
    dims = *joined;
  }
  check_size(dims, at);
  for (size_t i = 0; i < values.size(); ++i) {
    Expr& e = out.exprs[i];
    e = e ? broadcast_to(e, dims) : constant(builder(), *scalar(values[i]), {element, dims});
  }
  return out;
}

Value Elaborator::pointwise(const char* what, const std::vector<Value>& values, const std::vector<SourceSpan>& spans, SourceSpan at,
                            bool want_float, const std::function<Expr(const std::vector<Expr>&)>& build) {
  At here(*this, at);
  Operands o = align(values, spans, what, at, want_float);
  Expr result = build(o.exprs);
  return wrap(with_dims(result, o.exprs[0].type().dims), o.weak && result.element() == Element::F64);
}

Value Elaborator::binary(ast::BinaryOp op, const Value& a, const Value& b, SourceSpan sa, SourceSpan sb, SourceSpan at) {
  if (a.as<Poison>() || b.as<Poison>()) abort();
  if (op == ast::BinaryOp::MatMul) return matmul(a, b, sa, sb, at);
  auto na = scalar(a), nb = scalar(b);
  if (na && nb) return ast::is_comparison(op) ? Value(compare(op, *na, *nb)) : number(fold(op, *na, *nb));
  bool equality = op == ast::BinaryOp::Equal || op == ast::BinaryOp::NotEqual;
  if (equality) {
    bool wanted = op == ast::BinaryOp::Equal;
    auto *s = a.as<std::string>(), *t = b.as<std::string>();
    if (s && t) return (*s == *t) == wanted;
    if (a.is_none() || b.is_none()) return (a.is_none() && b.is_none()) == wanted;
  }
  const char* what = ast::spelling(op);
  for (auto [v, s] : {std::pair{&a, sa}, std::pair{&b, sb}}) {
    if (scalar(*v) || is_tensor(*v)) continue;
    report(DiagnosticKind::WrongType, s, quote(s), "a number or a tensor", describe(*v));
    abort();
  }
  return pointwise(what, {a, b}, {sa, sb}, at, op == ast::BinaryOp::Div, [&](const std::vector<Expr>& x) { return operation(op, x[0], x[1]); });
}

Value Elaborator::matmul(const Value& a, const Value& b, SourceSpan sa, SourceSpan sb, SourceSpan at) {
  At here(*this, at);
  Expr x = float_expr(a, sa), y = float_expr(b, sb);
  if (x.element() != y.element()) {
    report(DiagnosticKind::ElementMismatch, at, "@", quote(sa), describe(a), quote(sb), describe(b));
    abort();
  }
  size_t inner = y.rank() >= 2 ? y.rank() - 2 : 0;
  bool fits = x.rank() > 0 && y.rank() > 0 && x.size(x.rank() - 1) == y.size(inner);
  std::vector<Dim> batch_x, batch_y;
  if (fits && y.rank() > 2) {
    std::vector<Dim> dx = x.type().dims, dy = y.type().dims;
    batch_x.assign(dx.begin(), dx.end() - static_cast<int64_t>(std::min<size_t>(2, dx.size())));
    batch_y.assign(dy.begin(), dy.end() - 2);
    auto batch = broadcast_dims(batch_x, batch_y);
    fits = batch.has_value();
    if (fits) {
      std::vector<Dim> full_x = *batch, full_y = *batch;
      full_x.insert(full_x.end(), dx.begin() + static_cast<int64_t>(batch_x.size()), dx.end());
      full_y.insert(full_y.end(), dy.end() - 2, dy.end());
      check_size(full_x, at);
      check_size(full_y, at);
      x = broadcast_to(x, full_x);
      y = broadcast_to(y, full_y);
      batch_x = *batch;
    }
  }
  if (!fits) {
    Diagnostic& d = report(DiagnosticKind::MatMulMismatch, at, quote(at), quote(sa), describe(a), quote(sb), describe(b));
    note_origin(d, a, sa);
    note_origin(d, b, sb);
    abort();
  }
  check_names(x.type().dims.back(), y.type().dims[y.rank() >= 2 ? y.rank() - 2 : 0], sa, sb, at);
  // Labels: batch axes 0.., then rows of x, the contracted axis and the columns of y.
  int64_t next = 0;
  std::vector<int64_t> lhs, rhs, out;
  size_t batches = y.rank() > 2 ? batch_x.size() : 0;
  for (; next < static_cast<int64_t>(batches); ++next) {
    lhs.push_back(next);
    rhs.push_back(next);
    out.push_back(next);
  }
  for (size_t i = batches; i + 1 < x.rank(); ++i) {
    lhs.push_back(next);
    out.push_back(next++);
  }
  int64_t contracted = next++;
  lhs.push_back(contracted);
  rhs.push_back(contracted);
  std::vector<Dim> dims = x.type().dims;
  dims.pop_back();
  if (y.rank() >= 2) {
    rhs.push_back(next);
    out.push_back(next);
    dims.push_back(y.type().dims.back());
  }
  check_size(dims, at);
  return wrap(with_dims(contract(x, y, lhs, rhs, out), dims));
}

Value Elaborator::where(const Value& c, const Value& a, const Value& b, const std::vector<SourceSpan>& spans, SourceSpan at) {
  if (auto* known = c.as<bool>()) {
    if (scalar(a) && scalar(b)) return *known ? a : b;
  }
  At here(*this, at);
  auto* t = c.as<TensorRef>();
  if (!c.as<bool>() && (!t || type(*t).element != Element::Bool)) {
    report(DiagnosticKind::WrongType, spans[0], quote(spans[0]), "a truth value", describe(c));
    abort();
  }
  Expr condition = expr(c, spans[0], Element::Bool);
  Operands o = align({guard(a, c, true), guard(b, c, false)}, {spans[1], spans[2]}, "where", at);
  auto dims = broadcast_dims(condition.type().dims, o.exprs[0].type().dims);
  if (!dims) {
    Diagnostic& d = report(DiagnosticKind::ShapesDoNotMatch, at, "where", quote(spans[0]), describe(c), quote(spans[1]), describe(a));
    note_origin(d, c, spans[0]);
    note_origin(d, a, spans[1]);
    abort();
  }
  check_size(*dims, at);
  Expr result = select(broadcast_to(condition, *dims), broadcast_to(o.exprs[0], *dims), broadcast_to(o.exprs[1], *dims));
  return wrap(with_dims(result, *dims), o.weak);
}

Value Elaborator::gradient(const Value& y, const Value& x, SourceSpan sy, SourceSpan sx) {
  auto *ty = y.as<TensorRef>(), *tx = x.as<TensorRef>();
  if (y.as<Poison>() || x.as<Poison>()) abort();
  if (!ty || type(*ty).rank() != 0 || !is_float(type(*ty).element)) {
    Diagnostic& d = report(DiagnosticKind::GradientOfNonScalar, sy, quote(sy), describe(y));
    if (ty && is_float(type(*ty).element)) d.note(fmt::format("the gradient of its sum is grad(sum({}), {})", quote(sy), quote(sx)));
    abort();
  }
  if (!tx || !is_float(type(*tx).element) || ty->initial || tx->initial) {
    report(DiagnosticKind::GradientByNonTensor, sx, quote(sx), describe(x));
    abort();
  }
  // A value that `where` guards lives on in copies; the derivative by it is the sum over those that y depends on.
  std::vector<bool> reached(graph_.size(), false);
  reached[ty->node.at()] = true;
  for (size_t i = ty->node.at() + 1; i-- > 0;) {
    if (!reached[i]) continue;
    for (NodeId o : graph_[NodeId(i)].operands) reached[o.at()] = true;
  }
  struct Candidate {
    NodeId node;
    std::vector<GuardedCopy> guards;
  };
  std::vector<Candidate> candidates{{tx->node, {}}};
  for (size_t i = 0; i < candidates.size(); ++i) {
    auto it = copies_.find(candidates[i].node.index);
    if (it == copies_.end()) continue;
    for (const GuardedCopy& c : it->second) {
      candidates.push_back({c.node, candidates[i].guards});
      candidates.back().guards.push_back(c);
    }
  }
  Expr total, of(builder(), ty->node);
  for (const Candidate& candidate : candidates) {
    if (!reached[candidate.node.at()]) continue;
    Expr part = grad(of, Expr(builder(), candidate.node));
    for (const GuardedCopy& g : candidate.guards) {
      Expr condition(builder(), g.condition);
      part = g.sense ? select(condition, part, 0.0) : select(condition, 0.0, part);
    }
    total = total ? total + part : part;
  }
  if (!total) total = grad(of, Expr(builder(), tx->node));  // no path: the backward stage says so
  return wrap(total);
}

}  // namespace gradc::sema
