#include "lib/tensor/dtype.h"

#include <string>

#include "lib/base/checked.h"
#include "lib/base/error.h"

namespace mica {

uint64_t padded_rows(const DType& dtype, uint64_t rows) {
  if (dtype.layout == TensorLayout::kRows) return rows;
  return (rows + kPanelRows - 1) / kPanelRows * kPanelRows;
}

uint64_t slab_stride(const DType& dtype, uint64_t cols, std::string_view what) {
  if (dtype.layout == TensorLayout::kRows) {
    if (dtype.code_bits == 0 || dtype.code_bits % 8 != 0) {
      throw Error(ErrorCode::kInvalidFile, std::string(what) +
                                               ": expected elements of whole bytes, found " +
                                               std::to_string(dtype.code_bits) + " bits");
    }
    return checked_mul(cols, uint64_t{dtype.code_bits} / 8, what);
  }
  if (dtype.group == 0 || cols % dtype.group != 0) {
    throw Error(ErrorCode::kInvalidFile,
                std::string(what) + ": expected a row length divisible by group " +
                    std::to_string(dtype.group) + ", found " + std::to_string(cols));
  }
  const uint64_t code_bytes = checked_mul(cols, uint64_t{kPanelRows} * dtype.code_bits, what) / 8;
  const uint64_t plane_bytes = checked_mul(
      cols / dtype.group, uint64_t{kPanelRows} * (dtype.scale_bytes + dtype.offset_bytes), what);
  return checked_align_up(checked_add(code_bytes, plane_bytes, what), kSlabAlignment, what);
}

uint64_t tensor_bytes(const DType& dtype, uint64_t rows, uint64_t cols, std::string_view what) {
  const uint64_t stride = slab_stride(dtype, cols, what);
  if (dtype.layout == TensorLayout::kRows) return checked_mul(rows, stride, what);
  const uint64_t panels = checked_add(rows, kPanelRows - 1, what) / kPanelRows;
  return checked_mul(panels, stride, what);
}

double bits_per_weight(const DType& dtype) {
  if (dtype.group == 0) return dtype.code_bits;
  return dtype.code_bits + 8.0 * (dtype.scale_bytes + dtype.offset_bytes) / dtype.group;
}

}  // namespace mica
