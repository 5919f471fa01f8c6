#include "tests/backends/cpu/tile_emulator.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mica::testing {
namespace {

void demand(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "matrix tiles: expected %s\n", what);
  std::abort();
}

}  // namespace

TileFile& thread_tiles() {
  static thread_local TileFile tiles;
  return tiles;
}

void TileFile::configure(const std::byte* shapes) {
  demand(!configured_, "tiles released before they are configured again");
  demand(shapes[0] == std::byte{1}, "palette 1");
  for (int i = 1; i < 16; ++i) demand(shapes[i] == std::byte{0}, "zeros after the palette");
  for (int i = 0; i < 16; ++i) {
    uint16_t row_bytes;
    std::memcpy(&row_bytes, shapes + 16 + 2 * i, 2);
    const int rows = std::to_integer<int>(shapes[48 + i]);
    demand(row_bytes <= 64 && rows <= 16, "at most 16 rows of 64 bytes");
    demand((row_bytes == 0) == (rows == 0), "both rows and bytes, or neither");
    demand(i < 8 || rows == 0, "eight tiles");
    if (i < 8) tiles_[i] = {rows, row_bytes};
  }
  configured_ = true;
}

void TileFile::release() {
  configured_ = false;
}

TileFile::Tile& TileFile::at(int tile) {
  demand(configured_, "configured tiles");
  demand(tile >= 0 && tile < 8 && tiles_[tile].rows > 0, "a tile with rows");
  return tiles_[tile];
}

void TileFile::zero(int tile) {
  std::memset(at(tile).bytes, 0, sizeof(Tile::bytes));
}

void TileFile::load(int tile, const std::byte* from, int64_t stride) {
  Tile& t = at(tile);
  std::memset(t.bytes, 0, sizeof(t.bytes));
  for (int row = 0; row < t.rows; ++row)
    std::memcpy(t.bytes[row], from + row * stride, t.row_bytes);
}

void TileFile::store(int tile, std::byte* to, int64_t stride) {
  const Tile& t = at(tile);
  for (int row = 0; row < t.rows; ++row) std::memcpy(to + row * stride, t.bytes[row], t.row_bytes);
}

// Tiles belong to one thread: to watch every byte of theirs for races takes minutes.
[[gnu::no_sanitize("thread")]] void TileFile::add_products(int sums, int a, int b) {
  demand(sums != a && sums != b && a != b, "three different tiles");
  Tile& s = at(sums);
  const Tile &left = at(a), &right = at(b);
  demand(left.rows == s.rows && right.row_bytes == s.row_bytes, "sums as wide and high as factors");
  demand(left.row_bytes == 4 * right.rows && left.row_bytes % 4 == 0, "four bytes for each row");
  int8_t w[16][16][4];
  std::memcpy(w, right.bytes, sizeof(w));
  for (int m = 0; m < s.rows; ++m) {
    int32_t row[16];
    int8_t x[16][4];
    std::memcpy(row, s.bytes[m], sizeof(row));
    std::memcpy(x, left.bytes[m], sizeof(x));
    for (int k = 0; k < right.rows; ++k) {
      for (int n = 0; n < 16; ++n) {
        for (int j = 0; j < 4; ++j) row[n] += x[k][j] * w[k][n][j];
      }
    }
    std::memcpy(s.bytes[m], row, s.row_bytes);
  }
}

}  // namespace mica::testing
