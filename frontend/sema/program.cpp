#include "frontend/sema/program.h"

#include <algorithm>

#include "compiler/support/error.h"
#include "compiler/support/text.h"
#include "frontend/library/library.h"
#include "frontend/sema/builtins.h"
#include "frontend/sema/train.h"
#include "frontend/syntax/parser.h"

namespace gradc {

using namespace sema;

// The trees that a program refers to: the user's file, the library's files and the overrides.
struct ProgramParts {
  const ast::File* file = nullptr;
  SourceManager* sources = nullptr;
  std::vector<std::pair<std::string, std::unique_ptr<ast::File>>> library;  // by module
  std::map<std::string, ast::ExprPtr> override_trees;                       // of the train block, by key
  std::map<std::string, const ast::Expr*> overrides;
  std::map<Symbol, int64_t> dims;                                           // --set T=256
  std::map<Symbol, const ast::Model*> models;
  std::vector<Symbol> model_order;
  std::vector<std::string> uses;
  Symbol trained;
  std::vector<Objective> objectives;
};

namespace {

// `derivative f(...)` belongs to the function f of the same file.
const ast::Fn* function_of(const ast::File& file, const ast::Derivative& d) {
  for (const ast::Item& item : file.items) {
    if (auto* f = item.as<ast::Fn>(); f && f->name.name == d.function.name) return f;
  }
  return nullptr;
}

void declare_items(const ast::File& file, const ScopePtr& scope, World& world) {
  for (const ast::Item& item : file.items) {
    auto* d = item.as<ast::Derivative>();
    if (const ast::Fn* f = d ? function_of(file, *d) : nullptr) world.derivatives[f] = d;
  }
  for (const ast::Item& item : file.items) {
    if (auto* f = item.as<ast::Fn>()) scope->names[f->name.name] = {std::make_shared<const Closure>(Closure{f, scope, {}}), f->name.span};
    if (auto* l = item.as<ast::Layer>()) scope->names[l->name.name] = {LayerClass{l, scope}, l->name.span};
    if (auto* o = item.as<ast::Optimizer>()) scope->names[o->name.name] = {OptimizerClass{o, scope}, o->name.span};
  }
}

// Scopes refer to themselves through the functions in them; a world takes them apart when it goes.
struct OwnedWorld : World {
  std::vector<ScopePtr> scopes;
  OwnedWorld() = default;
  OwnedWorld(OwnedWorld&&) = default;
  ~OwnedWorld() {
    for (const ScopePtr& s : scopes) s->names.clear();
  }
};

OwnedWorld make_world(const ProgramParts& parts, const TrainSpec* train) {
  OwnedWorld w;
  auto prelude = w.scopes.emplace_back(inner_scope(nullptr));
  auto imports = w.scopes.emplace_back(inner_scope(prelude));
  w.user = w.scopes.emplace_back(inner_scope(imports));
  for (const auto& [module, file] : parts.library) {
    if (module == "prelude") {
      declare_items(*file, prelude, w);
      continue;
    }
    auto [it, fresh] = w.modules.try_emplace(module, nullptr);
    if (fresh) it->second = w.scopes.emplace_back(inner_scope(prelude));
    declare_items(*file, it->second, w);
  }
  for (const std::string& use : parts.uses) {
    auto it = w.modules.find(use);
    if (it != w.modules.end()) imports->names.insert(it->second->names.begin(), it->second->names.end());
  }
  declare_items(*parts.file, w.user, w);
  w.train = train;
  return w;
}

void load_library(ProgramParts& parts, Diagnostics& diagnostics) {
  for (const LibraryFile& f : library_files()) {
    auto known = parts.sources->find(f.name);
    FileId id = known ? *known : parts.sources->add(std::string(f.name), std::string(f.text), true);
    parts.library.emplace_back(std::string(f.module), parse(id, *parts.sources, diagnostics));
  }
}

void read_derivative(const ast::File& file, const ast::Derivative& d, Diagnostics& diagnostics) {
  const ast::Fn* f = function_of(file, d);
  std::vector<std::string> names;
  if (!f) {
    for (const ast::Item& item : file.items) {
      if (auto* other = item.as<ast::Fn>()) names.push_back(other->name.name.str());
    }
    Diagnostic& problem = diagnostics.report(DiagnosticKind::DerivativeOfUnknown, d.function.span, d.function.name);
    if (auto near = nearest(d.function.name.str(), names)) problem.note(fmt::format("did you mean '{}'?", *near));
    return;
  }
  for (const ast::Parameter& p : f->parameters) names.push_back(p.name.name.str());
  std::set<Symbol> seen{d.value.name};
  for (const ast::Ident& input : d.inputs) {
    if (std::find(names.begin(), names.end(), input.name.str()) != names.end()) {
      if (!seen.insert(input.name).second) diagnostics.report(DiagnosticKind::DuplicateName, input.span, input.name);
      continue;
    }
    Diagnostic& problem = diagnostics.report(DiagnosticKind::DerivativeInput, input.span, input.name, f->name.name);
    problem.note(f->name.span, fmt::format("'{}' takes {}", f->name.name, fmt::join(names, ", ")));
    if (auto near = nearest(input.name.str(), names)) problem.note(fmt::format("did you mean '{}'?", *near));
  }
}

// Names at the top of the file, each once; models and `use`.
void read_items(ProgramParts& parts, Diagnostics& diagnostics) {
  std::map<Symbol, SourceSpan> names, derivatives;
  auto declare = [&](const ast::Ident& id) {
    auto [it, fresh] = names.try_emplace(id.name, id.span);
    if (!fresh) diagnostics.report(DiagnosticKind::DuplicateName, id.span, id.name).note(it->second, "first declared here");
  };
  for (const ast::Item& item : parts.file->items) {
    std::visit(ast::Overloaded{[&](const ast::Use& u) {
                                 std::vector<std::string> modules = library_modules();
                                 parts.uses.push_back(u.module.name.str());
                                 if (std::find(modules.begin(), modules.end(), parts.uses.back()) != modules.end()) return;
                                 Diagnostic& d = diagnostics.report(DiagnosticKind::UnknownModule, u.module.span, u.module.name);
                                 d.note(fmt::format("the library has {}", fmt::join(modules, ", ")));
                               },
                               [&](const ast::Model& m) {
                                 declare(m.name);
                                 parts.models.try_emplace(m.name.name, &m);
                                 parts.model_order.push_back(m.name.name);
                                 std::map<Symbol, SourceSpan> inputs;
                                 for (const ast::Parameter& p : m.inputs) {
                                   auto [it, fresh] = inputs.try_emplace(p.name.name, p.name.span);
                                   if (!fresh) diagnostics.report(DiagnosticKind::DuplicateName, p.name.span, p.name.name).note(it->second, "first declared here");
                                 }
                               },
                               [&](const ast::Train&) {},
                               [&](const ast::Derivative& d) {
                                 auto [it, fresh] = derivatives.try_emplace(d.function.name, d.function.span);
                                 if (!fresh) diagnostics.report(DiagnosticKind::DuplicateName, d.function.span, fmt::format("derivative {}", d.function.name)).note(it->second, "first declared here");
                                 read_derivative(*parts.file, d, diagnostics);
                               },
                               [&](const auto& named) { declare(named.name); }},
               item.node);
  }
}

void read_overrides(ProgramParts& parts, const std::map<std::string, std::string>& set, Diagnostics& diagnostics) {
  std::vector<std::string> valid;
  for (const std::string& key : train_keys()) valid.push_back("train." + key);
  std::set<std::string> dims;
  for (const ast::Item& item : parts.file->items) {
    if (auto* d = item.as<ast::Dim>()) dims.insert(d->name.name.str());
  }
  valid.insert(valid.end(), dims.begin(), dims.end());
  for (const auto& [key, text] : set) {
    if (std::find(valid.begin(), valid.end(), key) == valid.end()) {
      Diagnostic& d = diagnostics.report_at(DiagnosticKind::UnknownSetting, "--set", key);
      if (auto near = nearest(key, valid)) d.note(fmt::format("did you mean '{}'?", *near));
      else d.note(fmt::format("what can be set: {}", fmt::join(valid, ", ")));
      continue;
    }
    FileId file = parts.sources->add("--set " + key, text);
    ast::ExprPtr e = parse_expression(file, *parts.sources, diagnostics);
    if (!e) continue;
    if (dims.count(key)) {
      auto* n = ast::strip(*e).as<ast::Number>();
      if (n && n->integer && *n->integer >= 0) parts.dims[key] = *n->integer;
      else diagnostics.report(DiagnosticKind::NotWhole, e->span, fmt::format("the size of '{}'", key), text, text);
      continue;
    }
    std::string train_key = key.substr(6);
    parts.overrides[train_key] = e.get();
    parts.override_trees[train_key] = std::move(e);
  }
}

const ast::Model* find_model(const ProgramParts& parts, Symbol name) {
  if (!name) name = parts.trained;
  if (!name && parts.model_order.size() == 1) name = parts.model_order[0];
  auto it = parts.models.find(name);
  return it == parts.models.end() ? nullptr : it->second;
}

const ast::Model* require_model(const ProgramParts& parts, Symbol name, Diagnostics& diagnostics) {
  if (const ast::Model* m = find_model(parts, name)) return m;
  std::vector<std::string> names;
  for (Symbol m : parts.model_order) names.push_back(m.str());
  Diagnostic& d = diagnostics.report_at(DiagnosticKind::WhichModel, parts.sources->file(parts.file->id).name, name ? fmt::format("no model is called '{}'", name) : names.empty() ? "there is no model" : "there are several models and no train block names one");
  if (!names.empty()) d.note(fmt::format("the file has {}", fmt::join(names, ", ")));
  return nullptr;
}

const ast::Name* dim_name(const ast::ShapeDim& d) { return d.size ? ast::strip(*d.size).as<ast::Name>() : nullptr; }

// Sizes of a model's inputs with free names 0; asks `sema` for what is known at the top of the file.
std::vector<InputInfo> read_signature(const ast::Model& model, const World& world, Elaborator& sema) {
  std::vector<InputInfo> out;
  for (const ast::Parameter& p : model.inputs) {
    InputInfo info{p.name.name, {}, p.span, {}, {}, {}};
    info.type.element = sema.model_element();
    if (p.type && p.type->element) info.type.element = parse_element(p.type->element->name.str()).value_or(Element::F32);
    for (size_t i = 0; p.type && i < p.type->dims.size(); ++i) {
      const ast::ShapeDim& d = p.type->dims[i];
      const ast::Name* n = dim_name(d);
      Dim dim{0, n ? n->name : Symbol()};
      bool free = d.is_ellipsis() || (n && !world.user->find(n->name));
      if (!free) sema.at_top_level([&] { dim.size = sema.dimension(*d.size); });
      info.type.dims.push_back(dim);
      info.dims.push_back(dim.name);
    }
    out.push_back(std::move(info));
  }
  return out;
}

ElaborateRequest with_dims(const ElaborateRequest& request, const ProgramParts& parts) {
  ElaborateRequest r = request;
  for (const auto& [name, size] : parts.dims) r.dims[name] = size;
  return r;
}

}  // namespace

namespace sema {

bool Elaborator::at_top_level(const std::function<void()>& work) {
  Frame frame;
  frame.kind = Frame::Data;
  frame.scope = inner_scope(world_.user);
  FrameScope enter(*this, frame);
  try {
    work();
    return true;
  } catch (const Abort&) {
    return false;
  }
}

void Elaborator::declare_dims(const ast::File& file) {
  for (const ast::Item& item : file.items) {
    auto* d = item.as<ast::Dim>();
    if (!d) continue;
    dim_names_.insert(d->name.name);
    if (!d->value || !ast::strip(*d->value).as<ast::Name>()) declared_dims_.insert(d->name.name);  // dim S = T is T
    auto given = request_.dims.find(d->name.name);
    int64_t size = given != request_.dims.end() ? given->second : 0;
    bool known = given != request_.dims.end();
    if (!known && d->value) known = at_top_level([&] { size = dimension(*d->value); });
    if (!known && !d->value && request_.default_dim > 0) size = request_.default_dim, known = true;
    if (known) world_.user->names[d->name.name] = {number(static_cast<double>(size), d->name.name), d->name.span};
    else if (d->value) world_.user->names[d->name.name] = {Poison{}, d->name.span};
  }
}

}  // namespace sema

std::optional<Program> Program::analyze(const ast::File& file, SourceManager& sources, const std::map<std::string, std::string>& set,
                                        Diagnostics& diagnostics) {
  size_t errors = diagnostics.error_count();
  auto parts = std::make_shared<ProgramParts>();
  parts->file = &file;
  parts->sources = &sources;
  load_library(*parts, diagnostics);
  read_items(*parts, diagnostics);
  read_overrides(*parts, set, diagnostics);

  Program program;
  const ast::Train* train = nullptr;
  for (const ast::Item& item : file.items) {
    auto* t = item.as<ast::Train>();
    if (!t) continue;
    if (train) diagnostics.report(DiagnosticKind::TwoTrainBlocks, t->model.span).note(train->model.span, "the first is here");
    else train = t;
  }
  if (train) {
    const ast::Model* model = find_model(*parts, train->model.name);
    if (!model) {
      std::vector<std::string> names;
      for (Symbol m : parts->model_order) names.push_back(m.str());
      Diagnostic& d = diagnostics.report(DiagnosticKind::TrainsUnknownModel, train->model.span, train->model.name);
      if (auto near = nearest(train->model.name.str(), names)) d.note(fmt::format("did you mean '{}'?", *near));
    } else {
      OwnedWorld world = make_world(*parts, nullptr);
      ElaborateRequest request;
      request.dims = parts->dims;
      Elaborator sema(world, sources, request, diagnostics);
      sema.declare_dims(file);
      Training training = read_train(*train, *model, parts->overrides, sema);
      program.train_ = std::move(training.spec);
      parts->trained = training.model;
      parts->objectives = std::move(training.objectives);
    }
  }
  program.parts_ = std::move(parts);
  if (diagnostics.error_count() > errors) return std::nullopt;
  return program;
}

std::vector<Symbol> Program::models() const { return parts_->model_order; }

std::vector<InputInfo> Program::signature(Symbol name, Diagnostics& diagnostics) const {
  const ast::Model* model = require_model(*parts_, name, diagnostics);
  if (!model) return {};
  OwnedWorld world = make_world(*parts_, nullptr);
  ElaborateRequest request = with_dims({}, *parts_);
  Diagnostics quiet;  // sizes that need the free names are simply open
  Elaborator sema(world, *parts_->sources, request, quiet);
  sema.declare_dims(*parts_->file);
  return read_signature(*model, world, sema);
}

std::map<Symbol, int64_t> Program::bind(Symbol name, const std::map<Symbol, Type>& arrays, Diagnostics& diagnostics) const {
  std::map<Symbol, int64_t> sizes;
  std::map<Symbol, std::pair<Symbol, SourceSpan>> from;  // dimension -> the input that settled it
  for (const InputInfo& input : signature(name, diagnostics)) {
    auto it = arrays.find(input.name);
    if (it == arrays.end()) continue;
    const Type& have = it->second;
    bool fits = have.rank() == input.type.rank();
    for (size_t i = 0; fits && i < have.rank(); ++i) {
      int64_t size = have.size(i);
      if (input.type.size(i) != 0) {
        fits = input.type.size(i) == size;
        continue;
      }
      if (!input.dims[i]) continue;
      auto [known, fresh] = sizes.try_emplace(input.dims[i], size);
      if (fresh) from[input.dims[i]] = {input.name, input.span};
      else if (known->second != size) {
        auto [other, span] = from[input.dims[i]];
        diagnostics.report(DiagnosticKind::DimensionConflict, input.span, input.dims[i], size, input.name, known->second, other).note(span, fmt::format("'{}' has {} = {}", other, input.dims[i], known->second));
      }
    }
    if (!fits) diagnostics.report(DiagnosticKind::ArrayMismatch, input.span, input.name, shape_to_string(have), parts_->sources->text(input.span));
  }
  return sizes;
}

std::optional<Elaboration> Program::elaborate(const ElaborateRequest& request, Diagnostics& diagnostics) const {
  const ast::Model* model = require_model(*parts_, request.model, diagnostics);
  if (!model) return std::nullopt;
  bool trained = train_ && parts_->trained == model->name.name;
  OwnedWorld world = make_world(*parts_, train_ ? &*train_ : nullptr);
  ElaborateRequest full = with_dims(request, *parts_);
  Elaborator sema(world, *parts_->sources, full, diagnostics);
  sema.declare_dims(*parts_->file);
  std::vector<Objective> objectives = parts_->objectives;
  if (!trained) objectives = {{"loss", model->name.span, {}, nullptr, 1}};
  return sema.model(*model, objectives);
}

std::optional<Graph> Program::elaborate_data(const DataSpec& data, const std::map<Symbol, Type>& raw, const std::vector<std::string>& columns,
                                             Element element, Diagnostics& diagnostics, const std::map<Symbol, int64_t>& dims) const {
  const ast::Model* model = require_model(*parts_, parts_->trained, diagnostics);
  if (!model) return std::nullopt;
  OwnedWorld world = make_world(*parts_, nullptr);
  ElaborateRequest request = with_dims({}, *parts_);
  request.element = element;
  Elaborator inputs(world, *parts_->sources, request, diagnostics);
  inputs.declare_dims(*parts_->file);
  std::vector<InputInfo> signature = read_signature(*model, world, inputs);
  request.element = Element::F64;  // the transforms compute in f64 and round once
  Elaborator sema(world, *parts_->sources, request, diagnostics);
  return sema.data(data, {raw, columns, element, dims}, signature);
}

}  // namespace gradc
