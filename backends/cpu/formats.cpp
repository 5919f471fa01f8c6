#include "backends/cpu/formats.h"

#include <array>
#include <string_view>

#include "quant/weight_type.h"

namespace mica::cpu {

std::optional<Format> find_format(const DType& dtype) {
  const WeightType* type = find_weight_type(dtype);
  if (type == nullptr) return std::nullopt;
  const std::string_view prefix = type->prefix;
  if (prefix == "q4") return Format::kQ4;
  if (prefix == "q4s") return Format::kQ4s;
  if (prefix == "q4m") return Format::kQ4m;
  if (prefix == "q8") return Format::kQ8;
  return std::nullopt;
}

Format format_of(const DType& dtype) {
  static const auto formats = [] {
    std::array<Format, 256> by_number{};
    for (const WeightType* type : weight_types()) {
      if (const auto format = find_format(make_dtype(*type, 32))) by_number.at(type->id) = *format;
    }
    return by_number;
  }();
  return formats[dtype.type];
}

std::optional<RowFormat> find_row_format(const DType& dtype) {
  if (dtype == kF32) return RowFormat::kF32;
  if (dtype == kF16) return RowFormat::kF16;
  if (dtype == kBF16) return RowFormat::kBF16;
  return std::nullopt;
}

}  // namespace mica::cpu
