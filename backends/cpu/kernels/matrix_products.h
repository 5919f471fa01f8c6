// Products for many tokens in matrix tiles: sums of one group for 16 tokens and a panel's 16 rows
// in one or two instructions, which leave the scaling of the sums to the vectors.
//
// A tile of weights is 8 or 16 unpacked lines (groups of 32; of 64 and half groups of 128) as they
// lie in a Stripe; a tile of the input is 16 tokens' codes where they lie. All bytes are signed, so
// that sums are D itself: bytes of bias 128 would save unpacking q8, which many tokens share, but
// cost a subtraction for every sum.
//
// Seven tiles: one of input, three of weights, three of sums, a stripe wide. Cycles of a core for
// the 256 sums of 16 tokens x 16 rows, counted from the throughputs in Intel's optimization manual
// (Sapphire Rapids: a product 16 cycles, a tile's load 8, its store 16, two vector instructions and
// two vector loads a cycle, one store):
//
//   group                                        32    64   128
//   products                                     16    16    32
//   vectors: convert, multiply, fma              24    24    24
//   loads: tiles, sums, 1/3 scale, 1/2 y         21    25    36
//   stores: sums, 1/2 y                          24    24    24
//   as many sums by vpdpbusd                     64   128   256
//
// So sums are scaled two groups at a time, which halves the traffic of y (one: 32 cycles of stores)
// and leaves the scales of three panels in registers. Tiles that start at 12582912 would save the
// conversion (panel_terms.h), 8 cycles of vectors, for 11 of loads. Two tiles of input by two of
// weights need stripes of four panels and save a few cycles of loads, which bind at groups of 128
// only. The products of a unit are issued before the sums of the unit before it are scaled, which
// does not wait for them: the processor overlaps the two.
#pragma once

#include "backends/cpu/kernels/stripe.h"
#include "backends/cpu/simd/tile_shapes.h"

namespace mica::cpu {
namespace {

// With the unit's tokens, sums and outputs in the L1 cache of 48 KB: 12 KB a stripe.
constexpr int64_t kMatrixBlockCols = 256;
constexpr int kUnitGroups = 2;
// A tile of streamed products: up to as many tokens they, too, take the weights apart once, and
// wait for memory about as long as they multiply (64 cycles for 64 k of a panel).
constexpr int64_t kMatrixFewTokens = 8;

// Tile registers; panels have one each from these on.
constexpr int kInputTile = 0;
constexpr int kWeightTile = 1;
constexpr int kSumTile = kWeightTile + kStripePanels;

// D of 16 tokens x two groups x a stripe.
struct UnitSums {
  alignas(64) int32_t of[kUnitGroups][kStripePanels][kTileRows][kLanes];
};

struct MatrixScratch {
  Stripe stripe;
  UnitSums sums[2];
};
static_assert(sizeof(MatrixScratch) <= kProductScratchBytes);

// What is done at a time. The last tile of tokens ends with the last token, so that all are of one
// shape; its first `done` rows are those of the tile before.
struct MatrixUnit {
  int64_t token;
  int64_t done;
  int64_t group;
  int64_t groups;  // 1 or 2
};

// f.operator()<0>(), f.operator()<1>(), ...
template <int kCount, class F>
MICA_INLINE void unrolled(const F& f) {
  if constexpr (kCount > 0) {
    unrolled<kCount - 1>(f);
    f.template operator()<kCount - 1>();
  }
}

MICA_INLINE TileShapes tile_shapes(int group, int64_t rows) {
  const int cols = group < kTileBytes ? group : kTileBytes;
  TileShapes shapes;
  const auto shape = [&](int tile, int64_t tile_rows, int row_bytes) {
    shapes.rows[tile] = static_cast<uint8_t>(tile_rows);
    shapes.row_bytes[tile] = static_cast<uint16_t>(row_bytes);
  };
  shape(kInputTile, rows, cols);
  for (int p = 0; p < kStripePanels; ++p) {
    shape(kWeightTile + p, cols / 4, kTileBytes);
    shape(kSumTile + p, rows, kTileBytes);
  }
  return shapes;
}

template <int kPanels>
MICA_INLINE void multiply_unit(const StripeBlock<kPanels>& w, const InputPart& x,
                               const MatrixUnit& unit, UnitSums& sums) {
  for (int64_t g = 0; g < unit.groups; ++g) {
    const int64_t first = (unit.group + g) * w.group;
    unrolled<kPanels>([]<int p>() { zero_tile<kSumTile + p>(); });
    for (int64_t k = first; k < first + w.group; k += kTileBytes) {
      load_tile<kInputTile>(x.codes + unit.token * x.row_codes + k, x.row_codes);
      unrolled<kPanels>([&]<int p>() {
        load_tile<kWeightTile + p>(w.codes[p] + k * kLanes, kTileBytes);
        add_tile_products<kSumTile + p, kInputTile, kWeightTile + p>();
      });
    }
    unrolled<kPanels>([&]<int p>() { store_tile<kSumTile + p>(sums.of[g][p], kTileBytes); });
  }
}

// Adds to y [T, 16 kPanels], or stores there what comes first.
template <Grid kGrid, int kGroups, int kPanels>
MICA_INLINE void scale_unit(const StripeBlock<kPanels>& w, const InputPart& x,
                            const MatrixUnit& unit, const UnitSums& sums, int64_t rows, bool first,
                            const Matrix& y) {
  Terms<kGrid> terms[kGroups][kPanels];
  for (int g = 0; g < kGroups; ++g) {
    for (int p = 0; p < kPanels; ++p) {
      terms[g][p] = stored_terms<kGrid>(w.terms[unit.group + g], p);
    }
  }
  for (int64_t row = unit.done; row < rows; ++row) {
    const InputGroup* input = x.groups + (unit.token + row) * x.row_groups + unit.group;
    float* out = y.data + (unit.token + row) * y.stride;
    for (int p = 0; p < kPanels; ++p) {
      Floats total = first ? Floats{} : load<Floats>(out + p * kLanes);
      for (int g = 0; g < kGroups; ++g) {
        total = add_plain_group(load<Ints>(sums.of[g][p][row]), terms[g][p], input[g], total);
      }
      store(out + p * kLanes, total);
    }
  }
}

// Adds the products of a block to y, tiles of `rows` tokens at a time.
template <Grid kGrid, int kPanels>
void add_units(const StripeBlock<kPanels>& w, const InputPart& x, int64_t tokens, int64_t rows,
               bool first, const Matrix& y, UnitSums (&sums)[2]) {
  const int64_t runs = (w.groups + kUnitGroups - 1) / kUnitGroups;
  const int64_t units = (tokens + rows - 1) / rows * runs;
  const auto unit_at = [&](int64_t index) {
    const int64_t tile = index / runs * rows, group = index % runs * kUnitGroups;
    const int64_t token = tile < tokens - rows ? tile : tokens - rows;
    return MatrixUnit{token, tile - token, group, group + 1 < w.groups ? 2 : 1};
  };
  for (int64_t i = 0; i <= units; ++i) {
    if (i < units) multiply_unit(w, x, unit_at(i), sums[i % 2]);
    if (i == 0) continue;
    const MatrixUnit unit = unit_at(i - 1);
    const bool begins = first && unit.group == 0;
    if (unit.groups == 2) {
      scale_unit<kGrid, 2>(w, x, unit, sums[(i - 1) % 2], rows, begins, y);
    } else {
      scale_unit<kGrid, 1>(w, x, unit, sums[(i - 1) % 2], rows, begins, y);
    }
  }
}

void multiply_in_tiles(const Panels& w, const CodedInput& x, int64_t tokens, const Matrix& y,
                       std::byte* scratch) {
  MatrixScratch& memory = *reinterpret_cast<MatrixScratch*>(scratch);
  const int64_t rows = tokens < kTileRows ? tokens : kTileRows;
  configure_tiles(tile_shapes(w.group, rows));
  with_grid(w.format, [&]<Grid kGrid>() {
    const auto add = [&](const auto& block, const InputPart& input, bool first, const Matrix& out) {
      add_units<unpacked(kGrid, Unpacked::kSigned)>(block, input, tokens, rows, first, out,
                                                    memory.sums);
    };
    for_stripes<kGrid, Unpacked::kSigned>(w, x, kMatrixBlockCols, y, memory.stripe, add);
  });
  release_tiles();
}

}  // namespace
}  // namespace mica::cpu
