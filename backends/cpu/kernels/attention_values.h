// Sums of values: a tile's weights times the values of a piece's positions.
#pragma once

#include "backends/cpu/kernels/kv_block.h"

namespace mica::cpu {
namespace {

// out[r][c] += weights[r][p] * values[p][c] for kVectors vectors of channels and `positions`
// positions of a block; a position's values lie `stride` elements apart.
template <KvFormat kFormat, int kRows, int kVectors>
MICA_INLINE void add_positions(const float* weights, const std::byte* values, int64_t stride,
                               int64_t positions, Floats (&total)[kRows][kVectors]) {
  constexpr int64_t kElement = element_bytes(kFormat);
  for (int64_t p = 0; p < positions; ++p, values += stride * kElement) {
    Floats value[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      value[v] = load_channels<kFormat>(values + v * kLanes * kElement);
    }
    for (int r = 0; r < kRows; ++r) {
      const Floats weight = splat<Floats>(weights[r * kPiecePositions + p]);
      for (int v = 0; v < kVectors; ++v) total[r][v] = multiply_add(weight, value[v], total[r][v]);
    }
  }
}

// Calls add(total) with the sums of kVectors vectors of channels, which it continues.
template <int kRows, int kVectors, class Add>
MICA_INLINE void continue_sums(float* out, int64_t stride, Add add) {
  Floats total[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) total[r][v] = load<Floats>(out + r * stride + v * kLanes);
  }
  add(total);
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) store(out + r * stride + v * kLanes, total[r][v]);
  }
}

// Calls add.operator()<kVectors>(c) for all vectors of channels, as many together as the registers
// hold sums of kRows rows.
template <int kRows, class Add>
MICA_INLINE void for_channels(int64_t stride, Add add) {
  constexpr int kVectors = kAccumulators >= 4 * kRows ? 4 : kAccumulators >= 2 * kRows ? 2 : 1;
  int64_t c = 0;
  for (; c + kVectors * kLanes <= stride; c += kVectors * kLanes) {
    add.template operator()<kVectors>(c);
  }
  for (; c < stride; c += kLanes) add.template operator()<1>(c);
}

// The values of block b, [positions][E padded to 16] in scratch.values, times the weights of all
// rows. Values that a token does not see are not read for it: they may be of a later token, or
// stale.
MICA_NOINLINE void add_widened_block(const AttentionTile& tile, int64_t first, int64_t positions,
                                     const float* scores, const float* values, float* out) {
  const int64_t stride = padded_head(tile.head_size);
  const auto add_rows = [&](int64_t first_row, int64_t rows, int64_t count) {
    for_rows<kAttendRows>(rows, [&]<int kRows>(int64_t r) {
      const float* weights = scores + (first_row + r) * kPiecePositions;
      float* sums = out + (first_row + r) * stride;
      for_channels<kRows>(stride, [&]<int kVectors>(int64_t c) {
        continue_sums<kRows, kVectors>(sums + c, stride, [&](auto& total) {
          add_positions<KvFormat::kF32>(weights, reinterpret_cast<const std::byte*>(values + c),
                                        stride, count, total);
        });
      });
    });
  };
  const auto seen = [&](int64_t token) {
    return seen_positions(tile, token, first, first + positions);
  };
  int64_t token = 0;
  for (; token < tile.tokens && seen(token) < positions; ++token) {
    add_rows(token * tile.heads, tile.heads, seen(token));
  }
  add_rows(token * tile.heads, (tile.tokens - token) * tile.heads, positions);
}

template <KvFormat kFormat>
MICA_INLINE void add_widened_values(const AttentionTile& tile, int64_t begin, int64_t end,
                                    const AttentionScratch& scratch, float* out) {
  for (int64_t first = begin; first < end; first += kBlockTokens) {
    const int64_t left = end - first;
    if (left > kBlockTokens) prefetch_part(tile, block_values(tile, first / kBlockTokens + 1));
    const int64_t positions = left < kBlockTokens ? left : kBlockTokens;
    widen_values<kFormat>(block_values(tile, first / kBlockTokens), tile.head_size, positions,
                          scratch.values);
    add_widened_block(tile, first, positions, scratch.scores + (first - begin), scratch.values,
                      out);
  }
}

// Positions [first, last) of the piece from `begin` on for rows that see them all: sums stay in
// registers from block to block.
template <KvFormat kFormat>
MICA_INLINE void add_direct_values(const AttentionTile& tile, int64_t begin, int64_t first,
                                   int64_t last, int64_t first_row, int64_t rows,
                                   const float* scores, float* out) {
  constexpr int64_t kElement = element_bytes(kFormat);
  const int64_t size = tile.head_size;
  for_rows<kAttendRows>(rows, [&]<int kRows>(int64_t r) {
    const float* weights = scores + (first_row + r) * kPiecePositions;
    for_channels<kRows>(size, [&]<int kVectors>(int64_t c) {
      continue_sums<kRows, kVectors>(out + (first_row + r) * size + c, size, [&](auto& total) {
        for (int64_t p = first; p < last;) {
          const int64_t block = (begin + p) / kBlockTokens, place = (begin + p) % kBlockTokens;
          const int64_t left = kBlockTokens - place;
          const int64_t count = left < last - p ? left : last - p;
          const std::byte* values = block_values(tile, block);
          if (p + count < last) prefetch_part(tile, block_values(tile, block + 1));
          add_positions<kFormat>(weights + p, values + (place * size + c) * kElement, size, count,
                                 total);
          p += count;
        }
      });
    });
  });
}

template <KvFormat kFormat>
MICA_INLINE void add_all_direct(const AttentionTile& tile, int64_t begin, int64_t end,
                                const float* scores, float* out) {
  const int64_t rows = tile.tokens * tile.heads;
  const int64_t common = seen_positions(tile, 0, begin, end);  // to all tokens
  add_direct_values<kFormat>(tile, begin, 0, common, 0, rows, scores, out);
  for (int64_t token = 1; token < tile.tokens; ++token) {
    add_direct_values<kFormat>(tile, begin, common, seen_positions(tile, token, begin, end),
                               token * tile.heads, tile.heads, scores, out);
  }
}

// Weights times the scales of the values that they belong to. Of positions that a row does not see
// they become anything: those are not read.
MICA_INLINE void scale_weights(const AttentionTile& tile, int64_t begin, int64_t end,
                               float* weights) {
  for (int64_t first = begin; first < end; first += kBlockTokens, weights += kBlockTokens) {
    const std::byte* values = block_values(tile, first / kBlockTokens);
    const Floats scales = load_scales(values, tile.head_size);
    for (int64_t r = 0; r < tile.tokens * tile.heads; ++r) {
      float* row = weights + r * kPiecePositions;
      store(row, load<Floats>(row) * scales);
    }
  }
}

// out of the piece, from the weights that scratch.scores holds.
template <KvFormat kFormat>
MICA_NOINLINE void add_values(const AttentionTile& tile, int64_t begin, int64_t end,
                              const AttentionScratch& scratch, float* out) {
  if constexpr (kFormat == KvFormat::kInt8) scale_weights(tile, begin, end, scratch.scores);
  __builtin_memset(out, 0, tile.tokens * tile.heads * padded_head(tile.head_size) * sizeof(float));
  if (is_direct(tile)) return add_all_direct<kFormat>(tile, begin, end, scratch.scores, out);
  add_widened_values<kFormat>(tile, begin, end, scratch, out);
}

}  // namespace
}  // namespace mica::cpu
