// A model as a whole: inputs, outputs, losses, the optimisers' updates, random sites.
#include <algorithm>
#include <cmath>

#include "compiler/ops/ops.h"
#include "compiler/support/error.h"
#include "compiler/support/text.h"
#include "frontend/sema/elaborator.h"
#include "frontend/syntax/parser.h"

namespace gradc::sema {
namespace {

uint32_t fnv1a(std::string_view text) {
  uint32_t h = 2166136261u;
  for (char c : text) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
  return h;
}

}  // namespace

Elaborator::Elaborator(const World& world, SourceManager& sources, const ElaborateRequest& request, Diagnostics& diagnostics)
    : world_(world), sources_(sources), request_(request), diagnostics_(diagnostics) {}

void Elaborator::declare_inputs(const ast::Model& model) {
  for (const ast::Parameter& p : model.inputs) {
    try {
      Type type = input_type(p);
      At here(*this, p.span);
      Value v = wrap(input(builder(), p.name.name, role::data, type));
      NodeId node = v.as<TensorRef>()->node;
      graph_.edit(node).name = p.name.name;
      name_depth_[node.index] = -1;
      input_of_[node.index] = out_.inputs.size();
      InputInfo info{p.name.name, type, p.span, {}, {}, {}, {}};
      for (const Dim& d : type.dims) info.dims.push_back(d.name);
      out_.inputs.push_back(std::move(info));
      declare(p.name, v);
    } catch (const Abort&) {
      frame_->scope->names[p.name.name] = {Poison{}, p.name.span};
    }
  }
}

// An integer input that selects along an axis must stay below its size; the data are checked before training.
void Elaborator::limit_index(const Value& index, int64_t limit, const std::string& what, SourceSpan at) {
  auto* t = index.as<TensorRef>();
  if (!t || t->initial) return;
  NodeId id = t->node;
  while (graph_[id].op->kind == OpKind::View || graph_[id].op->kind == OpKind::Reshape) id = graph_[id].operands[0];
  auto it = input_of_.find(id.index);
  if (it == input_of_.end()) return;
  InputInfo& info = out_.inputs[it->second];
  if (info.index_limit && *info.index_limit <= limit) return;
  SourceSpan user = graph_.provenance.user_span(origin(at), sources_);
  info.index_limit = limit;
  info.limit_name = what;
  info.limit_span = user ? user : at;
}

Expr Elaborator::step_input() {
  if (in_initial_) return constant(builder(), 0, {Element::F64, {}});
  if (!step_) step_ = input(builder(), "step", role::step, {Element::F64, {}}).id;
  return Expr(builder(), *step_);
}

Expr Elaborator::seed_input() {
  std::optional<NodeId>& seed = in_initial_ ? init_seed_ : seed_;
  if (!seed) seed = input(builder(), "seed", role::seed, {Element::Int, {}}).id;
  return Expr(builder(), *seed);
}

// A draw's site is a hash of where it is: the path of the binding, the loop indices in it, and a count where there are several.
// It does not depend on what else the model holds, so edits elsewhere change no random number.
Expr Elaborator::uniform_random(const std::vector<Dim>& dims, SourceSpan at) {
  check_size(dims, at);
  std::string key = frame_->base.empty() ? frame_->prefix : frame_->base;
  if (in_initial_) key += " initial";
  int count = draws_[key]++;
  uint32_t site = fnv1a(fmt::format("{}#{}", key, count));
  while (!sites_.insert(site).second) site = site * 2654435761u + 1;
  Element element = expected_shape() ? expected_->element : draw_element_.value_or(model_element());
  return random(seed_input(), step_input(), site, {element, dims});
}

std::optional<Elaboration> Elaborator::model(const ast::Model& model, const std::vector<Objective>& objectives) {
  graph_.name = init_.name = model.name.name;
  Frame frame;
  frame.kind = Frame::Model;
  frame.scope = inner_scope(world_.user);
  FrameScope enter(*this, frame);
  declare_inputs(model);
  run(model.body);
  try {
    outputs(objectives);
    if (request_.update) updates(objectives);
  } catch (const Abort&) {
  }
  if (diagnostics_.has_errors()) return std::nullopt;
  check_unused(objectives);
  out_.graph = std::move(graph_);
  out_.init = std::move(init_);
  return std::move(out_);
}

Value Elaborator::loss_value(const Objective& o) {
  auto it = frame_->scope->names.find(o.loss);
  if (it == frame_->scope->names.end()) {
    Diagnostic& d = report(DiagnosticKind::MissingLoss, o.span, graph_.name, o.loss);
    std::vector<std::string> names;
    for (const auto& [name, _] : frame_->scope->names) names.push_back(name.str());
    if (auto near = nearest(o.loss.str(), names)) d.note(fmt::format("did you mean '{}'?", *near));
    abort();
  }
  const Value& v = it->second.value;
  if (v.as<Poison>()) abort();
  auto* t = v.as<TensorRef>();
  if (t && type(*t).rank() == 0 && is_float(type(*t).element)) return v;
  Diagnostic& d = report(DiagnosticKind::NonScalarLoss, it->second.span, o.loss, describe(v));
  if (t && is_float(type(*t).element)) d.note(fmt::format("mean({}) or sum({}) is a single number", o.loss, o.loss));
  abort();
}

void Elaborator::outputs(const std::vector<Objective>& objectives) {
  if (!request_.outputs.empty()) {
    for (const std::string& text : request_.outputs) {
      FileId file = sources_.add(fmt::format("output {}", text), text);
      ast::ExprPtr e = parse_expression(file, sources_, diagnostics_);
      if (!e) abort();
      out_.syntax.push_back(std::shared_ptr<ast::Expr>(std::move(e)));
      At here(*this, out_.syntax.back()->span);
      Value v = evaluate(*out_.syntax.back());
      graph_.outputs.push_back({text, OutputKind::Value, expr(v, out_.syntax.back()->span).id});
      if (graph_[graph_.outputs.back().node].type.rank() == 0) out_.metrics.push_back(text);
    }
    return;
  }
  for (const Objective& o : objectives) {
    NodeId node = loss_value(o).as<TensorRef>()->node;
    graph_.outputs.push_back({o.loss, OutputKind::Value, node});
    out_.metrics.push_back(o.loss);
  }
  // Every scalar that the model names is a metric, in the order of the file.
  std::vector<std::pair<SourceSpan, Symbol>> scalars;
  for (const auto& [name, binding] : frame_->scope->names) {
    auto* t = binding.value.as<TensorRef>();
    bool is_input = t && graph_[t->node].op->kind == OpKind::Input;
    bool known = std::find(out_.metrics.begin(), out_.metrics.end(), name) != out_.metrics.end();
    if (t && !is_input && !known && type(*t).rank() == 0) scalars.emplace_back(binding.span, name);
  }
  std::sort(scalars.begin(), scalars.end());
  for (const auto& [span, name] : scalars) {
    graph_.outputs.push_back({name, OutputKind::Value, frame_->scope->names[name].value.as<TensorRef>()->node});
    out_.metrics.push_back(name);
  }
}

void Elaborator::check_unused(const std::vector<Objective>& objectives) {
  std::vector<bool> reached(graph_.size(), false);
  bool any = false;
  for (const Objective& o : objectives) {
    auto it = frame_->scope->names.find(o.loss);
    auto* t = it == frame_->scope->names.end() ? nullptr : it->second.value.as<TensorRef>();
    if (t) any = reached[t->node.at()] = true;
  }
  if (!any) return;
  for (size_t i = graph_.size(); i-- > 0;) {
    if (!reached[i]) continue;
    for (NodeId o : graph_[NodeId(i)].operands) reached[o.at()] = true;
  }
  for (ParameterInfo& p : out_.parameters) {
    p.used = false;
    for (size_t i = 0; i < graph_.size() && !p.used; ++i) {
      const Node& n = graph_[NodeId(i)];
      p.used = reached[i] && n.op->kind == OpKind::Input && n.name == p.path;
    }
    if (!p.used) report(DiagnosticKind::UnusedParameter, p.span, p.path);
  }
}

// ---- updates ----

void Elaborator::updates(const std::vector<Objective>& objectives) {
  for (const Objective& o : objectives) update_objective(o);
  for (const auto& [path, value] : parameter_updates_) graph_.outputs.push_back({path, OutputKind::Update, value.as<TensorRef>()->node});
  for (const StateInfo& s : out_.states) {
    auto it = state_updates_.find(s.path.str());
    if (it != state_updates_.end()) graph_.outputs.push_back({s.path, OutputKind::Update, it->second.as<TensorRef>()->node});
  }
}

void Elaborator::update_objective(const Objective& o) {
  if (!o.optimizer) return;
  Value loss = loss_value(o);
  Value optimizer_holder = optimizer_value(*o.optimizer);
  const OptimizerValue& optimizer = **optimizer_holder.as<std::shared_ptr<const OptimizerValue>>();
  std::vector<ParameterInfo> mine;
  for (const ParameterInfo& p : out_.parameters) {
    bool wanted = o.over.empty() || std::any_of(o.over.begin(), o.over.end(), [&](const std::string& g) { return glob_match(g, p.path.str()); });
    if (wanted) mine.push_back(p);
  }
  if (mine.empty() && !o.over.empty()) {
    report(DiagnosticKind::NoParameterMatches, o.span, fmt::join(o.over, ", "));
    abort();
  }
  // Parameters that the loss does not use keep their values.
  std::vector<bool> reached(graph_.size(), false);
  reached[loss.as<TensorRef>()->node.at()] = true;
  for (size_t i = graph_.size(); i-- > 0;) {
    if (!reached[i]) continue;
    for (NodeId operand : graph_[NodeId(i)].operands) reached[operand.at()] = true;
  }
  auto node_of = [&](const ParameterInfo& p) { return parameters_.at(p.path.str()).as<TensorRef>()->node; };
  std::erase_if(mine, [&](const ParameterInfo& p) { return !reached[node_of(p).at()]; });

  std::vector<Expr> gradients;
  for (const ParameterInfo& p : mine) {
    At here(*this, o.optimizer->span);
    gradients.push_back(grad(Expr(builder(), loss.as<TensorRef>()->node), Expr(builder(), node_of(p))));
  }
  gradients = transformed(optimizer, std::move(gradients));
  for (size_t i = 0; i < mine.size(); ++i) update_parameter(mine[i], optimizer, gradients[i], o.every);
}

std::vector<Expr> Elaborator::transformed(const OptimizerValue& optimizer, std::vector<Expr> gradients) {
  for (const GradientTransform& t : optimizer.transforms) {
    At here(*this, t.span);
    if (t.kind == GradientTransform::ClipValue) {
      for (Expr& g : gradients) g = max(min(g, t.limit), -t.limit);
      continue;
    }
    Expr squares;
    for (Expr g : gradients) {
      Expr part = reduce_sum(g * g, all_axes(g));
      if (squares && squares.element() != part.element()) part = cast(part, squares.element());
      squares = squares ? squares + part : part;
    }
    if (!squares) continue;
    Expr scale = min(t.limit / (sqrt(squares) + 1e-6), 1.0);
    for (Expr& g : gradients) g = g * broadcast_to(cast(scale, g.element()), g.type().dims);
  }
  return gradients;
}

void Elaborator::update_parameter(const ParameterInfo& p, const OptimizerValue& optimizer, Expr g, int64_t every) {
  const ast::Optimizer& body = *optimizer.optimizer;
  Value theta = parameters_.at(p.path.str());
  Frame frame;
  frame.kind = Frame::Optimizer;
  frame.declaration = &body;
  frame.callee = body.name.name;
  frame.caller = origin(optimizer.span);
  frame.scope = inner_scope(optimizer.scope);
  frame.prefix = frame.base = fmt::format("{}.{}", p.path, body.name.name);
  frame.theta = &p.type;
  for (const auto& [name, value] : optimizer.configuration) frame.scope->names[name] = {value, optimizer.span};
  optimized_path_ = p.path.str();

  At here(*this, optimizer.span);
  std::vector<Value> given{theta, wrap(g), TensorRef{step_input().id, true, false}};
  size_t first_state = out_.states.size();
  FrameScope enter(*this, frame);
  for (size_t i = 0; i < body.arguments.size(); ++i) {
    const ast::Parameter& a = body.arguments[i];
    if (i >= given.size()) {
      report(DiagnosticKind::OptimizerArguments, a.span, body.name.name);
      abort();
    }
    frame.scope->names[a.name.name] = {given[i], a.name.span};
  }
  run(body.body);
  Value result = finish({}, optimizer.span);
  Expr x = expr(result, body.name.span, p.type.element);
  if (!x.type().same_shape(p.type)) {
    report(DiagnosticKind::InitialShape, body.name.span, p.path, shape_to_string(p.type), shape_to_string(x.type()));
    abort();
  }
  // Every k-th step only: otherwise parameter and states keep their values.
  auto gated = [&](Expr updated, Expr old) {
    if (every <= 1) return updated;
    Expr due = eq(rem(step_input(), static_cast<double>(every)), 0.0);
    return select(broadcast_to(due, updated.type().dims), updated, old);
  };
  parameter_updates_.emplace_back(p.path, wrap(gated(x, expr(theta, optimizer.span))));
  for (size_t i = first_state; i < out_.states.size() && every > 1; ++i) {
    auto it = state_updates_.find(out_.states[i].path.str());
    if (it == state_updates_.end()) continue;
    for (size_t k = 0; k < graph_.size(); ++k) {
      const Node& n = graph_[NodeId(k)];
      if (n.op->kind != OpKind::Input || n.name != out_.states[i].path) continue;
      it->second = wrap(gated(expr(it->second, optimizer.span), Expr(builder(), NodeId(k))));
      break;
    }
  }
}

}  // namespace gradc::sema
