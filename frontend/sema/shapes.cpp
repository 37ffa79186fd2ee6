// Shapes in brackets: declared types, and how the names in them are bound by the tensors that arrive.
#include <algorithm>
#include <cmath>

#include "compiler/support/error.h"
#include "compiler/support/text.h"
#include "frontend/sema/elaborator.h"

namespace gradc::sema {
namespace {

const ast::Name* plain_name(const ast::ShapeDim& d) { return d.size ? ast::strip(*d.size).as<ast::Name>() : nullptr; }

}  // namespace

int64_t Elaborator::dimension(const ast::Expr& e) {
  Value v = evaluate(e);
  if (auto* n = v.as<Num>(); n && n->value != std::floor(n->value)) {
    note_values(report(DiagnosticKind::NotWhole, e.span, "a size", quote(e.span), shortest(n->value)), e);
    abort();
  }
  int64_t size = integer_of(v, e.span, "a size");
  if (size >= 0) return size;
  report(DiagnosticKind::NegativeSize, e.span, quote(e.span), size);
  abort();
}

Element Elaborator::element_of(const ast::ShapeType& t) {
  if (!t.element) return model_element();
  if (auto e = parse_element(t.element->name.str())) return *e;
  Diagnostic& d = report(DiagnosticKind::UnknownElement, t.element->span, t.element->name);
  if (auto near = nearest(t.element->name.str(), {"f32", "f64", "int", "bool"})) d.note(fmt::format("did you mean '{}'?", *near));
  abort();
}

// The type that a declaration states; sizes are known by now. `...` stands for nothing here, unless `like` gives the shape.
Type Elaborator::declared_type(const ast::ShapeType& t, const Type* like) {
  Type out{element_of(t), {}};
  for (const ast::ShapeDim& d : t.dims) {
    if (d.is_ellipsis()) {
      if (like) out.dims.insert(out.dims.end(), like->dims.begin(), like->dims.end());
      else {
        report(DiagnosticKind::EllipsisInDeclaration, d.span);
        abort();
      }
      continue;
    }
    const ast::Name* n = plain_name(d);
    out.dims.push_back({dimension(*d.size), n ? n->name : Symbol()});
    if (n) dim_names_.insert(n->name);
  }
  check_size(out.dims, t.span);
  return out;
}

// A model's input: free names take the sizes that the request gives.
Type Elaborator::input_type(const ast::Parameter& p) {
  if (!p.type) {
    report(DiagnosticKind::InputWithoutShape, p.span, p.name.name);
    abort();
  }
  for (const ast::ShapeDim& d : p.type->dims) {
    const ast::Name* n = plain_name(d);
    if (!n || frame_->scope->find(n->name)) continue;
    auto it = request_.dims.find(n->name);
    int64_t size = it != request_.dims.end() ? it->second : request_.default_dim;
    if (size < 0 || (size == 0 && it == request_.dims.end())) {
      report(DiagnosticKind::UnboundDimension, d.span, n->name);
      abort();
    }
    frame_->scope->names[n->name] = {number(static_cast<double>(size), n->name), d.span};
    declared_dims_.insert(n->name);
  }
  return declared_type(*p.type);
}

// An axis without a name takes that of the signature, where the name says what it is ([N, T]; not the n of [..., n]), so that
// `along T` and `axis = T` find it in the body.
void Elaborator::name_axis(const Value& v, size_t axis, Symbol name) {
  auto* ref = v.as<TensorRef>();
  if (std::isupper(static_cast<unsigned char>(name.str()[0]))) builder().graph().edit(ref->node).type.dims[axis].name = name;
}

// Holds a tensor against a signature: binds names that are free, checks those that are bound.
void Elaborator::unify(const ast::ShapeType& t, Value& v, const std::string& what, SourceSpan at) {
  if (!is_tensor(v) && !v.as<Num>()) {
    report(DiagnosticKind::WrongType, at, quote(at), "a tensor", describe(v)).note(t.span, fmt::format("'{}' is declared here", what));
    abort();
  }
  Element wanted = t.element ? element_of(t) : model_element();
  auto* ref = v.as<TensorRef>();
  bool has_float = !ref || ref->weak || is_float(type(*ref).element);
  bool fits = !ref || (t.element ? ref->weak || type(*ref).element == wanted : has_float);
  if (!fits) {
    Diagnostic& d = report(DiagnosticKind::WrongElement, at, quote(at), describe(v), what, t.element ? t.element->name.str() : gradc::name(wanted));
    d.note(t.span, fmt::format("'{}' is declared here", what));
    abort();
  }
  if (!ref || ref->weak) v = wrap(expr(v, at, wanted));
  Type actual = type(*v.as<TensorRef>());

  size_t ellipsis = t.dims.size();
  for (size_t i = 0; i < t.dims.size(); ++i) {
    if (t.dims[i].is_ellipsis()) ellipsis = i;
  }
  bool open = ellipsis < t.dims.size();
  size_t fixed = t.dims.size() - (open ? 1 : 0);
  auto mismatch = [&](const std::string& why) {
    Diagnostic& d = report(DiagnosticKind::WrongShape, at, quote(at), describe(v), what, quote(t.span));
    if (!why.empty()) d.note(t.span, why);
    note_origin(d, v, at);
    abort();
  };
  if (open ? actual.rank() < fixed : actual.rank() != fixed)
    mismatch(fmt::format("'{}' needs {}{} axes, but there are {}", what, open ? "at least " : "", fixed, actual.rank()));
  size_t skipped = actual.rank() - fixed;
  // The free names first, so that [2 * n, n] can be checked.
  for (int pass = 0; pass < 2; ++pass) {
    for (size_t i = 0, axis = 0; i < t.dims.size(); ++i) {
      if (t.dims[i].is_ellipsis()) {
        axis += skipped;
        continue;
      }
      const Dim& have = actual.dims[axis++];
      const ast::Name* n = plain_name(t.dims[i]);
      const Binding* bound = n ? frame_->scope->find(n->name) : nullptr;
      if (n && !bound) {
        frame_->scope->names[n->name] = {number(static_cast<double>(have.size), n->name), t.dims[i].span};
        if (have.name) frame_->dim_names[n->name] = have.name;
        else name_axis(v, axis - 1, n->name);
        dim_names_.insert(n->name);
      } else if (pass == 1 || n) {
        int64_t size = bound ? integer_of(bound->value, t.dims[i].span, "a size") : dimension(*t.dims[i].size);
        if (size != have.size)
          mismatch(n ? fmt::format("{} is {}, but axis {} has size {}", n->name, size, axis - 1, have.size)
                     : fmt::format("axis {} should have size {}, but has {}", axis - 1, size, have.size));
        if (n && !have.name) name_axis(v, axis - 1, n->name);
      }
    }
  }
}

// The result of a function or layer against its `->`; names of dimensions go back to the caller's.
void Elaborator::check_result(const ast::ShapeType& t, Value& v, SourceSpan at) {
  unify(t, v, frame_->callee.str(), at);
  auto* ref = v.as<TensorRef>();
  std::vector<Dim>& dims = builder().graph().edit(ref->node).type.dims;
  size_t shift = 0;
  for (size_t i = 0; i < t.dims.size(); ++i) {
    if (t.dims[i].is_ellipsis()) {
      shift = dims.size() - t.dims.size();
      continue;
    }
    const ast::Name* n = plain_name(t.dims[i]);
    if (!n) continue;
    auto it = frame_->dim_names.find(n->name);
    dims[i + shift].name = it != frame_->dim_names.end() ? it->second : n->name;
  }
}

int64_t Elaborator::axis_of(const Value& v, const Type& t, SourceSpan at) {
  auto rank = static_cast<int64_t>(t.rank());
  Symbol by_name = v.as<AxisName>() ? v.as<AxisName>()->name : v.as<Num>() ? v.as<Num>()->dim : Symbol();
  if (by_name) {
    // A body's own name of an axis is not what the caller's tensors call it.
    Symbol written = by_name;
    if (auto known = frame_->dim_names.find(by_name); known != frame_->dim_names.end()) by_name = known->second;
    auto has = [&](Symbol name) { return std::any_of(t.dims.begin(), t.dims.end(), [&](const Dim& d) { return d.name == name; }); };
    if (!has(by_name)) by_name = written;
    for (size_t i = 0; i < t.rank(); ++i) {
      if (t.dims[i].name == by_name) return static_cast<int64_t>(i);
    }
    Diagnostic& d = report(DiagnosticKind::UnknownAxis, at, by_name, to_string(t));
    std::vector<std::string> names;
    for (const Dim& dim : t.dims) {
      if (dim.name) names.push_back(dim.name.str());
    }
    if (auto near = nearest(by_name.str(), names)) d.note(fmt::format("did you mean '{}'?", *near));
    abort();
  }
  int64_t axis = integer_of(v, at, "an axis");
  if (axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis;
  report(DiagnosticKind::AxisOutOfRange, at, axis, to_string(t));
  abort();
}

std::vector<int64_t> Elaborator::axes_of(const Value& v, const Type& t, SourceSpan at) {
  std::vector<int64_t> axes;
  if (auto* but = v.as<std::shared_ptr<const AllBut>>()) {
    std::vector<int64_t> left_out;
    for (const Value& a : (*but)->axes) left_out.push_back(axis_of(a, t, at));
    for (int64_t i = 0; i < static_cast<int64_t>(t.rank()); ++i) {
      if (std::find(left_out.begin(), left_out.end(), i) == left_out.end()) axes.push_back(i);
    }
  } else if (auto* list = v.list()) {
    for (const Value& a : list->items) axes.push_back(axis_of(a, t, at));
  } else if (v.is_none()) {
    for (int64_t i = 0; i < static_cast<int64_t>(t.rank()); ++i) axes.push_back(i);
  } else {
    axes.push_back(axis_of(v, t, at));
  }
  std::sort(axes.begin(), axes.end());
  if (std::adjacent_find(axes.begin(), axes.end()) != axes.end()) {
    report(DiagnosticKind::AxisTwice, at, quote(at));
    abort();
  }
  return axes;
}

std::vector<Dim> Elaborator::shape_of(const Value& v, SourceSpan at, bool may_be_open) {
  std::vector<Dim> dims;
  std::vector<Value> items = v.list() ? v.list()->items : std::vector<Value>{v};
  for (const Value& item : items) {
    int64_t size = integer_of(item, at, "a size");
    if (size < (may_be_open ? -1 : 0)) {
      report(DiagnosticKind::NegativeSize, at, quote(at), size);
      abort();
    }
    dims.push_back({size, item.as<Num>() ? item.as<Num>()->dim : Symbol()});
  }
  return dims;
}

}  // namespace gradc::sema
