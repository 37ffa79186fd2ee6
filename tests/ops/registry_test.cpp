#include <cctype>
#include <set>

#include <catch2/catch.hpp>

#include "compiler/ops/ops.h"
#include "tests/ops/harness.h"

using namespace gradc;
using namespace gradc::test;

TEST_CASE("every operation says what it does, how it treats edges, and how to test it") {
  std::set<std::string> names;
  for (const Op* op : op_registry().all()) {
    INFO(op->name);
    CHECK(names.insert(op->name).second);
    CHECK(op_registry().find(op->name) == op);
    std::string doc = op->doc, convention = op->convention;
    CHECK(!doc.empty());
    CHECK((!doc.empty() && doc.back() != '.'));
    CHECK(!convention.empty());
    CHECK((op->vjp != nullptr) + (op->not_differentiable != nullptr) + op->swept == 1);
    CHECK(op->type);
    CHECK(op->ulp_f64 >= 0);
    if (op->kind == OpKind::Pointwise) {
      REQUIRE(!op->samples.empty());
      CHECK(!domain(*op, 0).special.empty());
      CHECK(op->program);
    } else {
      REQUIRE(op->examples);
      CHECK(!op->examples().empty());
    }
    bool has_combiner = op->kind == OpKind::Reduction || op->kind == OpKind::ArgReduction;
    CHECK(op->combiner.has_value() == has_combiner);
  }
  CHECK(op_registry().find("no such operation") == nullptr);
}

TEST_CASE("every example is accepted, and refused with one operand or one attribute less") {
  for (const Op* op : op_registry().all()) {
    for (const OpExample& e : signatures(*op)) {
      INFO(describe(*op, e));
      CHECK(op->infer(e.operands, e.attrs, e.body.get()).error.empty());
      if (op->arity > 0) {
        std::vector<Type> fewer(e.operands.begin(), e.operands.end() - 1);
        CHECK_FALSE(op->infer(fewer, e.attrs, e.body.get()).type);
      }
      auto entries = e.attrs.entries();
      REQUIRE(entries.size() == op->attributes.size());
      for (size_t i = 0; i < entries.size(); ++i) CHECK(entries[i].key == Symbol(op->attributes[i]));
      entries.push_back({"surplus", int64_t{1}});
      CHECK_FALSE(op->infer(e.operands, Attrs(entries), e.body.get()).type);
      if (op->attributes.empty()) continue;
      entries.resize(entries.size() - 2);
      CHECK_FALSE(op->infer(e.operands, Attrs(entries), e.body.get()).type);
    }
  }
}

TEST_CASE("point-wise operations take one shape and one element") {
  for (const Op* op : op_registry().all()) {
    if (op->kind != OpKind::Pointwise || op->arity < 2) continue;
    for (const OpExample& e : signatures(*op)) {
      INFO(describe(*op, e));
      std::vector<Type> longer = e.operands, mixed = e.operands, named = e.operands;
      longer.back().dims[0].size = 6;
      mixed.back().element = mixed.back().element == Element::F64 ? Element::F32 : Element::F64;
      named.back().dims[0].name = "N";
      CHECK_FALSE(op->infer(longer, e.attrs).type);
      CHECK_FALSE(op->infer(mixed, e.attrs).type);
      CHECK(op->infer(named, e.attrs).type->dims[0].name == Symbol("N"));
    }
  }
}

TEST_CASE("no attributes make a type rule fall over") {
  Numbers numbers(7);
  auto integer = [&]() -> int64_t {
    constexpr int64_t odd[] = {0, 1, 2, 3, -1, 5, int64_t{1} << 20, int64_t{1} << 40, INT64_MAX, INT64_MIN, -2};
    return odd[numbers.below(std::size(odd))];
  };
  auto change = [&](AttrValue& v) {
    if (std::holds_alternative<int64_t>(v))
      v = integer();
    else if (auto* list = std::get_if<std::vector<int64_t>>(&v)) {
      if (list->empty() || numbers.below(4) == 0)
        list->push_back(integer());
      else
        (*list)[static_cast<size_t>(numbers.below(static_cast<int64_t>(list->size())))] = integer();
    } else if (numbers.below(2))
      v = Symbol("odd");
    else
      v = 1e300;
  };
  for (const Op* op : op_registry().all()) {
    for (const OpExample& e : signatures(*op)) {
      for (int round = 0; round < 200; ++round) {
        auto entries = e.attrs.entries();
        for (auto& entry : entries) {
          if (numbers.below(2)) change(entry.value);
        }
        TypeResult r = op->infer(e.operands, Attrs(entries), e.body.get());
        CHECK(r.type.has_value() == r.error.empty());
        if (!r.type) continue;
        CHECK(r.type->count() >= 1);
        CHECK(r.type->count() <= int64_t{1} << 60);
      }
    }
  }
}

TEST_CASE("views read inside their operand") {
  for (const Op* op : op_registry().all()) {
    if (op->kind != OpKind::View) continue;
    for (const OpExample& e : op->examples()) {
      INFO(describe(*op, e));
      const Type& from = e.operands[0];
      Type to = *op->infer(e.operands, e.attrs).type;
      std::vector<ViewTerm> terms = op->view(from, to, e.attrs);
      REQUIRE(terms.size() == from.rank());
      for (size_t i = 0; i < terms.size(); ++i) {
        REQUIRE(terms[i].axis < static_cast<int>(to.rank()));
        int64_t last = terms[i].axis < 0 ? 0 : to.size(static_cast<size_t>(terms[i].axis)) - 1;
        int64_t last_by = terms[i].by < 0 ? 0 : to.size(static_cast<size_t>(terms[i].by)) - 1;
        for (int64_t at : {terms[i].offset, terms[i].offset + terms[i].scale * last}) {
          for (int64_t by : {int64_t{0}, terms[i].by_scale * last_by}) {
            CHECK(at + by >= 0);
            CHECK(at + by < from.size(i));
          }
        }
      }
    }
  }
}
