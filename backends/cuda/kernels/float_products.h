// Products with floats as input: rows of f32, f16 or bf16 streamed for a few tokens, and a plain
// tiled product of any format, decoded on the way, for many tokens without cuBLASLt and for
// Activations::kF32.
#pragma once

#include "backends/cuda/kernels/finish.h"
#include "backends/cuda/kernels/panel_code.h"
#include "backends/cuda/kernels/reduce.h"

namespace mica::cuda {

constexpr int kRowThreads = 256;

template <Format kFormat>
MICA_DEVICE void widen(Words4 words, float (&out)[kFormat == Format::kF32 ? 4 : 8]) {
  const uint32_t bits[4] = {words.x, words.y, words.z, words.w};
  MICA_UNROLL
  for (int i = 0; i < 4; ++i) {
    if constexpr (kFormat == Format::kF32) {
      out[i] = as_float(bits[i]);
    } else if constexpr (kFormat == Format::kF16) {
      out[2 * i] = half_to_float(bits[i] & 0xffffu), out[2 * i + 1] = half_to_float(bits[i] >> 16);
    } else {
      out[2 * i] = as_float(bits[i] << 16), out[2 * i + 1] = as_float(bits[i] & 0xffff0000u);
    }
  }
}

// One warp a row; lanes take 16 bytes each, four loads under way.
template <Format kFormat, int kColumns>
MICA_DEVICE void float_rows(const FloatProductArgs& args) {
  constexpr int kValues = kFormat == Format::kF32 ? 4 : 8, kAhead = 4;
  const Matrix& m = args.matrix;
  const int n = block_x() * (kRowThreads / 32) + warp();
  if (n >= m.rows) return;
  const std::byte* row = m.data + n * m.stride;
  float sums[kColumns] = {};
  const bool is_aligned = m.stride % 16 == 0 && m.cols % 4 == 0;
  const int vectors = is_aligned ? m.cols / kValues : 0;
  for (int first = 0; first < vectors; first += 32 * kAhead) {
    Words4 loaded[kAhead];
    MICA_UNROLL
    for (int i = 0; i < kAhead; ++i) {
      const int at = first + 32 * i + lane();
      if (at < vectors) loaded[i] = stream128(row + int64_t{at} * 16);
    }
    MICA_UNROLL
    for (int i = 0; i < kAhead; ++i) {
      const int at = first + 32 * i + lane();
      if (at >= vectors) continue;
      float weights[kValues];
      widen<kFormat>(loaded[i], weights);
      MICA_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        const int column = c < args.tokens ? c : args.tokens - 1;
        const float* x = args.x + int64_t{column} * m.cols + int64_t{at} * kValues;
        MICA_UNROLL
        for (int j = 0; j < kValues; j += 4) {
          const Words4 four = load128(x + j);
          sums[c] = fma_rn(as_float(four.x), weights[j], sums[c]);
          sums[c] = fma_rn(as_float(four.y), weights[j + 1], sums[c]);
          sums[c] = fma_rn(as_float(four.z), weights[j + 2], sums[c]);
          sums[c] = fma_rn(as_float(four.w), weights[j + 3], sums[c]);
        }
      }
    }
  }
  for (int k = vectors * kValues + lane(); k < m.cols; k += 32) {
    const float weight = decode_weight(m, n, k);
    MICA_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      const int column = c < args.tokens ? c : args.tokens - 1;
      sums[c] = fma_rn(args.x[int64_t{column} * m.cols + k], weight, sums[c]);
    }
  }
  MICA_UNROLL
  for (int c = 0; c < kColumns; ++c) {
    const float y = warp_sum(sums[c]);
    if (lane() == 0 && c < args.tokens) finish(args.end, c, n, y);
  }
}

constexpr int kFloatTile = 32;      // rows and tokens of a block
constexpr int kFloatDepth = 32;     // k in shared memory
constexpr int kFloatThreads = 256;  // 2 x 2 outputs each
constexpr int kFloatShared = 2 * kFloatDepth * (kFloatTile + 1) * 4;

// Grid: x row blocks, y token blocks.
MICA_DEVICE void float_tile(const FloatProductArgs& args) {
  const Matrix& m = args.matrix;
  auto* weights = reinterpret_cast<float*>(shared_memory());  // [depth][tile + 1]
  float* inputs = weights + kFloatDepth * (kFloatTile + 1);
  const int first_row = block_x() * kFloatTile, first_token = block_y() * kFloatTile;
  const int r = thread_index() % 16 * 2, t = thread_index() / 16 * 2;
  float sums[2][2] = {};
  for (int first = 0; first < m.cols; first += kFloatDepth) {
    sync_block();
    for (int i = thread_index(); i < kFloatTile * kFloatDepth; i += kFloatThreads) {
      const int line = i / kFloatDepth, k = i % kFloatDepth;
      const bool inside = first + k < m.cols;
      const int n = first_row + line, token = first_token + line;
      weights[k * (kFloatTile + 1) + line] =
          inside && n < m.rows ? decode_weight(m, n, first + k) : 0;
      inputs[k * (kFloatTile + 1) + line] =
          inside && token < args.tokens ? args.x[int64_t{token} * m.cols + first + k] : 0;
    }
    sync_block();
    for (int k = 0; k < kFloatDepth; ++k) {
      const float* w = weights + k * (kFloatTile + 1) + r;
      const float* x = inputs + k * (kFloatTile + 1) + t;
      MICA_UNROLL
      for (int i = 0; i < 4; ++i)
        sums[i / 2][i % 2] = fma_rn(w[i % 2], x[i / 2], sums[i / 2][i % 2]);
    }
  }
  MICA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int n = first_row + r + i % 2, token = first_token + t + i / 2;
    if (n < m.rows && token < args.tokens) finish(args.end, token, n, sums[i / 2][i % 2]);
  }
}

}  // namespace mica::cuda
