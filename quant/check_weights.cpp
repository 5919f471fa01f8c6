#include "quant/check_weights.h"

#include <cmath>
#include <string>

#include "lib/base/error.h"

namespace mica {
namespace {

constexpr float kLargestHalf = 65504;

// False for NaN.
bool is_good(float value) {
  return std::fabs(value) <= kLargestHalf;
}

bool all_good(const float* values, int64_t count) {
  int bad = 0;
  for (int64_t i = 0; i < count; ++i) bad |= !is_good(values[i]);
  return bad == 0;
}

// `noun`: "weights"; `width`: columns of the tensor that one value stands for.
void check(View<const float> rows, int64_t first_row, int width, const char* noun,
           std::string_view what) {
  if (all_good(rows.data(), rows.size())) return;
  int64_t at = 0;
  while (is_good(rows.data()[at])) ++at;
  throw Error(ErrorCode::kInvalidFile, std::string(what) + ": expected " + noun +
                                           " within +-65504, found " +
                                           std::to_string(rows.data()[at]) + " at [" +
                                           std::to_string(first_row + at / rows.row_size()) + ", " +
                                           std::to_string(at % rows.row_size() * width) + "]");
}

}  // namespace

void check_weights(View<const float> rows, int64_t first_row, std::string_view what) {
  check(rows, first_row, 1, "weights", what);
}

void check_weights(const GridRows& grid, int64_t first_row, std::string_view what) {
  const int group = grid.kind.group;
  const int64_t groups = grid.cols / group;
  check({grid.scales.data(), grid.rows, groups}, first_row, group, "scales", what);
  if (!grid.kind.has_minimum) return;
  check({grid.minimums.data(), grid.rows, groups}, first_row, group, "minimums", what);
}

}  // namespace mica
