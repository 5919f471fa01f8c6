#include "quant/weight_type.h"

#include "lib/base/error.h"

namespace mica {
namespace {

constexpr int kGroups[] = {32, 64, 128};

struct RowType {
  const char* name;
  DType dtype;
};
constexpr RowType kRowTypes[] = {{"f32", kF32}, {"f16", kF16}, {"bf16", kBF16}};

std::string name_of(const WeightType& type, int group) {
  return std::string(type.prefix) + "g" + std::to_string(group);
}

}  // namespace

bool is_group(int group) {
  for (const int known : kGroups) {
    if (group == known) return true;
  }
  return false;
}

DType make_dtype(const WeightType& type, int group) {
  return {.type = type.id,
          .group = static_cast<uint16_t>(group),
          .layout = TensorLayout::kPanels,
          .code_bits = type.code_bits,
          .scale_bytes = type.scale_bytes,
          .offset_bytes = type.offset_bytes};
}

const WeightType* find_weight_type(const DType& dtype) {
  if (!is_group(dtype.group)) return nullptr;
  for (const WeightType* type : weight_types()) {
    if (dtype == make_dtype(*type, dtype.group)) return type;
  }
  return nullptr;
}

std::string dtype_name(const DType& dtype) {
  for (const RowType& row : kRowTypes) {
    if (dtype == row.dtype) return row.name;
  }
  if (const WeightType* type = find_weight_type(dtype)) return name_of(*type, dtype.group);
  return "type " + std::to_string(dtype.type);
}

DType parse_dtype(std::string_view name) {
  std::string known;
  for (const RowType& row : kRowTypes) {
    if (name == row.name) return row.dtype;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  for (const WeightType* type : weight_types()) {
    for (const int group : kGroups) {
      if (name == name_of(*type, group)) return make_dtype(*type, group);
      known += ", " + name_of(*type, group);
    }
  }
  throw Error(ErrorCode::kUsage,
              "weight type: expected one of " + known + ", found '" + std::string(name) + "'");
}

}  // namespace mica
