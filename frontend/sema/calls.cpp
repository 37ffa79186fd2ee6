// Calls: arguments against parameters; functions, layers and optimisers.
#include <algorithm>

#include "compiler/support/error.h"
#include "compiler/support/text.h"
#include "frontend/sema/builtins.h"

namespace gradc::sema {
namespace {

constexpr int max_calls = 64;  // of bodies inside each other
constexpr int recursions = 8;   // so many calls of one body inside each other are no accident

}  // namespace

std::vector<Arg> Elaborator::arguments(const std::vector<ast::Argument>& args) {
  std::vector<Arg> out;
  for (const ast::Argument& a : args) out.push_back({a.name ? a.name->name : Symbol(), evaluate(*a.value), a.value->span, a.name ? a.name->span : SourceSpan()});
  return out;
}

std::map<Symbol, Arg> Elaborator::match(const std::vector<ast::Parameter>& parameters, std::vector<Arg> args, const std::string& callee,
                                        SourceSpan declared, SourceSpan at, bool allow_missing_t, const std::set<Symbol>& given) {
  std::vector<std::string> names;
  for (const ast::Parameter& p : parameters) names.push_back(p.name.name.str());
  auto signature = [&](Diagnostic& d) -> Diagnostic& {
    return d.note(declared, names.empty() ? fmt::format("'{}' takes none", callee) : fmt::format("'{}' takes {}", callee, fmt::join(names, ", ")));
  };
  std::map<Symbol, Arg> out;
  size_t next = 0;
  for (Arg& a : args) {
    Symbol to = a.name;
    if (!to) {
      while (next < parameters.size() && given.count(parameters[next].name.name)) ++next;
      if (next == parameters.size()) {
        signature(report(DiagnosticKind::TooManyArguments, a.span, callee, args.size(), parameters.size()));
        abort();
      }
      to = parameters[next++].name.name;
    } else if (std::find(names.begin(), names.end(), to.str()) == names.end()) {
      Diagnostic& d = signature(report(DiagnosticKind::UnknownArgument, a.named_at(), callee, to));
      if (auto near = nearest(to.str(), names)) d.note(fmt::format("did you mean '{}'?", *near));
      abort();
    }
    if (auto it = out.find(to); it != out.end()) {
      report(DiagnosticKind::ArgumentTwice, a.span, to, callee).note(it->second.span, "first here");
      abort();
    }
    if (a.value.as<Poison>()) abort();
    out[to] = std::move(a);
  }
  for (const ast::Parameter& p : parameters) {
    bool waits = allow_missing_t && p.name.name == Symbol("t");
    if (p.fallback || waits || out.count(p.name.name) || given.count(p.name.name)) continue;
    signature(report(DiagnosticKind::MissingArgument, at, callee, p.name.name));
    abort();
  }
  return out;
}

void Elaborator::check_recursion(const void* declaration, Symbol name, SourceSpan at) {
  int depth = 0;
  for (const Frame* f = frame_; f; f = f->parent) ++depth;
  if (depth < max_calls) return;
  // What calls itself, perhaps by way of others, stands among the callers again and again.
  std::map<const void*, int> times{{declaration, 1}};
  Symbol again;
  for (const Frame* f = frame_; f; f = f->parent) {
    if (f->declaration && ++times[f->declaration] > recursions) again = f->callee;
  }
  report(again ? DiagnosticKind::Recursion : DiagnosticKind::CallsTooDeep, at, again ? again : name);
  abort();
}

// Binds tensor arguments in the scope of the current frame, defaults included, and the dimensions that they settle.
void Elaborator::enter_tensors(const std::vector<ast::Parameter>& parameters, std::map<Symbol, Arg> args, SourceSpan at) {
  for (const ast::Parameter& p : parameters) {
    auto it = args.find(p.name.name);
    bool given = it != args.end();
    if (!given && !p.fallback) continue;
    Value v = given ? it->second.value : evaluate(*p.fallback);
    if (p.type) unify(*p.type, v, p.name.name.str(), given ? it->second.span : at);
    frame_->scope->names[p.name.name] = {v, p.name.span};
    frame_->assigned.try_emplace(p.name.name, p.name.span);
  }
}

Value Elaborator::finish(const std::vector<ast::ShapeType>& results, SourceSpan at) {
  if (!frame_->result) {
    report(DiagnosticKind::NoReturn, at, frame_->callee);
    abort();
  }
  Value v = *frame_->result;
  if (v.as<Poison>()) abort();
  if (results.size() == 1) check_result(results[0], v, at);
  if (results.size() > 1) {
    const ListValue* list = v.list();
    if (!list || list->items.size() != results.size()) {
      report(DiagnosticKind::WrongCount, at, results.size(), frame_->callee, list ? fmt::format("{} values", list->items.size()) : describe(v));
      abort();
    }
    std::vector<Value> items = list->items;
    for (size_t i = 0; i < items.size(); ++i) check_result(results[i], items[i], at);
    v = list_of(std::move(items));
  }
  return v;
}

Value Elaborator::call_function(const std::shared_ptr<const Closure>& f, std::vector<Arg> args, SourceSpan at) {
  const ast::Fn& fn = *f->fn;
  check_recursion(&fn, fn.name.name, at);
  std::set<Symbol> given;
  for (const auto& [name, _] : f->given) given.insert(name);
  std::map<Symbol, Arg> matched = match(fn.parameters, std::move(args), fn.name.name.str(), fn.name.span, at, true, given);
  for (const auto& [name, value] : f->given) matched.try_emplace(name, Arg{name, value, at});

  auto is_t = [](const ast::Parameter& p) { return p.name.name == Symbol("t") && !p.fallback; };
  if (std::any_of(fn.parameters.begin(), fn.parameters.end(), is_t) && !matched.count(Symbol("t"))) {
    Closure schedule = *f;  // a function of t
    for (auto& [name, arg] : matched) schedule.given[name] = arg.value;
    return std::make_shared<const Closure>(std::move(schedule));
  }
  Frame frame;
  frame.kind = Frame::Function;
  frame.declaration = &fn;
  frame.callee = fn.name.name;
  frame.caller = origin(at);
  frame.scope = inner_scope(f->scope);
  frame.prefix = frame.base = frame_->base.empty() ? frame_->prefix : frame_->base;
  frame.counts = frame_->counts;
  FrameScope enter(*this, frame);
  enter_tensors(fn.parameters, std::move(matched), at);
  auto rule = world_.derivatives.find(&fn);
  if (rule == world_.derivatives.end()) return evaluate_body(fn.body, fn.results, at);
  std::map<Symbol, Binding> inputs = frame.scope->names;
  return with_rule(*rule->second, fn, f->scope, inputs, evaluate_body(fn.body, fn.results, at), at);
}

Value Elaborator::evaluate_body(const ast::Body& body, const std::vector<ast::ShapeType>& results, SourceSpan at) {
  if (auto* e = std::get_if<ast::ExprPtr>(&body)) frame_->result = evaluate(**e);
  else run(std::get<ast::Block>(body));
  return finish(results, at);
}

std::vector<std::pair<Symbol, Value>> Elaborator::configure(const std::vector<ast::Parameter>& parameters, const ScopePtr& scope,
                                                            std::vector<Arg> args, Symbol callee, SourceSpan declared, SourceSpan at) {
  std::map<Symbol, Arg> matched = match(parameters, std::move(args), callee.str(), declared, at, false);
  Frame frame;
  frame.kind = Frame::Function;
  frame.callee = callee;
  frame.caller = origin(at);
  frame.scope = inner_scope(scope);
  FrameScope enter(*this, frame);
  std::vector<std::pair<Symbol, Value>> out;
  for (const ast::Parameter& p : parameters) {
    auto it = matched.find(p.name.name);
    Value v = it != matched.end() ? it->second.value : evaluate(*p.fallback);
    if (auto* n = v.as<Num>(); n && !n->dim) v = *n;
    frame.scope->names[p.name.name] = {v, p.name.span};
    out.emplace_back(p.name.name, std::move(v));
  }
  return out;
}

std::shared_ptr<LayerInstance> Elaborator::sequential(std::vector<Arg> parts, SourceSpan at) {
  auto layer = std::make_shared<LayerInstance>();
  layer->span = at;
  for (size_t i = 0; i < parts.size(); ++i) {
    layer->configuration.emplace_back(Symbol(std::to_string(i)), parts[i].value);
    layer->part_spans.push_back(parts[i].span);
  }
  return layer;
}

Value Elaborator::call_layer(const std::shared_ptr<LayerInstance>& layer, std::vector<Arg> args, SourceSpan at) {
  Symbol name = layer->layer ? layer->layer->name.name : Symbol("Sequential");
  check_recursion(layer->layer ? static_cast<const void*>(layer->layer) : layer.get(), name, at);
  if (layer->path.empty()) {
    if (frame_->base.empty()) {
      report(DiagnosticKind::LayerWithoutName, at, name);
      abort();
    }
    int count = (*frame_->counts)[frame_->base]++;
    layer->path = count == 0 ? frame_->base : fmt::format("{}.{}", frame_->base, count);
  }
  for (auto& [key, value] : layer->configuration) give_path(value, layer->path + "." + key.str());

  Frame frame;
  frame.kind = Frame::Layer;
  frame.declaration = layer->layer ? static_cast<const void*>(layer->layer) : layer.get();
  frame.callee = name;
  frame.caller = origin(at);
  frame.scope = inner_scope(layer->scope);
  frame.prefix = frame.base = layer->path;
  if (!layer->layer) {
    if (args.size() != 1) {
      report(DiagnosticKind::TooManyArguments, at, name, args.size(), 1);
      abort();
    }
    FrameScope enter(*this, frame);
    Value v = args[0].value;
    for (size_t i = 0; i < layer->configuration.size(); ++i) {
      const auto& [key, part] = layer->configuration[i];
      Restore<std::string> base(frame.base, layer->path + "." + key.str());
      v = call(part, {{{}, v, at}}, layer->part_spans[i]);
      name_node(v, frame.base);
    }
    return v;
  }
  std::map<Symbol, Arg> matched = match(layer->layer->tensors, std::move(args), name.str(), layer->layer->name.span, at, false);
  for (const auto& [key, value] : layer->configuration) frame.scope->names[key] = {value, layer->span};
  FrameScope enter(*this, frame);
  enter_tensors(layer->layer->tensors, std::move(matched), at);
  run(layer->layer->body);
  return finish(layer->layer->results, at);
}

Value Elaborator::call(const Value& callee, std::vector<Arg> args, SourceSpan at) {
  if (callee.as<Poison>()) abort();
  if (auto* b = callee.as<const Builtin*>()) {
    for (const Arg& a : args) {
      if (a.value.as<Poison>()) abort();
    }
    At here(*this, at);
    return (*b)->call(match_builtin(*this, **b, std::move(args), at));
  }
  if (auto* f = callee.as<std::shared_ptr<const Closure>>()) return call_function(*f, std::move(args), at);
  if (auto* l = callee.as<std::shared_ptr<LayerInstance>>()) return call_layer(*l, std::move(args), at);
  if (auto* c = callee.as<LayerClass>()) {
    auto layer = std::make_shared<LayerInstance>();
    layer->layer = c->layer;
    layer->scope = c->scope;
    layer->span = at;
    layer->configuration = configure(c->layer->configuration, c->scope, std::move(args), c->layer->name.name, c->layer->name.span, at);
    return layer;
  }
  if (auto* o = callee.as<OptimizerClass>()) {
    OptimizerValue v{o->optimizer, o->scope, {}, {}, at};
    v.configuration = configure(o->optimizer->configuration, o->scope, std::move(args), o->optimizer->name.name, o->optimizer->name.span, at);
    return std::make_shared<const OptimizerValue>(std::move(v));
  }
  report(DiagnosticKind::NotCallable, at, quote(at), describe(callee));
  abort();
}

Value Elaborator::pipe(const ast::Pipe& p) {
  spend(p.op_span);
  Value v = evaluate(*p.value);
  if (v.as<Poison>()) abort();
  const ast::Expr& stage = ast::strip(*p.stage);
  if (auto* first = v.as<std::shared_ptr<const OptimizerValue>>()) {
    Value then = evaluate(stage);
    auto* second = then.as<std::shared_ptr<const OptimizerValue>>();
    if (!second || (*first)->optimizer) {
      report(DiagnosticKind::WrongType, stage.span, quote(stage.span), "an optimizer after a transform of its gradients", describe(then));
      abort();
    }
    OptimizerValue joined = **second;
    joined.transforms.insert(joined.transforms.begin(), (*first)->transforms.begin(), (*first)->transforms.end());
    return std::make_shared<const OptimizerValue>(std::move(joined));
  }
  Arg piped{{}, v, p.value->span};
  if (auto* c = stage.as<ast::Call>()) {
    Value callee = evaluate(*c->callee);
    std::vector<Arg> args = arguments(c->arguments);
    auto* builtin = callee.as<const Builtin*>();
    bool makes_layer = callee.as<LayerClass>() || (builtin && std::string_view((*builtin)->name) == "Sequential");
    if (!makes_layer) {
      args.insert(args.begin(), std::move(piped));
      return call(callee, std::move(args), stage.span);
    }
    return call(call(callee, std::move(args), stage.span), {piped}, stage.span);
  }
  Value callee = evaluate(stage);
  if (auto* c = callee.as<LayerClass>()) {
    report(DiagnosticKind::LayerWithoutConfiguration, stage.span, c->layer->name.name);
    abort();
  }
  return call(callee, {piped}, stage.span);
}

Value Elaborator::optimizer_value(const ast::Expr& e) {
  Value v = evaluate(e);
  auto* o = v.as<std::shared_ptr<const OptimizerValue>>();
  if (o && (*o)->optimizer) return v;
  Diagnostic& d = report(DiagnosticKind::WrongType, e.span, quote(e.span), "an optimizer", describe(v));
  if (auto* c = v.as<OptimizerClass>()) d.note(fmt::format("write '{}()' for its defaults", c->optimizer->name.name));
  abort();
}

}  // namespace gradc::sema
