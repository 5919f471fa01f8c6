// Weights and correlated inputs for the tests of the algorithms, the same for the same seed.
#pragma once

#include <random>
#include <vector>

#include "quant/coded_rows.h"
#include "quant/hessian.h"
#include "tests/quant/plain_math.h"
#include "tests/quant/slab.h"

namespace mica {

inline std::vector<float> gaussians(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

// Moments of inputs whose channels have a few causes in common and very different sizes.
inline HessianSum correlated_inputs(int64_t channels, int64_t samples, unsigned seed) {
  const int64_t causes = channels / 8;
  const std::vector<float> mix = gaussians(channels * causes, seed);
  const std::vector<float> cause = gaussians(causes * samples, seed + 1);
  std::vector<float> inputs = gaussians(channels * samples, seed + 2);
  for (int64_t k = 0; k < channels; ++k) {
    const float size = k % 16 == 3 ? 8.0f : 0.5f + 0.1f * static_cast<float>(k % 7);
    for (int64_t t = 0; t < samples; ++t) {
      float& x = inputs[k * samples + t];
      x *= 0.5f;
      for (int64_t c = 0; c < causes; ++c) x += mix[k * causes + c] * cause[c * samples + t];
      x *= size;
    }
  }
  HessianSum sum(channels);
  for (int64_t tile = 0; tile < sum.tiles(); ++tile) {
    sum.add_tile(tile, {inputs.data(), channels, samples}, samples, kPlainMath);
  }
  return sum;
}

// Sum over the rows of e H e^T, in double.
inline double output_error(const std::vector<float>& weights, const CodedRows& coded,
                           const std::vector<float>& hessian) {
  const int64_t cols = coded.cols;
  std::vector<float> decoded(static_cast<size_t>(cols));
  double sum = 0;
  for (int64_t row = 0; row < coded.rows; ++row) {
    decode_row(coded, row, decoded.data());
    for (int64_t i = 0; i < cols; ++i) {
      for (int64_t j = 0; j < cols; ++j) {
        sum += (double{weights[row * cols + i]} - decoded[i]) * hessian[i * cols + j] *
               (double{weights[row * cols + j]} - decoded[j]);
      }
    }
  }
  return sum;
}

}  // namespace mica
