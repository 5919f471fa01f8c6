#include "quant/descent.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "quant/panel.h"

namespace mica {
namespace {

constexpr int64_t kBlock = 128;  // a multiple of every group
constexpr int kPasses = 2;       // over the codes of a group after its constants changed

// The rows' errors e = w - w', and their slopes e H.
struct Slopes {
  int64_t cols;
  std::vector<float> error, slope;

  Slopes(const RowsInWork& work, View<const float> hessian, const MatrixMath& math)
      : cols(work.coded->cols),
        error(static_cast<size_t>(work.weights.size())),
        slope(static_cast<size_t>(work.weights.size())) {
    for (int64_t row = 0; row < work.weights.rows(); ++row) {
      float* e = &error[row * cols];
      decode_row(*work.coded, work.first + row, e);
      for (int64_t k = 0; k < cols; ++k) e[k] = work.weights.row(row)[k] - e[k];
    }
    math.multiply({error.data(), work.weights.rows(), cols}, {hessian.data(), cols, cols}, cols,
                  slope.data(), cols);
  }

  double total() const {
    double sum = 0;
    for (size_t i = 0; i < error.size(); ++i) sum += double{error[i]} * double{slope[i]};
    return sum;
  }
};

// One row's columns of a block.
class BlockDescent {
 public:
  // error, slope, codes: of the block's first column.
  BlockDescent(const CodedRows& coded, View<const float> hessian, int64_t first, int64_t count,
               float* error, float* slope)
      : coded_(coded), h_(hessian), first_(first), count_(count), error_(error), slope_(slope) {}

  void improve_group(int64_t at, const float* weights, uint8_t* codes, GroupConstants& constants) {
    refit(at, weights, codes, constants);
    const GroupGrid grid = coded_.type->grid(constants);
    if (grid.step == 0) return;
    for (int pass = 0; pass < kPasses; ++pass) {
      if (!improve_codes(at, grid, weights, codes)) return;
    }
  }

 private:
  const float* h_row(int64_t column) const { return h_.row(first_ + column) + first_; }

  // The error of `column` becomes `error`; the slopes of the block follow.
  void change(int64_t column, float error) {
    const float difference = error - error_[column];
    const float* h = h_row(column);
    for (int64_t k = 0; k < count_; ++k) slope_[k] += difference * h[k];
    error_[column] = error;
  }

  // With t = H q + slope over the group, q what the codes mean now: the constants' best values are
  // a small least squares problem.
  void refit(int64_t at, const float* weights, const uint8_t* codes, GroupConstants& constants) {
    const int group = coded_.group;
    Moments m;
    for (int i = 0; i < group; ++i) {
      const float* h = h_row(at + i) + at;
      double row = 0, coded = 0, current = 0;
      for (int k = 0; k < group; ++k) {
        row += h[k];
        coded += h[k] * codes[k];
        current += h[k] * (weights[k] - error_[at + k]);
      }
      const double target = current + slope_[at + i];
      m.one += row;
      m.c += coded;
      m.cc += codes[i] * coded;
      m.w += target;
      m.cw += codes[i] * target;
    }
    const GroupConstants solved = coded_.type->solve(m);
    if (solved == constants) return;
    const GroupGrid grid = coded_.type->grid(solved);
    float changes[panel::kMaxGroup];
    double gain = 0;
    for (int i = 0; i < group; ++i) {
      changes[i] =
          weights[i] - (grid.step * static_cast<float>(codes[i]) + grid.base) - error_[at + i];
      gain -= 2.0 * changes[i] * slope_[at + i];
    }
    for (int i = 0; i < group; ++i) {
      const float* h = h_row(at + i) + at;
      double sum = 0;
      for (int k = 0; k < group; ++k) sum += h[k] * changes[k];
      gain -= changes[i] * sum;
    }
    if (!(gain > 0)) return;
    constants = solved;
    for (int i = 0; i < group; ++i) change(at + i, error_[at + i] + changes[i]);
  }

  bool improve_codes(int64_t at, const GroupGrid& grid, const float* weights, uint8_t* codes) {
    const float inverse = 1 / grid.step;
    bool changed = false;
    for (int i = 0; i < coded_.group; ++i) {
      const float steps = slope_[at + i] * inverse / h_row(at + i)[at + i];
      const auto wanted = static_cast<float>(codes[i]) + steps;
      const auto code = static_cast<uint8_t>(
          panel::round_to_int(panel::clamp(wanted, coded_.type->low_code, coded_.type->high_code)));
      if (code == codes[i]) continue;
      codes[i] = code;
      change(at + i, weights[i] - (grid.step * static_cast<float>(code) + grid.base));
      changed = true;
    }
    return changed;
  }

  const CodedRows& coded_;
  const View<const float> h_;
  const int64_t first_, count_;
  float* error_;
  float* slope_;
};

void sweep(const RowsInWork& work, View<const float> hessian, const MatrixMath& math,
           Slopes& slopes) {
  const int64_t cols = slopes.cols, rows = work.weights.rows();
  const int group = work.coded->group;
  std::vector<float> changes(static_cast<size_t>(rows * kBlock));
  std::vector<float> followed(slopes.slope.size());
  for (int64_t first = 0; first < cols; first += kBlock) {
    const int64_t count = std::min(kBlock, cols - first);
    for (int64_t row = 0; row < rows; ++row) {
      float* error = &slopes.error[row * cols + first];
      float* before = &changes[row * kBlock];
      std::copy_n(error, count, before);
      BlockDescent block(*work.coded, hessian, first, count, error,
                         &slopes.slope[row * cols + first]);
      for (int64_t at = 0; at < count; at += group) {
        block.improve_group(at, work.weights.row(row) + first + at, work.codes(row) + first + at,
                            work.constants(row)[(first + at) / group]);
      }
      for (int64_t k = 0; k < count; ++k) before[k] = error[k] - before[k];
    }
    math.multiply({changes.data(), rows, kBlock}, {hessian.data() + first, cols, cols}, count,
                  followed.data(), cols);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t k = 0; k < cols; ++k) {
        const bool done = k >= first && k < first + count;
        if (!done) slopes.slope[row * cols + k] += followed[row * cols + k];
      }
    }
  }
}

}  // namespace

DescentErrors descend(const RowsInWork& work, View<const float> hessian, int sweeps,
                      const MatrixMath& math) {
  Slopes slopes(work, hessian, math);
  DescentErrors errors{.before = slopes.total()};
  for (int i = 0; i < sweeps; ++i) sweep(work, hessian, math, slopes);
  errors.after = slopes.total();
  return errors;
}

double hessian_error(const RowsInWork& work, View<const float> hessian, const MatrixMath& math) {
  return Slopes(work, hessian, math).total();
}

}  // namespace mica
