// Before and after a product of cuBLASLt: weights as rows of bf16, and the end of its outputs.
#pragma once

#include "backends/cuda/kernels/finish.h"
#include "backends/cuda/kernels/panel_code.h"

namespace mica::cuda {

constexpr int kDecodeThreads = 512;  // a warp a row of the panel, a lane 8 k
constexpr int kDecodeCols = 32 * 8;

// Grid: x pieces of kDecodeCols, y panels from args.first, a multiple of 16.
MICA_DEVICE void decode_panels(const DecodeArgs& args) {
  const Matrix& m = args.matrix;
  const int local = block_y() * kPanel + warp();
  const int k = block_x() * kDecodeCols + lane() * 8;
  if (local >= args.count || k >= m.cols) return;
  uint32_t words[4];
  MICA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const uint32_t low = float_to_bf16(decode_weight(m, args.first + local, k + 2 * i));
    const uint32_t high = float_to_bf16(decode_weight(m, args.first + local, k + 2 * i + 1));
    words[i] = low | high << 16;
  }
  store128(args.out + int64_t{local} * m.cols + k, {words[0], words[1], words[2], words[3]});
}

constexpr int kFinishThreads = 256;

// Grid: x pieces of the columns, y tokens.
MICA_DEVICE void finish_products(const FinishArgs& args) {
  const int column = block_x() * kFinishThreads + thread_index();
  const int64_t t = block_y();
  if (column < args.count) finish(args.end, t, args.first + column, args.y[t * args.count + column]);
}

}  // namespace mica::cuda
