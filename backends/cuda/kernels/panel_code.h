// Weights in panels (N16K4; formats/FORMAT.md, "Weight layout"): where they lie and what they mean.
#pragma once

#include "backends/cuda/kernels/args.h"

namespace mica::cuda {

constexpr int kLine = 64;  // bytes: 16 rows x 8 codes of 4 bits, or x 4 of 8

constexpr int code_bits(Format format) {
  return format == Format::kQ8 ? 8 : 4;
}
constexpr int unit_lines(Format format) {
  return kUnit * code_bits(format) / 32;
}
MICA_DEVICE int64_t code_bytes(const Matrix& m) {
  return static_cast<int64_t>(m.cols) * kPanel * code_bits(m.format) / 8;
}

// Each byte of `word`, 0..127, less that of `less`, 0..128.
MICA_DEVICE uint32_t subtract_bytes(uint32_t word, uint32_t less) {
  return ((word | 0x80808080u) - less) ^ 0x80808080u;
}

// q4s is multiplied by the kernels of q4, as scale / 8 * (8 * code - 64): products and factors
// differ from those of scale * (code - 8) by powers of two alone, which leave the bits of the
// result as they are (|8 D| < 2^21, inputs' scales lie between 2^-107 and 2^104).
constexpr uint32_t kQ4sZeros = 0x40404040u;

// The four integers of a code word as products take them, in signed bytes; `high`: the upper
// nibbles. zeros: the row's zero in every byte (kQ4).
template <Format kFormat>
MICA_DEVICE uint32_t integers_of(uint32_t word, bool high, uint32_t zeros) {
  if constexpr (kFormat == Format::kQ8) {
    return word ^ 0x80808080u;
  } else if constexpr (kFormat == Format::kQ4) {
    return subtract_bytes((high ? word >> 1 : word << 3) & 0x78787878u, zeros);
  } else {
    return (high ? word >> 4 : word) & 0x0f0f0f0fu;
  }
}

MICA_DEVICE uint32_t load_half(const std::byte* from) {
  return *reinterpret_cast<const uint16_t*>(from);
}

// The factor of a row's group in products: ws of quant/README.md.
template <Format kFormat>
MICA_DEVICE float factor_of(uint32_t scale_half) {
  const float scale = half_to_float(scale_half);
  return kFormat == Format::kQ4 ? mul_rn(scale, 0.125f) : scale;
}

// Weight [n, k] of any format as a float, rounded as decode() of its type rounds.
MICA_DEVICE float decode_weight(const Matrix& m, int64_t n, int64_t k) {
  if (!is_panel(m.format)) {
    const std::byte* row = m.data + n * m.stride;
    if (m.format == Format::kF32) return reinterpret_cast<const float*>(row)[k];
    const uint32_t bits = load_half(row + 2 * k);
    return m.format == Format::kF16 ? half_to_float(bits) : bf16_to_float(bits);
  }
  const std::byte* slab = m.data + n / kPanel * m.stride;
  const int64_t r = n % kPanel, place = k / m.group * kPanel + r;
  const int64_t line = k * code_bits(m.format) / 32;
  const auto byte = static_cast<uint32_t>(slab[line * kLine + 4 * r + k % 4]);
  const std::byte* scales = slab + code_bytes(m);
  const std::byte* offsets = scales + static_cast<int64_t>(m.cols) / m.group * kPanel * 2;
  const float scale = half_to_float(load_half(scales + 2 * place));
  if (m.format == Format::kQ8)
    return mul_rn(scale, static_cast<float>(static_cast<int>(byte) - 128));
  const int code = static_cast<int>(k % 8 < 4 ? byte & 15 : byte >> 4);
  if (m.format == Format::kQ4s) return mul_rn(scale, static_cast<float>(code - 8));
  if (m.format == Format::kQ4m) {
    return fma_rn(scale, static_cast<float>(code), half_to_float(load_half(offsets + 2 * place)));
  }
  return mul_rn(mul_rn(scale, 0.125f),
                static_cast<float>(8 * code - static_cast<int>(offsets[place])));
}

}  // namespace mica::cuda
