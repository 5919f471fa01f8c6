// Slabs for the tests of weight types.
#pragma once

#include <vector>

#include "quant/weight_type.h"

namespace mica {

inline const WeightType& weight_type(std::string_view prefix) {
  for (const WeightType* type : weight_types()) {
    if (type->prefix == prefix) return *type;
  }
  throw "no such weight type";
}

// Room for one slab, filled with a pattern so that bytes left unwritten are seen.
inline std::vector<std::byte> empty_slab(const WeightType& type, int64_t cols, int group) {
  return std::vector<std::byte>(slab_stride(make_dtype(type, group), cols, "test"),
                                std::byte{0xa5});
}

inline std::vector<std::byte> encode(const WeightType& type, const std::vector<float>& rows,
                                     int group) {
  const auto cols = static_cast<int64_t>(rows.size()) / kPanelRows;
  std::vector<std::byte> slab = empty_slab(type, cols, group);
  type.encode(rows.data(), cols, group, slab.data());
  return slab;
}

inline std::vector<float> decode(const WeightType& type, const std::vector<std::byte>& slab,
                                 int64_t cols, int group) {
  std::vector<float> rows(kPanelRows * cols);
  type.decode(slab.data(), cols, group, rows.data());
  return rows;
}

}  // namespace mica
