// gradc check where a kink lies at the parameters or beside them: no difference may mix the slopes of its two sides.
#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "tests/cli/checked_model.h"

using namespace gradc::test;
using nlohmann::json;

namespace {

json check(const std::string& items, const std::string& body, int code) { return check_model(items, "ones()", body, code); }

}  // namespace

// As behind a max_pool of many windows, where some are always nearly tied: the gradient is right, and there are steps that show it.
TEST_CASE("a kink beside the point is stepped over, on either side and at any distance") {
  for (const char* distance : {"1e-3", "1e-4", "2e-5", "4e-6", "1e-6", "5e-7", "3e-7", "2e-7", "1e-7", "7e-8"}) {
    for (const char* height : {"1", "0.004", "1e-5"}) {
      const std::string d = distance, h = height;
      json j = check("", "near = relu(w[0] - (1 - " + d + ")) + relu(w[1] - (1 + " + d + "))\n loss = sum(w ** 2) + " + h + " * near + sum(x * w)", 0);
      INFO(d << ' ' << h << ' ' << j.dump());
      CHECK(j["parameters"][0]["max_rel_err"] < 1e-6);
      CHECK(j["parameters"][0]["compared"] == 3);
      CHECK(j["parameters"][0]["kinks"] == 0);
    }
  }
}

TEST_CASE("a kink at the point is reported as one, however small the jump of the slope") {
  for (const char* height : {"1", "0.01", "1e-4", "1e-5"}) {
    json j = check("", "loss = sum(w ** 2) + " + std::string(height) + " * relu(w[0] - 1) + sum(x * w)", 0);
    INFO(height << ' ' << j.dump());
    CHECK(j["parameters"][0]["compared"] == 2);
    CHECK(j["parameters"][0]["kinks"] == 1);
  }
}

TEST_CASE("a wrong gradient beside a kink is found all the same") {
  for (const char* wrong : {"2.00001 * ct * x", "2 * ct * x"}) {
    const std::string bent = "fn bent(x) = x ** 2 + 0.004 * relu(x - (1 - 3e-7))\nderivative bent(x; y, ct) = " + std::string(wrong) + "\n";
    json j = check(bent, "loss = sum(bent(w)) + sum(x * w)", 1);
    INFO(wrong << ' ' << j.dump());
    CHECK(j["parameters"][0]["compared"] == 3);
    CHECK(j["parameters"][0]["kinks"] == 0);
    CHECK(j["parameters"][0]["max_rel_err"] > 4e-6);
    CHECK(j["derivatives"][0]["max_rel_err"] > 1e-6);
  }
}
