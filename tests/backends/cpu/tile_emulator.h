// The matrix tiles of Intel AMX in plain code (SDM volume 2: LDTILECFG, TILELOADD, TDPBSSD, ...).
//
// Whatever the processor answers with an exception ends the program here with a message: shapes out
// of range, operands that do not fit together, use before configuration. So does a configuration
// while an earlier one is still in use, which the processor allows: kernels release their tiles.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mica::testing {

class TileFile {
 public:
  void configure(const std::byte* shapes);  // 64 bytes
  void release();
  void zero(int tile);
  void load(int tile, const std::byte* from, int64_t stride);
  void store(int tile, std::byte* to, int64_t stride);
  void add_products(int sums, int a, int b);  // TDPBSSD

 private:
  struct Tile {
    int rows = 0;
    int row_bytes = 0;
    std::byte bytes[16][64] = {};
  };
  Tile& at(int tile);

  bool configured_ = false;
  Tile tiles_[8];
};

// Of the calling thread.
TileFile& thread_tiles();

}  // namespace mica::testing
