// Several steps of training by the interpreter: accumulation, updates every k steps, frozen parameters.
#include <cmath>

#include <catch2/catch.hpp>

#include "tests/sema/elaborated.h"

using namespace gradc;
using namespace gradc::test;

namespace {

using List = std::vector<double>;

// Runs the steps with x = xs[step - 1]; the values of `what` after each.
struct Trained {
  Elaborated e;
  std::map<Symbol, Tensor> variables;

  explicit Trained(const std::string& text) : e(text, request()) {
    INFO(e.messages());
    REQUIRE(e.result);
    CHECK(verify(e.graph(), true) == std::vector<std::string>{});
    Tensor seed = Tensor::zeros({Element::Int, {}});
    variables = evaluate(e.result->init, {{"seed", seed}});
  }
  static ElaborateRequest request() {
    ElaborateRequest r = f64_request();
    r.update = true;
    return r;
  }
  List run(const List& xs, const char* what) {
    List out;
    double t = 0;
    for (double x : xs) {
      auto inputs = variables;
      inputs.insert_or_assign("x", tensor_of(Element::F64, {}, {x}));
      auto values = e.evaluate(inputs, 1, ++t);
      for (auto& [name, value] : variables) {
        if (auto it = values.find(name); it != values.end()) value = it->second;
      }
      out.push_back(variables.at(what).at(0));
    }
    return out;
  }
};

std::string model(const std::string& train) {
  return "model m(x: []) {\n param w: [] = 1\n param b: [] = 0\n loss = w * x + b * b + b\n other = (b - x) ** 2\n}\ntrain m {\n steps = 12\n" + train + "\n}\n";
}

void check_near(const List& a, const List& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == Approx(b[i]).epsilon(1e-13).margin(1e-13));
}

}  // namespace

TEST_CASE("accumulation: the mean of k gradients, one update after them") {
  // dloss/dw = x
  check_near(Trained(model("optimizer = accumulate(3) |> gradient_descent(lr = 1)")).run({1, 2, 6, 4, 4, 1}, "w"), {1, 1, -2, -2, -2, -5});
  check_near(Trained(model("optimizer = accumulate(1) |> gradient_descent(lr = 1)")).run({1, 2}, "w"), {0, -2});
  // Clipped before, each gradient; clipped after, the mean.
  check_near(Trained(model("optimizer = clip_value(2) |> accumulate(2) |> gradient_descent(lr = 1)")).run({1, 9}, "w"), {1, -0.5});
  check_near(Trained(model("optimizer = accumulate(2) |> clip_value(2) |> gradient_descent(lr = 1)")).run({1, 9}, "w"), {1, -1});
}

TEST_CASE("accumulation: the optimiser sees only its own steps") {
  // Adam after accumulating is Adam on the means: the same bits as with those gradients step by step.
  Trained often(model("optimizer = adam(lr = 0.1)"));
  Trained rarely(model("optimizer = accumulate(2) |> adam(lr = 0.1)"));
  List by_step = often.run({2, 3, 1}, "w"), by_pair = rarely.run({1, 3, 2, 4, 0, 2}, "w");
  check_near({by_pair[1], by_pair[3], by_pair[5]}, by_step);
  check_near({by_pair[0], by_pair[2], by_pair[4]}, {1, by_step[0], by_step[1]});
  // A schedule over all steps covers them in updates.
  Trained schedule(model("optimizer = accumulate(2) |> gradient_descent(lr = cosine(1))"));
  List w = schedule.run(List(12, 1), "w");
  double at = 1;
  for (int update = 1; update <= 6; ++update) {
    at -= 0.5 * (1 + std::cos(M_PI * (update - 1) / 6));
    CHECK(w[static_cast<size_t>(2 * update - 1)] == Approx(at).epsilon(1e-12));
  }
}

TEST_CASE("every k: t counts the updates of that loss") {
  Trained m(model("minimize loss over \"w\" with gradient_descent(lr = 1)\n minimize other over \"b\" with adam(lr = 0.1) every 3"));
  Trained plain(model("minimize loss over \"w\" with gradient_descent(lr = 1)\n minimize other over \"b\" with adam(lr = 0.1)"));
  List b = m.run({1, 1, 5, 1, 1, 7}, "b"), expected = plain.run({5, 7}, "b");
  check_near(b, {0, 0, expected[0], expected[0], expected[0], expected[1]});
}

TEST_CASE("frozen parameters keep their values and have no state") {
  Trained m(model("optimizer = adam(lr = 0.1)\n freeze = \"w\""));
  CHECK(m.run({1, 2, 3}, "w") == List{1, 1, 1});
  CHECK(m.variables.count("w.adam.m") == 0);
  CHECK(m.variables.count("b.adam.m") == 1);
}
