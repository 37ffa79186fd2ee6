#include <catch2/catch.hpp>

#include <cmath>

#include "runtime/sample.h"

using namespace gradc;

TEST_CASE("a sample inverts the distribution function") {
  const std::vector<double> logits{std::log(0.5), -INFINITY, std::log(0.3), std::log(0.2)};
  auto pick = [&](double u, double temperature = 1, int64_t k = 0) { return sample(logits, temperature, k, u); };
  CHECK((pick(0) == 0 && pick(0.499) == 0 && pick(0.501) == 2 && pick(0.799) == 2 && pick(0.801) == 3 && pick(std::nextafter(1.0, 0.0)) == 3));
  CHECK((pick(0.99, 0) == 0 && pick(0.99, 1, 1) == 0));
  // Of the two likeliest: 5/8 and 3/8.
  CHECK((pick(0.624, 1, 2) == 0 && pick(0.626, 1, 2) == 2 && pick(0.99, 1, 2) == 2));
  // Temperature 1/2 squares the weights: 25, 9 and 4 of 38.
  CHECK((pick(0.657, 0.5) == 0 && pick(0.659, 0.5) == 2 && pick(0.894, 0.5) == 2 && pick(0.896, 0.5) == 3));
  // Large logits do not overflow, tiny temperatures pick the largest.
  CHECK((sample({1e300, 1e308, -1e308}, 1e-3, 0, 0.7) == 1 && sample({7, 7, 7}, 0, 0, 0.9) == 0));
}

TEST_CASE("draws for samples are a function of seed and place") {
  CHECK(sample_uniform(1, 0) == sample_uniform(1, 0));
  CHECK(sample_uniform(1, 0) != sample_uniform(1, 1));
  CHECK(sample_uniform(1, 0) != sample_uniform(2, 0));
  double mean = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    double u = sample_uniform(7, i);
    REQUIRE((u >= 0 && u < 1));
    mean += u / 10000;
  }
  CHECK(std::abs(mean - 0.5) < 4 * 0.2887 / 100);  // four standard errors
}
