#include <limits>

#include "compiler/ops/ops.h"
#include "compiler/rewrite/axes.h"
#include "compiler/rewrite/facts.h"
#include "compiler/rewrite/terms.h"

// Forms that keep digits where the written one overflows, cancels or becomes 0/0. They serve formulas as users write them and,
// as derivatives are rewritten too, what reverse mode makes of those. More specific forms come first.
namespace gradc::rewrite {
namespace {

// ---- logistic functions ----
std::vector<Rule> logistic() {
  Var x(0), a(1), y(2), z(3);
  const char* overflow = "exp overflows where the value is finite";
  const char* cancels = "1 - sigmoid(x) has no right digits where sigmoid(x) is near 1";
  const char* zero_times_inf = "the factors reach 0 and inf before their product leaves the range";
  const char* removable = "at x = 0 and where the quotient over- or underflows the original is NaN or inexact: the limit takes its place";
  auto better = [](const char* name, const char* identity, const char* caveat, const Term& from, const Term& to) {
    return Rule{.name = name, .identity = identity, .accuracy = Accuracy::Better, .caveat = caveat, .pattern = from, .replacement = to};
  };
  std::vector<Rule> rules{
      better("log-one-plus-exp", "log(1 + exp(x)) = softplus(x)", overflow, log(1.0 + exp(x)), softplus(x)),
      better("log1p-exp", "log1p(exp(x)) = softplus(x)", overflow, log1p(exp(x)), softplus(x)),
      better("log-sigmoid", "log(sigmoid(x)) = -softplus(-x)", "sigmoid underflows where its logarithm is finite", log(sigmoid(x)), -softplus(-x)),
      better("log-one-minus-sigmoid", "log(1 - sigmoid(x)) = -softplus(x)", cancels, log(1.0 - sigmoid(x)), -softplus(x)),
      better("one-minus-sigmoid", "1 - sigmoid(x) = sigmoid(-x)", cancels, 1.0 - sigmoid(x), sigmoid(-x)),
      better("exp-over-one-plus-exp", "exp(x) / (1 + exp(x)) = sigmoid(x)", "inf / inf at large x", exp(x) / (1.0 + exp(x)), sigmoid(x)),
      better("over-one-plus-exp", "a / (1 + exp(x)) = a sigmoid(-x)", "exp overflows where sigmoid(-x) is small but not 0", a / (1.0 + exp(x)),
             a * sigmoid(-x)),
      better("sigmoid-times-exp", "sigmoid(-x) exp(x) = sigmoid(x)", zero_times_inf, sigmoid(-x) * exp(x), sigmoid(x)),
      better("sigmoid-times-exp-neg", "sigmoid(x) exp(-x) = sigmoid(-x)", zero_times_inf, sigmoid(x) * exp(-x), sigmoid(-x)),
      better("scaled-sigmoid-times-exp", "(a sigmoid(-x)) exp(x) = a sigmoid(x)", zero_times_inf, (a * sigmoid(-x)) * exp(x), a * sigmoid(x)),
      better("scaled-sigmoid-times-exp-neg", "(a sigmoid(x)) exp(-x) = a sigmoid(-x)", zero_times_inf, (a * sigmoid(x)) * exp(-x), a * sigmoid(-x)),
      better("scaled-exp-times-sigmoid", "(a exp(x)) sigmoid(-x) = a sigmoid(x)", zero_times_inf, (a * exp(x)) * sigmoid(-x), a * sigmoid(x)),
      better("scaled-exp-neg-times-sigmoid", "(a exp(-x)) sigmoid(x) = a sigmoid(-x)", zero_times_inf, (a * exp(-x)) * sigmoid(x), a * sigmoid(-x)),
      better("quotient-times-divisor", "(a / x) x = a", removable, (a / x) * x, a),
      better("quotient-times-multiple", "(a / x) (x z) = a z", removable, (a / x) * (x * z), a * z),
      better("scaled-quotient-times-divisor", "((a / x) z) x = a z", removable, ((a / x) * z) * x, a * z),
      better("multiple-over-factor", "(a x) / x = a", removable, (a * x) / x, a),
      better("over-quotient-over-divisor", "(a / (x / y)) / y = a / x", removable, (a / (x / y)) / y, a / x),
      better("quotient-times-quotient", "(a / x) (x / z) = a / z", removable, (a / x) * (x / z), a / z),
      better("sum-with-quotient-times-exp", "(a / exp(x) + y) exp(x) = a + y exp(x)", removable, (a / exp(x) + y) * exp(x), a + y * exp(x)),
      better("quotient-minus-times-exp", "(a / exp(x) - y) exp(x) = a - y exp(x)", removable, (a / exp(x) - y) * exp(x), a - y * exp(x)),
      better("minus-quotient-times-exp", "(y - a / exp(x)) exp(x) = y exp(x) - a", removable, (y - a / exp(x)) * exp(x), y * exp(x) - a),
      better("minus-share-of-sigmoid", "a - a sigmoid(x) = a sigmoid(-x)", cancels, a - a * sigmoid(x), a * sigmoid(-x)),
  };
  // Whole numbers divide with truncation.
  for (Rule& rule : rules) rule.when = [](const Match& m) { return m.is_float(); };
  return rules;
}

// ---- functions of their own for what cancels ----
std::vector<Rule> cancellations() {
  Var x(0), y(1), z(2);
  const char* near_zero = "the written form has no right digits near x = 0";
  auto proved = [x](const Match& m) { return nonnegative(m, m[x].id); };
  return {
      {.name = "log-exp", .identity = "log(exp(x)) = x", .accuracy = Accuracy::Better, .caveat = "exp overflows above 88 (709 in f64) and underflows",
       .pattern = log(exp(x)), .replacement = x},
      {.name = "exp-log", .identity = "exp(log(x)) = x for x >= 0", .accuracy = Accuracy::Better, .caveat = "NaN for x < 0, so only where x is proved not to be",
       .pattern = exp(log(x)), .replacement = x, .when = proved},
      {.name = "log-add-exp", .identity = "log(exp(x) + exp(y)) = max(x, y) + softplus(-|x - y|)", .accuracy = Accuracy::Better,
       .caveat = "exp over- and underflows; equal infinities have the difference 0", .pattern = log(exp(x) + exp(y)),
       .build = [x, y](Match& m) {
         Expr a = m[x], b = m[y];
         return max(a, b) + softplus(-select(eq(a, b), 0, abs(a - b)));
       }},
      {.name = "log-exp-over", .identity = "log(exp(x) / z) = x - log(z)", .accuracy = Accuracy::Better,
       .caveat = "the quotient underflows where its logarithm is finite; so log(softmax(x)) becomes x - log(sum(exp(x)))", .pattern = log(exp(x) / z),
       .replacement = x - log(z)},
      {.name = "log-scaled-exp", .identity = "log(z exp(x)) = x + log(z)", .accuracy = Accuracy::Better, .caveat = "the product over- and underflows",
       .pattern = log(z * exp(x)), .replacement = x + log(z)},
      {.name = "expm1", .identity = "exp(x) - 1 = expm1(x)", .accuracy = Accuracy::Better, .caveat = near_zero, .pattern = exp(x) - 1.0, .replacement = expm1(x)},
      {.name = "expm1-add", .identity = "exp(x) + (-1) = expm1(x)", .accuracy = Accuracy::Better, .caveat = near_zero, .pattern = exp(x) + -1.0,
       .replacement = expm1(x)},
      {.name = "one-minus-exp", .identity = "1 - exp(x) = -expm1(x)", .accuracy = Accuracy::Better, .caveat = near_zero, .pattern = 1.0 - exp(x),
       .replacement = -expm1(x)},
      {.name = "log1p", .identity = "log(1 + x) = log1p(x)", .accuracy = Accuracy::Better, .caveat = near_zero, .pattern = log(1.0 + x), .replacement = log1p(x)},
      {.name = "log1p-neg", .identity = "log(1 - x) = log1p(-x)", .accuracy = Accuracy::Better, .caveat = near_zero, .pattern = log(1.0 - x),
       .replacement = log1p(-x)},
      {.name = "one-minus-cos", .identity = "1 - cos(x) = 2 sin(x/2)^2", .accuracy = Accuracy::Better, .caveat = near_zero, .pattern = 1.0 - cos(x),
       .build = [x](Match& m) {
         Expr s = sin(m[x] * 0.5);
         return 2 * (s * s);
       }},
      {.name = "sqrt-square", .identity = "sqrt(x x) = |x|", .accuracy = Accuracy::Better, .caveat = "x x over- and underflows", .pattern = sqrt(x * x),
       .replacement = abs(x)},
      {.name = "rsqrt", .identity = "1 / sqrt(x) = rsqrt(x)", .accuracy = Accuracy::Rounding, .ulps = 4, .caveat = "rounded to rsqrt's tolerance",
       .pattern = 1.0 / sqrt(x), .replacement = rsqrt(x)},
      {.name = "x-log-x", .identity = "x log(x) = 0 at x = 0", .accuracy = Accuracy::Better, .caveat = "0 (-inf) is NaN; the limit is 0", .pattern = x * log(x),
       .build = [x](Match& m) { return m[x] * log(select(eq(m[x], 0), 1, m[x])); }},
  };
}

// ---- sums of exponentials: shifted by their largest, so that none overflows and not all underflow ----

// The largest x along the axes; 0 where that is infinite, since inf - inf would be NaN.
Expr shift_of(Expr x, const Axes& axes) {
  Expr largest = reduce_max(x, axes);
  return select(eq(abs(largest), std::numeric_limits<double>::infinity()), 0, largest);
}
Expr shifted_exp(Expr x, const Axes& axes) { return exp(x - unreduce(shift_of(x, axes), axes, x.sizes())); }
Expr softmax(Expr x, const Axes& axes) {
  Expr e = shifted_exp(x, axes);
  return e / unreduce(reduce_sum(e, axes), axes, x.sizes());
}

std::vector<Rule> exponential_sums() {
  Var x(0), a(1), sum(2), spread(3), y(4);
  Term sum_of_exp = sum.is(of<ops::ReduceSum>(exp(x)));
  // The sum lies along x as it was before it was reduced.
  auto aligned = [=](const Match& m) {
    return !shifted_by_max(m, m[x].id) && m.type(x) == m.root.type &&
           m.ints(spread, "axes") == without(range(m.type(x).rank()), m.ints(sum, "axes"));
  };
  auto times_softmax = [=](Match& m, double sign) {
    Axes axes = m.ints(sum, "axes");
    return unreduce(sign < 0 ? -m[a] : m[a], axes, m.root.type.sizes()) * softmax(m[x], axes);
  };
  const char* overflow = "exp overflows where the value is finite, and all terms may underflow";
  return {
      {.name = "shift-log-sum-exp", .identity = "log(sum(exp(x))) = m + log(sum(exp(x - m))), m = max(x)", .accuracy = Accuracy::Better, .caveat = overflow,
       .pattern = log(sum_of_exp), .when = [x](const Match& m) { return !shifted_by_max(m, m[x].id); },
       .build = [=](Match& m) {
         Axes axes = m.ints(sum, "axes");
         return log(reduce_sum(shifted_exp(m[x], axes), axes)) + shift_of(m[x], axes);
       }},
      {.name = "regroup-log-softmax", .identity = "x - (log(y) + m) = (x - m) - log(y) for a largest element m", .accuracy = Accuracy::Better,
       .caveat = "log(y) + m is rounded to the size of m; x - m is of the size of the result", .pattern = x - spread.is(of<ops::Broadcast>(log(y) + a)),
       .when = [=](const Match& m) { return from_max(m, m[a].id); },
       .build = [=](Match& m) {
         Axes axes = m.ints(spread, "axes"), sizes = m.root.type.sizes();
         return (m[x] - broadcast(m[a], axes, sizes)) - broadcast(log(m[y]), axes, sizes);
       }},
      {.name = "shift-softmax", .identity = "exp(x) / sum(exp(x)) = exp(x - m) / sum(exp(x - m)), m = max(x)", .accuracy = Accuracy::Better, .caveat = overflow,
       .pattern = exp(x) / spread.is(of<ops::Broadcast>(sum_of_exp)), .when = aligned,
       .build = [=](Match& m) { return softmax(m[x], m.ints(sum, "axes")); }},
      {.name = "scaled-softmax", .identity = "(a / sum(exp(x))) exp(x) = a softmax(x)", .accuracy = Accuracy::Better, .caveat = overflow,
       .pattern = spread.is(of<ops::Broadcast>(a / sum_of_exp)) * exp(x), .when = aligned,
       .build = [=](Match& m) { return times_softmax(m, 1); }},
      {.name = "scaled-softmax-neg", .identity = "-(a / sum(exp(x))) exp(x) = -a softmax(x)", .accuracy = Accuracy::Better, .caveat = overflow,
       .pattern = spread.is(of<ops::Broadcast>(-(a / sum_of_exp))) * exp(x), .when = aligned,
       .build = [=](Match& m) { return times_softmax(m, -1); }},
  };
}

}  // namespace

const RuleSet& stability_rules() {
  static const RuleSet rules = [] {
    RuleSet set{"stability", "forms that neither overflow nor cancel where the value is fine", {}};
    for (const std::vector<Rule>& part : {logistic(), cancellations()}) {
      set.rules.insert(set.rules.end(), part.begin(), part.end());
    }
    return set;
  }();
  return rules;
}

// A group of its own, tried when the quotients of a derivative have cancelled: shifting first would hide that they do.
const RuleSet& softmax_rules() {
  static const RuleSet rules{"softmax", "sums of exponentials, shifted by their largest term", exponential_sums()};
  return rules;
}

}  // namespace gradc::rewrite
