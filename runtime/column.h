#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compiler/support/element.h"
#include "runtime/array.h"

namespace gradc {

// Element types of files. A column keeps the type it came in (an image's bytes stay bytes) until a batch is made of it.
enum class Stored : uint8_t { Bool, U8, I8, U16, I16, U32, I32, I64, F32, F64 };

size_t byte_size(Stored s);
Element element_of(Stored s);  // what holds every value of it; all whole numbers are Int

// Numbers as a file holds them, row-major.
struct Column {
  Stored stored = Stored::F32;
  std::vector<int64_t> shape;
  std::string bytes;  // of this machine's byte order

  int64_t count() const;
  // Writes the elements [first, first + count) as `to`; f64 to f32 rounds to nearest, reals to Int are cut off.
  void read(int64_t first, int64_t count, Element to, std::byte* out) const;
};

Array to_array(const Column& column);
Column to_column(const Array& array);

}  // namespace gradc
