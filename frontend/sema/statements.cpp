// Statements: bindings, parameters and state, loops.
#include <algorithm>

#include "compiler/support/error.h"
#include "compiler/support/text.h"
#include "frontend/sema/elaborator.h"

namespace gradc::sema {
namespace {

void collect_names(const std::vector<ast::Target>& targets, std::vector<ast::Ident>& out) {
  for (const ast::Target& t : targets) {
    if (t.name) out.push_back(*t.name);
    else collect_names(t.elements, out);
  }
}

}  // namespace

void Elaborator::run(const ast::Block& block) {
  for (const ast::Stmt& s : block.statements) {
    if (frame_->result) return;
    execute(s);
  }
}

// After a mistake the model's body goes on, so that one run reports several; a call that fails ends with its statement.
void Elaborator::execute(const ast::Stmt& s) {
  auto visit = [&] {
    spend(s.span);
    std::visit(ast::Overloaded{[&](const ast::Bind& b) { bind(b); }, [&](const ast::IndexBind& b) { index_bind(b); },
                               [&](const ast::Dim& d) {
                                 if (!d.value) {
                                   report(DiagnosticKind::DimensionWithoutValue, s.span, d.name.name);
                                   abort();
                                 }
                                 declare(d.name, number(static_cast<double>(dimension(*d.value)), d.name.name));
                                 dim_names_.insert(d.name.name);
                               },
                               [&](const ast::Param& p) { param(p); }, [&](const ast::State& st) { state(st); },
                               [&](const ast::Update& u) { update(u); },
                               [&](const ast::Fn& f) { declare(f.name, std::make_shared<const Closure>(Closure{&f, frame_->scope, {}})); },
                               [&](const ast::If& i) {
                                 if (const ast::Block* block = taken(i)) run(*block);
                               },
                               [&](const ast::For& f) { loop(f); },
                               [&](const ast::Emit& e) { emit(e); },
                               [&](const ast::Return& r) {
                                 if (frame_->kind == Frame::Model) {
                                   report(DiagnosticKind::ReturnInModel, s.span);
                                   abort();
                                 }
                                 // A layer's unnamed result is called "out" where it owns layers; a function's belongs to the caller's name.
                                 std::string base = frame_->kind == Frame::Function ? frame_->base : base_of("out");
                                 Restore<std::string> as(frame_->base, base);
                                 frame_->result = evaluate(*r.value);
                               },
                               [&](const ast::Assert& a) {
                                 if (bool_of(evaluate(*a.condition), a.condition->span, "an assertion")) return;
                                 Diagnostic& d = report(DiagnosticKind::AssertionFailed, a.condition->span, quote(a.condition->span));
                                 if (a.message) d.note(a.message->name.str());
                                 note_values(d, *a.condition);
                                 abort();
                               },
                               [&](const ast::ExprStmt& e) { evaluate(*e.value); }},
               s.node);
  };
  if (frame_->kind != Frame::Model) return visit();
  try {
    visit();
  } catch (const Abort&) {
    poison(s);
  }
}

void Elaborator::poison(const ast::Stmt& s) {
  std::vector<ast::Ident> names;
  if (auto* b = s.as<ast::Bind>()) collect_names(b->targets, names);
  if (auto* b = s.as<ast::IndexBind>()) names.push_back(b->name);
  if (auto* p = s.as<ast::Param>()) names.push_back(p->name);
  if (auto* p = s.as<ast::State>()) names.push_back(p->name);
  if (auto* d = s.as<ast::Dim>()) names.push_back(d->name);
  for (const ast::Ident& n : names) {
    if (!frame_->scope->names.count(n.name)) frame_->scope->names[n.name] = {Poison{}, n.span};
    frame_->assigned.try_emplace(n.name, n.span);
  }
}

std::string Elaborator::base_of(Symbol name) const {
  std::string base = frame_->prefix.empty() ? name.str() : frame_->prefix + "." + name.str();
  for (int64_t i : frame_->loops) base += fmt::format("[{}]", i);
  return base;
}

void Elaborator::check_assignable(const ast::Ident& name) {
  if (auto around = frame_->outside.find(name.name); around != frame_->outside.end() && !frame_->assigned.count(name.name)) {
    Diagnostic& d = report(DiagnosticKind::ScanOuterName, name.span, name.name);
    d.note(around->second, fmt::format("'{}' has its value from here", name.name));
    d.note(fmt::format("what changes from step to step is carried: 'with {0} = ...', and the last value is bound on the left of the scan", name.name));
    abort();
  }
  auto [it, fresh] = frame_->assigned.try_emplace(name.name, name.span);
  if (fresh || loop_depth_ > 0) return;
  report(DiagnosticKind::AssignedTwice, name.span, name.name).note(it->second, fmt::format("'{}' has its value from here", name.name));
  abort();
}

void Elaborator::declare(const ast::Ident& name, Value v) {
  check_assignable(name);
  frame_->scope->names[name.name] = {std::move(v), name.span};
}

// The user's name for a value; an outer body's name wins over one given inside a layer.
void Elaborator::name_node(const Value& v, Symbol name) {
  auto* t = v.as<TensorRef>();
  if (!t || t->initial) return;
  auto [it, fresh] = name_depth_.try_emplace(t->node.index, frame_->depth);
  if (!fresh && it->second <= frame_->depth) return;
  it->second = frame_->depth;
  graph_.edit(t->node).name = name;
}

void Elaborator::give_path(const Value& v, const std::string& path) {
  if (auto* layer = v.as<std::shared_ptr<LayerInstance>>()) {
    if ((*layer)->path.empty()) (*layer)->path = path;
  } else if (const ListValue* list = v.list()) {
    for (size_t i = 0; i < list->items.size(); ++i) give_path(list->items[i], fmt::format("{}.{}", path, i));
  }
}

void Elaborator::assign(const ast::Ident& name, Value v) {
  check_assignable(name);
  give_path(v, base_of(name.name));
  name_node(v, base_of(name.name));
  frame_->scope->names[name.name] = {std::move(v), name.span};
}

void Elaborator::bind_group(const std::vector<ast::Target>& targets, const Value& v, SourceSpan at) {
  const ListValue* list = v.list();
  if (targets.size() == 1 && v.as<TensorRef>()) return bind_target(targets[0], v, at);  // hs, (h) = scan ... with one carry
  if (!list || list->items.size() != targets.size()) {
    report(DiagnosticKind::WrongCount, at, targets.size(), quote(at), list ? fmt::format("{} values", list->items.size()) : describe(v));
    abort();
  }
  for (size_t i = 0; i < targets.size(); ++i) bind_target(targets[i], list->items[i], at);
}

void Elaborator::bind_target(const ast::Target& target, const Value& v, SourceSpan at) {
  if (target.name) assign(*target.name, v);
  else bind_group(target.elements, v, at);
}

void Elaborator::bind(const ast::Bind& s) {
  std::vector<ast::Ident> names;
  collect_names(s.targets, names);
  Value v;
  {
    Restore<std::string> base(frame_->base, base_of(names.front().name));
    auto* recurrence = ast::strip(*s.value).as<ast::Scan>();
    v = recurrence ? scan_for(s.targets, *recurrence) : evaluate(*s.value);
  }
  if (v.as<Poison>()) abort();
  if (s.type) unify(*s.type, v, names.front().name.str(), s.value->span);
  if (s.targets.size() == 1 && s.targets[0].name) assign(*s.targets[0].name, v);
  else bind_group(s.targets, v, s.value->span);
}

Expr Elaborator::initial_value(const ast::Expr& e, const Type& type, Symbol path) {
  Restore<bool> initial(in_initial_, true);
  Restore<const Type*> expected(expected_, &type);
  Restore<std::string> base(frame_->base, path.str());
  At here(*this, e.span);
  Value v = evaluate(e);
  Expr x = expr(v, e.span, type.element);
  if (x.rank() == 0 && type.rank() > 0) x = broadcast_to(x, type.dims);
  if (!x.type().same_shape(type)) {
    report(DiagnosticKind::InitialShape, e.span, path, shape_to_string(type), shape_to_string(x.type()));
    abort();
  }
  return x;
}

void Elaborator::param(const ast::Param& s) {
  std::string path = base_of(s.name.name);
  SourceSpan span = SourceSpan::cover(s.name.span, s.type.span);
  Type type = declared_type(s.type);
  auto known = parameters_.find(path);
  if (known != parameters_.end()) {  // a layer value called again shares its parameters
    const Type& first = this->type(*known->second.as<TensorRef>());
    if (!(first == type) || frame_->assigned.count(s.name.name)) {
      report(DiagnosticKind::SharedShape, span, path, to_string(first), to_string(type)).note(param_spans_[path], "its shape was settled by the first call");
      abort();
    }
    return declare(s.name, known->second);
  }
  if (!is_float(type.element)) {
    report(DiagnosticKind::ParameterElement, s.type.span, path, to_string(type));
    abort();
  }
  Expr initial = initial_value(*s.initial, type, path);
  At here(*this, span);
  Value v = wrap(input(builder(), path, role::parameter, type));
  init_.outputs.push_back({path, OutputKind::Value, initial.id});
  out_.parameters.push_back({path, type, span, origin(span), true});
  parameters_[path] = v;
  param_spans_[path] = span;
  name_depth_[v.as<TensorRef>()->node.index] = -1;
  graph_.edit(v.as<TensorRef>()->node).name = path;
  declare(s.name, v);
}

void Elaborator::state(const ast::State& s) {
  std::string path = base_of(s.name.name);
  if (parameters_.count(path)) return declare(s.name, carried_state(path, s.name.name, s.name.span));
  if (!s.type && !frame_->theta) {
    report(DiagnosticKind::StateWithoutShape, s.name.span, s.name.name);
    abort();
  }
  Type type = s.type ? declared_type(*s.type) : *frame_->theta;
  Expr initial = initial_value(*s.initial, type, path);
  At here(*this, s.name.span);
  Value v = wrap(input(builder(), path, role::state, type));
  init_.outputs.push_back({path, OutputKind::Value, initial.id});
  out_.states.push_back({path, type, s.name.span, frame_->kind == Frame::Optimizer});
  parameters_[path] = v;
  param_spans_[path] = s.name.span;
  name_depth_[v.as<TensorRef>()->node.index] = -1;
  graph_.edit(v.as<TensorRef>()->node).name = path;
  declare(s.name, carried_state(path, s.name.name, s.name.span));
}

void Elaborator::update(const ast::Update& s) {
  std::string path = base_of(s.name.name);
  auto is_state = [&](const StateInfo& i) { return i.path == Symbol(path); };
  auto info = std::find_if(out_.states.begin(), out_.states.end(), is_state);
  if (info == out_.states.end()) {
    report(DiagnosticKind::UpdateOfNonState, s.name.span, s.name.name);
    abort();
  }
  Type type = info->type;
  auto [first, fresh] = frame_->assigned.try_emplace(Symbol("update " + s.name.name.str()), s.name.span);
  if (!fresh) {
    report(DiagnosticKind::UpdatedTwice, s.name.span, s.name.name).note(first->second, "the first update is here");
    abort();
  }
  Value v = evaluate(*s.value);
  At here(*this, s.value->span);
  Expr x = expr(v, s.value->span, type.element);
  if (x.rank() == 0 && type.rank() > 0) x = broadcast_to(x, type.dims);
  if (!x.type().same_shape(type)) {
    report(DiagnosticKind::InitialShape, s.value->span, path, shape_to_string(type), shape_to_string(x.type()));
    abort();
  }
  Value updated = wrap(x);
  frame_->scope->names[s.name.name] = {updated, s.name.span};
  parameters_[path] = updated;
  state_updates_[path] = updated;
}

void Elaborator::loop(const ast::For& s) {
  Value range = evaluate(*s.range);
  std::vector<Value> items;
  auto* r = range.as<RangeValue>();
  if (range.list()) items = range.list()->items;
  else if (!r) {
    report(DiagnosticKind::WrongType, s.range->span, quote(s.range->span), "a range or a list", describe(range));
    abort();
  }
  int64_t count = r ? std::max<int64_t>(0, r->to - r->from) : static_cast<int64_t>(items.size());
  Restore<int> depth(loop_depth_, loop_depth_ + 1);
  std::optional<Binding> shadowed;
  if (auto it = frame_->scope->names.find(s.variable.name); it != frame_->scope->names.end()) shadowed = it->second;
  auto leave = [&] {
    if (shadowed) frame_->scope->names[s.variable.name] = *shadowed;
    else frame_->scope->names.erase(s.variable.name);
  };
  for (int64_t i = 0; i < count && !frame_->result; ++i) {
    spend(s.range->span);
    int64_t position = r ? r->from + i : i;
    frame_->scope->names[s.variable.name] = {r ? number(static_cast<double>(position)) : items[static_cast<size_t>(i)], s.variable.span};
    frame_->loops.push_back(position);
    try {
      run(s.body);
    } catch (const Abort&) {
      frame_->loops.pop_back();
      leave();
      throw;
    }
    frame_->loops.pop_back();
  }
  leave();
}

}  // namespace gradc::sema
