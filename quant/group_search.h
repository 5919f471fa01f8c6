// The scale and offset of a group that lose least, as the file stores them: clipped ranges as
// starts, least squares from each, every candidate judged after it was rounded to what is stored.
//
// Pure functions.
#pragma once

#include <cstdint>

#include "quant/weight_type.h"

namespace mica {

// importance: [group] factors of the squared errors, not negative; null, or all zero: all alike.
GroupConstants search_group(const WeightType& type, const float* weights, const float* importance,
                            int group);

// The codes nearest to the weights on the stored grid, ties to even.
void choose_codes(const WeightType& type, GroupConstants constants, const float* weights, int group,
                  uint8_t* codes);

}  // namespace mica
