#include <catch2/catch.hpp>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "compiler/rewrite/loop.h"
#include "compiler/rewrite/rewrite.h"
#include "tests/rewrite/instances.h"

using namespace gradc;
using namespace gradc::test;
using rewrite::Accuracy;
using rewrite::Rule;

namespace {

std::vector<std::pair<const rewrite::RuleSet*, const Rule*>> all_rules() {
  std::vector<std::pair<const rewrite::RuleSet*, const Rule*>> list;
  for (const rewrite::RuleSet* set : rewrite::rule_sets()) {
    for (const Rule& rule : set->rules) list.emplace_back(set, &rule);
  }
  return list;
}

Tensor output(const Graph& g, const std::map<Symbol, Tensor>& inputs) { return Interpreter(g, inputs).value(g.outputs[0].node); }

bool same_bits(const Tensor& a, const Tensor& b, int64_t i) {
  if (std::isnan(a.at(i)) && std::isnan(b.at(i))) return true;
  size_t width = byte_size(a.type.element);
  auto offset = static_cast<size_t>(i) * width;
  return std::memcmp(a.bytes.data() + offset, b.bytes.data() + offset, width) == 0;
}

// Everything that tends to break identities, and ordinary numbers.
double awkward(Rng& rng) {
  static const std::vector<double> special{0, -0.0, 1, -1, INFINITY, -INFINITY, NAN, 1e-40, -1e-310, 1e30, -1e30, 88.5, -104, 2, 0.5};
  return rng.chance(0.5) ? rng.pick(special) : rng.uniform(-3, 3);
}
double moderate(Rng& rng) { return rng.uniform(0.05, 3) * (rng.chance(0.5) ? 1 : -1); }

struct Fired {
  Instance instance;
  Graph after;
};

// Calls `use` with instances on which the rule fired, `count` of them.
template <class Use>
int each_instance(const Rule& rule, std::vector<Element> elements, int count, uint64_t seed, Use use) {
  Rng rng(seed);
  int fired = 0;
  for (int attempt = 0; attempt < 40000 && fired < count; ++attempt) {
    std::optional<Instance> made = grow(rule, rng.pick(elements), rng);
    if (!made) continue;
    Applied applied = apply_alone(rule, made->graph);
    if (applied.times == 0) continue;
    ++fired;
    use(Fired{std::move(*made), std::move(applied.graph)}, rng);
  }
  return fired;
}

void check_exact(const Fired& f, Rng& rng) {
  for (int draw = 0; draw < 4; ++draw) {
    auto inputs = draw_inputs(f.instance.graph, [&] { return awkward(rng); });
    Tensor before = output(f.instance.graph, inputs), after = output(f.after, inputs);
    for (int64_t i = 0; i < before.type.count(); ++i) {
      if (!same_bits(before, after, i)) {
        FAIL("element " << i << ": " << before.at(i) << " became " << after.at(i) << "\n" << print(f.instance.graph, f.instance.sources) << print(f.after, f.instance.sources));
      }
    }
  }
}

void check_rounding(const Rule& rule, const Fired& f, Rng& rng) {
  auto inputs = draw_inputs(f.instance.graph, [&] { return moderate(rng); });
  Tensor before = output(f.instance.graph, inputs), after = output(f.after, inputs), scale = magnitudes(f.instance.graph, inputs);
  double eps = before.type.element == Element::F32 ? FLT_EPSILON : DBL_EPSILON;
  for (int64_t i = 0; i < before.type.count(); ++i) {
    double a = before.at(i), b = after.at(i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    double bound = rule.ulps * eps * std::max(scale.at(i), std::abs(a));
    INFO(print(f.instance.graph, f.instance.sources) << print(f.after, f.instance.sources));
    INFO("element " << i << ": " << a << " became " << b << ", scale " << scale.at(i));
    REQUIRE(is_float(before.type.element));
    REQUIRE(std::abs(a - b) <= bound);
  }
}

// The same graph with other float elements.
Graph with_element(const Graph& g, Element e) {
  Graph out;
  GraphBuilder b(out);
  for (size_t i = 0; i < g.size(); ++i) {
    const Node& n = g[NodeId(i)];
    std::vector<Attrs::Entry> entries = n.attrs.entries();
    Attrs attrs = n.attrs;
    if (is_float(n.type.element) && attrs.has("element")) {
      if (n.op->kind == OpKind::Input) attrs = {entries[0], entries[1], {"element", Symbol(name(e))}, entries[3]};
      else attrs = {entries[0], {"element", Symbol(name(e))}, entries[2]};
    }
    b.add(*n.op, n.operands, attrs);
  }
  out.outputs = g.outputs;
  return out;
}
std::map<Symbol, Tensor> narrowed(const std::map<Symbol, Tensor>& wide) {
  std::map<Symbol, Tensor> out;
  for (const auto& [name, t] : wide) {
    Tensor narrow = Tensor::zeros(t.type.with(Element::F32));
    for (int64_t i = 0; i < t.type.count(); ++i) narrow.set(i, t.at(i));
    out.emplace(name, std::move(narrow));
  }
  return out;
}

double relative_error(double value, double reference) {
  if (value == reference) return 0;
  if (!std::isfinite(value)) return INFINITY;
  return std::abs(value - reference) / std::max(std::abs(reference), 1e-300);
}

// Inputs near 0, of ordinary size, where exp leaves the range of f32, and where squares do. Held exactly by f32.
double drawn_from(int domain, Rng& rng) {
  double sign = rng.chance(0.5) ? 1 : -1;
  double ranges[][2] = {{1e-4, 1e-2}, {0.1, 3}, {88, 95}, {1e25, 1e26}, {1e-25, 1e-24}, {0, 0}};
  if (domain == 5 && rng.chance(0.5)) return 0;
  const double* r = domain == 5 ? ranges[1] : ranges[domain];
  return static_cast<float>(sign * rng.uniform(r[0], r[1]));
}

struct Verdict {
  int agreed = 0, improved = 0;
};

// In f64 and at ordinary sizes the value stays; in f32 it is no worse anywhere, and much better somewhere.
void check_better(const Fired& f, Rng& rng, Verdict& verdict) {
  Graph before32 = with_element(f.instance.graph, Element::F32), after32 = with_element(f.after, Element::F32);
  for (int domain = 0; domain < 6; ++domain) {
    auto inputs = draw_inputs(f.instance.graph, [&] { return drawn_from(domain, rng); });
    auto narrow = narrowed(inputs);
    Tensor wide_before = output(f.instance.graph, inputs), wide_after = output(f.after, inputs);
    Tensor before = output(before32, narrow), after = output(after32, narrow), scale = magnitudes(f.instance.graph, inputs);
    for (int64_t i = 0; i < before.type.count(); ++i) {
      double reference = wide_after.at(i), original = wide_before.at(i);
      double magnitude = std::isfinite(scale.at(i)) ? std::abs(scale.at(i)) : 0;
      INFO(print(f.instance.graph, f.instance.sources) << print(f.after, f.instance.sources));
      INFO("domain " << domain << ": f64 " << original << " became " << reference << "; f32 " << before.at(i) << " became " << after.at(i));
      if (domain == 1 && std::isfinite(original)) {
        REQUIRE(std::abs(reference - original) <= 1e-6 * std::abs(original) + 1e-13 * magnitude);
        ++verdict.agreed;
      }
      if (!std::isfinite(reference) || std::abs(reference) > FLT_MAX) continue;
      double was = relative_error(before.at(i), reference), is = relative_error(after.at(i), reference);
      // Where f64 tells which is right. A few roundings of intermediate values are not held against a rule.
      if (std::isfinite(was) && std::abs(reference - original) <= 1e-9 * std::abs(original)) {
        double slack = 64 * FLT_EPSILON * (std::abs(reference) + magnitude) + FLT_MIN;
        if (domain == 0) slack += FLT_EPSILON / 2;  // logarithms near 1 show the rounding of their argument
        REQUIRE(std::abs(after.at(i) - reference) <= std::abs(before.at(i) - reference) + slack);
      }
      if (was > 8 * is + 4 * FLT_EPSILON) ++verdict.improved;
    }
  }
}

}  // namespace

TEST_CASE("every rule says what it is, once") {
  std::set<std::string> names;
  std::string table = rules_table();
  for (const auto& [set, rule] : all_rules()) {
    INFO(set->name << ": " << rule->name);
    CHECK(names.insert(rule->name).second);
    CHECK(std::string(rule->identity).size() > 3);
    CHECK(bool(rule->pattern));
    CHECK(bool(rule->replacement) != bool(rule->build));
    if (rule->accuracy != Accuracy::Exact) CHECK(std::string(rule->caveat).size() > 3);
    CHECK(table.find(std::string("| ") + rule->name + " | " + set->name + " |") != std::string::npos);
  }
  for (const rewrite::LoopRuleInfo& rule : rewrite::loop_rules()) {
    CHECK(names.insert(rule.info.name).second);
    CHECK(std::string(rule.info.identity).size() > 3);
    CHECK(table.find(std::string("| ") + rule.info.name + " | loops |") != std::string::npos);
  }
  CHECK(names.size() == rewrite_rules().size());
}

TEST_CASE("exact rules keep the bits of awkward values") {
  for (const auto& [set, rule] : all_rules()) {
    if (rule->accuracy != Accuracy::Exact) continue;
    DYNAMIC_SECTION(rule->name) {
      CHECK(each_instance(*rule, {Element::F64, Element::F32, Element::Int}, 40, 1, check_exact) == 40);
    }
  }
}

TEST_CASE("rounding rules stay within their bound") {
  for (const auto& [set, rule] : all_rules()) {
    if (rule->accuracy != Accuracy::Rounding) continue;
    DYNAMIC_SECTION(rule->name) {
      auto check = [&r = *rule](const Fired& f, Rng& rng) { check_rounding(r, f, rng); };
      CHECK(each_instance(*rule, {Element::F64, Element::F32}, 60, 2, check) == 60);
    }
  }
}

TEST_CASE("stability rules keep the value and gain digits") {
  for (const auto& [set, rule] : all_rules()) {
    if (rule->accuracy != Accuracy::Better) continue;
    DYNAMIC_SECTION(rule->name) {
      Verdict verdict;
      auto check = [&](const Fired& f, Rng& rng) { check_better(f, rng, verdict); };
      CHECK(each_instance(*rule, {Element::F64}, 60, 3, check) == 60);
      CHECK(verdict.agreed > 0);
      CHECK(verdict.improved > 0);
    }
  }
}

TEST_CASE("a replacement inherits name, origins and the rule's name") {
  for (const auto& [set, rule] : all_rules()) {
    DYNAMIC_SECTION(rule->name) {
      each_instance(*rule, {Element::F64, Element::Int}, 10, 4, [&r = *rule](const Fired& f, Rng&) {
        const Node& result = f.after[f.after.outputs[0].node];
        if (result.op->kind != OpKind::Input) CHECK(result.name);
        CHECK(f.after.outputs[0].name == Symbol("y"));
        const Provenance& p = f.after.provenance.get(result.provenance);
        INFO(print(f.instance.graph, f.instance.sources) << print(f.after, f.instance.sources));
        // Nodes of the pattern that are still there keep their own; the rest is in the result's set.
        std::set<OriginId> have(p.origins.begin(), p.origins.end());
        std::vector<bool> live = f.after.live();
        for (size_t i = 0; i < f.after.size(); ++i) {
          const Provenance& other = f.after.provenance.get(f.after[NodeId(i)].provenance);
          CHECK_FALSE(other.origins.empty());
          if (live[i]) have.insert(other.origins.begin(), other.origins.end());
        }
        for (OriginId origin : f.instance.of_pattern) CHECK(have.count(origin));
        std::set<Symbol> rewrites;
        for (size_t i = 0; i < f.after.size(); ++i) {
          const auto& list = f.after.provenance.get(f.after[NodeId(i)].provenance).rewrites;
          if (live[i]) rewrites.insert(list.begin(), list.end());
        }
        CHECK(rewrites.count(r.name));
        CHECK(verify(f.after, true).empty());
      });
    }
  }
}

TEST_CASE("a disabled rule does not fire") {
  for (const auto& [set, rule] : all_rules()) {
    DYNAMIC_SECTION(rule->name) {
      each_instance(*rule, {Element::F64, Element::Int}, 3, 5, [&r = *rule](const Fired& f, Rng&) {
        RewriteStats stats;
        optimize(f.instance.graph, {.disabled = {r.name}}, &stats);
        for (const RewriteStats::Entry& e : stats.applied) CHECK(e.rule != r.name);
      });
    }
  }
}
