#pragma once

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <string>

#include "tests/support/process.h"

namespace gradc::test {

// What `gradc check --json` says of a model of x: [3] with one parameter w: [3], its initial value and the lines behind it given; the
// exit code is checked.
inline nlohmann::json check_model(const std::string& items, const std::string& w, const std::string& body, int code) {
  Workplace place;
  place.write("m.grad", items + "\nmodel m(x: [3]) {\n param w: [3] = " + w + "\n" + body + "\n}\n");
  auto r = place.gradc({"check", "m.grad", "--json"});
  INFO(r.out << r.err);
  CHECK(r.code == code);
  return nlohmann::json::parse(r.out);
}

}  // namespace gradc::test
