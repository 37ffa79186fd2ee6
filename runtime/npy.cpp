#include "runtime/npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

namespace gradc {
namespace {

constexpr std::string_view magic{"\x93NUMPY", 6};

std::optional<Stored> stored_type(std::string_view descr) {
  if (descr.size() < 3) return std::nullopt;
  char order = descr[0], kind = descr[1];
  size_t size = 0;
  std::from_chars(descr.data() + 2, descr.data() + descr.size(), size);
  if (order == '>' && size > 1) return std::nullopt;
  static const std::map<std::pair<char, size_t>, Stored> known = {
      {{'f', 4}, Stored::F32}, {{'f', 8}, Stored::F64}, {{'b', 1}, Stored::Bool}, {{'i', 1}, Stored::I8},  {{'i', 2}, Stored::I16},
      {{'i', 4}, Stored::I32}, {{'i', 8}, Stored::I64}, {{'u', 1}, Stored::U8},   {{'u', 2}, Stored::U16}, {{'u', 4}, Stored::U32}};
  auto it = known.find({kind, size});
  return it == known.end() ? std::nullopt : std::optional(it->second);
}

// Column-major elements, as Fortran order stores them, in row-major order.
Column from_fortran(const Column& a) {
  Column out{a.stored, a.shape, std::string(a.bytes.size(), '\0')};
  size_t rank = a.shape.size(), width = byte_size(a.stored);
  std::vector<int64_t> index(rank, 0);
  for (int64_t i = 0; i < a.count(); ++i) {
    int64_t source = 0;
    for (size_t d = rank; d-- > 0;) source = source * a.shape[d] + index[d];
    std::memcpy(out.bytes.data() + static_cast<size_t>(i) * width, a.bytes.data() + static_cast<size_t>(source) * width, width);
    for (size_t d = rank; d-- > 0;) {
      if (++index[d] < a.shape[d]) break;
      index[d] = 0;
    }
  }
  return out;
}

// The value behind 'key': in the header's Python dict literal.
std::optional<std::string_view> dict_value(std::string_view dict, std::string_view key) {
  size_t at = dict.find(fmt::format("'{}'", key));
  if (at == std::string_view::npos) return std::nullopt;
  at = dict.find(':', at);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = dict.substr(at + 1);
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  if (rest.empty()) return std::nullopt;
  if (rest[0] == '(') return rest.substr(0, std::min(rest.find(')') + 1, rest.size()));
  if (rest[0] == '\'') {
    size_t close = rest.find('\'', 1);
    if (close == std::string_view::npos) return std::nullopt;
    return rest.substr(1, close - 1);
  }
  return rest.substr(0, rest.find_first_of(",}"));
}

std::optional<std::vector<int64_t>> parse_shape(std::string_view tuple) {
  std::vector<int64_t> shape;
  const char *p = tuple.data(), *end = p + tuple.size();
  while (p < end) {
    if (*p == '(' || *p == ')' || *p == ',' || *p == ' ' || *p == 'L') {
      ++p;
      continue;
    }
    int64_t v = 0;
    auto [next, error] = std::from_chars(p, end, v);
    if (error != std::errc() || shape.size() == 32) return std::nullopt;
    shape.push_back(v);
    p = next;
  }
  return shape;
}

}  // namespace

std::optional<Column> parse_npy_column(std::string_view bytes, const std::string& place, Diagnostics& diagnostics) {
  auto bad = [&](const std::string& why) {
    diagnostics.report_at(DiagnosticKind::MalformedArrayFile, place, ".npy", why);
    return std::nullopt;
  };
  if (bytes.size() < 10 || bytes.substr(0, 6) != magic) return bad("it does not begin with NumPy's signature");
  auto version = static_cast<unsigned char>(bytes[6]);
  if (version < 1 || version > 3) return bad(fmt::format("version {} of the format is unknown", version));
  size_t width = version == 1 ? 2 : 4, header = 0;
  if (bytes.size() < 8 + width) return bad("the header is cut short");
  for (size_t i = width; i-- > 0;) header = header << 8 | static_cast<unsigned char>(bytes[8 + i]);
  if (header > bytes.size() - 8 - width) return bad("the header is cut short");
  std::string_view dict = bytes.substr(8 + width, header), data = bytes.substr(8 + width + header);

  auto descr = dict_value(dict, "descr"), order = dict_value(dict, "fortran_order"), tuple = dict_value(dict, "shape");
  auto shape = tuple ? parse_shape(*tuple) : std::nullopt;
  if (!descr || !order || !shape) return bad("its header lacks descr, fortran_order or shape");
  auto type = stored_type(*descr);
  if (!type) {
    diagnostics.report_at(DiagnosticKind::UnsupportedArrayType, place, *descr);
    return std::nullopt;
  }
  auto n = checked_count(*shape);
  if (!n) return bad(fmt::format("shape {} is out of range", shape_text(*shape)));
  const size_t element = byte_size(*type);
  if (data.size() != static_cast<size_t>(*n) * element) {
    return bad(fmt::format("shape {} needs {} bytes of data, there are {}", shape_text(*shape), static_cast<size_t>(*n) * element, data.size()));
  }
  Column column{*type, *shape, std::string(data)};
  if (*type == Stored::Bool) {
    for (char& b : column.bytes) b = b != 0;
  }
  if (order->substr(0, 4) == "True" && shape->size() > 1) return from_fortran(column);
  return column;
}

std::optional<Array> parse_npy(std::string_view bytes, const std::string& place, Diagnostics& diagnostics) {
  auto column = parse_npy_column(bytes, place, diagnostics);
  return column ? std::optional(to_array(*column)) : std::nullopt;
}

std::string npy_bytes(const Array& array) {
  constexpr const char* descr[] = {"|b1", "<i8", "<f4", "<f8"};
  std::string shape;
  for (int64_t s : array.shape) shape += fmt::format("{}, ", s);
  if (array.shape.size() > 1) shape.resize(shape.size() - 2);
  else if (array.shape.size() == 1) shape.pop_back();
  std::string dict = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
                                 descr[static_cast<size_t>(array.element)], shape);
  size_t total = (10 + dict.size() + 1 + 63) / 64 * 64;  // data starts at a multiple of 64
  dict.append(total - 10 - dict.size() - 1, ' ');
  dict += '\n';
  std::string out(magic);
  out += {1, 0, static_cast<char>(dict.size() & 0xFF), static_cast<char>(dict.size() >> 8)};
  out += dict;
  out.append(reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size());
  return out;
}

}  // namespace gradc
