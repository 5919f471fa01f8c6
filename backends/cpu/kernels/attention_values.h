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
    for (int v = 0; v < kVectors; ++v) {
      const float* weight = weights + p;
      // Of sixteen registers none is left to keep weights from one vector to the next; GCC 12 would
      // keep them and put a sum into memory.
      if constexpr (Floats::kParts == 2 && kVectors > 1) asm volatile("" : "+r"(weight));
      const Floats value = load_channels<kFormat>(values + v * kLanes * kElement);
      for (int r = 0; r < kRows; ++r) {
        const Floats factor = splat<Floats>(weight[r * kPiecePositions]);
        total[r][v] = multiply_add(factor, value, total[r][v]);
      }
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

// The values of a block's `positions` positions from `first` on, [positions][E padded to 16], times
// the weights of all rows. Values that a token does not see are not read for it: they may be of a
// later token, or stale.
MICA_NOINLINE void add_widened_block(const AttentionTile& tile, int64_t first, int64_t positions,
                                     const float* scores, const float* values, float* out) {
  const int64_t stride = padded_head(tile.head_size);
  const auto add_rows = [&](int64_t first_row, int64_t rows, const Sight& seen) {
    for_rows<kAttendRows>(rows, [&]<int kRows>(int64_t r) {
      const float* weights = scores + (first_row + r) * kPiecePositions + seen.first;
      float* sums = out + (first_row + r) * stride;
      for_channels<kRows>(stride, [&]<int kVectors>(int64_t c) {
        continue_sums<kRows, kVectors>(sums + c, stride, [&](auto& total) {
          const float* from = values + seen.first * stride + c;
          add_positions<KvFormat::kF32>(weights, reinterpret_cast<const std::byte*>(from), stride,
                                        seen.last - seen.first, total);
        });
      });
    });
  };
  const auto sight_of = [&](int64_t token) { return sight(tile, token, first, first + positions); };
  const Sight last = sight_of(tile.tokens - 1);
  for (int64_t token = 0, next; token < tile.tokens; token = next) {
    const Sight seen = sight_of(token);
    next = seen == last ? tile.tokens : token + 1;  // tokens that see the same are added together
    while (next < tile.tokens && sight_of(next) == seen) ++next;
    if (seen.first < seen.last) add_rows(token * tile.heads, (next - token) * tile.heads, seen);
  }
}

template <KvFormat kFormat>
MICA_INLINE void add_widened_values(const AttentionTile& tile, int64_t begin, int64_t first,
                                    int64_t last, const AttentionScratch& scratch, float* out) {
  const int64_t end = (begin + last + kBlockTokens - 1) / kBlockTokens;
  for (int64_t p = first; p < last; p += kBlockTokens) {
    const int64_t left = last - p, block = (begin + p) / kBlockTokens;
    prefetch_after_values(tile, block, end);
    const int64_t positions = left < kBlockTokens ? left : kBlockTokens;
    widen_values<kFormat>(block_values(tile, block), tile.head_size, positions, scratch.values);
    add_widened_block(tile, begin + p, positions, scratch.scores + p, scratch.values, out);
  }
}

// Positions [first, last) of the piece from `begin` on for kRows rows that see them all: sums stay
// in registers from block to block, for which GCC needs each number of rows in a function of its
// own.
template <KvFormat kFormat, int kRows>
MICA_NOINLINE void add_direct_rows(const AttentionTile& tile, int64_t begin, int64_t first,
                                   int64_t last, const float* weights, float* out) {
  constexpr int64_t kElement = element_bytes(kFormat);
  const int64_t size = tile.head_size, end = (begin + last + kBlockTokens - 1) / kBlockTokens;
  for_channels<kRows>(size, [&]<int kVectors>(int64_t c) {
    continue_sums<kRows, kVectors>(out + c, size, [&](auto& total) {
      for (int64_t p = first; p < last;) {
        const int64_t block = (begin + p) / kBlockTokens, place = (begin + p) % kBlockTokens;
        const int64_t left = kBlockTokens - place;
        const int64_t count = left < last - p ? left : last - p;
        const std::byte* values = block_values(tile, block);
        prefetch_after_values(tile, block, end);
        add_positions<kFormat>(weights + p, values + (place * size + c) * kElement, size, count,
                               total);
        p += count;
      }
    });
  });
}

// Positions that all tokens see are added for all of them together.
template <KvFormat kFormat>
MICA_INLINE void add_all_direct(const AttentionTile& tile, int64_t begin, int64_t end,
                                const float* scores, float* out) {
  const auto add = [&](int64_t token, int64_t tokens, int64_t first, int64_t last) {
    if (first >= last) return;
    for_rows<kAttendRows>(tokens * tile.heads, [&]<int kRows>(int64_t r) {
      r += token * tile.heads;
      add_direct_rows<kFormat, kRows>(tile, begin, first, last, scores + r * kPiecePositions,
                                      out + r * tile.head_size);
    });
  };
  int64_t first = sight(tile, tile.tokens - 1, begin, end).first;
  int64_t last = sight(tile, 0, begin, end).last;
  if (first >= last) first = last = end - begin;  // none: all are added before
  for (int64_t token = 0; token < tile.tokens; ++token) {
    const Sight seen = sight(tile, token, begin, end);
    add(token, 1, seen.first, first < seen.last ? first : seen.last);
  }
  add(0, tile.tokens, first, last);
  for (int64_t token = 1; token < tile.tokens; ++token) {
    add(token, 1, last, sight(tile, token, begin, end).last);
  }
}

// Weights of positions [first, last) times the scales of the values that they belong to. Of
// positions that a row does not see they become anything: those are not read.
MICA_INLINE void scale_weights(const AttentionTile& tile, int64_t begin, int64_t first,
                               int64_t last, float* weights) {
  for (int64_t p = first; p < last; p += kBlockTokens) {
    const std::byte* values = block_values(tile, (begin + p) / kBlockTokens);
    const Floats scales = load_scales(values, tile.head_size);
    for (int64_t r = 0; r < tile.tokens * tile.heads; ++r) {
      float* row = weights + r * kPiecePositions + p;
      store(row, load<Floats>(row) * scales);
    }
  }
}

// out of the piece from `begin` to `end`, of which positions before `first` are seen by no token,
// from the weights that scratch.scores holds.
template <KvFormat kFormat>
MICA_NOINLINE void add_values(const AttentionTile& tile, int64_t begin, int64_t first, int64_t end,
                              const AttentionScratch& scratch, float* out) {
  if constexpr (kFormat == KvFormat::kInt8) {
    scale_weights(tile, begin, first, end - begin, scratch.scores);
  }
  __builtin_memset(out, 0, tile.tokens * tile.heads * padded_head(tile.head_size) * sizeof(float));
  if (is_direct(tile)) return add_all_direct<kFormat>(tile, begin, end, scratch.scores, out);
  add_widened_values<kFormat>(tile, begin, first, end - begin, scratch, out);
}

}  // namespace
}  // namespace mica::cpu
