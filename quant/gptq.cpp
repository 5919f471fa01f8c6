#include "quant/gptq.h"

#include <algorithm>
#include <memory>
#include <vector>

namespace mica {
namespace {

constexpr int64_t kBlock = 128;
constexpr int64_t kRows = kGptqRows;

// A rounded column's constants, row by row.
struct ColumnGrid {
  float step[kRows], base[kRows], inverse[kRows];
};

// Columns of a block lie one after the other, so that loops run over rows.
struct Block {
  float weight[kBlock][kRows];
  float error[kBlock][kRows];
  float carried[kRows][kBlock];  // from the blocks before
};

std::vector<ColumnGrid> read_constants(const RowsInWork& work) {
  std::vector<ColumnGrid> grids(static_cast<size_t>(work.coded->groups()));
  for (int64_t row = 0; row < work.weights.rows(); ++row) {
    for (size_t index = 0; index < grids.size(); ++index) {
      const GroupGrid grid = work.coded->type->grid(work.constants(row)[index]);
      grids[index].step[row] = grid.step;
      grids[index].base[row] = grid.base;
      grids[index].inverse[row] = grid.step == 0 ? 0 : 1 / grid.step;
    }
  }
  return grids;
}

// Rounds `target` [rows] and leaves the error of `weight` against what it became.
void round_column(const WeightType& type, const ColumnGrid& grid, const float* target,
                  const float* weight, float* codes, float* error) {
  constexpr float kRounder = 12582912.0f;
  const float low = type.low_code, high = type.high_code;
  for (int64_t r = 0; r < kRows; ++r) {
    const float code = (target[r] - grid.base[r]) * grid.inverse[r];
    const float capped = code < high ? code : high;
    codes[r] = (capped > low ? capped : low) + kRounder - kRounder;
    error[r] = weight[r] - (grid.step[r] * codes[r] + grid.base[r]);
  }
}

}  // namespace

void gptq(const RowsInWork& work, const Feedback& feedback, const MatrixMath& math) {
  const int64_t cols = work.coded->cols, rows = work.weights.rows();
  const WeightType& type = *work.coded->type;
  const std::vector<ColumnGrid> grids = read_constants(work);
  std::vector<float> errors(static_cast<size_t>(kRows * cols));  // in the order of the columns
  const auto block = std::make_unique<Block>();
  for (int64_t begin = 0; begin < cols; begin += kBlock) {
    const int64_t count = std::min(kBlock, cols - begin);
    if (begin > 0)
      math.multiply({errors.data(), kRows, cols}, {&feedback.rows[begin * cols], count, cols},
                    begin, block->carried[0], kBlock);
    for (int64_t j = 0; j < count; ++j) {
      const int64_t column = feedback.order[begin + j];
      const float* factors = &feedback.rows[(begin + j) * cols + begin];
      float target[kRows] = {}, codes[kRows];
      float* weight = block->weight[j];
      std::fill_n(weight, kRows, 0.0f);
      for (int64_t r = 0; r < rows; ++r) {
        weight[r] = work.weights.row(r)[column];
        target[r] = weight[r] + (begin > 0 ? block->carried[r][j] : 0);
      }
      for (int64_t i = 0; i < j; ++i) {
        const float factor = factors[i];
        for (int64_t r = 0; r < kRows; ++r) target[r] += factor * block->error[i][r];
      }
      round_column(type, grids[column / work.coded->group], target, weight, codes, block->error[j]);
      for (int64_t r = 0; r < rows; ++r) {
        work.codes(r)[column] = static_cast<uint8_t>(codes[r]);
        errors[r * cols + begin + j] = block->error[j][r];
      }
    }
  }
}

}  // namespace mica
