// Products of many tokens with weights in panels, on the matrix units.
#pragma once

#include "backends/cuda/kernels/launchers.h"
#include "backends/cuda/kernels/tile.h"

namespace mica::cuda {

#define MICA_TILE(NAME, FORMAT)                                                                \
  MICA_KERNEL(mica_tile_##NAME##_large, LargeTiles::threads, 1, TileArgs,                      \
              tile<FORMAT, LargeTiles>)                                                        \
  MICA_KERNEL(mica_tile_##NAME##_small, SmallTiles::threads, 2, TileArgs,                      \
              tile<FORMAT, SmallTiles>)                                                        \
  static bool launch_tile_##NAME(const LaunchShape& shape, bool large, const TileArgs& args) { \
    return large ? launch_mica_tile_##NAME##_large(shape, args)                                \
                 : launch_mica_tile_##NAME##_small(shape, args);                               \
  }
MICA_TILE(q4, Format::kQ4)
MICA_TILE(q4m, Format::kQ4m)
MICA_TILE(q8, Format::kQ8)
#undef MICA_TILE

void launch_tile(const LaunchShape& shape, Format format, bool large, const TileArgs& args) {
  switch (format) {
    case Format::kQ4:
    case Format::kQ4s:
      launch_tile_q4(shape, large, args);
      return;
    case Format::kQ4m:
      launch_tile_q4m(shape, large, args);
      return;
    default:
      launch_tile_q8(shape, large, args);
      return;
  }
}

int tile_shared_bytes(bool large) {
  return large ? LargeTiles::shared_bytes : SmallTiles::shared_bytes;
}
int tile_rows(bool large) {
  return large ? LargeTiles::rows : SmallTiles::rows;
}
int tile_tokens(bool large) {
  return large ? LargeTiles::tokens : SmallTiles::tokens;
}

}  // namespace mica::cuda
