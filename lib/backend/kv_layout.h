// Where keys and values lie in the cache.
//
// A cache block holds 16 positions of one layer: for each kv head its keys, then its values.
//
//   keys    panel lines: one 64-byte line is 16 positions x 4 bytes of channels (4 int8, 2 f16 or
//           bf16, 1 f32), so that scores of 16 positions come from E * element / 4 lines in order
//           byte (line * 16 + position) * 4: channels line * 4 / element .. of that position
//   values  [16, E] row-major
//
// Int8 keys and values are codes as quant/activations.h defines them, x = scale * code, the E
// channels of a position being one group. Those of keys are stored + 128 (1..255), as kernels
// multiply weights of 8 bits; those of values as they are. After each part's codes lies one line
// with the scales of its 16 positions, as float: 8 + 32 / E bits an element in all.
//
// A sequence's block table maps its positions to blocks. What lies between the blocks of a layer is
// the pool's affair (lib/model/kv_cache.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace mica {

constexpr int64_t kKvBlockTokens = 16;

enum class KvType { kF16, kBF16, kF32, kInt8 };

struct KvLayout {
  KvType type = KvType::kF16;
  int64_t kv_heads = 0;   // K
  int64_t head_size = 0;  // E, even; int8: a multiple of 16 up to kMostInt8Channels

  // So that products of codes stay below 2^22, as kernels need (panel_terms.h).
  static constexpr int64_t kMostInt8Channels = 256;
  bool possible() const {
    return type != KvType::kInt8 || (head_size % 16 == 0 && head_size <= kMostInt8Channels);
  }

  int64_t element_bytes() const { return type == KvType::kInt8 ? 1 : type == KvType::kF32 ? 4 : 2; }
  // Of one head in one block, before the scales of int8.
  int64_t elements_bytes() const { return kKvBlockTokens * head_size * element_bytes(); }
  // Keys (or values) of one head in one block.
  int64_t part_bytes() const {
    return elements_bytes() + (type == KvType::kInt8 ? kKvBlockTokens * 4 : 0);
  }
  int64_t head_bytes() const { return 2 * part_bytes(); }
  int64_t block_bytes() const { return kv_heads * head_bytes(); }
};

// One layer's part of the cache.
struct KvLayer {
  KvLayout layout;
  std::byte* base = nullptr;                    // block 0
  int64_t block_stride = layout.block_bytes();  // bytes from one block to the next

  std::byte* keys(int64_t block, int64_t head) const {
    return base + block * block_stride + head * layout.head_bytes();
  }
  std::byte* values(int64_t block, int64_t head) const {
    return keys(block, head) + layout.part_bytes();
  }
};

}  // namespace mica
