// IDX files and gzip: what is right is read, and no header is believed.
#include <catch2/catch.hpp>

#include <zlib.h>

#include "runtime/gzip.h"
#include "runtime/idx.h"

using namespace gradc;

namespace {

constexpr uint64_t plenty = uint64_t{1} << 40;

std::string big_endian(uint64_t value, size_t width) {
  std::string s;
  for (size_t i = width; i-- > 0;) s += static_cast<char>(value >> (8 * i) & 0xFF);
  return s;
}

std::string idx_header(char type, const std::vector<uint32_t>& sizes) {
  std::string s{0, 0, type, static_cast<char>(sizes.size())};
  for (uint32_t n : sizes) s += big_endian(n, 4);
  return s;
}

std::string gzipped(const std::string& content) {
  z_stream z{};
  REQUIRE(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&z, content.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  z.avail_in = static_cast<uInt>(content.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

// The one message about a file that cannot be read.
std::string complaint(const std::string& bytes, uint64_t limit = plenty) {
  Diagnostics d;
  CHECK_FALSE(parse_idx(bytes, "f", limit, d));
  REQUIRE(d.all().size() == 1);
  CHECK(d.all()[0].place == "f");
  return d.all()[0].message;
}

std::vector<double> values(const Column& c) {
  Array a = to_array(c);
  std::vector<double> out;
  for (int64_t i = 0; i < a.count(); ++i) out.push_back(a.at(i));
  return out;
}

}  // namespace

TEST_CASE("every element type of IDX is read, packed or not") {
  struct Case {
    char type;
    std::string bytes;
    Element element;
    std::vector<double> expected;
  };
  const Case cases[] = {
      {0x08, std::string("\x00\x7f\xff", 3), Element::Int, {0, 127, 255}},
      {0x09, std::string("\x00\x7f\xff", 3), Element::Int, {0, 127, -1}},
      {0x0B, big_endian(1, 2) + big_endian(0xFFFE, 2) + big_endian(0x0102, 2), Element::Int, {1, -2, 258}},
      {0x0C, big_endian(1, 4) + big_endian(0xFFFFFFFE, 4) + big_endian(0x01020304, 4), Element::Int, {1, -2, 16909060}},
      {0x0D, big_endian(0x3F800000, 4) + big_endian(0xC0000000, 4) + big_endian(0x7F800000, 4), Element::F32, {1, -2, INFINITY}},
      {0x0E, big_endian(0x3FF0000000000000, 8) + big_endian(0xC000000000000000, 8) + big_endian(0, 8), Element::F64, {1, -2, 0}},
  };
  for (const Case& c : cases) {
    std::string file = idx_header(c.type, {3}) + c.bytes;
    for (const std::string& bytes : {file, gzipped(file)}) {
      Diagnostics d;
      auto column = parse_idx(bytes, "f", plenty, d);
      REQUIRE(column);
      CHECK(column->shape == std::vector<int64_t>{3});
      CHECK(element_of(column->stored) == c.element);
      CHECK(values(*column) == c.expected);
    }
  }
}

TEST_CASE("images keep one byte a pixel") {
  Diagnostics d;
  auto column = parse_idx(gzipped(idx_header(0x08, {2, 3, 4}) + std::string(24, '\x05')), "f", plenty, d);
  REQUIRE(column);
  CHECK(column->shape == std::vector<int64_t>{2, 3, 4});
  CHECK(column->bytes.size() == 24);
}

TEST_CASE("headers are not believed: the offset and both sizes are named") {
  CHECK(complaint("") == "not a valid IDX file: at byte 0: the header needs at least 4 bytes, and 0 are there");
  CHECK(complaint(std::string("\0\0", 2)) == "not a valid IDX file: at byte 0: the header needs at least 4 bytes, and 2 are there");
  CHECK(complaint("\x89PNG....") == "not a valid IDX file: at byte 0: it begins with 89 50 and not with two zeros");
  CHECK(complaint(idx_header(0x0A, {1}) + "x") == "not a valid IDX file: at byte 2: element type 0x0a is unknown; 08, 09 and 0b to 0e are defined");
  CHECK(complaint(idx_header(0x08, {})) == "not a valid IDX file: at byte 3: it has 0 sizes, and 1 to 8 can be read");
  CHECK(complaint(idx_header(0x08, {2, 2}).substr(0, 9)) == "not a valid IDX file: at byte 4: 2 sizes need 8 bytes, and 5 are there");
  CHECK(complaint(idx_header(0x08, {2, 0xFFFFFFFF}) + "ab") == "not a valid IDX file: at byte 8: size -1 is negative");
  std::vector<uint32_t> huge(8, 0x7FFFFFFF);
  CHECK(complaint(idx_header(0x08, huge)).find("at byte 4: shape [2147483647, ") != std::string::npos);
  std::string good = idx_header(0x08, {2, 3}) + "abcdef";
  CHECK(complaint(good.substr(0, 15)) == "not a valid IDX file: at byte 12: shape [2, 3] needs 6 bytes of data, and 3 are there");
  CHECK(complaint(good + "gh") == "not a valid IDX file: at byte 12: shape [2, 3] needs 6 bytes of data, and 8 are there");
  CHECK(complaint(gzipped(good.substr(0, 15))) == "not a valid IDX file: at byte 12: shape [2, 3] needs 6 bytes of data, and 3 are there");
  CHECK(complaint(gzipped(good + "g")) == "not a valid IDX file: at byte 12: shape [2, 3] needs 6 bytes of data, and more are there");
  CHECK(complaint(idx_header(0x0E, {1000}) + std::string(8000, '\0'), 4096) == "unpacking 7.8 KiB would take more than the 4.0 KiB of memory that are free for it");
}

TEST_CASE("a small file that claims gigabytes costs nothing") {
  std::string bomb = gzipped(idx_header(0x08, {2000000000}) + std::string(1000, 'x'));
  CHECK(complaint(bomb).find("packed bytes cannot hold more than") != std::string::npos);
  // What really unpacks to more than there is memory for.
  Diagnostics d;
  CHECK_FALSE(unpacked(gzipped(std::string(1 << 20, 'x')), "t", 1 << 16, d));
  REQUIRE(d.all().size() == 1);
  CHECK(d.all()[0].message.find("would take more than the 64.0 KiB") != std::string::npos);
  CHECK(unpacked(gzipped(std::string(1 << 20, 'x')), "t", 1 << 20, d) == std::string(1 << 20, 'x'));
}

TEST_CASE("damaged gzip is told from a damaged content") {
  std::string packed = gzipped(idx_header(0x08, {2000}) + std::string(2000, 'a'));
  CHECK(complaint(packed.substr(0, packed.size() - 9)).find("not a valid gzip file: at byte") == 0);
  CHECK(complaint(packed + "junk").find("it goes on after its end") != std::string::npos);
  std::string flipped = packed;
  flipped[flipped.size() - 6] ^= 1;  // the checksum
  CHECK(complaint(flipped).find("it is damaged") != std::string::npos);
  Diagnostics d;
  CHECK(unpacked(gzipped("one ") + gzipped("two"), "t", 100, d) == "one two");  // members follow each other
  CHECK(unpacked("not packed", "t", 5, d) == "not packed");
  // No prefix and no flipped bit of a packed file is read out of bounds or accepted as another content.
  for (size_t cut = 2; cut < packed.size(); ++cut) {
    Diagnostics ignored;
    CHECK_FALSE(parse_idx(packed.substr(0, cut), "f", plenty, ignored));
  }
  for (size_t bit = 0; bit < 8 * packed.size(); ++bit) {
    std::string damaged = packed;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    Diagnostics ignored;
    auto column = parse_idx(damaged, "f", plenty, ignored);
    if (column) CHECK(column->bytes == std::string(2000, 'a'));  // a bit of the header's name, time or system
  }
}
