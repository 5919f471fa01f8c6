#include "quant/target.h"

#include <algorithm>
#include <vector>

namespace mica {
namespace {

constexpr int64_t kBlock = 128;
constexpr float kMostWeight = 65504;  // that types can hold (check_weights.h)

struct Columns {
  int64_t begin, end;
};

// out[column][row], kBlock from one column to the next: a piece of F turned around.
void turn(const Feedback& feedback, Columns rows, Columns cols, std::vector<float>& out) {
  const auto size = static_cast<int64_t>(feedback.order.size());
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const float* f = &feedback.rows[row * size];
    for (int64_t col = cols.begin; col < cols.end; ++col)
      out[(col - cols.begin) * kBlock + row - rows.begin] = f[col];
  }
}

// y (I + F) = b in place, F strictly lower: from the last column to the first.
void solve_lower(View<float> b, const Feedback& feedback, const MatrixMath& math) {
  const int64_t cols = b.row_size(), rows = b.rows();
  std::vector<float> turned(static_cast<size_t>(cols * kBlock)), carried(b.size());
  for (int64_t begin = (cols - 1) / kBlock * kBlock; begin >= 0; begin -= kBlock) {
    const int64_t count = std::min(kBlock, cols - begin);
    for (int64_t r = 0; r < rows; ++r) {
      float* y = b.row(r) + begin;
      for (int64_t j = count - 1; j > 0; --j) {
        const float* f = &feedback.rows[(begin + j) * cols + begin];
        for (int64_t i = 0; i < j; ++i) y[i] -= y[j] * f[i];
      }
    }
    if (begin == 0) break;
    turn(feedback, {begin, begin + count}, {0, begin}, turned);
    math.multiply({b.data() + begin, rows, cols}, {turned.data(), begin, kBlock}, count,
                  carried.data(), cols);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < begin; ++i) b.row(r)[i] -= carried[r * cols + i];
    }
  }
}

// x (I + F^T) = z in place: from the first column to the last.
void solve_upper(View<float> z, const Feedback& feedback, const MatrixMath& math) {
  const int64_t cols = z.row_size(), rows = z.rows();
  std::vector<float> carried(static_cast<size_t>(rows * kBlock)), turned(kBlock * kBlock);
  for (int64_t begin = 0; begin < cols; begin += kBlock) {
    const int64_t count = std::min(kBlock, cols - begin);
    if (begin > 0) {
      math.multiply({z.data(), rows, cols}, {&feedback.rows[begin * cols], count, cols}, begin,
                    carried.data(), kBlock);
    }
    turn(feedback, {begin, begin + count}, {begin, begin + count}, turned);
    for (int64_t r = 0; r < rows; ++r) {
      float* x = z.row(r) + begin;
      for (int64_t j = 0; j < count && begin > 0; ++j) x[j] -= carried[r * kBlock + j];
      for (int64_t j = 0; j < count; ++j) {
        const float* f = &turned[j * kBlock];
        for (int64_t i = j + 1; i < count; ++i) x[i] -= x[j] * f[i];
      }
    }
  }
}

}  // namespace

void solve_rows(View<float> rows, const Feedback& feedback, const MatrixMath& math) {
  const int64_t cols = rows.row_size();
  std::vector<float> sorted(static_cast<size_t>(rows.size()));
  const View<float> work(sorted.data(), rows.rows(), cols);
  for (int64_t r = 0; r < rows.rows(); ++r) {
    for (int64_t j = 0; j < cols; ++j) work.row(r)[j] = rows.row(r)[feedback.order[j]];
  }
  solve_lower(work, feedback, math);
  for (int64_t r = 0; r < rows.rows(); ++r) {
    for (int64_t j = 0; j < cols; ++j) work.row(r)[j] /= feedback.importance[feedback.order[j]];
  }
  solve_upper(work, feedback, math);
  for (int64_t r = 0; r < rows.rows(); ++r) {
    for (int64_t j = 0; j < cols; ++j) rows.row(r)[feedback.order[j]] = work.row(r)[j];
  }
}

void aim(View<float> rows, const TargetFacts& facts, const Feedback& solver,
         const MatrixMath& math) {
  const int64_t cols = rows.row_size();
  std::vector<float> change(static_cast<size_t>(rows.size()));
  math.multiply({rows.data(), rows.rows(), cols}, {facts.drift.data(), cols, cols}, cols,
                change.data(), cols);
  solve_rows({change.data(), rows.rows(), cols}, solver, math);
  const auto share = static_cast<float>(facts.share);
  for (int64_t r = 0; r < rows.rows(); ++r) {
    float* row = rows.row(r);
    const float* c = &change[r * cols];
    double square = 0, change_square = 0;
    for (int64_t k = 0; k < cols; ++k) {
      square += double{row[k]} * double{row[k]};
      change_square += double{share} * c[k] * double{share} * c[k];
    }
    if (!(change_square <= kMostChange * kMostChange * square)) continue;
    for (int64_t k = 0; k < cols; ++k)
      row[k] = std::clamp(row[k] + share * c[k], -kMostWeight, kMostWeight);
  }
}

}  // namespace mica
