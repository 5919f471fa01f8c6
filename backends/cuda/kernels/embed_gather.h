// Rows of an embedding table, gathered and decoded. One block a token.
#pragma once

#include "backends/cuda/kernels/panel_code.h"

namespace mica::cuda {

constexpr int kEmbedThreads = 256;

MICA_DEVICE void embed(const EmbedKernelArgs& args) {
  const int64_t t = block_x();
  const int32_t id = args.ids[t];
  for (int k = thread_index(); k < args.table.cols; k += block_threads()) {
    args.out[t * args.table.cols + k] = mul_rn(decode_weight(args.table, id, k), args.scale);
  }
}

}  // namespace mica::cuda
