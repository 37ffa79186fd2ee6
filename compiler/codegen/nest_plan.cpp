#include "compiler/codegen/nest_plan.h"

#include <algorithm>

#include "compiler/codegen/vector_math.h"

namespace gradc {
namespace {

bool is_effect(const Stmt& s) { return s.kind == StmtKind::Store || s.kind == StmtKind::Accumulate; }
bool is_reduction(const Stmt& s) { return s.kind == StmtKind::Reduce || s.kind == StmtKind::ReduceIndex; }
bool has_access(const Stmt& s) {
  return s.kind == StmtKind::Load || s.kind == StmtKind::Index || s.kind == StmtKind::Random || is_effect(s);
}

constexpr double most_once = 40;

double cost_of(const Stmt& s) {
  if (s.kind == StmtKind::Random) return 80;
  if (s.kind != StmtKind::Compute) return 1;
  if (is_math(s.op)) return s.op == ScalarOp::Pow ? 90 : 22;
  switch (s.op) {
    case ScalarOp::Const: return 0;
    case ScalarOp::Div:
    case ScalarOp::Rem:
    case ScalarOp::Sqrt: return 6;
    default: return 1;
  }
}

class Planner {
 public:
  Planner(const KernelBody& body, const Nest& nest, const Target& target) : body_(body), nest_(nest), target_(target) {}

  NestPlan run() {
    plan_.outer_levels = outer_level(nest_, nest_.outer.size()) - 1;
    if (nest_.vector_dim >= 0) extent_ = nest_.dims[static_cast<size_t>(nest_.vector_dim)].extent;
    for (const KernelDim& d : nest_.dims) empty_ |= d.extent == 0;
    bool serial_outer = nest_.outer.size() > static_cast<size_t>(nest_.parallel);
    plan_.outer_vector = serial_outer && is_vector_loop(nest_.outer);
    for (const Section& s : nest_.sections) {
      for (const Stmt& stmt : s.stmts) count_ = std::max(count_, static_cast<size_t>(stmt.value + 1));
    }
    known_at_.assign(count_, 0);
    plan_.varies.assign(count_, false);
    for (const Section& s : nest_.sections) section(s);
    choose_widths();
    return std::move(plan_);
  }

 private:
  bool is_vector_loop(const std::vector<Loop>& loops) const {
    return nest_.vector_dim >= 0 && !loops.empty() && loops.back() == Loop{nest_.vector_dim, 1};
  }

  void section(const Section& s) {
    SectionPlan p;
    p.bound.assign(nest_.dims.size(), 0);
    for (size_t i = 0; i < nest_.outer.size(); ++i) p.bound[static_cast<size_t>(nest_.outer[i].dim)] = outer_level(nest_, i);
    for (size_t i = 0; i < s.inner.size(); ++i) p.bound[static_cast<size_t>(s.inner[i].dim)] = plan_.outer_levels + 1 + static_cast<int>(i);
    p.innermost = plan_.outer_levels + static_cast<int>(s.inner.size());
    p.vector = !plan_.outer_vector && is_vector_loop(s.inner);
    double cost = 0;
    for (const Stmt& stmt : s.stmts) {
      int level = level_of(stmt, p);
      p.level.push_back(level);
      if (level == p.innermost) cost += cost_of(stmt);
      if (stmt.value < 0) continue;
      auto v = static_cast<size_t>(stmt.value);
      known_at_[v] = is_reduction(stmt) ? plan_.outer_levels : level;
      plan_.varies[v] = varies(stmt, p.vector);
    }
    plan_.cost.push_back(cost);
    plan_.sections.push_back(std::move(p));
  }

  int level_of(const Stmt& s, const SectionPlan& p) const {
    bool fixed = is_effect(s) || is_reduction(s) || (s.kind == StmtKind::Load && body_.slots[static_cast<size_t>(s.access.slot)].written);
    if (fixed || empty_) return p.innermost;  // where a loop may have no trips, nothing may be done before it
    int level = 0;
    auto value = [&](ValueId v) {
      if (v >= 0) level = std::max(level, known_at_[static_cast<size_t>(v)]);
    };
    auto affine = [&](const Affine& a) {
      for (size_t d = 0; d < a.strides.size(); ++d) {
        if (a.strides[d] != 0) level = std::max(level, p.bound[d]);
      }
    };
    for (ValueId v : s.args) value(v);
    if (has_access(s)) {
      affine(s.access.at);
      for (const Guard& g : s.access.guards) affine(g.at);
      for (const Indirect& i : s.access.indirect) value(i.index);
      if (s.access.block != 0) level = std::max(level, 1);
    }
    return level;
  }

  bool varies(const Stmt& s, bool vector_section) const {
    if (!plan_.outer_vector && !vector_section) return false;
    if (is_reduction(s) && vector_section) return false;  // the lanes are combined
    bool result = false;
    auto value = [&](ValueId v) { result |= v >= 0 && plan_.varies[static_cast<size_t>(v)]; };
    auto affine = [&](const Affine& a) { result |= !a.strides.empty() && a.strides[static_cast<size_t>(nest_.vector_dim)] != 0; };
    for (ValueId v : s.args) value(v);
    if (s.kind == StmtKind::ReduceIndex) result |= s.index_dim == nest_.vector_dim;
    if (has_access(s)) {
      affine(s.access.at);
      for (const Guard& g : s.access.guards) affine(g.at);
      for (const Indirect& i : s.access.indirect) value(i.index);
    }
    return result;
  }

  // ---- widths ----

  int register_lanes() const {
    size_t widest = 0;
    for (const Section& s : nest_.sections) {
      for (const Stmt& stmt : s.stmts) {
        if (is_float(stmt.type)) widest = std::max(widest, byte_size(stmt.type));
      }
    }
    int lanes = target_.vector_bytes / static_cast<int>(widest == 0 ? 8 : widest);
    while (lanes > 1 && lanes / 2 >= extent_) lanes /= 2;
    return std::max(lanes, 1);
  }

  // A wide vector is several registers: independent chains of operations at no cost in instructions of IR.
  int registers_worth(double cost, int lanes, int most) const {
    int n = 1;
    bool cheap = cost <= 16;
    while (cheap && 2 * n <= most && extent_ % (2 * n * lanes) == 0 && extent_ >= 4 * n * lanes) n *= 2;
    return n;
  }

  void choose_widths() {
    int lanes = nest_.vector_dim >= 0 ? register_lanes() : 1;
    if (plan_.outer_vector) {
      double cost = 0;
      int reductions = 0;
      for (size_t i = 0; i < nest_.sections.size(); ++i) {
        const auto& stmts = nest_.sections[i].stmts;
        // What is done once for all rows, as the update of a bias, may be longer: it is there again for each register.
        const bool once = nest_.sections[i].inner.empty() && plan_.cost[i] <= most_once;
        if (!once) cost = std::max(cost, plan_.cost[i]);
        reductions += static_cast<int>(std::count_if(stmts.begin(), stmts.end(), is_reduction));
      }
      // Chains of additions down the columns wait for each other: run several columns' side by side.
      int most = reductions == 0 ? 1 : std::max(1, std::min(4, target_.vector_registers / (4 * reductions)));
      plan_.outer_width = lanes * registers_worth(cost, lanes, most);
    }
    for (size_t i = 0; i < plan_.sections.size(); ++i) {
      SectionPlan& p = plan_.sections[i];
      if (!p.vector) continue;
      const auto& stmts = nest_.sections[i].stmts;
      bool reduces = std::any_of(stmts.begin(), stmts.end(), is_reduction);
      int accumulators = reduces ? std::max(1, nest_.accumulators) : 1;
      int wide = registers_worth(plan_.cost[i], lanes, accumulators);
      p.width = lanes * wide;
      p.rotation = std::max(1, static_cast<int>(std::min<int64_t>(accumulators / wide, extent_ / p.width)));
    }
  }

  const KernelBody& body_;
  const Nest& nest_;
  const Target& target_;
  NestPlan plan_;
  std::vector<int> known_at_;
  int64_t extent_ = 1;
  bool empty_ = false;
  size_t count_ = 0;
};

}  // namespace

NestPlan plan_nest(const KernelBody& body, const Nest& nest, const Target& target) { return Planner(body, nest, target).run(); }

}  // namespace gradc
