// What may be stored: finite weights within the range of the numbers that a type is made of.
//
// Panels keep every scale and offset in fp16: with |w| <= 65504 no constant of any type overflows,
// so encoders need not look. f16 has the same range, f32 and bf16 take all finite weights.
//
// Both throw Error(kInvalidFile) "<what>: expected weights within +-65504, found nan at [3, 17]".
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/tensor/dtype.h"
#include "lib/tensor/grid.h"
#include "lib/tensor/view.h"

namespace mica {

// rows: [n, K], the rows from `first_row` of a tensor (for the sentence), to be stored as `dtype`.
void check_weights(View<const float> rows, const DType& dtype, int64_t first_row,
                   std::string_view what);
// The scales and minimums of a grid that will be carried over.
void check_grid(const GridRows& grid, int64_t first_row, std::string_view what);

}  // namespace mica
