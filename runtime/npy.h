#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "compiler/support/diagnostics.h"
#include "runtime/column.h"

// NumPy's file formats (NEP 1 versions 1.0-3.0; .npz is a zip of .npy members) and safetensors.
// Headers are never trusted: sizes are checked against the bytes that are there before anything is allocated.
namespace gradc {

using NamedArrays = std::map<std::string, Array>;
using NamedColumns = std::map<std::string, Column>;

// Elements f32, f64, int8..int64, uint8..uint32 (read as int), bool; either byte order's little end only, C or Fortran order.
std::optional<Array> parse_npy(std::string_view bytes, const std::string& place, Diagnostics& diagnostics);
std::optional<Column> parse_npy_column(std::string_view bytes, const std::string& place, Diagnostics& diagnostics);
std::string npy_bytes(const Array& array);

std::optional<NamedArrays> parse_npz(std::string_view bytes, const std::string& place, Diagnostics& diagnostics);
std::optional<NamedColumns> parse_npz_columns(std::string_view bytes, const std::string& place, Diagnostics& diagnostics);
std::string npz_bytes(const NamedArrays& arrays);  // stored, not compressed

std::optional<NamedArrays> parse_safetensors(std::string_view bytes, const std::string& place, Diagnostics& diagnostics,
                                             std::map<std::string, std::string>* metadata = nullptr);
std::string safetensors_bytes(const NamedArrays& arrays, const std::map<std::string, std::string>& metadata = {});

// By the ending of the name: .npz and .safetensors hold several arrays, .npy one (under the name "").
std::optional<NamedArrays> read_arrays(const std::string& path, Diagnostics& diagnostics);
// Reports UnknownArrayFormat for another ending; throws EnvironmentError where writing fails.
bool write_arrays(const std::string& path, const NamedArrays& arrays, Diagnostics& diagnostics);

}  // namespace gradc
