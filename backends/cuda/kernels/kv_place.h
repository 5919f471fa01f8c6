// Where keys and values lie in a cache block (lib/backend/kv_layout.h).
#pragma once

#include "backends/cuda/kernels/args.h"

namespace mica::cuda {

MICA_DEVICE std::byte* keys_of(const Cache& cache, int64_t block, int64_t kv_head) {
  return cache.base + block * cache.block_stride + kv_head * 2 * cache.part_bytes;
}
MICA_DEVICE std::byte* values_of(const Cache& cache, int64_t block, int64_t kv_head) {
  return keys_of(cache, block, kv_head) + cache.part_bytes;
}

constexpr int channels_a_word(CacheType type) {
  return type == CacheType::kInt8 ? 4 : type == CacheType::kF32 ? 1 : 2;
}

}  // namespace mica::cuda
