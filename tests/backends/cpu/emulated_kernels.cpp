#include "tests/backends/cpu/emulated_kernels.h"

#include "backends/cpu/simd/simd_generic.h"
#include "backends/cpu/simd/tile_shapes.h"
#include "tests/backends/cpu/tile_emulator.h"

namespace mica::cpu {
namespace {

void configure_tiles(const TileShapes& shapes) {
  testing::thread_tiles().configure(reinterpret_cast<const std::byte*>(&shapes));
}
void release_tiles() {
  testing::thread_tiles().release();
}
template <int kTile>
void zero_tile() {
  testing::thread_tiles().zero(kTile);
}
template <int kTile>
void load_tile(const void* from, int64_t stride) {
  testing::thread_tiles().load(kTile, static_cast<const std::byte*>(from), stride);
}
template <int kTile>
void store_tile(void* to, int64_t stride) {
  testing::thread_tiles().store(kTile, static_cast<std::byte*>(to), stride);
}
template <int kSums, int kA, int kB>
void add_tile_products() {
  testing::thread_tiles().add_products(kSums, kA, kB);
}

}  // namespace
}  // namespace mica::cpu

// The primitives come first.
#include "backends/cpu/kernels/matrix_products.h"

namespace mica::cpu::emulated {

constinit const MatrixKernels kKernels = {multiply_in_tiles, kMatrixFewTokens};

}  // namespace mica::cpu::emulated
