// Angles of rotary position embeddings (arXiv:2104.09864), computed in float as Hugging Face
// transformers does, so that logits agree with its.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/model/config.h"
#include "lib/tensor/view.h"

namespace mica {

// Angle per position of each channel pair, [size / 2], in sequences of up to `context` tokens: a
// sequence's frequencies stay the same however long it becomes, so that keys in its cache stay
// valid (transformers changes those of dynamic and longrope as it grows).
std::vector<float> rope_inverse_frequencies(const RopeConfig& rope, int64_t context);

// Cosine and sine of one position's angles, [size / 2] each, times `factor`.
void rope_angles(const std::vector<float>& inverse_frequencies, int64_t position, float factor,
                 float* cosine, float* sine);

}  // namespace mica
