// Attention of some query rows to one piece of the positions, in two passes: all scores, then the
// softmax's numerators and their sums of values. Pieces are merged in order (online softmax,
// arXiv:1805.02867).
//
// Every sum is one chain for each row, over channels or positions in ascending order, whatever rows
// stand beside it: a row's bits depend on nothing but its own query and the positions before it.
// Positions after it have a score of minus infinity and weigh exactly 0; their values are not read.
#pragma once

#include "backends/cpu/kernels/pointwise.h"

namespace mica::cpu {
namespace {

constexpr int64_t kBlockTokens = kLanes;  // kKvBlockTokens

MICA_INLINE int64_t padded_head(int64_t head_size) {
  return (head_size + kLanes - 1) / kLanes * kLanes;
}

// Calls f.operator()<count>(first) for runs of kMost rows and once for the rest.
template <int kMost, class F>
MICA_INLINE void for_rows(int64_t rows, F f) {
  int64_t r = 0;
  for (; r + kMost <= rows; r += kMost) f.template operator()<kMost>(r);
  if constexpr (kMost > 1) {
    if (r < rows)
      for_rows<kMost - 1>(rows - r,
                          [&]<int kCount>(int64_t i) { f.template operator()<kCount>(r + i); });
  }
}

// Asks for a part of a block, keys or values, that is read soon: blocks lie apart, so the
// processor's own prefetching ends with each.
MICA_INLINE void prefetch_part(const std::byte* part, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(part + i);
}

// Where score_rows() finds a block's keys, and where add_channels() finds values: as they lie in
// the cache, widened on the way, or as floats that widen_keys() and widen_values() have made of
// them.
enum class Source { kHalf, kFloat, kWidened };

// A line of half keys is 16 positions x 2 channels. Its two vectors of floats keep that order.
MICA_INLINE void widen_keys(const std::byte* keys, int64_t head_size, float* to) {
  for (int64_t i = 0; i < head_size; ++i, keys += 32, to += kLanes) store(to, load_halves(keys));
}

// A block's values as floats [positions][E padded to 16].
template <bool kHalf>
MICA_INLINE void widen_all_values(const std::byte* values, int64_t head_size, int64_t positions,
                                  float* to) {
  constexpr int64_t kElement = kHalf ? 2 : 4;
  const auto widen = [](const std::byte* from) {
    return kHalf ? load_halves(from) : load<Floats>(from);
  };
  const int64_t whole = head_size / kLanes * kLanes, tail = head_size - whole;
  for (int64_t p = 0; p < positions; ++p, values += head_size * kElement) {
    for (int64_t c = 0; c < whole; c += kLanes, to += kLanes) {
      store(to, widen(values + c * kElement));
    }
    if (tail == 0) continue;
    std::byte padded[kLanes * kElement] = {};
    __builtin_memcpy(padded, values + whole * kElement, tail * kElement);
    store(to, widen(padded));
    to += kLanes;
  }
}
MICA_INLINE void widen_values(const std::byte* values, int64_t head_size, bool half,
                              int64_t positions, float* to) {
  if (half) return widen_all_values<true>(values, head_size, positions, to);
  widen_all_values<false>(values, head_size, positions, to);
}

// scores[r][p] for kRows rows and the 16 positions of a block. Keys of two channels a line give two
// chains, of even and of odd channels, which are added at the end.
template <Source kSource, int kRows>
MICA_INLINE void score_rows(const float* q, const void* keys, int64_t head_size, float* scores) {
  constexpr int kChains = kSource == Source::kFloat ? 1 : 2;
  constexpr int64_t kVectorBytes = kSource == Source::kHalf ? 32 : 64;
  const auto* line = static_cast<const std::byte*>(keys);
  Floats total[kRows][kChains] = {};
  for (int64_t c = 0; c < head_size; c += kChains) {
    Floats key[kChains];
    for (Floats& part : key) {
      part = kSource == Source::kHalf ? load_halves(line) : load<Floats>(line);
      line += kVectorBytes;
    }
    for (int r = 0; r < kRows; ++r) {
      const float* query = q + r * head_size + c;
      const Floats factor = kChains == 2 ? splat_pair<Floats>(query) : splat<Floats>(*query);
      for (int i = 0; i < kChains; ++i) total[r][i] = multiply_add(factor, key[i], total[r][i]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    const Floats& last = total[r][kChains - 1];
    store(scores + r * kPiecePositions, kChains == 2 ? add_pairs(total[r][0], last) : last);
  }
}

// out[r][c] += weights[r][p] * values[p][c] for kVectors vectors of channels and `positions`
// positions of a block; a position's values lie `stride` elements apart.
template <Source kSource, int kRows, int kVectors>
MICA_INLINE void add_positions(const float* weights, const void* values, int64_t stride,
                               int64_t positions, Floats (&total)[kRows][kVectors]) {
  constexpr int64_t kElement = kSource == Source::kHalf ? 2 : 4;
  const auto* from = static_cast<const std::byte*>(values);
  for (int64_t p = 0; p < positions; ++p, from += stride * kElement) {
    Floats value[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const std::byte* vector = from + v * kLanes * kElement;
      value[v] = kSource == Source::kHalf ? load_halves(vector) : load<Floats>(vector);
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

// Scores to 2^(score - largest); `count` of them are positions the row may see, `padded` are
// summed.
MICA_INLINE void weigh_row(float* scores, int64_t count, int64_t padded, float& row_largest,
                           float& row_sum) {
  for (int64_t p = count; p < padded; ++p) scores[p] = -__builtin_inff();
  Floats top = load<Floats>(scores);
  for (int64_t p = kLanes; p < padded; p += kLanes) top = max(top, load<Floats>(scores + p));
  row_largest = largest(top);
  top = splat<Floats>(row_largest);
  Floats total{};
  for (int64_t p = 0; p < padded; p += kLanes) {
    const Floats weight = exp2(load<Floats>(scores + p) - top);
    store(scores + p, weight);
    total = total + weight;
  }
  row_sum = sum(total);
}

// Queries times scale and log2(e), so that the softmax is one of powers of two.
MICA_INLINE void scale_queries(const AttentionTile& tile, float* q) {
  const float factor = tile.scale * kLog2E;
  for (int64_t t = 0; t < tile.tokens; ++t) {
    const float* from = tile.q + t * tile.q_stride;
    for (int64_t i = 0; i < tile.heads * tile.head_size; ++i) *q++ = from[i] * factor;
  }
}

MICA_INLINE const std::byte* block_keys(const AttentionTile& tile, int64_t block) {
  return tile.keys + tile.blocks[block] * tile.block_bytes;
}

// Keys or values of a block.
MICA_INLINE int64_t part_bytes(const AttentionTile& tile) {
  return tile.head_size * kBlockTokens * (tile.half ? 2 : 4);
}

// Positions of [begin, end) that a token may see.
MICA_INLINE int64_t seen_positions(const AttentionTile& tile, int64_t token, int64_t begin,
                                   int64_t end) {
  const int64_t seen = tile.first_position + token + 1;
  return seen < begin ? 0 : (seen < end ? seen : end) - begin;
}

// Few rows use keys and values once, as they come from the cache.
MICA_INLINE bool is_direct(const AttentionTile& tile) {
  return tile.tokens * tile.heads <= kAttendRows && tile.head_size % kLanes == 0;
}

template <Source kSource>
MICA_INLINE void score_block(const AttentionTile& tile, const void* keys, const float* q,
                             float* scores) {
  for_rows<kAttendRows>(tile.tokens * tile.heads, [&]<int kRows>(int64_t r) {
    score_rows<kSource, kRows>(q + r * tile.head_size, keys, tile.head_size,
                               scores + r * kPiecePositions);
  });
}

MICA_INLINE void score_blocks(const AttentionTile& tile, int64_t first_block, int64_t blocks,
                              const AttentionScratch& scratch) {
  for (int64_t b = 0; b < blocks; ++b) {
    prefetch_part(b + 1 < blocks ? block_keys(tile, first_block + b + 1)
                                 : block_keys(tile, first_block) + tile.values_offset,
                  part_bytes(tile));
    const std::byte* keys = block_keys(tile, first_block + b);
    float* scores = scratch.scores + b * kLanes;
    if (!tile.half) {
      score_block<Source::kFloat>(tile, keys, scratch.q, scores);
    } else if (is_direct(tile)) {
      score_block<Source::kHalf>(tile, keys, scratch.q, scores);
    } else {
      widen_keys(keys, tile.head_size, scratch.keys);
      score_block<Source::kWidened>(tile, scratch.keys, scratch.q, scores);
    }
  }
}

// The values of block b times the weights of all rows. Values that a token does not see are not
// read for it: they may be of a later token, or stale.
MICA_INLINE void add_block_values(const AttentionTile& tile, int64_t begin, int64_t end, int64_t b,
                                  const AttentionScratch& scratch, float* out) {
  const int64_t size = tile.head_size, stride = padded_head(size);
  const int64_t first = begin + b * kBlockTokens;
  const int64_t last = first + kBlockTokens < end ? first + kBlockTokens : end;
  if (last < end) {
    prefetch_part(block_keys(tile, last / kBlockTokens) + tile.values_offset, part_bytes(tile));
  }
  widen_values(block_keys(tile, first / kBlockTokens) + tile.values_offset, size, tile.half,
               last - first, scratch.values);
  const auto add_rows = [&](int64_t first_row, int64_t rows, int64_t positions) {
    for_rows<kAttendRows>(rows, [&]<int kRows>(int64_t r) {
      const float* weights = scratch.scores + (first_row + r) * kPiecePositions + b * kBlockTokens;
      float* sums = out + (first_row + r) * stride;
      for_channels<kRows>(stride, [&]<int kVectors>(int64_t c) {
        continue_sums<kRows, kVectors>(sums + c, stride, [&](auto& total) {
          add_positions<Source::kWidened>(weights, scratch.values + c, stride, positions, total);
        });
      });
    });
  };
  int64_t token = 0;
  for (; token < tile.tokens && seen_positions(tile, token, first, last) < last - first; ++token) {
    add_rows(token * tile.heads, tile.heads, seen_positions(tile, token, first, last));
  }
  add_rows(token * tile.heads, (tile.tokens - token) * tile.heads, last - first);
}

// Positions [first, last) of the piece from `begin` on for rows that see them all: sums stay in
// registers from block to block.
template <Source kSource>
MICA_INLINE void add_direct_values(const AttentionTile& tile, int64_t begin, int64_t first,
                                   int64_t last, int64_t first_row, int64_t rows,
                                   const float* scores, float* out) {
  constexpr int64_t kElement = kSource == Source::kHalf ? 2 : 4;
  const int64_t size = tile.head_size;
  for_rows<kAttendRows>(rows, [&]<int kRows>(int64_t r) {
    const float* weights = scores + (first_row + r) * kPiecePositions;
    for_channels<kRows>(size, [&]<int kVectors>(int64_t c) {
      continue_sums<kRows, kVectors>(out + (first_row + r) * size + c, size, [&](auto& total) {
        for (int64_t p = first; p < last;) {
          const int64_t block = (begin + p) / kBlockTokens, place = (begin + p) % kBlockTokens;
          const int64_t left = kBlockTokens - place;
          const int64_t count = left < last - p ? left : last - p;
          const std::byte* values = block_keys(tile, block) + tile.values_offset;
          if (p + count < last) {
            prefetch_part(block_keys(tile, block + 1) + tile.values_offset, part_bytes(tile));
          }
          add_positions<kSource>(weights + p, values + (place * size + c) * kElement, size, count,
                                 total);
          p += count;
        }
      });
    });
  });
}

template <Source kSource>
MICA_INLINE void add_all_direct(const AttentionTile& tile, int64_t begin, int64_t end,
                                const float* scores, float* out) {
  const int64_t rows = tile.tokens * tile.heads;
  const int64_t common = seen_positions(tile, 0, begin, end);  // to all tokens
  add_direct_values<kSource>(tile, begin, 0, common, 0, rows, scores, out);
  for (int64_t token = 1; token < tile.tokens; ++token) {
    add_direct_values<kSource>(tile, begin, common, seen_positions(tile, token, begin, end),
                               token * tile.heads, tile.heads, scores, out);
  }
}

void attend(const AttentionTile& tile, int64_t begin, int64_t end, const AttentionScratch& scratch,
            const AttentionState& state) {
  const int64_t blocks = (end - begin + kBlockTokens - 1) / kBlockTokens;
  scale_queries(tile, scratch.q);
  score_blocks(tile, begin / kBlockTokens, blocks, scratch);
  for (int64_t r = 0; r < tile.tokens * tile.heads; ++r) {
    weigh_row(scratch.scores + r * kPiecePositions,
              seen_positions(tile, r / tile.heads, begin, end), blocks * kBlockTokens,
              state.largest[r], state.sum[r]);
  }
  __builtin_memset(state.out, 0,
                   tile.tokens * tile.heads * padded_head(tile.head_size) * sizeof(float));
  if (is_direct(tile)) {
    if (tile.half)
      return add_all_direct<Source::kHalf>(tile, begin, end, scratch.scores, state.out);
    return add_all_direct<Source::kFloat>(tile, begin, end, scratch.scores, state.out);
  }
  for (int64_t b = 0; b < blocks; ++b) {
    add_block_values(tile, begin, end, b, scratch, state.out);
  }
}

void merge_piece(int64_t rows, int64_t head_size, const AttentionState& piece,
                 const AttentionState& state) {
  const int64_t stride = padded_head(head_size);
  for (int64_t r = 0; r < rows; ++r) {
    if (piece.largest[r] == -__builtin_inff()) continue;
    const float top = state.largest[r] > piece.largest[r] ? state.largest[r] : piece.largest[r];
    const Floats old_factor = exp2(splat<Floats>(state.largest[r] - top));
    const Floats new_factor = exp2(splat<Floats>(piece.largest[r] - top));
    float factor[2][kLanes];
    store(factor[0], old_factor);
    store(factor[1], new_factor);
    state.largest[r] = top;
    state.sum[r] = state.sum[r] * factor[0][0] + piece.sum[r] * factor[1][0];
    for (int64_t c = r * stride; c < (r + 1) * stride; c += kLanes) {
      store(state.out + c,
            load<Floats>(state.out + c) * old_factor + load<Floats>(piece.out + c) * new_factor);
    }
  }
}

void finish_attention(const AttentionTile& tile, const AttentionState& state, float* out,
                      int64_t out_stride) {
  const int64_t stride = padded_head(tile.head_size);
  for (int64_t t = 0; t < tile.tokens; ++t) {
    for (int64_t h = 0; h < tile.heads; ++h) {
      const int64_t r = t * tile.heads + h;
      const Floats factor = splat<Floats>(1.0f / state.sum[r]);
      float* to = out + t * out_stride + h * tile.head_size;
      for_lanes(tile.head_size, [&](int64_t c, int count) {
        store_up_to(to + c, count, load<Floats>(state.out + r * stride + c) * factor);
      });
    }
  }
}

void store_key(const float* key, int64_t head_size, bool half, int64_t position, std::byte* keys) {
  const int64_t channels = half ? 2 : 1;  // in the 4 bytes that a line gives a position
  keys += position * 4;
  for (int64_t c = 0; c < head_size; c += kLanes) {
    const int64_t count = head_size - c < kLanes ? head_size - c : kLanes;
    float wide[kLanes] = {};
    uint16_t narrow[kLanes];
    __builtin_memcpy(wide, key + c, count * 4);
    store_halves(narrow, load<Floats>(wide));
    const char* from =
        half ? reinterpret_cast<const char*>(narrow) : reinterpret_cast<const char*>(wide);
    for (int64_t i = 0; i < count; i += channels, from += 4, keys += 64) {
      __builtin_memcpy(keys, from, 4);
    }
  }
}

void store_value(const float* value, int64_t head_size, bool half, int64_t position,
                 std::byte* values) {
  if (!half) {
    __builtin_memcpy(values + position * head_size * 4, value, head_size * 4);
    return;
  }
  std::byte* to = values + position * head_size * 2;
  for_lanes(head_size, [&](int64_t c, int count) {
    uint16_t narrow[kLanes];
    store_halves(narrow, load_up_to(value + c, count));
    __builtin_memcpy(to + c * 2, narrow, count * 2);
  });
}

}  // namespace
}  // namespace mica::cpu
