// Floats to int8 codes in groups, bit for bit as quant/activations.h defines them.
#pragma once

#include "backends/cpu/kernels/kernels.h"

namespace mica::cpu {
namespace {

MICA_INLINE int32_t bits_of_float(float value) {
  int32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}

// Magnitudes in the order of their bits, in which NaN is the largest.
MICA_INLINE Ints largest_magnitudes(const float* x, int group) {
  Ints magnitude{};
  for (int i = 0; i < group; i += kLanes) {
    magnitude = max(magnitude, load<Ints>(x + i) & 0x7fffffff);
  }
  return magnitude;
}

// Codes of one group, all 0 if the inverse of its scale is; gives their sums by lanes. Products
// reach no further than 127.5 from 0: a scale is at least (1 - 2^-21) of a 127th of the largest
// magnitude.
MICA_INLINE Ints quantize_group(const float* x, int group, float inverse, int8_t* codes) {
  Ints total{};
  if (inverse == 0) {
    __builtin_memset(codes, 0, group);
    return total;
  }
  for (int i = 0; i < group; i += kLanes) {
    const Floats rounded = load<Floats>(x + i) * splat<Floats>(inverse) + splat<Floats>(kMagic);
    const Ints code = as<Ints>(rounded) - splat<Ints>(kMagicBits);
    store_bytes(codes + i, code);
    total = total + code;
  }
  return total;
}

// Up to kLanes groups, with one lane for each in what is done once a group.
MICA_INLINE void quantize_groups(const float* x, int count, int group, int8_t* codes,
                                 InputGroup* groups) {
  Ints of_group[kLanes];
  for (int g = 0; g < kLanes; ++g) {
    of_group[g] = g < count ? largest_magnitudes(x + g * group, group) : Ints{};
  }
  int32_t largest_bits[kLanes], sums[kLanes];
  float scale[kLanes], inverse[kLanes];
  const Ints magnitudes = fold_each(of_group, [](auto a, auto b) { return a > b ? a : b; });
  const Floats scales =
      as<Floats>(as<Ints>(as<Floats>(magnitudes) * splat<Floats>(1.0f / 127)) & ~3);
  store(largest_bits, magnitudes);
  store(scale, scales);
  store(inverse, splat<Floats>(1.0f) / scales);
  for (int g = 0; g < count; ++g) {
    const bool too_small = largest_bits[g] < bits_of_float(0x1p-100f);
    if (!too_small && largest_bits[g] < bits_of_float(0x1p110f)) continue;
    scale[g] = too_small ? 0 : __builtin_nanf("");
    inverse[g] = 0;
  }

  for (int g = 0; g < count; ++g) {
    of_group[g] = quantize_group(x + g * group, group, inverse[g], codes + g * group);
  }
  store(sums, fold_each(of_group, [](auto a, auto b) { return a + b; }));
  for (int g = 0; g < count; ++g) {
    groups[g] = {.scale = scale[g],
                 .magic = kMagic * scale[g],
                 .start8 = kMagicBits - 8 * sums[g],
                 .start128 = kMagicBits - 128 * sums[g],
                 .minus_sum = static_cast<float>(-sums[g]),
                 .scaled_sum = static_cast<float>(sums[g]) * scale[g]};
  }
}

void quantize(const float* x, int64_t cols, int group, int8_t* codes, InputGroup* groups) {
  const int64_t all = cols / group;
  for (int64_t g = 0; g < all; g += kLanes) {
    const int count = static_cast<int>(all - g < kLanes ? all - g : kLanes);
    quantize_groups(x + g * group, count, group, codes + g * group, groups + g);
  }
}

}  // namespace
}  // namespace mica::cpu
