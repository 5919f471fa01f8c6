// Attention: a kernel a type of the cache and number of rows of a tile.
#pragma once

#include "backends/cuda/kernels/attention_walk.h"
#include "backends/cuda/kernels/launchers.h"

namespace mica::cuda {

#define MICA_ATTENTION(NAME, TYPE)                                                  \
  MICA_KERNEL(mica_attention_##NAME##_1, kAttentionThreads, 4, AttentionKernelArgs, \
              attention<TYPE, 1>)                                                   \
  MICA_KERNEL(mica_attention_##NAME##_4, kAttentionThreads, 4, AttentionKernelArgs, \
              attention<TYPE, 4>)                                                   \
  MICA_KERNEL(mica_attention_##NAME##_8, kAttentionThreads, 4, AttentionKernelArgs, \
              attention<TYPE, 8>)                                                   \
  static bool launch_attention_##NAME(const LaunchShape& shape, int rows,           \
                                      const AttentionKernelArgs& args) {            \
    return rows == 1   ? launch_mica_attention_##NAME##_1(shape, args)              \
           : rows == 4 ? launch_mica_attention_##NAME##_4(shape, args)              \
                       : launch_mica_attention_##NAME##_8(shape, args);             \
  }
MICA_ATTENTION(f16, CacheType::kF16)
MICA_ATTENTION(bf16, CacheType::kBF16)
MICA_ATTENTION(f32, CacheType::kF32)
MICA_ATTENTION(int8, CacheType::kInt8)
#undef MICA_ATTENTION

void launch_attention(const LaunchShape& shape, CacheType type, int rows,
                      const AttentionKernelArgs& args) {
  switch (type) {
    case CacheType::kF16:
      launch_attention_f16(shape, rows, args);
      return;
    case CacheType::kBF16:
      launch_attention_bf16(shape, rows, args);
      return;
    case CacheType::kF32:
      launch_attention_f32(shape, rows, args);
      return;
    case CacheType::kInt8:
      launch_attention_int8(shape, rows, args);
      return;
  }
}

int attention_shared_bytes(CacheType type, int rows, int head_size) {
  return attention_memory(type, rows, head_size).total * 4;
}

}  // namespace mica::cuda
