// Scans: run-time loops. The body is elaborated like any block, into the graph around it, with fresh inputs for what changes from
// step to step; then what was made is moved into a graph of its own (scan_body.h).
#include <algorithm>

#include "compiler/ops/ops.h"
#include "compiler/support/error.h"
#include "compiler/support/text.h"
#include "frontend/sema/elaborator.h"

namespace gradc::sema {
namespace {

std::string axis_text(const Dim& d, size_t place) { return d.name ? d.name.str() : fmt::format("axis {}", place); }

Expr to_front(Expr x, size_t axis) {
  std::vector<int64_t> perm{static_cast<int64_t>(axis)};
  for (size_t i = 0; i < x.rank(); ++i) {
    if (i != axis) perm.push_back(static_cast<int64_t>(i));
  }
  return transpose(x, perm);
}

// Time, in front so far, at a place; at the end of values with fewer axes.
Expr to_place(Expr x, size_t place) {
  place = std::min(place, x.rank() - 1);
  std::vector<int64_t> perm;
  for (size_t i = 1; i < x.rank(); ++i) perm.push_back(static_cast<int64_t>(i));
  perm.insert(perm.begin() + static_cast<int64_t>(place), 0);
  return transpose(x, perm);
}

Value one_or_list(std::vector<Value> values) { return values.size() == 1 ? values[0] : list_of(std::move(values)); }

}  // namespace

// ---- what is scanned ----

Elaborator::ScanSequence Elaborator::scan_sequence(const ast::ScanInput& i, const ast::Scan& s, const std::optional<Value>& axis) {
  SourceSpan at = i.sequence->span;
  Value v = evaluate(*i.sequence);
  At here(*this, at);
  if (auto* r = v.as<RangeValue>()) {
    Dim time{r->to - r->from, {}};
    if (time.size < 1) {
      report(DiagnosticKind::ScanEmpty, at, quote(at), r->from, r->to);
      abort();
    }
    // 0..T is as long as T.
    auto* written = ast::strip(*i.sequence).as<ast::Range>();
    auto* end = written ? ast::strip(*written->to).as<ast::Name>() : nullptr;
    if (Value to = end ? name(*end, written->to->span) : Value(); r->from == 0 && to.as<Num>()) time.name = to.as<Num>()->dim;
    check_size({time}, at);
    Expr x = iota(builder(), 0, {Element::Int, {time}});
    return {r->from == 0 ? x : with_dims(x + static_cast<double>(r->from), {time}), 0, &i};
  }
  if (!is_tensor(v)) {
    Diagnostic& d = report(DiagnosticKind::WrongType, at, quote(at), "a tensor or a range, to be scanned,", describe(v));
    if (v.list()) d.note("'for' goes through a list");
    abort();
  }
  Expr x = expr(v, at);
  if (x.rank() == 0) {
    report(DiagnosticKind::WrongType, at, quote(at), "a sequence, to be scanned,", describe(v));
    abort();
  }
  if (x.rank() > 1 && !axis) {
    report(DiagnosticKind::ScanAxisNeeded, at, quote(at), to_string(x.type())).note(fmt::format("as in 'scan {} in {} along {}'", i.item.name, quote(at), x.type().dims[0].name ? x.type().dims[0].name.str() : "0"));
    abort();
  }
  auto place = static_cast<size_t>(x.rank() == 1 ? 0 : axis_of(*axis, x.type(), s.axis->span));
  return {to_front(x, place), place, &i};
}

std::vector<Elaborator::ScanSequence> Elaborator::scan_sequences(const ast::Scan& s) {
  std::optional<Value> axis;
  if (s.axis) axis = evaluate(*s.axis);
  std::vector<ScanSequence> out;
  for (const ast::ScanInput& i : s.inputs) {
    ScanSequence q = scan_sequence(i, s, axis);
    SourceSpan at = i.sequence->span;
    const Dim time = q.all.type().dims[0];
    auto as_written = [](const ScanSequence& x) { return to_string(to_place(x.all, x.place).type()); };
    if (!out.empty() && out[0].all.size(0) != time.size) {
      const Dim other = out[0].all.type().dims[0];
      report(DiagnosticKind::ScanLengths, at, quote(out[0].syntax->sequence->span), as_written(out[0]), other.size, axis_text(other, out[0].place), quote(at),
             as_written(q), time.size, axis_text(time, q.place));
      abort();
    }
    out.push_back(q);
  }
  return out;
}

std::vector<ScanLevel::Carry> Elaborator::first_values(const ast::Scan& s) {
  std::vector<ScanLevel::Carry> out;
  for (const ast::ScanCarry& c : s.carries) {
    Restore<std::string> base(frame_->base, base_of(c.name.name));
    Value v = evaluate(*c.initial);
    At here(*this, c.initial->span);
    if (auto* b = v.as<bool>()) out.push_back({c.name.name, {}, constant(builder(), *b, {Element::Bool, {}}), {}, c.name.span});
    else out.push_back({c.name.name, {}, expr(v, c.initial->span), {}, c.name.span});
  }
  return out;
}

int64_t Elaborator::segment_of(const ast::Scan& s) {
  if (!s.recompute) return 0;
  if (!s.recompute->every) return 1;
  SourceSpan at = s.recompute->every->span;
  int64_t n = integer_of(evaluate(*s.recompute->every), at, "the steps between what is kept");
  if (n > 0) return n;
  report(DiagnosticKind::NotPositive, at, "the number of steps between what is kept", n);
  abort();
}

// ---- a step ----

Expr Elaborator::add_element(ScanLevel& level, Expr sequence, Symbol name) {
  for (const ScanLevel::Sequence& s : level.sequences) {
    if (s.all.id == sequence.id && builder()[s.element.id].name == name) return s.element;
  }
  Expr x = input(builder(), fmt::format("element{}", level.sequences.size()), role::element, without_time(sequence.type()));
  builder().graph().edit(x.id).name = name;
  name_depth_[x.id.index] = -1;
  if (!level.initial) sequence_of_[x.id.index] = sequence.id;
  level.sequences.push_back({sequence, x});
  return x;
}

Expr Elaborator::add_carry(ScanLevel& level, ScanLevel::Carry carry) {
  carry.input = input(builder(), fmt::format("carry{}", level.carries.size()), role::carry, carry.first.type());
  builder().graph().edit(carry.input.id).name = carry.state.empty() ? base_of(carry.name) : carry.state;
  name_depth_[carry.input.id.index] = -1;
  level.carries.push_back(carry);
  return carry.input;
}

// The value of a layer's state where the layer is called. In a scan each step sees what the step before left, so that the state is
// carried; where no step updates it, leave_scan() makes it a constant again.
Value Elaborator::carried_state(const std::string& path, Symbol name, SourceSpan at) {
  std::vector<ScanLevel*> levels;
  for (ScanLevel* l = scan_; l && !l->initial; l = l->outer) levels.insert(levels.begin(), l);
  Value& current = parameters_.at(path);
  for (ScanLevel* l : levels) {
    auto mine = [&](const ScanLevel::Carry& c) { return c.state == path; };
    if (std::any_of(l->carries.begin(), l->carries.end(), mine)) continue;
    At here(*this, at);
    current = wrap(add_carry(*l, {name, path, Expr(builder(), current.as<TensorRef>()->node), {}, at}));
  }
  return current;
}

void Elaborator::emit(const ast::Emit& e) {
  GRADC_ASSERT(scan_, "the parser keeps emit inside scans");
  SourceSpan at = e.value->span;
  if (scan_->emitted) {
    Diagnostic& d = report(DiagnosticKind::EmittedTwice, at);
    d.note(scan_->emitted_at, "the first time here").note("several values are emitted at once: 'emit a, b'");
    abort();
  }
  std::vector<std::pair<Value, SourceSpan>> values;
  if (auto* several = ast::strip(*e.value).as<ast::Tuple>()) {
    for (const ast::ExprPtr& x : several->elements) values.emplace_back(evaluate(*x), x->span);
  } else if (Value v = evaluate(*e.value); v.list() && !is_tensor(v)) {
    for (const Value& x : v.list()->items) values.emplace_back(x, at);
  } else {
    values.emplace_back(v, at);
  }
  for (const auto& [v, span] : values) {
    At here(*this, span);
    scan_->emissions.push_back(v.as<bool>() ? expr(v, span, Element::Bool) : expr(v, span));
  }
  scan_->emitted = true;
  scan_->emitted_at = at;
}

void Elaborator::scan_body(const ast::Scan& s, ScanLevel& level, const std::vector<ScanSequence>& sequences) {
  Restore<ScopePtr> scope(frame_->scope, inner_scope(frame_->scope));
  Restore<int> depth(loop_depth_, loop_depth_ + 1);
  std::map<Symbol, SourceSpan> outside = frame_->outside;
  outside.insert(frame_->assigned.begin(), frame_->assigned.end());
  Restore<std::map<Symbol, SourceSpan>> around(frame_->outside, std::move(outside));
  Restore<std::map<Symbol, SourceSpan>> assigned(frame_->assigned, {});
  auto enter = [&](const ast::Ident& id, Expr x) {
    auto [it, fresh] = frame_->assigned.try_emplace(id.name, id.span);
    if (!fresh) {
      report(DiagnosticKind::DuplicateName, id.span, id.name).note(it->second, "first declared here");
      abort();
    }
    frame_->scope->names[id.name] = {wrap(x), id.span};
  };
  for (size_t k = 0; k < s.carries.size(); ++k) enter(s.carries[k].name, level.carries[k].input);
  for (const ScanSequence& q : sequences) {
    At here(*this, q.syntax->item.span);
    enter(q.syntax->item, add_element(level, q.all, base_of(q.syntax->item.name)));
  }
  size_t errors = diagnostics_.error_count();
  run(s.body);
  if (diagnostics_.error_count() > errors) abort();
  for (size_t k = 0; k < s.carries.size(); ++k) {
    const Binding& b = frame_->scope->names[s.carries[k].name.name];
    level.carries[k].next = next_value(level.carries[k], b, s.carries[k].initial->span);
  }
}

// What a step makes of a carry, which keeps its type.
Expr Elaborator::next_value(const ScanLevel::Carry& carry, const Binding& binding, SourceSpan first) {
  const Value& v = binding.value;
  Type wanted = carry.first.type();
  At here(*this, binding.span);
  auto* t = v.as<TensorRef>();
  Expr x = v.as<Num>() || v.as<bool>() ? broadcast_to(expr(v, binding.span, wanted.element), wanted.dims)
           : t && !t->weak             ? expr(v, binding.span)
                                       : expr(v, binding.span, wanted.element);
  auto refuse = [&](DiagnosticKind kind) {
    Diagnostic& d = report(kind, binding.span, carry.name, to_string(wanted), to_string(x.type()));
    d.note(first, fmt::format("'{}' is {}, from here", carry.name, to_string(wanted)));
    if (!x.type().same_shape(wanted) && wanted.rank() == 0) d.note("a carry begins in the shape that it keeps, as in zeros([N, 4])");
    abort();
  };
  if (x.element() != wanted.element) refuse(DiagnosticKind::ScanCarryElement);
  if (!x.type().same_shape(wanted)) refuse(DiagnosticKind::ScanCarryShape);
  if (x.id == carry.input.id) report(DiagnosticKind::ScanCarryKept, carry.span, carry.name);
  return x;
}

// ---- the whole ----

Elaborator::ScanValue Elaborator::run_scan(const ast::Scan& s) {
  At here(*this, s.head);
  int64_t segment = segment_of(s);
  std::vector<ScanSequence> sequences = scan_sequences(s);
  std::vector<ScanLevel::Carry> first = first_values(s);
  ScanLevel level;
  level.outer = scan_;
  level.initial = in_initial_;
  level.begin = builder().graph().size();
  for (const ScanSequence& q : sequences) {
    if (!level.time.name) level.time = q.all.type().dims[0];
  }
  for (const ScanLevel::Carry& c : first) {
    At there(*this, c.span);
    add_carry(level, c);
  }
  {
    Restore<ScanLevel*> inside(scan_, &level);
    scan_body(s, level, sequences);
  }
  if (level.carries.empty() && level.emissions.empty()) {
    report(DiagnosticKind::ScanGivesNothing, s.head);
    abort();
  }
  ScanResults r = leave_scan(s, level, segment);

  ScanValue out;
  size_t place = 0;
  for (size_t k = sequences.size(); k-- > 0;) {
    if (sequences[k].all.rank() > 1) place = sequences[k].place;
  }
  std::vector<Value> emissions, carries;
  for (size_t k = 0; k < r.emissions.size(); ++k) emissions.push_back(wrap(to_place(r.emissions[k], place)));
  for (size_t k = 0; k < s.carries.size(); ++k) carries.push_back(wrap(r.carries[k]));
  if (!emissions.empty()) out.emissions = one_or_list(std::move(emissions));
  if (!carries.empty()) out.carries = one_or_list(std::move(carries));
  return out;
}

// The complete body becomes a graph of its own, and the scan a node. States that a step updates have their last value from here on.
ScanResults Elaborator::leave_scan(const ast::Scan& s, ScanLevel& level, int64_t segment) {
  ScanRegion region;
  LoopOperands operands;
  std::vector<std::string> states;
  region.begin = level.begin;
  for (const ScanLevel::Carry& c : level.carries) {
    NodeId next = c.state.empty() ? c.next.id : parameters_.at(c.state).as<TensorRef>()->node;
    if (!c.state.empty() && next == c.input.id) {
      region.constant[c.input.id] = c.first.id;
      parameters_.at(c.state) = wrap(c.first);
      continue;
    }
    region.carries.push_back(c.input.id);
    region.outputs.push_back(next);
    operands.first.push_back(c.first);
    states.push_back(c.state);
  }
  for (const ScanLevel::Sequence& q : level.sequences) {
    region.elements.push_back(q.element.id);
    operands.sequences.push_back(q.all);
  }
  for (const Expr& e : level.emissions) region.outputs.push_back(e.id);
  ScanBody body = extract_body(builder().graph(), region);
  std::vector<NodeId>& moved = in_initial_ ? moved_initial_ : moved_;
  moved.insert(moved.end(), body.moved.begin(), body.moved.end());
  for (NodeId id : body.constants) operands.constants.emplace_back(builder(), id);

  ScanResults r = scan_loop(operands, body.graph, {level.time.size, s.reversed, false}, segment);
  for (size_t k = 0; k < r.carries.size(); ++k) {
    with_dims(r.carries[k], operands.first[k].type().dims);
    if (!states[k].empty()) parameters_.at(states[k]) = state_updates_[states[k]] = wrap(r.carries[k]);
  }
  for (size_t k = 0; k < r.emissions.size(); ++k) {
    std::vector<Dim> dims = level.emissions[k].type().dims;
    dims.insert(dims.begin(), level.time);
    with_dims(r.emissions[k], dims);
  }
  return r;
}

// As an expression, a scan is what it emits, or else what it carried.
Value Elaborator::scan_value(const ast::Scan& s) {
  ScanValue v = run_scan(s);
  return v.emissions ? *v.emissions : *v.carries;
}

// hs = scan ..., hs, (h, c) = scan ...: the left side asks for the last carries too where it has two parts.
Value Elaborator::scan_for(const std::vector<ast::Target>& targets, const ast::Scan& s) {
  ScanValue v = run_scan(s);
  bool both = targets.size() == 2 && (targets[1].elements.size() == s.carries.size() || (targets[1].name && s.carries.size() == 1));
  if (!v.emissions && both) {
    Diagnostic& d = report(DiagnosticKind::ScanEmitsNothing, targets[0].span, quote(targets[0].span));
    d.note(s.body.span, "'emit' gives the value of each step");
    abort();
  }
  if (targets.size() == 1 || !v.emissions || !v.carries) return v.emissions ? *v.emissions : *v.carries;
  if (targets.size() > 2) {
    Diagnostic& d = report(DiagnosticKind::WrongCount, s.head, targets.size(), "scan", "2, what it emits and what it carried");
    d.note("as in 'hs, (h, c) = scan ...'");
    abort();
  }
  return list_of({*v.emissions, *v.carries});
}

// The graph without what went into bodies of scans.
Graph Elaborator::without_moved(Graph g, const std::vector<NodeId>& moved) const {
  if (moved.empty()) return g;
  std::vector<NodeId> renamed(g.size());
  std::vector<bool> gone(g.size(), false);
  for (NodeId id : moved) gone[id.at()] = true;
  Graph out;
  out.name = g.name;
  for (size_t i = 0; i < g.size(); ++i) {
    if (gone[i]) continue;
    Node n = g[NodeId(i)];
    for (NodeId& o : n.operands) o = renamed[o.at()];
    renamed[i] = out.add(std::move(n));
  }
  for (const Output& o : g.outputs) out.outputs.push_back({o.name, o.kind, renamed[o.node.at()]});
  out.provenance = std::move(g.provenance);
  return out;
}

}  // namespace gradc::sema
