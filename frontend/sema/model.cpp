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
  for (bool same = true; same;) {
    OpKind kind = graph_[id].op->kind;
    auto element = sequence_of_.find(id.index);
    if (element != sequence_of_.end()) id = element->second;
    else if (kind == OpKind::View || kind == OpKind::Reshape) id = graph_[id].operands[0];
    else same = false;
  }
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
  // In a scan: drawn outside for all steps at once, and read as a sequence by each scan in turn.
  std::vector<ScanLevel*> levels;
  for (ScanLevel* l = scan_; l && l->initial == in_initial_; l = l->outer) levels.insert(levels.begin(), l);
  std::vector<Dim> all;
  for (const ScanLevel* l : levels) all.push_back(l->time);
  all.insert(all.end(), dims.begin(), dims.end());
  check_size(all, at);
  Expr drawn = random(seed_input(), step_input(), site, {element, all});
  for (ScanLevel* l : levels) drawn = add_element(*l, drawn, {});
  return drawn;
}

std::optional<Elaboration> Elaborator::model(const ast::Model& model, const std::vector<Objective>& objectives) {
  graph_.name = init_.name = model.name.name;
  Frame frame;
  frame.kind = Frame::Model;
  frame.scope = inner_scope(world_.user);
  // A function that the model declares holds the scope that holds it: the names go when the model is done.
  struct Release {
    ScopePtr scope;
    ~Release() { scope->names.clear(); }
  } release{frame.scope};
  FrameScope enter(*this, frame);
  declare_inputs(model);
  run(model.body);
  try {
    outputs(objectives);
    if (request_.update) updates(objectives);
  } catch (const Abort&) {
  }
  if (diagnostics_.has_errors()) return std::nullopt;
  find_losses(objectives);
  out_.graph = without_moved(std::move(graph_), moved_);
  out_.init = without_moved(std::move(init_), moved_initial_);
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

void Elaborator::find_losses(const std::vector<Objective>& objectives) {
  bool any = false;
  for (const Objective& o : objectives) {
    auto it = frame_->scope->names.find(o.loss);
    auto* t = it == frame_->scope->names.end() ? nullptr : it->second.value.as<TensorRef>();
    if (!t) continue;
    if (!any) for (ParameterInfo& p : out_.parameters) p.used = false;
    any = true;
    std::vector<bool> reached(graph_.size(), false);
    reached[t->node.at()] = true;
    for (size_t i = graph_.size(); i-- > 0;) {
      if (!reached[i]) continue;
      for (NodeId operand : graph_[NodeId(i)].operands) reached[operand.at()] = true;
    }
    for (ParameterInfo& p : out_.parameters) {
      if (!reached[parameters_.at(p.path.str()).as<TensorRef>()->node.at()]) continue;
      p.used = true;
      auto named = [&](const std::string& pattern) { return glob_match(pattern, p.path.str()); };
      if (!p.loss && (o.over.empty() || std::any_of(o.over.begin(), o.over.end(), named))) p.loss = o.loss;
    }
  }
  for (const ParameterInfo& p : out_.parameters) {
    if (!p.used) report(DiagnosticKind::UnusedParameter, p.span, p.path);
  }
}

}  // namespace gradc::sema
