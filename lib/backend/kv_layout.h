// Where keys and values lie in the cache.
//
// A cache block holds 16 positions of one layer: for each kv head its keys, then its values.
//
//   keys    panel lines: one 64-byte line is 16 positions x 4 bytes of channels (2 f16, 1 f32), so
//           that scores of 16 positions come from E * element / 4 lines in order
//           byte (line * 16 + position) * 4: channels line * 4 / element .. of that position
//   values  [16, E] row-major
//
// A layer's blocks lie one after another; a sequence's block table maps its positions to blocks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mica {

constexpr int64_t kKvBlockTokens = 16;

enum class KvType { kF16, kF32 };

struct KvLayout {
  KvType type = KvType::kF16;
  int64_t kv_heads = 0;   // K
  int64_t head_size = 0;  // E, even

  int64_t element_bytes() const { return type == KvType::kF16 ? 2 : 4; }
  // Keys (or values) of one head in one block.
  int64_t part_bytes() const { return kKvBlockTokens * head_size * element_bytes(); }
  int64_t head_bytes() const { return 2 * part_bytes(); }
  int64_t block_bytes() const { return kv_heads * head_bytes(); }
};

// One layer's part of the cache.
struct KvLayer {
  KvLayout layout;
  std::byte* base = nullptr;  // [blocks] of block_bytes

  std::byte* keys(int64_t block, int64_t head) const {
    return base + block * layout.block_bytes() + head * layout.head_bytes();
  }
  std::byte* values(int64_t block, int64_t head) const {
    return keys(block, head) + layout.part_bytes();
  }
};

}  // namespace mica
