#include <catch2/catch.hpp>

#include <cstring>
#include <random>

#include "runtime/npy.h"

using namespace gradc;

namespace {

Array ramp(Element e, std::vector<int64_t> shape) {
  Array a = Array::zeros(e, std::move(shape));
  for (int64_t i = 0; i < a.count(); ++i) {
    switch (e) {
      case Element::Bool: a.as<uint8_t>()[i] = i % 2; break;
      case Element::Int: a.as<int64_t>()[i] = i - 3; break;
      case Element::F32: a.as<float>()[i] = static_cast<float>(i) * 0.1f - 1; break;
      case Element::F64: a.as<double>()[i] = static_cast<double>(i) * 0.1 - 1; break;
      case Element::None: break;
    }
  }
  return a;
}

bool same(const Array& a, const Array& b) { return a.element == b.element && a.shape == b.shape && a.bytes == b.bytes; }

NamedArrays several() {
  return {{"x", ramp(Element::F32, {3, 4})}, {"h1.W", ramp(Element::F64, {2, 2, 2})}, {"label", ramp(Element::Int, {5})},
          {"mask", ramp(Element::Bool, {7})}, {"loss", ramp(Element::F64, {})}, {"none", ramp(Element::F32, {0, 3})}};
}

// A version 1.0 .npy file with the given header and data.
std::string npy(std::string dict, std::string data) {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(dict.size() & 0xFF);
  bytes += static_cast<char>(dict.size() >> 8);
  return bytes + dict + data;
}

template <class F>
void check_damaged(const std::string& whole, F parse) {
  // Every prefix, and random damage, is either read or refused with a message: never a crash, never silence.
  for (size_t n = 0; n < whole.size(); ++n) {
    Diagnostics d;
    bool read = parse(std::string_view(whole).substr(0, n), d);
    INFO("prefix of " << n);
    CHECK(read != d.has_errors());
  }
  std::mt19937 random(7);
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = whole;
    for (int k = 0; k < 3; ++k) damaged[random() % damaged.size()] = static_cast<char>(random());
    Diagnostics d;
    bool read = parse(damaged, d);
    CHECK(read != d.has_errors());
  }
}

}  // namespace

TEST_CASE("npy keeps every element type and shape") {
  for (const auto& [name, a] : several()) {
    Diagnostics d;
    auto back = parse_npy(npy_bytes(a), "a.npy", d);
    REQUIRE(back);
    CHECK(same(*back, a));
  }
}

TEST_CASE("npy reads integers of all widths and Fortran order") {
  Diagnostics d;
  auto i32 = parse_npy(npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }\n", std::string("\x05\0\0\0\xff\xff\xff\xff", 8)), "", d);
  REQUIRE(i32);
  CHECK(i32->element == Element::Int);
  CHECK(i32->as<int64_t>()[0] == 5);
  CHECK(i32->as<int64_t>()[1] == -1);
  auto u8 = parse_npy(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }\n", "\x01\x02\x03\x04\x05\xff"), "", d);
  REQUIRE(u8);
  std::vector<int64_t> rows(u8->as<int64_t>(), u8->as<int64_t>() + 6);
  CHECK(rows == std::vector<int64_t>{1, 3, 5, 2, 4, 255});
}

TEST_CASE("npy refuses what it can't hold, with a reason") {
  auto refused = [](const std::string& bytes, const std::string& part) {
    Diagnostics d;
    CHECK_FALSE(parse_npy(bytes, "bad.npy", d));
    REQUIRE(d.error_count() == 1);
    INFO(d.all()[0].message);
    CHECK(d.all()[0].message.find(part) != std::string::npos);
  };
  refused("PK", "NumPy's signature");
  refused(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", "abcd"), "'>f4' is not supported");
  refused(npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "abcdefgh"), "'<c8' is not supported");
  refused(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "abcd"), "needs 8 bytes of data, there are 4");
  refused(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 16), }", ""), "out of range");
  refused(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", ""), "out of range");
  refused(npy("{'descr': '<f4', 'shape': (1,), }", "abcd"), "lacks descr, fortran_order or shape");
}

TEST_CASE("npz and safetensors keep several arrays") {
  NamedArrays arrays = several();
  Diagnostics d;
  auto npz = parse_npz(npz_bytes(arrays), "a.npz", d);
  auto safetensors = parse_safetensors(safetensors_bytes(arrays, {{"step", "12"}}), "a.safetensors", d);
  REQUIRE(npz);
  REQUIRE(safetensors);
  CHECK(npz->size() == arrays.size());
  CHECK(safetensors->size() == arrays.size());
  for (const auto& [name, a] : arrays) {
    CHECK(same(npz->at(name), a));
    CHECK(same(safetensors->at(name), a));
  }
}

TEST_CASE("safetensors metadata survive, and an empty set is a valid file") {
  Diagnostics d;
  std::map<std::string, std::string> metadata;
  REQUIRE(parse_safetensors(safetensors_bytes({}, {{"step", "12"}, {"model", "a \"b\""}}), "", d, &metadata));
  CHECK(metadata == std::map<std::string, std::string>{{"step", "12"}, {"model", "a \"b\""}});
  CHECK(parse_safetensors(safetensors_bytes({}), "", d)->empty());
}

TEST_CASE("damaged array files are refused, never trusted") {
  NamedArrays arrays = {{"x", ramp(Element::F32, {3, 2})}, {"y", ramp(Element::Int, {2})}};
  check_damaged(npy_bytes(arrays.at("x")), [](std::string_view b, Diagnostics& d) { return parse_npy(b, "", d).has_value(); });
  check_damaged(npz_bytes(arrays), [](std::string_view b, Diagnostics& d) { return parse_npz(b, "", d).has_value(); });
  check_damaged(safetensors_bytes(arrays), [](std::string_view b, Diagnostics& d) { return parse_safetensors(b, "", d).has_value(); });
}

TEST_CASE("conversion between element types goes value by value") {
  Array a = ramp(Element::Int, {4});
  Array f = a.converted(Element::F32);
  CHECK(f.as<float>()[0] == -3.0f);
  CHECK(f.converted(Element::Bool).as<uint8_t>()[3] == 0);
  CHECK(f.converted(Element::Bool).as<uint8_t>()[0] == 1);
  CHECK(f.converted(Element::F64).at(2) == -1.0);
}
