// Sums and maxima of a warp or a block, in an order that depends on nothing but the shape.
#pragma once

namespace mica::cuda {

constexpr int kReduceFloats = 32;  // scratch of block_sum

MICA_DEVICE float warp_sum(float value) {
  for (int mask = 16; mask > 0; mask /= 2) value = add_rn(value, shuffle_xor(value, mask));
  return value;
}
MICA_DEVICE float warp_max(float value) {
  for (int mask = 16; mask > 0; mask /= 2) {
    const float other = shuffle_xor(value, mask);
    value = other > value ? other : value;
  }
  return value;
}
// Of non-negative integers; `lanes`, a power of two, side by side.
MICA_DEVICE int lanes_max(int value, int lanes) {
  for (int mask = lanes / 2; mask > 0; mask /= 2) {
    const int other = shuffle_xor(value, mask);
    value = other > value ? other : value;
  }
  return value;
}
MICA_DEVICE int lanes_sum(int value, int lanes) {
  for (int mask = lanes / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  return value;
}

// The same for all threads; scratch: [kReduceFloats].
MICA_DEVICE float block_sum(float value, float* scratch) {
  value = warp_sum(value);
  sync_block();  // the scratch may still be read from the last time
  if (lane() == 0) scratch[warp()] = value;
  sync_block();
  const int warps = block_threads() / 32;
  return warp_sum(lane() < warps ? scratch[lane()] : 0.0f);
}

}  // namespace mica::cuda
