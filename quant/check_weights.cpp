#include "quant/check_weights.h"

#include <cmath>
#include <limits>
#include <string>

#include "lib/base/error.h"

namespace mica {
namespace {

constexpr float kLargestHalf = 65504;

// False for NaN.
bool is_within(float value, float limit) {
  return std::fabs(value) <= limit;
}

// `width`: columns of the tensor that one value stands for.
void check(View<const float> values, float limit, int64_t first_row, int width, const char* noun,
           std::string_view what) {
  int outside = 0;
  for (int64_t i = 0; i < values.size(); ++i) outside |= !is_within(values.data()[i], limit);
  if (!outside) return;
  int64_t at = 0;
  while (is_within(values.data()[at], limit)) ++at;
  const std::string expected = limit == kLargestHalf ? " within +-65504" : " that are finite";
  throw Error(ErrorCode::kInvalidFile,
              std::string(what) + ": expected " + noun + expected + ", found " +
                  std::to_string(values.data()[at]) + " at [" +
                  std::to_string(first_row + at / values.row_size()) + ", " +
                  std::to_string(at % values.row_size() * width) + "]");
}

}  // namespace

void check_weights(View<const float> rows, const DType& dtype, int64_t first_row,
                   std::string_view what) {
  const bool is_wide = dtype == kF32 || dtype == kBF16;
  const float limit = is_wide ? std::numeric_limits<float>::max() : kLargestHalf;
  check(rows, limit, first_row, 1, "weights", what);
}

void check_grid(const GridRows& grid, int64_t first_row, std::string_view what) {
  const int group = grid.kind.group;
  const int64_t groups = grid.cols / group;
  check({grid.scales.data(), grid.rows, groups}, kLargestHalf, first_row, group, "scales", what);
  if (!grid.kind.has_minimum) return;
  check({grid.minimums.data(), grid.rows, groups}, kLargestHalf, first_row, group, "minimums",
        what);
}

}  // namespace mica
