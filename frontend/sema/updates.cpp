// What a training step stores: the optimisers' updates of parameters, and of states.
#include <algorithm>

#include "compiler/ops/ops.h"
#include "compiler/support/text.h"
#include "frontend/sema/elaborator.h"

namespace gradc::sema {
namespace {

bool matches(const std::vector<std::string>& patterns, Symbol path) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& g) { return glob_match(g, path.str()); });
}

}  // namespace

void Elaborator::updates(const std::vector<Objective>& objectives) {
  for (const Objective& o : objectives) update_objective(o);
  for (const auto& [path, value] : parameter_updates_) graph_.outputs.push_back({path, OutputKind::Update, value.as<TensorRef>()->node});
  for (const StateInfo& s : out_.states) {
    auto it = state_updates_.find(s.path.str());
    if (it != state_updates_.end()) graph_.outputs.push_back({s.path, OutputKind::Update, it->second.as<TensorRef>()->node});
  }
}

// The parameters that an objective changes: those that it names, that are not frozen and that its loss depends on.
std::vector<ParameterInfo> Elaborator::trained_by(const Objective& o, NodeId loss) {
  std::vector<ParameterInfo> mine;
  for (const ParameterInfo& p : out_.parameters) {
    if (o.over.empty() || matches(o.over, p.path)) mine.push_back(p);
  }
  if (mine.empty() && !o.over.empty()) {
    report(DiagnosticKind::NoParameterMatches, o.span, fmt::join(o.over, ", "));
    abort();
  }
  for (const std::string& pattern : o.frozen) {
    if (std::any_of(out_.parameters.begin(), out_.parameters.end(), [&](const ParameterInfo& p) { return glob_match(pattern, p.path.str()); })) continue;
    report(DiagnosticKind::NoParameterMatches, o.frozen_at, pattern);
    abort();
  }
  std::erase_if(mine, [&](const ParameterInfo& p) { return matches(o.frozen, p.path); });
  // Parameters that the loss does not use keep their values.
  std::vector<bool> reached(graph_.size(), false);
  reached[loss.at()] = true;
  for (size_t i = graph_.size(); i-- > 0;) {
    if (!reached[i]) continue;
    for (NodeId operand : graph_[NodeId(i)].operands) reached[operand.at()] = true;
  }
  std::erase_if(mine, [&](const ParameterInfo& p) { return !reached[parameters_.at(p.path.str()).as<TensorRef>()->node.at()]; });
  for (const ParameterInfo& p : mine) {
    auto [it, fresh] = updated_by_.try_emplace(p.path, o.span);
    if (fresh) continue;
    report(DiagnosticKind::TrainedTwice, o.span, p.path).note(it->second, "the other is here").note("'over' says which parameters a loss trains, as in minimize loss over \"net.*\" with adam()");
    abort();
  }
  return mine;
}

void Elaborator::update_objective(const Objective& o) {
  if (!o.optimizer) return;
  NodeId loss = loss_value(o).as<TensorRef>()->node;
  Restore<int64_t> period(period_, o.every);
  Value optimizer_holder = optimizer_value(*o.optimizer);
  const OptimizerValue& optimizer = **optimizer_holder.as<std::shared_ptr<const OptimizerValue>>();
  std::vector<ParameterInfo> mine = trained_by(o, loss);
  for (const GradientTransform& t : optimizer.transforms) {
    if (t.kind != GradientTransform::Accumulate) continue;
    if (period_ > 1) {
      report(DiagnosticKind::TwoPeriods, t.span, quote(t.span));
      abort();
    }
    period_ = static_cast<int64_t>(t.limit);
  }
  std::vector<Expr> gradients;
  for (const ParameterInfo& p : mine) {
    At here(*this, o.optimizer->span);
    gradients.push_back(grad(Expr(builder(), loss), Expr(builder(), parameters_.at(p.path.str()).as<TensorRef>()->node)));
  }
  gradients = transformed(optimizer, mine, std::move(gradients));
  for (size_t i = 0; i < mine.size(); ++i) update_parameter(mine[i], optimizer, gradients[i], period_);
}

Value Elaborator::declare_state(const std::string& path, const Type& type, SourceSpan at, double initial) {
  At here(*this, at);
  Value v = wrap(input(builder(), path, role::state, type));
  {
    Restore<bool> in_initial(in_initial_, true);
    At there(*this, at);
    init_.outputs.push_back({path, OutputKind::Value, constant(builder(), initial, type).id});
  }
  out_.states.push_back({path, type, at, true});
  parameters_[path] = v;
  graph_.edit(v.as<TensorRef>()->node).name = path;
  return v;
}

// Whether this is an every-th step, in the shape of a tensor.
Expr Elaborator::due(int64_t every, const std::vector<Dim>& dims) {
  return broadcast_to(eq(rem(step_input(), static_cast<double>(every)), 0.0), dims);
}

// Sums of gradients since the last update, as states; what comes out is their mean, which counts in the steps that are due.
std::vector<Expr> Elaborator::accumulated(const std::vector<ParameterInfo>& of, std::vector<Expr> gradients, int64_t steps, SourceSpan at) {
  for (size_t i = 0; steps > 1 && i < of.size(); ++i) {
    std::string path = fmt::format("{}.accumulated", of[i].path);
    Expr before = expr(declare_state(path, of[i].type, at, 0), at), total = before + gradients[i];
    state_updates_[path] = wrap(select(due(steps, of[i].type.dims), total.literal(0), total));
    gradients[i] = total / static_cast<double>(steps);
  }
  return gradients;
}

std::vector<Expr> Elaborator::transformed(const OptimizerValue& optimizer, const std::vector<ParameterInfo>& of, std::vector<Expr> gradients) {
  for (const GradientTransform& t : optimizer.transforms) {
    At here(*this, t.span);
    if (t.kind == GradientTransform::Accumulate) {
      gradients = accumulated(of, std::move(gradients), static_cast<int64_t>(t.limit), t.span);
      continue;
    }
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
  // Where not every step is an update, t counts updates: the steps that are not due look ahead to the next.
  Expr t = every <= 1 ? step_input() : ceil(step_input() / static_cast<double>(every));
  std::vector<Value> given{theta, wrap(g), TensorRef{t.id, true, false}};
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
    return select(due(every, updated.type().dims), updated, old);
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
