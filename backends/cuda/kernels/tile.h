// Products of many tokens with int8 activations on the matrix units: exact integers of a group,
// then one step of each output's chain, so that results have the bits of a streamed product.
//
// A warp multiplies kPanels panels by 8 * kTiles tokens; a block has kRowWarps x kTokenWarps of
// them. Codes of 128 k of the block's tokens lie in shared memory, in two buffers in turn; weights
// go from memory to registers, a unit of 32 k ahead. A line's words are operands as they lie (16
// rows, and for 4 bits its low and high nibbles): the order of k within a unit is the lines', and
// the codes are fetched in the same order.
#pragma once

#include "backends/cuda/kernels/finish.h"
#include "backends/cuda/kernels/panel_code.h"

namespace mica::cuda {

constexpr int kTileChunk = 128;                 // k in shared memory
constexpr int kTileRowBytes = kTileChunk + 16;  // of a token: 8 tokens x 8 bytes meet no bank twice
constexpr int kTileGroups = kTileChunk / kUnit;  // at most, of a chunk

template <int kPanels, int kTiles, int kRowWarps, int kTokenWarps>
struct TileShape {
  static constexpr int panels = kPanels, tiles = kTiles, row_warps = kRowWarps;
  static constexpr int threads = 32 * kRowWarps * kTokenWarps;
  static constexpr int rows = kPanel * kPanels * kRowWarps;
  static constexpr int tokens = 8 * kTiles * kTokenWarps;
  // Codes, then of each group and token its scale and x' of a minimum.
  static constexpr int buffer_bytes = tokens * kTileRowBytes + kTileGroups * tokens * 8;
  static constexpr int shared_bytes = 2 * buffer_bytes;
};
using LargeTiles = TileShape<2, 8, 4, 2>;
using SmallTiles = TileShape<1, 2, 4, 1>;

// 12582912 = 3 * 2^22: its bits plus an integer below 2^22 are the float of their sum.
constexpr uint32_t kMagicBits = 0x4b400000u;
constexpr float kMagic = 12582912.0f;

template <Format kFormat, class Shape>
struct TileKernel {
  static constexpr int kWords = kFormat == Format::kQ8 ? 4 : 2;  // of a lane, panel and unit
  static constexpr int kPieces = kTileChunk / 16;                // of a token's codes
  static constexpr int kLoads = (Shape::tokens * kPieces + Shape::threads - 1) / Shape::threads;

  struct Unit {
    uint32_t words[Shape::panels][kWords];
  };
  struct Constants {
    uint32_t scales[Shape::panels][2];  // halves of rows g and g + 8
    uint32_t offsets[Shape::panels][2];
  };

  const TileArgs& args;
  const std::byte* slabs[Shape::panels];
  int first_token;
  int units, parts, groups;

  MICA_DEVICE_MEMBER Unit load_unit(int unit) const {
    Unit loaded;
    const int line = lane() % 4, row = lane() / 4;
    MICA_UNROLL
    for (int p = 0; p < Shape::panels; ++p) {
      const auto* from = reinterpret_cast<const uint32_t*>(
          slabs[p] + static_cast<int64_t>(unit) * unit_lines(kFormat) * kLine);
      MICA_UNROLL
      for (int i = 0; i < kWords; ++i) {
        const int place = kFormat == Format::kQ8 ? 2 * line + i / 2 : line;
        loaded.words[p][i] = unit < units ? from[place * kPanel + row + i % 2 * 8] : 0;
      }
    }
    return loaded;
  }

  MICA_DEVICE_MEMBER Constants load_constants(int group) const {
    Constants loaded;
    const int row = lane() / 4;
    MICA_UNROLL
    for (int p = 0; p < Shape::panels; ++p) {
      const std::byte* scales = slabs[p] + code_bytes(args.matrix);
      const std::byte* offsets = scales + static_cast<int64_t>(groups) * kPanel * 2;
      MICA_UNROLL
      for (int i = 0; i < 2; ++i) {
        const int64_t at = static_cast<int64_t>(group) * kPanel + row + 8 * i;
        loaded.scales[p][i] = load_half(scales + 2 * at);
        loaded.offsets[p][i] = 0;
        if constexpr (kFormat == Format::kQ4) {
          loaded.offsets[p][i] = args.matrix.format == Format::kQ4s
                                     ? kQ4sZeros
                                     : static_cast<uint32_t>(offsets[at]) * 0x01010101u;
        }
        if constexpr (kFormat == Format::kQ4m) loaded.offsets[p][i] = load_half(offsets + 2 * at);
      }
    }
    return loaded;
  }

  MICA_DEVICE_MEMBER int64_t clamped(int token) const {
    return first_token + token < args.tokens ? first_token + token : args.tokens - 1;
  }

  // Codes of one chunk on their way to shared memory.
  MICA_DEVICE_MEMBER void fetch(int chunk, Words4 (&codes)[kLoads]) const {
    MICA_UNROLL
    for (int i = 0; i < kLoads; ++i) {
      const int piece = thread_index() + i * Shape::threads;
      const int token = piece / kPieces, k = chunk * kTileChunk + piece % kPieces * 16;
      codes[i] = Words4{0, 0, 0, 0};
      if (token < Shape::tokens && k < args.matrix.cols) {
        codes[i] = load128(args.input.codes + clamped(token) * args.matrix.cols + k);
      }
    }
  }
  MICA_DEVICE_MEMBER void store(int chunk, const Words4 (&codes)[kLoads]) const {
    std::byte* buffer = shared_memory() + (chunk & 1) * Shape::buffer_bytes;
    MICA_UNROLL
    for (int i = 0; i < kLoads; ++i) {
      const int piece = thread_index() + i * Shape::threads;
      if (piece / kPieces < Shape::tokens) {
        store128(buffer + piece / kPieces * kTileRowBytes + piece % kPieces * 16, codes[i]);
      }
    }
    float* scales = scale_memory(chunk);
    const int a_chunk = kTileChunk / args.matrix.group;
    for (int i = thread_index(); i < a_chunk * Shape::tokens; i += Shape::threads) {
      const int group = chunk * a_chunk + i / Shape::tokens;
      if (group >= groups) continue;
      const int64_t at = clamped(i % Shape::tokens) * groups + group;
      const float scale = args.input.scales[at];
      scales[i] = scale;
      if constexpr (kFormat == Format::kQ4m) {
        scales[kTileGroups * Shape::tokens + i] =
            mul_rn(static_cast<float>(args.input.sums[at]), scale);
      }
    }
  }
  MICA_DEVICE_MEMBER float* scale_memory(int chunk) const {
    return reinterpret_cast<float*>(shared_memory() + (chunk & 1) * Shape::buffer_bytes +
                                    Shape::tokens * kTileRowBytes);
  }

  using Sums = int[Shape::panels][Shape::tiles][4];
  using Outputs = float[Shape::panels][Shape::tiles][4];

  MICA_DEVICE_MEMBER int warp_token() const { return warp() / Shape::row_warps * 8 * Shape::tiles; }

  // One unit of all tiles. at: where it begins in the chunk.
  MICA_DEVICE_MEMBER void multiply(int chunk, int at, const Unit& unit, const Constants& constants,
                                   Sums& sums) const {
    uint32_t weights[Shape::panels][4];
    MICA_UNROLL
    for (int p = 0; p < Shape::panels; ++p) {
      MICA_UNROLL
      for (int i = 0; i < 4; ++i) {  // rows g, g + 8 of the first 4 k, then of the next
        const uint32_t word = unit.words[p][kFormat == Format::kQ8 ? i : i % 2];
        weights[p][i] = integers_of<kFormat>(word, i >= 2, constants.offsets[p][i % 2]);
      }
    }
    const std::byte* codes = shared_memory() + (chunk & 1) * Shape::buffer_bytes +
                             (warp_token() + lane() / 4) * kTileRowBytes + at + lane() % 4 * 8;
    MICA_UNROLL
    for (int tile = 0; tile < Shape::tiles; ++tile) {
      const Words2 pair = load64(codes + tile * 8 * kTileRowBytes);
      const uint32_t inputs[2] = {pair.x, pair.y};
      MICA_UNROLL
      for (int p = 0; p < Shape::panels; ++p) multiply_tile(sums[p][tile], weights[p], inputs);
    }
  }

  // A step of each output's chain; place: the group in its chunk.
  MICA_DEVICE_MEMBER void scale_group(int chunk, int place, const Constants& constants, Sums& sums,
                                      Outputs& y) const {
    const float* scales =
        scale_memory(chunk) + place * Shape::tokens + warp_token() + lane() % 4 * 2;
    MICA_UNROLL
    for (int tile = 0; tile < Shape::tiles; ++tile) {
      float scale[2], less[2], minimum_x[2] = {0, 0};
      MICA_UNROLL
      for (int j = 0; j < 2; ++j) {
        scale[j] = scales[8 * tile + j];
        less[j] = mul_rn(-kMagic, scale[j]);  // exact: the scale's two lowest bits are clear
        if constexpr (kFormat == Format::kQ4m) {
          minimum_x[j] = scales[kTileGroups * Shape::tokens + 8 * tile + j];
        }
      }
      MICA_UNROLL
      for (int p = 0; p < Shape::panels; ++p) {
        MICA_UNROLL
        for (int i = 0; i < 4; ++i) {
          const float x =
              fma_rn(as_float(static_cast<uint32_t>(sums[p][tile][i])), scale[i % 2], less[i % 2]);
          y[p][tile][i] = fma_rn(x, factor_of<kFormat>(constants.scales[p][i / 2]), y[p][tile][i]);
          if constexpr (kFormat == Format::kQ4m) {
            y[p][tile][i] =
                fma_rn(minimum_x[i % 2], half_to_float(constants.offsets[p][i / 2]), y[p][tile][i]);
          }
          sums[p][tile][i] = static_cast<int>(kMagicBits);
        }
      }
    }
  }

  MICA_DEVICE_MEMBER void run(int first_panel) const {
    Sums sums;
    Outputs y;
    MICA_UNROLL
    for (int p = 0; p < Shape::panels; ++p) {
      MICA_UNROLL
      for (int tile = 0; tile < Shape::tiles; ++tile) {
        MICA_UNROLL
        for (int i = 0; i < 4; ++i)
          sums[p][tile][i] = static_cast<int>(kMagicBits), y[p][tile][i] = 0;
      }
    }
    Words4 codes[kLoads];
    fetch(0, codes);
    Unit next = load_unit(0);
    Constants constants = load_constants(0);
    const int chunks = (units + kTileGroups - 1) / kTileGroups;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      store(chunk, codes);
      sync_block();
      if (chunk + 1 < chunks) fetch(chunk + 1, codes);
      const int first = chunk * kTileGroups;
      const int last = first + kTileGroups < units ? first + kTileGroups : units;
      for (int unit = first; unit < last; ++unit) {
        const Unit now = next;
        next = load_unit(unit + 1);
        multiply(chunk, (unit - first) * kUnit, now, constants, sums);
        if ((unit + 1) % parts != 0) continue;
        scale_group(chunk, (unit - first) / parts, constants, sums, y);
        const int group = unit / parts + 1;
        constants = load_constants(group < groups ? group : 0);
      }
    }
    write(first_panel, y);
  }

  MICA_DEVICE_MEMBER void write(int first_panel, const Outputs& y) const {
    MICA_UNROLL
    for (int p = 0; p < Shape::panels; ++p) {
      MICA_UNROLL
      for (int tile = 0; tile < Shape::tiles; ++tile) {
        MICA_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int n = (first_panel + p) * kPanel + lane() / 4 + i / 2 * 8;
          const int t = first_token + warp_token() + 8 * tile + lane() % 4 * 2 + i % 2;
          if (n < args.matrix.rows && t < args.tokens) finish(args.end, t, n, y[p][tile][i]);
        }
      }
    }
  }
};

// Grid: x token blocks, y row blocks.
template <Format kFormat, class Shape>
MICA_DEVICE void tile(const TileArgs& args) {
  const Matrix& m = args.matrix;
  const int last_panel = (m.rows + kPanel - 1) / kPanel - 1;
  const int first_panel =
      (block_y() * Shape::row_warps + warp() % Shape::row_warps) * Shape::panels;
  TileKernel<kFormat, Shape> kernel{
      args, {}, block_x() * Shape::tokens, m.cols / kUnit, m.group / kUnit, m.cols / m.group};
  MICA_UNROLL
  for (int p = 0; p < Shape::panels; ++p) {
    const int panel = first_panel + p < last_panel ? first_panel + p : last_panel;
    kernel.slabs[p] = m.data + panel * static_cast<int64_t>(m.stride);
  }
  kernel.run(first_panel);
}

}  // namespace mica::cuda
