// One value of quant/activations.h at a time: scale and codes of a group, to the bit.
#pragma once

namespace mica::cuda {

// Of the largest magnitude's bits, among which NaN is the largest.
MICA_DEVICE float choose_scale(int magnitude_bits) {
  const float largest = as_float(static_cast<uint32_t>(magnitude_bits));
  if (!(largest < 0x1p110f)) return as_float(0x7fc00000u);
  if (largest < 0x1p-100f) return 0;
  return as_float(as_bits(mul_rn(largest, 1 / 127.0f)) & ~3u);
}
MICA_DEVICE float invert_scale(float scale) {
  return scale > 0 ? div_rn(1, scale) : 0;
}

MICA_DEVICE int code_of(float value, float inverse) {
  float code = inverse == 0 ? 0 : mul_rn(value, inverse);
  code = code < 127 ? code : 127;
  code = code > -127 ? code : -127;
  return round_to_int(code);
}
MICA_DEVICE int magnitude_bits(float value) {
  return static_cast<int>(as_bits(value) & 0x7fffffffu);
}

}  // namespace mica::cuda
