// Angles of rotary position embeddings (arXiv:2104.09864), computed in float as Hugging Face
// transformers does, so that logits agree with its.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/model/config.h"
#include "lib/tensor/view.h"

namespace mica {

// Angle per position of each channel pair, [size / 2].
std::vector<float> rope_inverse_frequencies(const RopeConfig& rope);

// Cosine and sine of one position's angles, [size / 2] each.
void rope_angles(const std::vector<float>& inverse_frequencies, int64_t position, float* cosine,
                 float* sine);

}  // namespace mica
