// Matrix products of the reference backend: the normative arithmetic of quant/README.md, plainly.
#pragma once

#include <vector>

#include "lib/backend/backend.h"

namespace mica {

// Rows [first, first + count) of `weight` as floats, [count, K]. Panels: `first` is a multiple of
// 16 and padding rows may be asked for.
std::vector<float> decode_rows(const Weight& weight, int64_t first, int64_t count);

// x * weight^T; x: [T, K], result: [T, N].
std::vector<float> multiply(View<const float> x, const Weight& weight, Activations activations);

// The same from codes of x and codes of what they leave, where int8 activations apply (the head).
std::vector<float> multiply_two_parts(View<const float> x, const Weight& weight,
                                      Activations activations);

}  // namespace mica
