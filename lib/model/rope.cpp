#include "lib/model/rope.h"

#include <cmath>
#include <numbers>

namespace mica {
namespace {

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

}  // namespace

std::vector<float> rope_inverse_frequencies(const RopeConfig& rope) {
  std::vector<float> frequencies(rope.size / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rope.size);
    const float frequency = 1.0f / std::pow(static_cast<float>(rope.base), exponent);
    switch (rope.scaling) {
      case RopeConfig::Scaling::kNone:
        frequencies[i] = frequency;
        break;
      case RopeConfig::Scaling::kLinear:
        frequencies[i] = frequency / static_cast<float>(rope.factor);
        break;
      case RopeConfig::Scaling::kLlama3:
        frequencies[i] = scale_llama3(frequency, rope);
        break;
      case RopeConfig::Scaling::kFactors:
        frequencies[i] = frequency / rope.factors[i];
        break;
    }
  }
  return frequencies;
}

void rope_angles(const std::vector<float>& inverse_frequencies, int64_t position, float* cosine,
                 float* sine) {
  for (size_t i = 0; i < inverse_frequencies.size(); ++i) {
    // The product is rounded to float as transformers has it; its functions are then exact.
    const double angle = static_cast<float>(position) * inverse_frequencies[i];
    cosine[i] = static_cast<float>(std::cos(angle));
    sine[i] = static_cast<float>(std::sin(angle));
  }
}

}  // namespace mica
