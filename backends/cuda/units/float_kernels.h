// Products with floats as input.
#pragma once

#include "backends/cuda/kernels/float_products.h"
#include "backends/cuda/kernels/launchers.h"

namespace mica::cuda {

MICA_KERNEL(mica_float_tile, kFloatThreads, 1, FloatProductArgs, float_tile)

#define MICA_ROWS(NAME, FORMAT)                                                              \
  MICA_KERNEL(mica_rows_##NAME##_1, kRowThreads, 2, FloatProductArgs, float_rows<FORMAT, 1>) \
  MICA_KERNEL(mica_rows_##NAME##_8, kRowThreads, 2, FloatProductArgs, float_rows<FORMAT, 8>) \
  static bool launch_rows_##NAME(const LaunchShape& shape, int columns,                      \
                                 const FloatProductArgs& args) {                             \
    return columns == 1 ? launch_mica_rows_##NAME##_1(shape, args)                           \
                        : launch_mica_rows_##NAME##_8(shape, args);                          \
  }
MICA_ROWS(f32, Format::kF32)
MICA_ROWS(f16, Format::kF16)
MICA_ROWS(bf16, Format::kBF16)
#undef MICA_ROWS

void launch_float_tile(const LaunchShape& shape, const FloatProductArgs& args) {
  launch_mica_float_tile(shape, args);
}

void launch_float_rows(const LaunchShape& shape, int columns, const FloatProductArgs& args) {
  switch (args.matrix.format) {
    case Format::kF32:
      launch_rows_f32(shape, columns, args);
      return;
    case Format::kF16:
      launch_rows_f16(shape, columns, args);
      return;
    default:
      launch_rows_bf16(shape, columns, args);
      return;
  }
}

int float_tile_size() {
  return kFloatTile;
}
int float_tile_shared_bytes() {
  return kFloatShared;
}

}  // namespace mica::cuda
