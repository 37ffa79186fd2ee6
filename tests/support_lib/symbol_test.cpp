#include <algorithm>
#include <set>
#include <thread>
#include <unordered_set>

#include <catch2/catch.hpp>

#include "compiler/support/error.h"
#include "compiler/support/symbol.h"
#include "compiler/support/typed_id.h"

using namespace gradc;

TEST_CASE("equal texts are one symbol") {
  CHECK(Symbol("alpha") == Symbol(std::string("alp") + "ha"));
  CHECK(Symbol("alpha") != Symbol("beta"));
  CHECK(Symbol() == Symbol(""));
  CHECK_FALSE(Symbol());
  CHECK(Symbol("x"));
  CHECK(Symbol("a.b").str() == "a.b");
  CHECK(std::string(Symbol("c").c_str()) == "c");
  CHECK(fmt::format("<{}>", Symbol("name")) == "<name>");
  CHECK(fmt::format("<{:>5}>", Symbol("ab")) == "<   ab>");
  CHECK(Symbol(std::string_view("a\0b", 3)) != Symbol("a"));
}

TEST_CASE("symbols are ordered by their texts, not by their age") {
  std::vector<std::string> texts{"zeta", "b", "B", "a", "", "ab", "a.1", "a0", "\xC3\xA4"};
  std::vector<Symbol> symbols(texts.begin(), texts.end());
  std::sort(symbols.begin(), symbols.end());
  std::sort(texts.begin(), texts.end());
  for (size_t i = 0; i < texts.size(); ++i) CHECK(symbols[i].str() == texts[i]);
  CHECK((Symbol("a") <=> Symbol("a")) == std::strong_ordering::equal);
  CHECK(std::set<Symbol>{"b", "a", "b"}.size() == 2);
  CHECK(std::unordered_set<Symbol>{"b", "a", "b"}.size() == 2);
}

TEST_CASE("symbols may be made from several threads") {
  constexpr int count = 2000;
  std::vector<std::vector<Symbol>> made(4);
  std::vector<std::thread> threads;
  for (auto& list : made) {
    threads.emplace_back([&list] {
      for (int i = 0; i < count; ++i) list.emplace_back("thread_symbol_" + std::to_string(i));
    });
  }
  for (std::thread& t : threads) t.join();
  for (const auto& list : made) CHECK(list == made[0]);
}

TEST_CASE("typed ids: none by default") {
  using Id = TypedId<struct SomeTag>;
  CHECK_FALSE(Id());
  CHECK(Id(0));
  CHECK(Id(3).at() == 3);
  CHECK(Id(1) < Id(2));
  CHECK(std::hash<Id>{}(Id(2)) == std::hash<Id>{}(Id(2)));
}

TEST_CASE("a broken invariant says where and what") {
  auto broken = [] { GRADC_ASSERT(1 + 1 == 3, "sum of {}", "ones"); };
  CHECK_THROWS_AS(broken(), InternalError);
  CHECK_THROWS_WITH(broken(), Catch::Contains("symbol_test.cpp") && Catch::Contains("1 + 1 == 3: sum of ones"));
  CHECK_THROWS_AS([] { GRADC_BUG("never"); }(), InternalError);
}
