// Floats to int8 codes in groups, bit for bit as quant/activations.h defines them.
#pragma once

#include "backends/cpu/kernels/kernels.h"

namespace mica::cpu {
namespace {

MICA_INLINE float float_of_bits(int32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}
MICA_INLINE int32_t bits_of_float(float value) {
  int32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}

// 0 for groups that are as good as zero, NaN for groups that hold NaN, infinity or nearly that.
MICA_INLINE float choose_scale(int32_t largest_bits) {
  if (largest_bits >= bits_of_float(0x1p110f)) return __builtin_nanf("");
  const float largest = float_of_bits(largest_bits);
  if (largest < 0x1p-100f) return 0;
  return float_of_bits(bits_of_float(largest * (1.0f / 127)) & ~3);
}

void quantize(const float* x, int64_t cols, int group, int8_t* codes, InputGroup* groups) {
  for (int64_t first = 0; first < cols; first += group, ++groups) {
    // Magnitudes in the order of their bits, in which NaN is the largest.
    Ints magnitude{};
    for (int i = 0; i < group; i += kLanes) {
      magnitude = max(magnitude, load<Ints>(x + first + i) & 0x7fffffff);
    }
    const float scale = choose_scale(largest(magnitude));
    const float inverse = scale > 0 ? 1 / scale : 0;  // 0 for NaN too

    Ints total{};
    for (int i = 0; i < group; i += kLanes) {
      Ints code{};
      if (inverse != 0) {
        const Floats scaled = load<Floats>(x + first + i) * splat<Floats>(inverse);
        const Floats bounded = min(max(scaled, splat<Floats>(-127.0f)), splat<Floats>(127.0f));
        code = as<Ints>(bounded + splat<Floats>(kMagic)) - splat<Ints>(kMagicBits);
      }
      store_bytes(codes + first + i, code);
      total = total + code;
    }
    const int32_t group_sum = sum(total);
    *groups = {.scale = scale,
               .magic = kMagic * scale,
               .start8 = kMagicBits - 8 * group_sum,
               .start128 = kMagicBits - 128 * group_sum,
               .minus_sum = static_cast<float>(-group_sum),
               .scaled_sum = static_cast<float>(group_sum) * scale};
  }
}

}  // namespace
}  // namespace mica::cpu
