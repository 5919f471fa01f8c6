// Primitives of tile_shapes.h in the instructions of AMX-TILE and AMX-INT8 (Intel Sapphire Rapids
// and later).
//
// In assembler, because the intrinsics of GCC 12 do not tell it that loads read memory (stores of
// the rows could move past them) nor that a configuration is longer than a pointer, and because
// they take a tile's number as a token only.
#pragma once

#include "backends/cpu/simd/lanes.h"
#include "backends/cpu/simd/tile_shapes.h"

namespace mica::cpu {
namespace {

MICA_INLINE void configure_tiles(const TileShapes& shapes) {
  asm volatile("ldtilecfg (%0)" ::"r"(&shapes) : "memory");
}

// Tiles in their initial state are neither saved nor restored: without this every switch of context
// would move their 8 KB for as long as the thread lives (XSAVE's init optimization), and the
// processor would keep the matrix unit awake.
MICA_INLINE void release_tiles() {
  asm volatile("tilerelease" ::: "memory");
}

template <int kTile>
MICA_INLINE void zero_tile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}

template <int kTile>
MICA_INLINE void load_tile(const void* from, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
}

template <int kTile>
MICA_INLINE void store_tile(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
}

template <int kSums, int kA, int kB>
MICA_INLINE void add_tile_products() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSums), "i"(kA), "i"(kB));
}

}  // namespace
}  // namespace mica::cpu
