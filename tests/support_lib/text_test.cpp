#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <catch2/catch.hpp>

#include "compiler/support/text.h"

using namespace gradc;

TEST_CASE("edit distance counts insertions, deletions, replacements and swaps") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("retrun", "return") == 1);
  CHECK(edit_distance("ab", "ba") == 1);
  CHECK(edit_distance("abcd", "badc") == 2);
  CHECK(edit_distance("ca", "abc") == 3);  // optimal string alignment: a swap is not edited again
}

TEST_CASE("edit distance is symmetric and zero only for equal words") {
  std::mt19937 random(1);
  auto word = [&] {
    std::string s;
    for (size_t n = random() % 7; n > 0; --n) s += static_cast<char>('a' + random() % 3);
    return s;
  };
  for (int i = 0; i < 2000; ++i) {
    std::string a = word(), b = word();
    CHECK(edit_distance(a, b) == edit_distance(b, a));
    CHECK((edit_distance(a, b) == 0) == (a == b));
    CHECK(edit_distance(a, b) <= std::max(a.size(), b.size()));
  }
}

TEST_CASE("the nearest word is close, or none is named") {
  CHECK(nearest("optimiser", {"data", "optimizer", "batch"}) == "optimizer");
  CHECK(nearest("lable", {"image", "label"}) == "label");
  CHECK(nearest("epoch", {"epochs", "batch"}) == "epochs");
  CHECK(nearest("h", {"h1", "h2"}) == "h1");  // the first of equally near ones
  CHECK_FALSE(nearest("momentum", {"batch", "epochs"}));
  CHECK_FALSE(nearest("a", {"b", "c"}));  // every letter replaced is no similarity
  CHECK_FALSE(nearest("x", {}));
  CHECK(nearest("relu", {"relu"}) == "relu");
}

TEST_CASE("globs match the whole text") {
  CHECK(glob_match("*.gamma", "x.1.gamma"));
  CHECK(glob_match("critic.*", "critic.0.W"));
  CHECK_FALSE(glob_match("critic.*", "my_critic.0.W"));
  CHECK_FALSE(glob_match("*.b", "h1.bias"));
  CHECK(glob_match("h?.W", "h1.W"));
  CHECK_FALSE(glob_match("h?.W", "h12.W"));
  CHECK(glob_match("", ""));
  CHECK_FALSE(glob_match("", "a"));
  CHECK(glob_match("*", ""));
  CHECK(glob_match("**a*", "bca"));
  CHECK(glob_match("a*b*c", "a-b-b-c"));
  CHECK_FALSE(glob_match("a*b*c", "a-c-b"));
  CHECK(glob_match("*?", "*"));
  CHECK(glob_match("x[0].W", "x[0].W"));  // brackets stand for themselves: they are part of paths
}

TEST_CASE("a glob of many stars takes no exponential time") {
  CHECK_FALSE(glob_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*b", std::string(5000, 'a')));
}

TEST_CASE("shortest doubles read back as the same bits") {
  CHECK(shortest(0.1) == "0.1");
  CHECK(shortest(1) == "1");
  CHECK(shortest(-0.0) == "-0");
  CHECK(shortest(1e-8) == "1e-08");
  CHECK(shortest(std::numeric_limits<double>::infinity()) == "inf");
  CHECK(shortest(-std::numeric_limits<double>::infinity()) == "-inf");
  CHECK(shortest(std::nan("")) == "nan");
  CHECK(shortest(-std::nan("")) == "nan");

  std::mt19937_64 random(3);
  for (int i = 0; i < 5000; ++i) {
    uint64_t bits = random();
    double x, back;
    std::memcpy(&x, &bits, 8);
    if (!std::isfinite(x)) continue;
    back = std::strtod(shortest(x).c_str(), nullptr);
    if (std::memcmp(&x, &back, 8) != 0) FAIL(shortest(x));
  }
  for (double edge : {5e-324, std::numeric_limits<double>::min(), std::numeric_limits<double>::max()}) {
    CHECK(std::strtod(shortest(edge).c_str(), nullptr) == edge);
  }
}

TEST_CASE("sizes for people") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(1023) == "1023 B");
  CHECK(human_bytes(1024) == "1.0 KiB");
  CHECK(human_bytes(3.4 * 1024) == "3.4 KiB");
  CHECK(human_bytes(1.25 * 1024 * 1024 * 1024) == "1.2 GiB");
  CHECK(human_bytes(1e30).substr(human_bytes(1e30).size() - 4) == " EiB");
}
