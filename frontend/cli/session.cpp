#include "frontend/cli/session.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <cerrno>
#include <fstream>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/jit/sha256.h"
#include "compiler/support/error.h"
#include "compiler/support/text.h"
#include "frontend/cli/cache.h"
#include "frontend/syntax/parser.h"
#include "runtime/files.h"
#include "runtime/processors.h"
#include "runtime/terminal.h"

namespace gradc::cli {
namespace {

std::map<std::string, std::string> parse_set(const std::vector<std::string>& entries, Diagnostics& diagnostics) {
  std::map<std::string, std::string> set;
  for (const std::string& entry : entries) {
    size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) {
      diagnostics.report_at(DiagnosticKind::MalformedSet, "--set", entry);
    } else if (!set.emplace(entry.substr(0, equals), entry.substr(equals + 1)).second) {
      diagnostics.report_at(DiagnosticKind::SetTwice, "--set", entry.substr(0, equals));
    }
  }
  return set;
}

// --without: passes and rules of the rewriter, and cutting batches into strips.
void leave_out(const std::vector<std::string>& names, CompileOptions& options, Diagnostics& diagnostics) {
  const std::string strips = "strips";
  std::vector<std::string> known{strips};
  for (const RewritePass& pass : rewrite_passes()) known.push_back(pass.name);
  for (const RewriteRule& rule : rewrite_rules()) known.push_back(rule.name);
  for (const std::string& name : names) {
    if (name == strips) options.schedule.strips = 1;
    else options.rewrite.disabled.push_back(name);
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    auto& d = diagnostics.report_at(DiagnosticKind::UnknownPass, "--without", name);
    if (auto close = nearest(name, known)) d.note("did you mean '" + *close + "'?");
  }
  if (diagnostics.has_errors()) throw Stop{usage_error};
}

}  // namespace

int64_t available_memory() {
  std::ifstream info("/proc/meminfo");
  int64_t kib;
  for (std::string line; std::getline(info, line);) {
    if (std::sscanf(line.c_str(), "MemAvailable: %ld kB", &kib) == 1) return kib * 1024;
  }
  return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
}

int chosen_threads(const ModelOptions& options) { return options.threads > 0 ? options.threads : usable_processors(); }

Target chosen_target(const ModelOptions& options, Diagnostics& diagnostics) {
  std::string error;
  if (auto target = make_target(options.cpu, error)) return *target;
  auto& d = diagnostics.report_at(DiagnosticKind::UnknownCpu, "--cpu", options.cpu, error);
  const std::vector<std::string> known = known_cpus();  // of an unknown one the error itself names the nearest
  if (std::find(known.begin(), known.end(), options.cpu) != known.end()) d.note("'native', the default, is the processor of this machine");
  throw Stop{usage_error};
}

double milliseconds(const std::function<void()>& f) {
  auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

Session::Session(const ModelOptions& options) : options_(options) {
  element = options.dtype == "f64" ? Element::F64 : Element::F32;
  compile_options.target = chosen_target(options, diagnostics);
  leave_out(options.disabled, compile_options, diagnostics);
  compile_options.jit.compile_threads = compile_options.threads = chosen_threads(options);
  compile_options.jit.debug_info = false;  // nothing looks at the locations in objects; inspect makes its own text
  if (options.cache) {
    compile_options.jit.cache_dir = cache_directory();
    compile_options.tiles = kept_tiles(compile_options.target, chosen_threads(options), diagnostics);
  }

  auto set = parse_set(options.set, diagnostics);
  if (diagnostics.has_errors()) throw Stop{usage_error};
  auto text = read_file(options.file, diagnostics);
  stop_on_errors();
  FileId file = sources.add(options.file, std::move(*text));
  frontend_ms.emplace_back("parse", milliseconds([&] { syntax = parse(file, sources, diagnostics); }));
  stop_on_errors();
  frontend_ms.emplace_back("analyse", milliseconds([&] { program = Program::analyze(*syntax, sources, set, diagnostics); }));
  stop_on_errors();

  std::vector<std::string> names;
  for (Symbol m : program->models()) names.push_back(m.str());
  if (names.empty()) diagnostics.report_at(DiagnosticKind::NoModel, options.file);
  if (!options.model.empty()) {
    model = options.model;
    if (std::find(names.begin(), names.end(), options.model) == names.end()) {
      auto& d = diagnostics.report_at(DiagnosticKind::UnknownModel, "--model", options.file, options.model);
      if (auto close = nearest(options.model, names)) d.note("did you mean '" + *close + "'?");
    }
  }
  stop_on_errors();
  seed = options.seed.value_or(program->train() ? program->train()->seed : 0);
}

Messages::~Messages() {
  if (diagnostics.all().empty()) return;
  std::string text = render_all(diagnostics, sources, wants_color(STDERR_FILENO));
  std::fputs(text.c_str(), stderr);
}

ThreadPool& Session::pool() {
  if (!pool_) pool_ = std::make_unique<ThreadPool>(chosen_threads(options_));
  return *pool_;
}

void Session::stop_on_errors() {
  if (diagnostics.has_errors()) throw Stop{user_error};
}

ElaborateRequest Session::request(bool training, bool update) const {
  ElaborateRequest r;
  r.model = model;
  r.training = training;
  r.update = update;
  r.element = element;
  r.epoch_steps = 1;  // the rows at hand are all the data, unless the verb knows better
  return r;
}

Elaboration Session::elaborate(const ElaborateRequest& request) {
  std::optional<Elaboration> meaning;
  frontend_ms.emplace_back("elaborate", milliseconds([&] { meaning = program->elaborate(request, diagnostics); }));
  stop_on_errors();
  GRADC_ASSERT(meaning, "no graph and no diagnostic");
  return std::move(*meaning);
}

// The chain of the user's names from the value differentiated to the operation in the way, into the bodies of scans.
static std::string path_text(const AutodiffProblem& p, const Graph& graph) {
  std::string text;
  auto append = [&](const std::vector<NodeId>& path, const Graph& g) {
    for (NodeId id : path) {
      const Node& n = g[id];
      if (n.op->kind == OpKind::Result && !n.name) continue;  // the scan comes next
      text += (text.empty() ? "" : " <- ") + (n.name ? n.name.str() : n.op->name);
    }
  };
  append(p.path, graph);
  for (const AutodiffProblem::Inside& inside : p.inside) append(inside.path, *inside.body);
  return text;
}

void Session::report(const AutodiffProblem& p, const Graph& whole) {
  const Graph& graph = p.body ? *p.body : whole;
  auto span_of = [&](const Node& n) -> SourceSpan {
    if (!n.provenance) return {};
    for (OriginId origin : whole.provenance.get(n.provenance).origins) {
      if (SourceSpan span = whole.provenance.user_span(origin, sources)) return span;
    }
    return {};
  };
  const Node& grad = graph[p.grad];
  SourceSpan at = span_of(grad);
  std::string of = graph.label(grad.operands[0]), wrt = graph.label(grad.operands[1]);
  switch (p.kind) {
    case AutodiffProblem::NotScalar:
      diagnostics.report(DiagnosticKind::GradNotScalar, at, of, shape_to_string(graph[grad.operands[0]].type));
      break;
    case AutodiffProblem::NotFloat: diagnostics.report(DiagnosticKind::GradNotFloat, at, of, wrt, p.reason); break;
    case AutodiffProblem::NoPath: {
      auto& d = diagnostics.report(DiagnosticKind::GradNoPath, at, of, wrt);
      if (!p.reason.empty()) d.note(p.reason);
      break;
    }
    case AutodiffProblem::NotDifferentiable: {
      const Node& in_the_way = p.inside.empty() ? graph[p.node] : (*p.inside.back().body)[p.inside.back().path.back()];
      auto& d = diagnostics.report(DiagnosticKind::GradNotDifferentiable, at, of, wrt, in_the_way.op->name, p.reason);
      d.note(span_of(in_the_way), fmt::format("the path is {}", path_text(p, graph)));
      d.note("stop_gradient(...) says that no derivative should pass here");
      break;
    }
  }
}

Compiled Session::compile(Graph graph) {
  Compiled compiled = gradc::compile(std::move(graph), compile_options);
  for (const AutodiffProblem& p : compiled.problems) report(p, compiled.typed);
  stop_on_errors();
  return compiled;
}

Step Session::build(Elaboration meaning) {
  Step step;
  step.meaning = std::move(meaning);
  if (options_.tune) tune(step.meaning.graph);
  step.compiled = compile(step.meaning.graph);
  StepPlan plan = make_plan(step.compiled.kernels, *step.compiled.step);
  check_memory(plan);
  step.runner = std::make_unique<StepRunner>(std::move(plan), variables_, pool());
  return step;
}

// Other tiles are held against the scheduler's own, not against what was kept.
void Session::tune(const Graph& graph) {
  if (!tuner_) tuner_ = std::make_unique<Tuner>(pool(), options_.cache, options_.json);
  CompileOptions plain = compile_options;
  plain.tiles.clear();
  plain.jit_code = false;
  const Compiled compiled = gradc::compile(graph, plain);
  if (compiled.problems.empty()) tuner_->tune(compiled.kernels, compile_options.tiles);
}

void Session::check_memory(const StepPlan& plan) {
  double bytes = static_cast<double>(plan.arena_bytes) + static_cast<double>(pool().threads()) * static_cast<double>(plan.scratch_bytes);
  for (const StepBuffer& b : plan.buffers) {
    if (b.kind == StepBuffer::Temporary || b.kind == StepBuffer::Local || variables_.has(b.name)) continue;
    double size = static_cast<double>(byte_size(b.element));
    for (int64_t s : b.shape) size *= static_cast<double>(s);
    bytes += size;
  }
  auto available = static_cast<double>(available_memory());
  if (bytes > available) {
    diagnostics.report_at(DiagnosticKind::NotEnoughMemory, options_.file, human_bytes(bytes), human_bytes(available));
    throw Stop{environment_error};
  }
  memory_bytes = std::max(memory_bytes, static_cast<int64_t>(bytes));
}

void Session::initialize(const Elaboration& meaning, const std::vector<std::string>& given) {
  Graph init = meaning.init;
  std::erase_if(init.outputs, [&](const Output& o) {
    return std::find(given.begin(), given.end(), o.name.str()) != given.end() || !variables_.has(o.name.str());
  });
  // Constants (biases, the optimiser's moments) need no code.
  std::erase_if(init.outputs, [&](const Output& o) {
    const Node& n = init[o.node];
    if (n.op->kind != OpKind::Constant) return false;
    variables_.fill(o.name.str(), n.attrs.number("value"));
    return true;
  });
  if (init.outputs.empty()) return;
  init = init.compacted();
  Compiled compiled = compile(std::move(init));
  Variables none;
  StepRunner runner(make_plan(compiled.kernels, *compiled.step), none, pool());
  runner.run(0, seed);
  for (const Output& o : compiled.typed.outputs) variables_.set(o.name.str(), runner.get(o.name.str()));
}

std::function<bool(const std::string&)> own_variables(const Elaboration& meaning, bool with_optimizer) {
  std::set<std::string> parameters, states;
  for (const ParameterInfo& p : meaning.parameters) parameters.insert(p.path.str());
  for (const StateInfo& s : meaning.states) states.insert(s.path.str());
  return [=](const std::string& name) {
    if (parameters.count(name) || states.count(name)) return true;
    const size_t state = name.rfind('.');
    const size_t optimizer = state == std::string::npos || state == 0 ? std::string::npos : name.rfind('.', state - 1);
    return with_optimizer && optimizer != std::string::npos && parameters.count(name.substr(0, optimizer)) != 0;
  };
}

StepPlan make_plan(const KernelProgram& kernels, const CompiledStep& step) {
  StepPlan plan;
  for (const Buffer& b : kernels.buffers) {
    StepBuffer to;
    to.name = b.name.str();
    switch (b.kind) {
      case BufferKind::Input: to.kind = StepBuffer::Input; break;
      case BufferKind::Parameter: to.kind = StepBuffer::Parameter; break;
      case BufferKind::State: to.kind = StepBuffer::State; break;
      case BufferKind::Output: to.kind = StepBuffer::Output; break;
      case BufferKind::Temporary: to.kind = StepBuffer::Temporary; break;
      case BufferKind::Local: to.kind = StepBuffer::Local; break;
      case BufferKind::Shadow: to.kind = StepBuffer::Shadow; break;
    }
    to.element = b.type.element;
    to.shape = b.type.sizes();
    to.offset = b.offset;
    to.source = b.source.index;
    plan.buffers.push_back(std::move(to));
  }
  plan.arena_bytes = kernels.arena_bytes;
  plan.scratch_bytes = step.scratch_bytes();
  plan.entry = step.entry();
  return plan;
}

std::string digest(const Variables& variables) {
  Sha256 hash;
  for (const auto& [name, entry] : variables.entries()) {
    hash.update(name.data(), name.size() + 1);
    hash.update(entry.bytes.data(), entry.bytes.size());
  }
  return hash.hex();
}

}  // namespace gradc::cli
