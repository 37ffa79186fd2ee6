// Expressions: names, operators, static choices, and what messages say of values.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "compiler/support/error.h"
#include "compiler/support/text.h"
#include "frontend/sema/builtins.h"
#include "frontend/syntax/children.h"

namespace gradc::sema {
namespace {

constexpr int64_t work_limit = 1'000'000;     // statements and calls of one elaboration
constexpr size_t node_limit = 500'000;
constexpr int max_call_notes = 4;
constexpr int max_evaluate_depth = 1000;

const std::map<std::string, double>& constants() {
  static const std::map<std::string, double> table = {
      {"pi", std::numbers::pi}, {"inf", std::numeric_limits<double>::infinity()}, {"nan", std::numeric_limits<double>::quiet_NaN()}};
  return table;
}

void add_names(const Scope* scope, std::vector<std::string>& out) {
  for (; scope; scope = scope->parent.get()) {
    for (const auto& [name, _] : scope->names) out.push_back(name.str());
  }
}

}  // namespace

std::string kind_of(const Value& v) {
  return std::visit(ast::Overloaded{[](const Poison&) { return "a value with an error"; }, [](const None&) { return "none"; },
                                    [](bool) { return "a truth value"; }, [](const Num&) { return "a number"; },
                                    [](const std::string&) { return "a text"; }, [](const TensorRef&) { return "a tensor"; },
                                    [](const RangeValue&) { return "a range"; }, [](const AxisName&) { return "the name of an axis"; },
                                    [](const std::shared_ptr<const ListValue>&) { return "a list"; },
                                    [](const std::shared_ptr<const AllBut>&) { return "a choice of axes"; },
                                    [](const std::shared_ptr<const Closure>&) { return "a function"; },
                                    [](const LayerClass&) { return "a layer without its configuration"; },
                                    [](const std::shared_ptr<LayerInstance>&) { return "a layer"; },
                                    [](const OptimizerClass&) { return "an optimizer without its configuration"; },
                                    [](const std::shared_ptr<const OptimizerValue>&) { return "an optimizer"; },
                                    [](const Builtin*) { return "a function"; }},
                    v.data);
}

std::string Elaborator::describe(const Value& v) {
  if (auto* t = v.as<TensorRef>()) return to_string(type(*t));
  if (auto* n = v.as<Num>()) return fmt::format("the number {}", shortest(n->value));
  if (auto* s = v.as<std::string>()) return fmt::format("the text \"{}\"", *s);
  return kind_of(v);
}

std::string Elaborator::quote(SourceSpan span) const {
  std::string text;
  for (char c : sources_.text(span)) {
    if (c == '\n' || c == ' ') {
      if (!text.empty() && text.back() != ' ') text += ' ';
    } else {
      text += c;
    }
  }
  return text.size() <= 48 ? text : text.substr(0, 45) + "...";
}

void Elaborator::note_origin(Diagnostic& d, const Value& v, SourceSpan at) {
  auto* t = v.as<TensorRef>();
  if (!t) return;
  const Graph& g = t->initial ? init_ : graph_;
  const Node& n = g[t->node];
  if (!n.provenance || g.provenance.get(n.provenance).origins.empty()) return;
  OriginId id = g.provenance.get(n.provenance).origins.front();
  SourceSpan span = g.provenance.user_span(id, sources_);
  if (!span) span = g.provenance.origin(id).span;
  if (!span || span == at) return;
  std::string who = n.name ? fmt::format("'{}'", n.name) : fmt::format("'{}'", quote(span));
  d.note(span, fmt::format("{} is {}, from here", who, to_string(n.type)));
}

void Elaborator::note_values(Diagnostic& d, const ast::Expr& e) {
  const ast::Expr& inner = ast::strip(e);
  auto value_of = [&](const ast::Expr& part) -> std::optional<std::string> {
    Value v = evaluate(part);
    if (auto* n = v.as<Num>()) return shortest(n->value);
    return std::nullopt;
  };
  if (auto* b = inner.as<ast::Binary>(); b && ast::is_comparison(b->op)) {
    std::vector<std::string> sides;
    for (const ast::Expr* side : {b->lhs.get(), b->rhs.get()}) {
      auto value = ast::strip(*side).as<ast::Number>() || ast::strip(*side).as<ast::Name>() ? std::nullopt : value_of(*side);
      if (value) sides.push_back(fmt::format("'{}' is {}", quote(side->span), *value));
    }
    if (!sides.empty()) d.note(fmt::format("{}", fmt::join(sides, " and ")));
  }
  std::vector<std::string> values;
  std::set<Symbol> seen;
  std::function<void(const ast::Expr&)> walk = [&](const ast::Expr& part) {
    auto* n = part.as<ast::Name>();
    const Binding* bound = n && seen.insert(n->name).second ? frame_->scope->find(n->name) : nullptr;
    auto* number = bound ? bound->value.as<Num>() : nullptr;
    if (number) values.push_back(fmt::format("{} = {}", n->name, shortest(number->value)));
    ast::for_each_child(part, walk);
  };
  walk(inner);
  bool plain = inner.as<ast::Name>() != nullptr;
  if (!values.empty() && !plain) d.note(fmt::format("with {}", fmt::join(values, ", ")));
}

// Two dimensions of the user's that have one size by chance: the model works with these data and no others. Said in the model's own
// lines only: inside a layer one dimension may go by the model's name and by the layer's.
void Elaborator::check_names(const Dim& a, const Dim& b, SourceSpan sa, SourceSpan sb, SourceSpan at) {
  if (!a.name || !b.name || a.name == b.name || a.size != b.size || a.size <= 1) return;
  if (frame_->kind != Frame::Model) return;
  if (!declared_dims_.count(a.name) || !declared_dims_.count(b.name)) return;
  if (!met_dims_.insert(std::minmax(a.name, b.name)).second) return;
  report(DiagnosticKind::DimensionNames, at, a.name, quote(sa), b.name, quote(sb), quote(at), a.size);
}

// A mistake inside the library is shown where the user called it, with the library's line as a note.
Diagnostic& Elaborator::with_calls(Diagnostic& d) {
  bool in_library = d.span && sources_.file(d.span.file).library;
  SourceSpan inner = d.span;
  int shown = 0;
  SourceSpan last;
  for (const Frame* f = frame_; f && f->parent; f = f->parent) {
    if (!f->caller) continue;
    SourceSpan call_site = graph_.provenance.origin(f->caller).span;
    bool user = call_site && !sources_.file(call_site.file).library;
    if (in_library && user) {
      d.span = call_site;
      d.note(inner, fmt::format("in '{}', here", frame_->callee));
      return d;
    }
    if (!in_library && user && f->callee && call_site != d.span && call_site != last && shown++ < max_call_notes) d.note(call_site, fmt::format("'{}' is called here", f->callee));
    last = call_site;
  }
  return d;
}

OriginId Elaborator::origin(SourceSpan span) {
  return graph_.provenance.add({span, frame_ ? frame_->caller : OriginId(), frame_ ? frame_->callee : Symbol()});
}

OriginId Elaborator::import(OriginId id) {
  if (!id) return id;
  Origin o = graph_.provenance.origin(id);
  o.caller = import(o.caller);
  return init_.provenance.add(o);
}

ProvenanceId Elaborator::provenance(SourceSpan span) {
  OriginId id = origin(span);
  return in_initial_ ? init_.provenance.from(import(id)) : graph_.provenance.from(id);
}

// Loops and recursion at compile time are bounded, so that no model file hangs the compiler.
void Elaborator::spend(SourceSpan at) {
  if (++work_ <= work_limit && graph_.size() <= node_limit) return;
  if (!std::exchange(too_large_, true)) report(DiagnosticKind::ModelTooLarge, at);
  abort();
}

double Elaborator::number_of(const Value& v, SourceSpan at, const char* what) {
  if (v.as<Poison>()) abort();
  if (auto* n = v.as<Num>()) return n->value;
  if (auto* b = v.as<bool>()) return *b ? 1 : 0;
  report(DiagnosticKind::NotCompileTime, at, what, quote(at), describe(v));
  abort();
}

int64_t Elaborator::integer_of(const Value& v, SourceSpan at, const char* what) {
  double n = number_of(v, at, what);
  if (n == std::floor(n) && std::abs(n) < 9e15) return static_cast<int64_t>(n);
  report(DiagnosticKind::NotWhole, at, what, quote(at), shortest(n));
  abort();
}

bool Elaborator::bool_of(const Value& v, SourceSpan at, const char* what) {
  if (v.as<Poison>()) abort();
  if (auto* b = v.as<bool>()) return *b;
  report(DiagnosticKind::NotCompileTimeBool, at, what, quote(at), describe(v));
  abort();
}

void Elaborator::unknown_name(Symbol unknown, SourceSpan at) {
  if (open_dims_.count(unknown)) {
    report(DiagnosticKind::UnboundDimension, at, unknown).note("'batch' in the train block gives the number of rows, and so does rows = ... of a draw");
    abort();
  }
  Diagnostic& d = report(DiagnosticKind::UnknownName, at, unknown);
  std::vector<std::string> names;  // of equally near names the first is suggested: the user's own come first
  add_names(frame_->scope.get(), names);
  for (std::string& builtin : builtin_names()) names.push_back(std::move(builtin));
  names.push_back("training");
  for (const auto& [text, _] : constants()) names.push_back(text);
  for (const auto& [module, scope] : world_.modules) {
    if (scope->names.count(unknown)) {
      d.note(fmt::format("it is in the library: add 'use {}' at the top of the file", module));
      abort();
    }
  }
  if (auto near = nearest(unknown.str(), names)) d.note(fmt::format("did you mean '{}'?", *near));
  abort();
}

bool Elaborator::is_known(Symbol name) const {
  return name == Symbol("training") || name == Symbol("none") || constants().count(name.str()) || find_builtin(name) || dim_names_.count(name);
}

Value Elaborator::name(const ast::Name& n, SourceSpan at) {
  if (const Binding* b = frame_->scope->find(n.name)) {
    if (b->value.as<Poison>()) abort();
    return b->value;
  }
  const std::string& text = n.name.str();
  if (text == "training") return training();
  if (text == "none") return None{};
  if (auto it = constants().find(text); it != constants().end()) return number(it->second);
  if (const Builtin* b = find_builtin(n.name)) return b;
  if (dim_names_.count(n.name)) return AxisName{n.name};
  unknown_name(n.name, at);
}

Value Elaborator::unary(const ast::Unary& u, const ast::Expr& at) {
  Value v = evaluate(*u.operand);
  SourceSpan s = u.operand->span;
  if (u.op == ast::UnaryOp::Negate) {
    if (auto* n = v.as<Num>()) return number(-n->value);
    return pointwise("-", {v}, {s}, at.span, false, [](const std::vector<Expr>& x) { return -x[0]; });
  }
  if (auto* b = v.as<bool>()) return !*b;
  auto* t = v.as<TensorRef>();
  if (!t || type(*t).element != Element::Bool) {
    report(DiagnosticKind::WrongType, s, quote(s), "a truth value", describe(v));
    abort();
  }
  At here(*this, at.span);
  return wrap(logical_not(expr(v, s)));
}

Value Elaborator::logical(const ast::Binary& b) {
  bool is_and = b.op == ast::BinaryOp::And;
  Value lhs = evaluate(*b.lhs);
  if (auto* known = lhs.as<bool>()) {
    if (*known != is_and) return *known;  // decided: the right side need not make sense
    return evaluate(*b.rhs);
  }
  Value rhs = evaluate(*b.rhs);
  for (auto [v, e] : {std::pair{&lhs, b.lhs.get()}, std::pair{&rhs, b.rhs.get()}}) {
    auto* t = v->as<TensorRef>();
    if (v->as<bool>() || (t && type(*t).element == Element::Bool)) continue;
    report(DiagnosticKind::WrongType, e->span, quote(e->span), "a truth value", describe(*v));
    abort();
  }
  SourceSpan whole = SourceSpan::cover(b.lhs->span, b.rhs->span);
  return pointwise(ast::spelling(b.op), {lhs, rhs}, {b.lhs->span, b.rhs->span}, whole, false, [&](const std::vector<Expr>& x) {
    Expr p = cast(x[0], Element::Bool), q = cast(x[1], Element::Bool);
    return is_and ? logical_and(p, q) : logical_or(p, q);
  });
}

std::optional<Value> Elaborator::find_path(const std::string& path) const {
  for (const Frame* f = frame_; f; f = f->parent) {
    auto it = parameters_.find(f->prefix.empty() ? path : f->prefix + "." + path);
    if (it != parameters_.end()) return it->second;
  }
  return std::nullopt;
}

Value Elaborator::path_or_member(const ast::Expr& e) {
  auto path = ast::path_of(e);
  if (path) {
    if (auto v = find_path(*path)) return *v;
  }
  Diagnostic& d = report(DiagnosticKind::UnknownPath, e.span, path ? *path : quote(e.span));
  std::vector<std::string> known;
  for (const auto& [p, _] : parameters_) known.push_back(p);
  if (auto near = path ? nearest(*path, known) : std::nullopt) d.note(fmt::format("did you mean '{}'?", *near));
  else if (!known.empty()) d.note(fmt::format("the parameters so far are {}", fmt::join(known.begin(), known.begin() + static_cast<int64_t>(std::min<size_t>(known.size(), 12)), ", ")));
  abort();
}

const ast::Block* Elaborator::taken(const ast::If& e) {
  for (const ast::IfArm& arm : e.arms) {
    if (bool_of(evaluate(*arm.condition), arm.condition->span, "the condition of 'if'")) return &arm.body;
  }
  return e.otherwise ? &*e.otherwise : nullptr;
}

Value Elaborator::evaluate(const ast::Expr& e) {
  // Expressions inside calls inside expressions: bounded, so that no model file overflows the stack.
  Restore<int> depth(evaluate_depth_, evaluate_depth_ + 1);
  if (evaluate_depth_ > max_evaluate_depth) {
    report(DiagnosticKind::CallsTooDeep, e.span, quote(e.span));
    abort();
  }
  auto all = [&](const std::vector<ast::ExprPtr>& parts) {
    std::vector<Value> items;
    for (const ast::ExprPtr& p : parts) items.push_back(evaluate(*p));
    return items;
  };
  return std::visit(
      ast::Overloaded{
          [&](const ast::Number& n) -> Value { return number(n.value); },
          [&](const ast::String& s) -> Value { return s.value; },
          [&](const ast::Bool& b) -> Value { return b.value; },
          [&](const ast::Name& n) -> Value { return name(n, e.span); },
          [&](const ast::Unary& u) -> Value { return unary(u, e); },
          [&](const ast::Binary& b) -> Value {
            if (b.op == ast::BinaryOp::And || b.op == ast::BinaryOp::Or) return logical(b);
            Value lhs = evaluate(*b.lhs), rhs = evaluate(*b.rhs);
            return binary(b.op, lhs, rhs, b.lhs->span, b.rhs->span, e.span);
          },
          [&](const ast::Pipe& p) -> Value { return pipe(p); },
          [&](const ast::Call& c) -> Value {
            spend(e.span);
            Value callee = evaluate(*c.callee);
            // A number where a schedule is expected is the constant schedule: lr(t) is lr.
            if (callee.as<Num>() && c.callee->as<ast::Name>() && c.arguments.size() == 1) return callee;
            return call(callee, arguments(c.arguments), e.span);
          },
          [&](const ast::Range& r) -> Value {
            return RangeValue{integer_of(evaluate(*r.from), r.from->span, "the start of a range"),
                              integer_of(evaluate(*r.to), r.to->span, "the end of a range")};
          },
          [&](const ast::Index& i) -> Value { return index(i, e); },
          [&](const ast::Member&) -> Value { return path_or_member(e); },
          [&](const ast::IndexReduction&) -> Value { return index_reduction(e); },
          [&](const ast::List& l) -> Value { return list_of(all(l.elements)); },
          [&](const ast::Tuple& t) -> Value { return list_of(all(t.elements)); },
          [&](const ast::Paren& p) -> Value { return evaluate(*p.inner); },
          [&](const ast::AllBut& a) -> Value {
            Value axes = evaluate(*a.axes);
            std::vector<Value> items = axes.list() ? axes.list()->items : std::vector<Value>{axes};
            return std::make_shared<const AllBut>(AllBut{std::move(items)});
          },
          [&](const ast::If& i) -> Value {
            const ast::Block* block = taken(i);
            GRADC_ASSERT(block && !block->statements.empty(), "an if expression has an else");
            Restore<ScopePtr> scope(frame_->scope, inner_scope(frame_->scope));
            Restore<std::map<Symbol, SourceSpan>> assigned(frame_->assigned, frame_->assigned);
            for (size_t k = 0; k + 1 < block->statements.size(); ++k) execute(block->statements[k]);
            auto* last = block->statements.back().as<ast::ExprStmt>();
            GRADC_ASSERT(last, "an if expression ends with its value");
            return evaluate(*last->value);
          },
          [&](const ast::Scan& s) -> Value { return scan_value(s); }},
      e.node);
}

}  // namespace gradc::sema
