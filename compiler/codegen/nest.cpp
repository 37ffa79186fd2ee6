#include <algorithm>

#include "compiler/codegen/nest_loops.h"
#include "compiler/codegen/nest_plan.h"
#include "compiler/support/error.h"

// Loops of a nest round its statements: each statement at the outermost level where what it needs is known, reductions in registers.
namespace gradc {
namespace {

using llvm::Value;

// A loop whose vectors are few, or whose body is long on a target where masks are free, is emitted once, masked throughout.
constexpr int64_t few_vectors = 4;
constexpr double long_body = 60;

class NestEmitter {
 public:
  NestEmitter(const Nest& nest, BodyContext& context)
      : nest_(nest), context_(context), plan_(plan_nest(context.body, nest, context.target)), b_(context.builder),
        statements_(context.statements), loops_(context, nest, deepest()) {}

  void emit() {
    emit_hoisted(0);
    std::vector<Loop> parallel(nest_.outer.begin(), nest_.outer.begin() + nest_.parallel);
    loops_.blocks(parallel, [&] {
      emit_hoisted(1);
      outer(static_cast<size_t>(nest_.parallel));
    });
  }

 private:
  int deepest() const {
    int levels = plan_.outer_levels;
    for (const SectionPlan& s : plan_.sections) levels = std::max(levels, s.innermost);
    return levels;
  }

  bool masked_throughout(int dim, int width, double cost) const {
    int64_t most = loops_.range(static_cast<size_t>(dim)).most;
    return most < few_vectors * width || (context_.target.vector_bytes >= 64 && cost > long_body);
  }

  void outer(size_t i) {
    if (i == nest_.outer.size()) {
      for (size_t s = 0; s < nest_.sections.size(); ++s) section(s);
      return;
    }
    int level = outer_level(nest_, i);
    const Loop& l = nest_.outer[i];
    if (plan_.outer_vector && i + 1 == nest_.outer.size()) {
      double cost = 0;
      for (double c : plan_.cost) cost += c;
      int width = plan_.outer_width;
      vector_or_scalar(level, l.dim, width, cost, {}, [&](Values v) {
        emit_hoisted(level);
        outer(i + 1);
        return v;
      });
      return;
    }
    loops_.loop(level, l, l.step, {}, [&](Values v) {
      emit_hoisted(level);
      outer(i + 1);
      return v;
    });
  }

  Values vector_or_scalar(int level, int dim, int width, double cost, Values carried, const LoopBody& body) {
    if (width == 1) return loops_.loop(level, {dim, 1}, 1, std::move(carried), body);
    bool masked = masked_throughout(dim, width, cost);
    return loops_.vector_loop(level, dim, width, masked, std::move(carried), [&](Values v, Value* mask) {
      lanes_ = {dim, width, mask};
      Values result = body(std::move(v));
      lanes_ = {};
      return result;
    });
  }

  // Statements of inner loops that need nothing from below an outer level. Those of the innermost outer level may need sums of
  // earlier sections: they go to the start of their section.
  void emit_hoisted(int level) {
    if (level >= plan_.outer_levels) return;
    for (size_t s = 0; s < nest_.sections.size(); ++s) emit_level(s, level);
  }

  void emit_level(size_t s, int level) {
    loops_.bind(plan_.sections[s].bound);
    const auto& stmts = nest_.sections[s].stmts;
    for (size_t i = 0; i < stmts.size(); ++i) {
      if (plan_.sections[s].level[i] == level) emit_statement(stmts[i]);
    }
    statements_.locate(nullptr);
  }

  void emit_statement(const Stmt& s) {
    Value* starting = nullptr;
    if (s.kind == StmtKind::Accumulate && !s.first.empty()) {
      statements_.locate(&s);
      starting = at_start(s);
    }
    statements_.emit(s, loops_, lanes_, starting);
  }

  // Whether every dim of `first` is at the start of its range in this block, per lane where the vectorised one is among them.
  Value* at_start(const Stmt& s) {
    Value* all = b_.getTrue();
    for (int dim : s.first) {
      auto d = static_cast<size_t>(dim);
      Value *index = loops_.index(d), *start = loops_.block_start(d);
      if (dim == lanes_.dim && lanes_.width > 1) {
        Value* equal = b_.CreateICmpEQ(lane_indices(index), statements_.spread(start, lanes_.width));
        all = b_.CreateAnd(statements_.spread(all, lanes_.width), equal);
      } else if (index != start) {
        Value* equal = b_.CreateICmpEQ(index, start);
        all = b_.CreateAnd(all, all->getType()->isVectorTy() ? statements_.spread(equal, lanes_.width) : equal);
      }
    }
    return all;
  }

  Value* lane_indices(Value* index) {
    llvm::SmallVector<uint64_t, 16> steps;
    for (int i = 0; i < lanes_.width; ++i) steps.push_back(static_cast<uint64_t>(i));
    Value* base = b_.CreateVectorSplat(static_cast<unsigned>(lanes_.width), index);
    return b_.CreateAdd(base, llvm::ConstantDataVector::get(b_.getContext(), steps));
  }

  // ---- sections ----

  // The accumulators of one reduction, within the values carried round the section's loops.
  struct Reduction {
    const Stmt* stmt;
    size_t first;  // place among the carried values
    int copies;    // used in turn
    int width;     // lanes of each
    Element element;
    // ReduceIndex has as many indices after its extremes.
  };

  void section(size_t s) {
    const SectionPlan& p = plan_.sections[s];
    const Section& section = nest_.sections[s];
    loops_.bind(p.bound);
    Values carried;
    std::vector<Reduction> reductions;
    for (const Stmt& stmt : section.stmts) {
      if (stmt.kind == StmtKind::Reduce || stmt.kind == StmtKind::ReduceIndex) reductions.push_back(start(stmt, p, carried));
    }
    if (!section.inner.empty()) emit_level(s, plan_.outer_levels);
    carried = inner(s, 0, reductions, std::move(carried));
    for (const Reduction& r : reductions) finish(r, carried);
    statements_.locate(nullptr);
  }

  Reduction start(const Stmt& s, const SectionPlan& p, Values& carried) {
    bool lanes_vary = lanes_.width > 1 && plan_.varies[static_cast<size_t>(s.value)];
    Reduction r{&s, carried.size(), p.vector ? p.rotation : 1, p.vector ? p.width : lanes_vary ? lanes_.width : 1, s.type};
    if (s.kind == StmtKind::ReduceIndex) r.element = element_of(s.args[0]);
    for (int i = 0; i < r.copies; ++i) carried.push_back(statements_.identity(s.combiner, r.element, r.width));
    if (s.kind == StmtKind::ReduceIndex) {
      Value* first = loops_.range(static_cast<size_t>(s.index_dim)).begin;
      for (int i = 0; i < r.copies; ++i) carried.push_back(statements_.spread(first, r.width));
    }
    return r;
  }

  Element element_of(ValueId value) const {
    for (const Section& s : nest_.sections) {
      for (const Stmt& stmt : s.stmts) {
        if (stmt.value == value) return stmt.type;
      }
    }
    GRADC_BUG("v{} is not defined", value);
  }

  Values inner(size_t s, size_t i, const std::vector<Reduction>& reductions, Values carried) {
    const SectionPlan& p = plan_.sections[s];
    const Section& section = nest_.sections[s];
    if (i == section.inner.size()) return point(s, reductions, std::move(carried));
    int level = plan_.outer_levels + 1 + static_cast<int>(i);
    const Loop& l = section.inner[i];
    auto body = [&](Values v) {
      if (level < p.innermost) emit_level(s, level);
      return inner(s, i + 1, reductions, std::move(v));
    };
    if (p.vector && i + 1 == section.inner.size()) return vector_or_scalar(level, l.dim, p.width, plan_.cost[s], std::move(carried), body);
    return loops_.loop(level, l, l.step, std::move(carried), body);
  }

  // The innermost statements.
  Values point(size_t s, const std::vector<Reduction>& reductions, Values carried) {
    const SectionPlan& p = plan_.sections[s];
    const auto& stmts = nest_.sections[s].stmts;
    loops_.bind(p.bound);
    auto r = reductions.begin();
    for (size_t i = 0; i < stmts.size(); ++i) {
      if (r != reductions.end() && r->stmt == &stmts[i]) {
        statements_.locate(&stmts[i]);
        update(*r++, p, carried);
      } else if (p.level[i] == p.innermost) {
        emit_statement(stmts[i]);
      }
    }
    return carried;
  }

  // Folds the point's values into the accumulator whose turn it is: the first, which then goes last.
  void update(const Reduction& r, const SectionPlan& p, Values& carried) {
    Value* x = statements_.spread(statements_.values[static_cast<size_t>(r.stmt->args[0])], r.width);
    Value* mask = p.vector ? lanes_.mask : nullptr;
    auto turn = carried.begin() + static_cast<ptrdiff_t>(r.first);
    if (r.stmt->kind == StmtKind::Reduce) {
      Value* next = statements_.combine(r.stmt->combiner, *turn, x);
      *turn = mask ? b_.CreateSelect(mask, next, *turn) : next;
    } else {
      Value* index = loops_.index(static_cast<size_t>(r.stmt->index_dim));
      index = r.width > 1 && r.stmt->index_dim == lanes_.dim ? lane_indices(index) : statements_.spread(index, r.width);
      Value* better = beats(r.stmt->combiner, r.element, x, *turn);
      if (mask) better = b_.CreateAnd(better, mask);
      Value*& best_index = *(turn + r.copies);
      *turn = b_.CreateSelect(better, x, *turn);
      best_index = b_.CreateSelect(better, index, best_index);
      std::rotate(turn + r.copies, turn + r.copies + 1, turn + 2 * r.copies);
    }
    std::rotate(turn, turn + 1, turn + r.copies);
  }

  // x comes before y in the order of extremes: NaN is beyond every number, zeros are equal.
  Value* beats(Combiner combiner, Element element, Value* x, Value* y) {
    bool max = combiner == Combiner::Max;
    if (element == Element::Int) return max ? b_.CreateICmpSGT(x, y) : b_.CreateICmpSLT(x, y);
    if (element == Element::Bool) return max ? b_.CreateICmpUGT(x, y) : b_.CreateICmpULT(x, y);
    return b_.CreateAnd(max ? b_.CreateFCmpUGT(x, y) : b_.CreateFCmpULT(x, y), b_.CreateFCmpORD(y, y));
  }

  // ---- from accumulators to one value ----

  struct Extreme {
    Value *value, *index;
  };

  Extreme better_of(const Reduction& r, Extreme a, Extreme b) {
    Value* wins = beats(r.stmt->combiner, r.element, b.value, a.value);
    Value* loses = beats(r.stmt->combiner, r.element, a.value, b.value);
    Value* earlier = b_.CreateAnd(b_.CreateICmpSLT(b.index, a.index), b_.CreateNot(loses));
    Value* take = b_.CreateOr(wins, earlier);
    return {b_.CreateSelect(take, b.value, a.value), b_.CreateSelect(take, b.index, a.index)};
  }

  Extreme merge(const Reduction& r, Extreme a, Extreme b) {
    if (r.stmt->kind == StmtKind::ReduceIndex) return better_of(r, a, b);
    return {statements_.combine(r.stmt->combiner, a.value, b.value), nullptr};
  }

  Value* half(Value* v, int width, bool upper) {
    if (!v) return nullptr;
    if (width == 2) return b_.CreateExtractElement(v, uint64_t{upper});
    llvm::SmallVector<int, 16> lanes;
    for (int i = 0; i < width / 2; ++i) lanes.push_back(upper ? i + width / 2 : i);
    return b_.CreateShuffleVector(v, lanes);
  }

  // Accumulators pairwise, then lanes pairwise: a tree that follows from the shape alone.
  void finish(const Reduction& r, const Values& carried) {
    statements_.locate(r.stmt);
    bool indexed = r.stmt->kind == StmtKind::ReduceIndex;
    std::vector<Extreme> parts;
    for (int i = 0; i < r.copies; ++i) {
      size_t at = r.first + static_cast<size_t>(i);
      parts.push_back({carried[at], indexed ? carried[at + static_cast<size_t>(r.copies)] : nullptr});
    }
    while (parts.size() > 1) {
      std::vector<Extreme> next;
      for (size_t i = 0; i + 1 < parts.size(); i += 2) next.push_back(merge(r, parts[i], parts[i + 1]));
      if (parts.size() % 2 != 0) next.push_back(parts.back());
      parts = std::move(next);
    }
    Extreme result = parts[0];
    bool across = r.width > 1 && lanes_.width == 1;  // the vectorised loop was the reduced one
    for (int width = across ? r.width : 1; width > 1; width /= 2) {
      result = merge(r, {half(result.value, width, false), half(result.index, width, false)},
                     {half(result.value, width, true), half(result.index, width, true)});
    }
    statements_.values[static_cast<size_t>(r.stmt->value)] = indexed ? result.index : result.value;
  }

  const Nest& nest_;
  BodyContext& context_;
  NestPlan plan_;
  Builder& b_;
  StatementEmitter& statements_;
  LoopNest loops_;
  Lanes lanes_;
};

}  // namespace

void emit_nest(const Nest& nest, BodyContext& context) { NestEmitter(nest, context).emit(); }

}  // namespace gradc
