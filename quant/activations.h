// Activations as int8 in groups, as every q4 and q8 product takes them.
//
//   x[k] ~= scale * code[k],  code -127..127,  one float scale a group
//
// Normative, so that all kernels agree bit for bit:
//   scale = amax * (1 / 127) in float, its two lowest mantissa bits cleared; 0 when amax < 2^-100
//   code  = x * (1 / scale) rounded to nearest even, clamped to -127..127; 0 when scale is 0
// A group that holds NaN or a magnitude of 2^110 or more has scale NaN and codes 0, so that
// products with it are NaN. (The cleared bits make 12582912 * scale exact and the bound makes it
// finite, which the kernels' epilogue needs.)
#pragma once

#include <cstdint>

namespace mica {

// x: [cols]; codes: [cols]; scales: [cols / group]. `group` divides cols.
void quantize_activations(const float* x, int64_t cols, int group, int8_t* codes, float* scales);

}  // namespace mica
