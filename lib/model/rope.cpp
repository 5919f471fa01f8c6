#include "lib/model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mica {
namespace {

std::vector<float> plain_frequencies(double base, int64_t size) {
  std::vector<float> frequencies(size / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(size);
    frequencies[i] = 1.0f / std::pow(static_cast<float>(base), exponent);
  }
  return frequencies;
}

// Llama 3.1: long waves are stretched by the factor, short ones kept, those between blended.
float scale_llama3(float frequency, const RopeConfig& rope) {
  const auto factor = static_cast<float>(rope.factor);
  const auto low = static_cast<float>(rope.low_frequency_factor);
  const auto high = static_cast<float>(rope.high_frequency_factor);
  const auto context = static_cast<float>(rope.original_context_length);
  const float wave = static_cast<float>(2 * std::numbers::pi) / frequency;
  if (wave > context / low) return frequency / factor;
  if (wave < context / high) return frequency;
  const float kept = (context / wave - low) / (high - low);
  return (1 - kept) * frequency / factor + kept * frequency;
}

// Dynamic NTK: the base grows with what the context has beyond the original one.
double dynamic_base(const RopeConfig& rope, int64_t context) {
  const auto size = static_cast<double>(rope.size);
  const double stretch = std::max(
      1.0, static_cast<double>(context) / static_cast<double>(rope.original_context_length));
  return rope.base * std::pow(rope.factor * stretch - (rope.factor - 1), size / (size - 2));
}

// YaRN (arXiv:2309.00071): pairs of more than beta_fast rotations over the original context keep
// their frequency, those of fewer than beta_slow are stretched, those between blended.
std::vector<float> yarn_frequencies(const RopeConfig& rope) {
  const auto size = static_cast<double>(rope.size);
  const auto pair_of = [&](double rotations) {
    const double wave = static_cast<double>(rope.original_context_length) / rotations;
    return size * std::log(wave / (2 * std::numbers::pi)) / (2 * std::log(rope.base));
  };
  double low = pair_of(rope.beta_fast), high = pair_of(rope.beta_slow);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, size - 1);
  if (low == high) high += 0.001;
  std::vector<float> frequencies = plain_frequencies(rope.base, rope.size);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const auto position = static_cast<double>(i);
    const auto stretched =
        static_cast<float>(std::clamp((position - low) / (high - low), 0.0, 1.0));
    const float slow = frequencies[i] / static_cast<float>(rope.factor);
    frequencies[i] = slow * stretched + frequencies[i] * (1 - stretched);
  }
  return frequencies;
}

}  // namespace

std::vector<float> rope_inverse_frequencies(const RopeConfig& rope, int64_t context) {
  using Scaling = RopeConfig::Scaling;
  if (rope.scaling == Scaling::kYarn) return yarn_frequencies(rope);
  const double base = rope.scaling == Scaling::kDynamic ? dynamic_base(rope, context) : rope.base;
  std::vector<float> frequencies = plain_frequencies(base, rope.size);
  const bool is_long = rope.scaling == Scaling::kLongRope && context > rope.original_context_length;
  const std::vector<float>& factors = is_long ? rope.long_factors : rope.factors;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    if (rope.scaling == Scaling::kLinear) frequencies[i] /= static_cast<float>(rope.factor);
    if (rope.scaling == Scaling::kLlama3) frequencies[i] = scale_llama3(frequencies[i], rope);
    if (!factors.empty()) frequencies[i] /= factors[i];
  }
  return frequencies;
}

void rope_angles(const std::vector<float>& inverse_frequencies, int64_t position, float factor,
                 float* cosine, float* sine) {
  for (size_t i = 0; i < inverse_frequencies.size(); ++i) {
    // The product is rounded to float as transformers has it; its functions are then exact.
    const double angle = static_cast<float>(position) * inverse_frequencies[i];
    cosine[i] = static_cast<float>(std::cos(angle)) * factor;
    sine[i] = static_cast<float>(std::sin(angle)) * factor;
  }
}

}  // namespace mica
