// The 64 bytes that shape the matrix tiles of Intel AMX, palette 1 (SDM volume 2, LDTILECFG): eight
// registers of at most 16 rows of 64 bytes.
//
// The primitives over them come from tiles_amx.h, or from an emulation in the tests:
//   configure_tiles(shapes), release_tiles()
//   zero_tile<kTile>()
//   load_tile<kTile>(from, stride), store_tile<kTile>(to, stride)    rows `stride` bytes apart
//   add_tile_products<kSums, kA, kB>()    sums[m][n] += a[m][4k + j] * b[k][4n + j], int8 in int32
#pragma once

#include <cstdint>

namespace mica::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileBytes = 64;  // of a row

struct TileShapes {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileShapes) == 64);

}  // namespace
}  // namespace mica::cpu
