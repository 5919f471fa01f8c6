// Scores of a tile's rows: queries times the keys of a piece's blocks.
//
// Float keys are multiplied as floats. Int8 keys are multiplied as bytes are in a product
// (panel_terms.h): queries become codes, one group a row, and a line of keys is 16 positions x 4
// codes.
#pragma once

#include "backends/cpu/kernels/kv_block.h"
#include "backends/cpu/kernels/panel_terms.h"

namespace mica::cpu {
namespace {

// Queries times scale and log2(e), so that the softmax is one of powers of two.
MICA_INLINE void scale_queries(const AttentionTile& tile, float* q) {
  const float factor = tile.scale * kLog2E;
  for (int64_t t = 0; t < tile.tokens; ++t) {
    const float* from = tile.q + t * tile.q_stride;
    for (int64_t i = 0; i < tile.heads * tile.head_size; ++i) *q++ = from[i] * factor;
  }
}

// scores[r][p] for kRows rows and the 16 positions of a block. Keys of two channels a line give two
// chains, of even and of odd channels, which are added at the end.
template <KvFormat kFormat, int kChains, int kRows>
MICA_INLINE void score_rows(const float* q, const std::byte* line, int64_t head_size,
                            float* scores) {
  Floats total[kRows][kChains] = {};
  for (int64_t c = 0; c < head_size; c += kChains) {
    Floats key[kChains];
    for (Floats& part : key) {
      part = load_channels<kFormat>(line);
      line += kLanes * element_bytes(kFormat);
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

template <KvFormat kFormat, int kChains>
MICA_INLINE void score_block(const AttentionTile& tile, const void* keys, const float* q,
                             float* scores) {
  for_rows<kAttendRows>(tile.tokens * tile.heads, [&]<int kRows>(int64_t r) {
    score_rows<kFormat, kChains, kRows>(q + r * tile.head_size, static_cast<const std::byte*>(keys),
                                        tile.head_size, scores + r * kPiecePositions);
  });
}

template <int kRows>
MICA_INLINE void score_coded_rows(const int8_t* q, const InputGroup* groups, const std::byte* keys,
                                  int64_t head_size, float* scores) {
  Ints sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = start_sums<Grid::kQ8>(groups[r]);
  for (int64_t c = 0; c < head_size; c += 4, keys += 64) {
    const Words line = rebias(load<Words>(keys));
    for (int r = 0; r < kRows; ++r) {
      Ints total = sums[r];  // GCC 12 leaves the array on the stack when it is an operand itself
      add_bytes(total, line, load_quad(q + r * head_size + c));
      sums[r] = total;
    }
  }
  const Floats scales = load<Floats>(keys);
  for (int r = 0; r < kRows; ++r) {
    store(scores + r * kPiecePositions,
          scale_sums(sums[r], groups[r].scale, groups[r].magic) * scales);
  }
}

MICA_INLINE void score_coded_block(const AttentionTile& tile, const std::byte* keys,
                                   const AttentionScratch& scratch, float* scores) {
  for_rows<kStreamTile>(tile.tokens * tile.heads, [&]<int kRows>(int64_t r) {
    score_coded_rows<kRows>(scratch.codes + r * tile.head_size, scratch.groups + r, keys,
                            tile.head_size, scores + r * kPiecePositions);
  });
}

template <KvFormat kFormat>
MICA_INLINE void score_keys(const AttentionTile& tile, const std::byte* keys,
                            const AttentionScratch& scratch, float* scores) {
  if constexpr (kFormat == KvFormat::kInt8) {
    score_coded_block(tile, keys, scratch, scores);
  } else if constexpr (kFormat == KvFormat::kF32) {
    score_block<kFormat, 1>(tile, keys, scratch.q, scores);
  } else if (is_direct(tile)) {
    score_block<kFormat, 2>(tile, keys, scratch.q, scores);
  } else {
    widen_keys<kFormat>(keys, tile.head_size, scratch.keys);
    score_block<KvFormat::kF32, 2>(tile, scratch.keys, scratch.q, scores);
  }
}

// Scores of rows with positions [first, last) of the piece from `begin` on, multiples of a block;
// those included that a row must not see.
template <KvFormat kFormat>
MICA_NOINLINE void score_blocks(const AttentionTile& tile, int64_t begin, int64_t first,
                                int64_t last, const AttentionScratch& scratch) {
  scale_queries(tile, scratch.q);
  if constexpr (kFormat == KvFormat::kInt8) {
    quantize(scratch.q, tile.tokens * tile.heads * tile.head_size, static_cast<int>(tile.head_size),
             scratch.codes, scratch.groups);
  }
  for (int64_t p = first; p < last; p += kBlockTokens) {
    const int64_t block = (begin + p) / kBlockTokens;
    prefetch_after_keys(tile, block, (begin + first) / kBlockTokens, (begin + last) / kBlockTokens);
    score_keys<kFormat>(tile, block_keys(tile, block), scratch, scratch.scores + p);
  }
}

}  // namespace
}  // namespace mica::cpu
