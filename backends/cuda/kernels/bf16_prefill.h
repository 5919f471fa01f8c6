// Before and after a product of cuBLASLt: weights as rows of bf16, and the end of its outputs.
#pragma once

#include "backends/cuda/kernels/finish.h"
#include "backends/cuda/kernels/panel_code.h"

namespace mica::cuda {

constexpr int kDecodeThreads = 512;  // a warp a row of the panel, a lane 8 k
constexpr int kDecodeCols = 32 * 8;

// Weights [n, k .. k + 8) as floats; they share a group.
MICA_DEVICE void decode_eight(const Matrix& m, int64_t n, int k, float (&out)[8]) {
  if (!is_panel(m.format)) {
    for (int i = 0; i < 8; ++i) out[i] = decode_weight(m, n, k + i);
    return;
  }
  const std::byte* slab = m.data + n / kPanel * static_cast<int64_t>(m.stride);
  const int row = static_cast<int>(n % kPanel), place = k / m.group * kPanel + row;
  const std::byte* scales = slab + code_bytes(m);
  const std::byte* offsets = scales + int64_t{m.cols / m.group} * kPanel * 2;
  const float scale = half_to_float(load_half(scales + 2 * place));
  const bool is_byte = m.format == Format::kQ8, has_minimum = m.format == Format::kQ4m;
  // w = step * (multiplier * code - zero) + minimum
  float step = scale, minimum = 0;
  int multiplier = 1, zero = is_byte ? 128 : 8;
  if (m.format == Format::kQ4) {
    step = mul_rn(scale, 0.125f), multiplier = 8, zero = static_cast<int>(offsets[place]);
  }
  if (has_minimum) zero = 0, minimum = half_to_float(load_half(offsets + 2 * place));
  const auto* words = reinterpret_cast<const uint32_t*>(
      slab + static_cast<int64_t>(k) * code_bits(m.format) / 32 * kLine);
  const uint32_t low = words[row], high = is_byte ? words[kPanel + row] : low >> 4;
  const uint32_t mask = is_byte ? 255u : 15u;
  MICA_UNROLL
  for (int i = 0; i < 8; ++i) {
    const auto code = static_cast<int>((i < 4 ? low : high) >> (i % 4 * 8) & mask);
    const auto integer = static_cast<float>(multiplier * code - zero);
    out[i] = has_minimum ? fma_rn(step, integer, minimum) : mul_rn(step, integer);
  }
}

// Grid: x pieces of kDecodeCols, y panels from args.first, a multiple of 16.
MICA_DEVICE void decode_panels(const DecodeArgs& args) {
  const Matrix& m = args.matrix;
  const int local = block_y() * kPanel + warp();
  const int k = block_x() * kDecodeCols + lane() * 8;
  if (local >= args.count || k >= m.cols) return;
  float weights[8];
  decode_eight(m, args.first + local, k, weights);
  uint32_t words[4];
  MICA_UNROLL
  for (int i = 0; i < 4; ++i) {
    words[i] = float_to_bf16(weights[2 * i]) | uint32_t{float_to_bf16(weights[2 * i + 1])} << 16;
  }
  store128(args.out + int64_t{local} * m.cols + k, {words[0], words[1], words[2], words[3]});
}

constexpr int kFinishThreads = 256;

// Grid: x pieces of the columns, y tokens.
MICA_DEVICE void finish_products(const FinishArgs& args) {
  const int column = block_x() * kFinishThreads + thread_index();
  const int64_t t = block_y();
  if (column < args.count)
    finish(args.end, t, args.first + column, args.y[t * args.count + column]);
}

}  // namespace mica::cuda
