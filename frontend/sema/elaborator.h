#pragma once

#include <functional>
#include <set>

#include "compiler/ops/expr.h"
#include "frontend/sema/program.h"
#include "frontend/sema/scan_body.h"
#include "frontend/sema/value.h"

namespace gradc::sema {

// Thrown once a diagnostic is reported; caught per statement, so that one run reports several mistakes.
struct Abort {};

// A value passed to something callable.
struct Arg {
  Symbol name;  // empty: by position
  Value value;
  SourceSpan span;
  SourceSpan name_span{};

  SourceSpan named_at() const { return name_span ? name_span : span; }
};

// One body being elaborated: the model, or a call of a function, a layer or an optimiser.
struct Frame {
  enum Kind { Model, Function, Layer, Optimizer, Data } kind = Model;
  Frame* parent = nullptr;
  const void* declaration = nullptr;
  Symbol callee;
  OriginId caller;                          // the call that led here
  ScopePtr scope;
  std::string prefix;                       // of everything named in this body: "x[0].a"
  std::string base;                         // path of the binding being evaluated: layers of the expression own base, base.1, ...
  std::vector<int64_t> loops;
  std::map<std::string, int> own_counts;
  std::map<std::string, int>* counts = nullptr;  // layers seen per base; a function shares its caller's
  std::map<Symbol, SourceSpan> assigned;    // names bound by statements of this body
  std::map<Symbol, SourceSpan> outside;     // in a scan: names bound around it, which a step cannot bind
  std::map<Symbol, Symbol> dim_names;       // this body's name of a dimension -> the caller's
  const Type* theta = nullptr;              // Optimizer: the parameter being updated
  int depth = 0;
  std::optional<Value> result;
};

// A scope per file: the user's file sees the modules that it uses, and the prelude; `modules` are all, for messages.
struct World {
  ScopePtr user;
  std::map<const ast::Fn*, const ast::Derivative*> derivatives;
  std::map<std::string, ScopePtr> modules;
  const TrainSpec* train = nullptr;
};

struct Objective {
  Symbol loss;
  SourceSpan span;
  std::vector<std::string> over;  // patterns; empty: every parameter
  const ast::Expr* optimizer = nullptr;
  int64_t every = 1;
  std::vector<std::string> frozen{};  // patterns of parameters that keep their values
  SourceSpan frozen_at{};
};

// A copy of a node that counts only where the condition has the truth value `sense`.
struct GuardedCopy {
  NodeId node, condition;
  bool sense = true;
};

// A scan whose body is being elaborated. Its nodes stand in the graph around it, from `begin` on, until the body is complete.
struct ScanLevel {
  struct Carry {
    Symbol name;
    std::string state;  // its path, where a layer's state is carried
    Expr first, input;
    SourceSpan span;
    Expr next{};
  };
  struct Sequence {
    Expr all, element;
  };
  ScanLevel* outer = nullptr;
  bool initial = false;  // in the graph of initial values
  Dim time;
  size_t begin = 0;
  std::vector<Carry> carries;
  std::vector<Sequence> sequences;
  bool emitted = false;
  std::vector<Expr> emissions;
  SourceSpan emitted_at;
};

// What a reader of data gives.
struct RawData {
  std::map<Symbol, Type> tensors;
  std::vector<std::string> columns;   // names of the table's columns, where there are such
  Element element;                    // of the model: that of random draws
  std::map<Symbol, int64_t> dims;     // the sizes of dimension names that are known
};

struct Builtin;
struct BuiltinCall;

// Turns bodies into graph nodes by evaluating them: compile-time values are computed, tensors become nodes, functions and layers
// are expanded where they are called. Sizes are numbers here; dimension names travel with them for messages and axes.
class Elaborator {
 public:
  Elaborator(const World& world, SourceManager& sources, const ElaborateRequest& request, Diagnostics& diagnostics);

  std::optional<Elaboration> model(const ast::Model& model, const std::vector<Objective>& objectives);
  std::optional<Graph> data(const DataSpec& data, const RawData& raw, const std::vector<InputInfo>& inputs);

  // Runs `work` at the top level of the user's file, for compile-time values outside a model. False where it was aborted.
  bool at_top_level(const std::function<void()>& work);
  // The `dim` items of the user's file, in order.
  void declare_dims(const ast::File& file);

  // ---- values ----
  Value evaluate(const ast::Expr& e);
  Value call(const Value& callee, std::vector<Arg> args, SourceSpan at);
  Value optimizer_value(const ast::Expr& e);
  double number_of(const Value& v, SourceSpan at, const char* what);
  int64_t integer_of(const Value& v, SourceSpan at, const char* what);
  bool bool_of(const Value& v, SourceSpan at, const char* what);
  int64_t dimension(const ast::Expr& e);

  // ---- tensors ----
  Element model_element() const { return request_.element; }
  bool is_tensor(const Value& v) const;  // a tensor, or a nested list of numbers, which becomes one
  Expr expr(const Value& v, SourceSpan at, Element wanted);  // numbers become constants of the wanted element
  Expr expr(const Value& v, SourceSpan at);                  // numbers take the model's element
  Expr float_expr(const Value& v, SourceSpan at);            // integers and truth values become floats
  Value wrap(Expr e, bool weak = false) const { return TensorRef{e.id, weak, in_initial_}; }
  Expr constant_like(double value, Element element, const std::vector<Dim>& dims, SourceSpan at);
  Expr broadcast_to(Expr x, std::vector<Dim> dims);
  // Operands brought to one element and one shape; `weak` tells whether the result is.
  struct Operands {
    std::vector<Expr> exprs;
    bool weak = false;
  };
  Operands align(const std::vector<Value>& values, const std::vector<SourceSpan>& spans, const char* what, SourceSpan at,
                 bool want_float = false);
  Value pointwise(const char* what, const std::vector<Value>& values, const std::vector<SourceSpan>& spans, SourceSpan at,
                  bool want_float, const std::function<Expr(const std::vector<Expr>&)>& build);
  Value binary(ast::BinaryOp op, const Value& a, const Value& b, SourceSpan sa, SourceSpan sb, SourceSpan at);
  Value matmul(const Value& a, const Value& b, SourceSpan sa, SourceSpan sb, SourceSpan at);
  Value where(const Value& c, const Value& a, const Value& b, const std::vector<SourceSpan>& spans, SourceSpan at);
  Value gradient(const Value& y, const Value& x, SourceSpan sy, SourceSpan sx);
  Value index(const ast::Index& e, const ast::Expr& at);
  std::vector<int64_t> axes_of(const Value& v, const Type& type, SourceSpan at);
  int64_t axis_of(const Value& v, const Type& type, SourceSpan at);
  std::vector<Dim> shape_of(const Value& v, SourceSpan at, bool may_be_open = false);  // -1 where a size is left open
  void check_size(const std::vector<Dim>& dims, SourceSpan at);
  Expr uniform_random(const std::vector<Dim>& dims, SourceSpan at);
  void limit_index(const Value& index, int64_t limit, const std::string& what, SourceSpan at);
  const Type* expected_shape() const { return in_initial_ ? expected_ : nullptr; }
  GraphBuilder& builder() { return in_initial_ ? init_builder_ : main_builder_; }
  const Type& type(const TensorRef& t) { return (t.initial ? init_ : graph_)[t.node].type; }

  // ---- messages ----
  template <class... Args>
  Diagnostic& report(DiagnosticKind kind, SourceSpan span, const Args&... args) {
    size_t before = diagnostics_.all().size();
    Diagnostic& d = diagnostics_.report(kind, span, args...);
    if (diagnostics_.all().size() == before) return repeated_ = d;  // said already: notes go nowhere
    return with_calls(d);
  }
  [[noreturn]] void abort() const { throw Abort{}; }
  std::string quote(SourceSpan span) const;           // what the user wrote there
  void note_values(Diagnostic& d, const ast::Expr& e);  // "where d is 10 and heads is 4", "the left side is 2, the right side 0"
  void check_names(const Dim& a, const Dim& b, SourceSpan sa, SourceSpan sb, SourceSpan at);
  std::string describe(const Value& v);               // "f32[N=64, 10]", "the number 3", "a layer"
  void note_origin(Diagnostic& d, const Value& v, SourceSpan at);  // where a shape came from
  SourceManager& sources() { return sources_; }
  Frame& frame() { return *frame_; }
  bool is_known(Symbol name) const;  // whether it means something without a binding: a function, a constant, a dimension
  const World& world() const { return world_; }
  const std::string& optimized_path() const { return optimized_path_; }
  bool training() const { return request_.training; }
  int64_t period() const { return period_; }  // steps between two updates of the parameters in hand
  const std::vector<std::string>& columns() const { return columns_; }
  // In a reader's block: the input whose value is being given.
  const InputInfo* data_input() const { return data_input_; }
  // The element that numbers get where nothing else says one.
  Element number_element() const { return expected_shape() ? expected_->element : model_element(); }
  int64_t known_dimension(Symbol name, SourceSpan at);
  int64_t epoch_steps() const { return request_.epoch_steps; }
  std::shared_ptr<LayerInstance> sequential(std::vector<Arg> parts, SourceSpan at);

 private:
  friend struct FrameScope;
  friend struct At;
  friend class Notation;
  // statements.cpp
  void run(const ast::Block& block);
  void execute(const ast::Stmt& s);
  void bind(const ast::Bind& s);
  void bind_target(const ast::Target& target, const Value& v, SourceSpan at);
  void bind_group(const std::vector<ast::Target>& targets, const Value& v, SourceSpan at);
  void assign(const ast::Ident& name, Value v);
  void check_assignable(const ast::Ident& name);
  void declare(const ast::Ident& name, Value v);
  void param(const ast::Param& s);
  void state(const ast::State& s);
  void update(const ast::Update& s);
  void loop(const ast::For& s);
  void poison(const ast::Stmt& s);
  const ast::Block* taken(const ast::If& e);
  std::string base_of(Symbol name) const;
  void name_node(const Value& v, Symbol name);
  void give_path(const Value& v, const std::string& path);
  Expr initial_value(const ast::Expr& e, const Type& type, Symbol path);

  // calls.cpp
  std::vector<Arg> arguments(const std::vector<ast::Argument>& args);
  std::map<Symbol, Arg> match(const std::vector<ast::Parameter>& parameters, std::vector<Arg> args, const std::string& callee,
                              SourceSpan declared, SourceSpan at, bool allow_missing_t, const std::set<Symbol>& given = {});
  Value call_function(const std::shared_ptr<const Closure>& f, std::vector<Arg> args, SourceSpan at);
  Value with_rule(const ast::Derivative& rule, const ast::Fn& fn, const ScopePtr& scope, const std::map<Symbol, Binding>& given, Value value, SourceSpan at);
  Value call_layer(const std::shared_ptr<LayerInstance>& layer, std::vector<Arg> args, SourceSpan at);
  std::vector<std::pair<Symbol, Value>> configure(const std::vector<ast::Parameter>& parameters, const ScopePtr& scope,
                                                  std::vector<Arg> args, Symbol callee, SourceSpan declared, SourceSpan at);
  void enter_tensors(const std::vector<ast::Parameter>& parameters, std::map<Symbol, Arg> args, SourceSpan at);
  Value finish(const std::vector<ast::ShapeType>& results, SourceSpan at);
  Value evaluate_body(const ast::Body& body, const std::vector<ast::ShapeType>& results, SourceSpan at);
  void check_recursion(const void* declaration, Symbol name, SourceSpan at);
  Value pipe(const ast::Pipe& p);

  // shapes.cpp
  Type declared_type(const ast::ShapeType& t, const Type* like = nullptr);
  void name_axis(const Value& v, size_t axis, Symbol name);
  void unify(const ast::ShapeType& t, Value& v, const std::string& what, SourceSpan at);
  void check_result(const ast::ShapeType& t, Value& v, SourceSpan at);
  Element element_of(const ast::ShapeType& t);
  Type input_type(const ast::Parameter& p);

  // expressions.cpp
  Value name(const ast::Name& n, SourceSpan at);
  Value unary(const ast::Unary& u, const ast::Expr& at);
  Value logical(const ast::Binary& b);
  Value path_or_member(const ast::Expr& e);
  std::optional<Value> find_path(const std::string& path) const;
  [[noreturn]] void unknown_name(Symbol name, SourceSpan at);
  OriginId origin(SourceSpan span);
  ProvenanceId provenance(SourceSpan span);
  OriginId import(OriginId id);
  Diagnostic& with_calls(Diagnostic& d);
  void spend(SourceSpan at);

  // notation.cpp: index notation
  void index_bind(const ast::IndexBind& s);
  Value index_reduction(const ast::Expr& e);

  // scan.cpp
  struct ScanValue {
    std::optional<Value> emissions, carries;
  };
  struct ScanSequence {
    Expr all;          // time in front
    size_t place = 0;  // where it was
    const ast::ScanInput* syntax = nullptr;
  };
  ScanValue run_scan(const ast::Scan& s);
  Value scan_value(const ast::Scan& s);                                         // as an expression
  Value scan_for(const std::vector<ast::Target>& targets, const ast::Scan& s);  // on the right of `=`
  std::vector<ScanSequence> scan_sequences(const ast::Scan& s);
  ScanSequence scan_sequence(const ast::ScanInput& i, const ast::Scan& s, const std::optional<Value>& axis);
  std::vector<ScanLevel::Carry> first_values(const ast::Scan& s);
  void scan_body(const ast::Scan& s, ScanLevel& level, const std::vector<ScanSequence>& sequences);
  ScanResults leave_scan(const ast::Scan& s, ScanLevel& level, int64_t segment);
  Expr next_value(const ScanLevel::Carry& carry, const Binding& binding, SourceSpan first);
  int64_t segment_of(const ast::Scan& s);
  Expr add_element(ScanLevel& level, Expr sequence, Symbol name);
  Expr add_carry(ScanLevel& level, ScanLevel::Carry carry);
  Value carried_state(const std::string& path, Symbol name, SourceSpan at);
  void emit(const ast::Emit& e);
  Graph without_moved(Graph g, const std::vector<NodeId>& moved) const;

  // guard.cpp
  Value guard(const Value& branch, const Value& condition, bool sense);

  // model.cpp
  void declare_inputs(const ast::Model& model);
  void outputs(const std::vector<Objective>& objectives);
  Value loss_value(const Objective& o);
  void updates(const std::vector<Objective>& objectives);
  void update_objective(const Objective& o);
  std::vector<ParameterInfo> trained_by(const Objective& o, NodeId loss);
  Value declare_state(const std::string& path, const Type& type, SourceSpan at, double initial);
  std::vector<Expr> accumulated(const std::vector<ParameterInfo>& of, std::vector<Expr> gradients, int64_t steps, SourceSpan at);
  Expr due(int64_t every, const std::vector<Dim>& dims);
  void update_parameter(const ParameterInfo& p, const OptimizerValue& optimizer, Expr g, int64_t every);
  std::vector<Expr> transformed(const OptimizerValue& optimizer, const std::vector<ParameterInfo>& of, std::vector<Expr> gradients);
  void find_losses(const std::vector<Objective>& objectives);
  Expr step_input();
  Expr seed_input();

  const World& world_;
  SourceManager& sources_;
  const ElaborateRequest& request_;
  Diagnostics& diagnostics_;
  Diagnostic repeated_;

  Graph graph_, init_;
  GraphBuilder main_builder_{graph_}, init_builder_{init_};
  bool in_initial_ = false;
  const Type* expected_ = nullptr;
  Frame* frame_ = nullptr;
  int loop_depth_ = 0;
  ScanLevel* scan_ = nullptr;
  std::vector<NodeId> moved_, moved_initial_;      // nodes that went into bodies of scans
  std::map<int32_t, NodeId> sequence_of_;          // of an element
  int64_t work_ = 0;
  bool too_large_ = false;
  int evaluate_depth_ = 0;

  Elaboration out_;
  std::map<std::string, Value> parameters_;       // current value of parameters and states by path
  std::map<std::string, SourceSpan> param_spans_;
  std::map<std::string, Value> state_updates_;
  std::vector<std::pair<Symbol, Value>> parameter_updates_;
  std::map<int32_t, int> name_depth_;              // of the frame that named a node: outer names win
  std::map<int32_t, std::vector<GuardedCopy>> copies_;  // of nodes, made by guard()
  std::map<int32_t, size_t> input_of_;             // node of an int input -> its place in out_.inputs
  std::map<std::string, int> draws_;
  std::set<uint32_t> sites_;
  std::set<Symbol> dim_names_;
  std::string optimized_path_;
  int64_t period_ = 1;
  std::map<Symbol, SourceSpan> updated_by_;         // parameter -> the loss that trains it
  std::set<std::pair<Symbol, Symbol>> met_dims_;    // that the lint has spoken of
  std::set<Symbol> declared_dims_;                  // named in the model's signature or by `dim`
  std::vector<std::string> columns_;
  const InputInfo* data_input_ = nullptr;
  std::optional<Element> draw_element_;
  std::set<Symbol> open_dims_;                     // of the model's inputs, whose sizes are not known in a reader's block
  std::optional<NodeId> step_, seed_, init_seed_;
};

// New nodes made while it lives come from the span.
struct At {
  At(Elaborator& e, SourceSpan span) : elaborator(e), builder(e.builder()), saved(builder.provenance) {
    builder.provenance = e.provenance(span);
  }
  ~At() { builder.provenance = saved; }
  At(const At&) = delete;
  Elaborator& elaborator;
  GraphBuilder& builder;
  ProvenanceId saved;
};

struct FrameScope {
  FrameScope(Elaborator& e, Frame& f) : elaborator(e), saved(e.frame_), saved_loops(e.loop_depth_) {
    f.parent = e.frame_;
    f.depth = e.frame_ ? e.frame_->depth + 1 : 0;
    if (!f.counts) f.counts = &f.own_counts;
    e.frame_ = &f;
    e.loop_depth_ = 0;
  }
  ~FrameScope() {
    elaborator.frame_ = saved;
    elaborator.loop_depth_ = saved_loops;
  }
  FrameScope(const FrameScope&) = delete;
  Elaborator& elaborator;
  Frame* saved;
  int saved_loops;
};

// Sets a variable for the time of a scope.
template <class T>
struct Restore {
  Restore(T& v, T now) : variable(v), saved(std::exchange(v, std::move(now))) {}
  ~Restore() { variable = std::move(saved); }
  Restore(const Restore&) = delete;
  T& variable;
  T saved;
};

}  // namespace gradc::sema
