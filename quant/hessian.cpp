#include "quant/hessian.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "lib/base/error.h"

namespace mica {
namespace {

constexpr int64_t kTile = 256;

double mean_diagonal(const float* h, int64_t size) {
  double sum = 0;
  for (int64_t i = 0; i < size; ++i) sum += h[i * size + i];
  return sum / static_cast<double>(size);
}

}  // namespace

HessianSum::HessianSum(int64_t size) : size_(size), sums_(static_cast<size_t>(size * size)) {}

int64_t HessianSum::tiles() const {
  const int64_t side = (size_ + kTile - 1) / kTile;
  return side * (side + 1) / 2;
}

void HessianSum::add_tile(int64_t tile, const MatrixRows& inputs, int64_t samples,
                          const MatrixMath& math) {
  if (tile == 0) samples_ += samples;
  int64_t block_row = 0;
  while ((block_row + 1) * (block_row + 2) / 2 <= tile) ++block_row;
  const int64_t row = block_row * kTile, col = (tile - block_row * (block_row + 1) / 2) * kTile;
  const int64_t rows = std::min(kTile, size_ - row), cols = std::min(kTile, size_ - col);
  std::vector<float> block(static_cast<size_t>(rows * cols));
  math.multiply({inputs.data + row * inputs.stride, rows, inputs.stride},
                {inputs.data + col * inputs.stride, cols, inputs.stride}, samples, block.data(),
                cols);
  for (int64_t i = 0; i < rows; ++i) {
    double* sums = &sums_[(row + i) * size_ + col];
    for (int64_t j = 0; j < cols; ++j) sums[j] += block[i * cols + j];
  }
}

std::vector<float> HessianSum::mean(const Regularization& how, const char* what) const {
  std::vector<float> h(sums_.size());
  const double scale = samples_ > 0 ? 1 / static_cast<double>(samples_) : 0;
  double trace = 0;
  for (int64_t i = 0; i < size_; ++i) trace += sums_[i * size_ + i] * scale;
  if (!std::isfinite(trace)) {
    throw Error(ErrorCode::kInvalidFile,
                std::string(what) +
                    ": calibration: expected finite inputs, found others: the "
                    "weights before it may be damaged");
  }
  const double added = how.damping * trace / static_cast<double>(size_);
  for (int64_t i = 0; i < size_; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      h[i * size_ + j] = h[j * size_ + i] =
          static_cast<float>(sums_[i * size_ + j] * scale * (1 - how.shrinkage));
    }
    const double square = sums_[i * size_ + i] * scale;
    h[i * size_ + i] = square > 0 ? static_cast<float>(square + added) : 1;
  }
  return h;
}

CrossSum::CrossSum(int64_t rows, int64_t cols)
    : rows_(rows), cols_(cols), sums_(static_cast<size_t>(rows * cols)) {}

int64_t CrossSum::tiles() const {
  return ((rows_ + kTile - 1) / kTile) * ((cols_ + kTile - 1) / kTile);
}

void CrossSum::add_tile(int64_t tile, const MatrixRows& a, const MatrixRows& b, int64_t samples,
                        const MatrixMath& math) {
  if (tile == 0) samples_ += samples;
  const int64_t across = (cols_ + kTile - 1) / kTile;
  const int64_t row = tile / across * kTile, col = tile % across * kTile;
  const int64_t rows = std::min(kTile, rows_ - row), cols = std::min(kTile, cols_ - col);
  std::vector<float> block(static_cast<size_t>(rows * cols));
  math.multiply({a.data + row * a.stride, rows, a.stride},
                {b.data + col * b.stride, cols, b.stride}, samples, block.data(), cols);
  for (int64_t i = 0; i < rows; ++i) {
    float* sums = &sums_[(row + i) * cols_ + col];
    for (int64_t j = 0; j < cols; ++j) sums[j] += block[i * cols + j];
  }
}

std::vector<float> CrossSum::mean(double shrinkage) && {
  const double scale = samples_ > 0 ? 1 / static_cast<double>(samples_) : 0;
  const auto off = static_cast<float>(scale * (1 - shrinkage)), on = static_cast<float>(scale);
  for (int64_t i = 0; i < rows_; ++i) {
    for (int64_t j = 0; j < cols_; ++j) sums_[i * cols_ + j] *= i == j ? on : off;
  }
  return std::move(sums_);
}

Feedback make_feedback(View<float> hessian, double damping, const MatrixMath& math) {
  constexpr int kAttempts = 12;  // the last one adds more than the mean diagonal
  const int64_t size = hessian.rows();
  float* h = hessian.data();
  Feedback feedback{.order = std::vector<int32_t>(static_cast<size_t>(size)),
                    .importance = std::vector<float>(static_cast<size_t>(size)),
                    .damping = damping};
  std::iota(feedback.order.begin(), feedback.order.end(), 0);
  std::stable_sort(feedback.order.begin(), feedback.order.end(),
                   [&](int32_t a, int32_t b) { return h[a * size + a] > h[b * size + b]; });
  // The last column of the order first: the lower factor of that is the upper one we want, turned
  // around.
  std::vector<double> factor(static_cast<size_t>(size * size));
  const auto column = [&](int64_t i) { return int64_t{feedback.order[size - 1 - i]}; };
  for (int attempt = 0;; ++attempt) {
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t j = 0; j <= i; ++j) factor[i * size + j] = h[column(i) * size + column(j)];
    }
    if (math.factor(factor.data(), size)) break;
    if (attempt == kAttempts) {
      throw Error(ErrorCode::kRuntime,
                  "calibration: expected a Hessian that can be factored, found none even with a "
                  "damping of " +
                      std::to_string(feedback.damping));
    }
    const double before = std::max(feedback.damping, 1e-3);
    const double added = mean_diagonal(h, size) * before;
    for (int64_t i = 0; i < size; ++i) h[i * size + i] += static_cast<float>(added);
    feedback.damping += before;
  }
  feedback.rows.resize(static_cast<size_t>(size * size));
  for (int64_t j = 0; j < size; ++j) {
    const int64_t turned = size - 1 - j;
    const double pivot = factor[turned * size + turned];
    feedback.importance[feedback.order[j]] = static_cast<float>(pivot * pivot);
    for (int64_t i = 0; i < j; ++i) {
      feedback.rows[j * size + i] =
          static_cast<float>(factor[(size - 1 - i) * size + turned] / pivot);
    }
  }
  return feedback;
}

}  // namespace mica
