// What scores and values of a tile share: runs of rows, the positions that they see, blocks.
#pragma once

#include "backends/cpu/kernels/kernels.h"

namespace mica::cpu {
namespace {

// For the large functions of each format: GCC stops inlining loops into one that holds them all.
#define MICA_NOINLINE __attribute__((noinline))

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

MICA_INLINE const std::byte* block_keys(const AttentionTile& tile, int64_t block) {
  return tile.keys + tile.blocks[block] * tile.block_stride;
}
MICA_INLINE const std::byte* block_values(const AttentionTile& tile, int64_t block) {
  return block_keys(tile, block) + tile.part_bytes;
}

// Blocks lie apart, so the processor's own prefetching ends with each. Parts of them, keys or
// values, are asked for so many before they are read. (One thread of a Zen 5, decode of SmolLM2 at
// depths of 4096 and 8192, to one block ahead: two 1.12 and 1.09, four 1.11 and 1.16, eight 1.03
// and 1.10.)
constexpr int64_t kBlocksAhead = 4;

MICA_INLINE void prefetch_part(const AttentionTile& tile, const std::byte* part) {
  for (int64_t i = 0; i < tile.part_bytes; i += 64) __builtin_prefetch(part + i);
}
// With the keys of `block`, of blocks [first, last) whose keys are read and then their values.
MICA_INLINE void prefetch_after_keys(const AttentionTile& tile, int64_t block, int64_t first,
                                     int64_t last) {
  const int64_t ahead = block + kBlocksAhead, values = first + ahead - last;
  if (ahead < last) {
    prefetch_part(tile, block_keys(tile, ahead));
  } else if (values < last) {
    prefetch_part(tile, block_values(tile, values));
  }
}
MICA_INLINE void prefetch_after_values(const AttentionTile& tile, int64_t block, int64_t last) {
  if (block + kBlocksAhead < last) prefetch_part(tile, block_values(tile, block + kBlocksAhead));
}

// The positions [first, last) that a token may see of [begin, end), counted from `begin`.
struct Sight {
  int64_t first, last;
  bool operator==(const Sight&) const = default;
};
MICA_INLINE Sight sight(const AttentionTile& tile, int64_t token, int64_t begin, int64_t end) {
  const auto within = [&](int64_t position) {
    return (position < begin ? begin : position < end ? position : end) - begin;
  };
  const int64_t last = tile.first_position + token + 1;
  return {within(last - tile.window), within(last)};
}

// Few rows use keys and values once, as they come from the cache.
MICA_INLINE bool is_direct(const AttentionTile& tile) {
  return tile.tokens * tile.heads <= kAttendRows && tile.head_size % kLanes == 0;
}

}  // namespace
}  // namespace mica::cpu
