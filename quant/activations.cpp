#include "quant/activations.h"

#include <bit>
#include <limits>

#include "quant/panel.h"

namespace mica {
namespace {

constexpr float kLargestCode = 127;

// Largest magnitude. As bit patterns, because NaN is then the largest of all.
float largest_magnitude(const float* x, int group) {
  uint32_t largest = 0;
  for (int i = 0; i < group; ++i) {
    const uint32_t magnitude = std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  return std::bit_cast<float>(largest);
}

float choose_scale(float largest) {
  if (!(largest < 0x1p110f)) return std::numeric_limits<float>::quiet_NaN();
  if (largest < 0x1p-100f) return 0;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(largest * (1 / kLargestCode)) & ~3u);
}

}  // namespace

void quantize_activations(const float* x, int64_t cols, int group, int8_t* codes, float* scales) {
  for (int64_t index = 0; index < cols / group; ++index, x += group, codes += group) {
    const float scale = choose_scale(largest_magnitude(x, group));
    scales[index] = scale;
    const float inverse = scale > 0 ? 1 / scale : 0;  // 0 for NaN too
    for (int i = 0; i < group; ++i) {
      const float code = inverse == 0 ? 0 : x[i] * inverse;
      codes[i] =
          static_cast<int8_t>(panel::round_to_int(panel::clamp(code, -kLargestCode, kLargestCode)));
    }
  }
}

}  // namespace mica
