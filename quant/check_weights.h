// What may be quantized: finite weights within the range of fp16, in which every scale and offset
// is stored. With |w| <= 65504 no constant of any type overflows, so encoders need not look.
//
// All throw Error(kInvalidFile) "<what>: expected weights within +-65504, found nan at [3, 17]".
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/tensor/grid.h"
#include "lib/tensor/view.h"

namespace mica {

// rows: [n, K], the rows from `first_row` of a tensor (for the sentence).
void check_weights(View<const float> rows, int64_t first_row, std::string_view what);
// The scales and minimums of `grid`.
void check_weights(const GridRows& grid, int64_t first_row, std::string_view what);

}  // namespace mica
