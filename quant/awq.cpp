#include "quant/awq.h"

#include <algorithm>
#include <cmath>

#include "quant/coded_rows.h"

namespace mica {
namespace {

constexpr double kExponents[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0};
constexpr int64_t kRows = 128;         // of a matrix that are looked at
constexpr double kLargestFactor = 64;  // and 1 / 64: what the norm's weights can take

// diag(H)^(exponent / 2) around 1.
std::vector<float> factors_for(View<const float> hessian, double exponent) {
  const int64_t size = hessian.rows();
  std::vector<float> factors(static_cast<size_t>(size));
  double mean = 0;
  for (int64_t k = 0; k < size; ++k)
    mean += std::log(hessian.row(k)[k]) / static_cast<double>(size);
  for (int64_t k = 0; k < size; ++k) {
    const double factor = std::exp(exponent / 2 * (std::log(hessian.row(k)[k]) - mean));
    factors[k] = static_cast<float>(std::clamp(factor, 1 / kLargestFactor, kLargestFactor));
  }
  return factors;
}

// Sum of e H e^T over every so many rows of a matrix.
double error_with(const AwqTask& task, View<const float> matrix, const std::vector<float>& factors,
                  const std::vector<float>& importance, const MatrixMath& math) {
  const int64_t cols = matrix.row_size(), rows = std::min(kRows, matrix.rows());
  std::vector<float> scaled(static_cast<size_t>(rows * cols)), errors(scaled.size()),
      slopes(scaled.size());
  const auto source = [&](int64_t row) { return matrix.row(row * matrix.rows() / rows); };
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t k = 0; k < cols; ++k) scaled[row * cols + k] = source(row)[k] * factors[k];
  }
  CodedRows coded = make_coded_rows(*task.type, task.group, rows, cols);
  code_nearest({.weights = {scaled.data(), rows, cols}, .coded = &coded, .first = 0},
               importance.data());
  for (int64_t row = 0; row < rows; ++row) {
    float* error = &errors[row * cols];
    decode_row(coded, row, error);
    for (int64_t k = 0; k < cols; ++k) error[k] = source(row)[k] - error[k] / factors[k];
  }
  math.multiply({errors.data(), rows, cols}, {task.hessian.data(), cols, cols}, cols, slopes.data(),
                cols);
  double sum = 0;
  for (size_t i = 0; i < errors.size(); ++i) sum += double{errors[i]} * double{slopes[i]};
  return sum * static_cast<double>(matrix.rows()) / static_cast<double>(rows);
}

double error_with(const AwqTask& task, const std::vector<float>& factors, const MatrixMath& math) {
  std::vector<float> importance(factors.size());
  for (size_t k = 0; k < factors.size(); ++k) {
    const auto at = static_cast<int64_t>(k);
    importance[k] = task.hessian.row(at)[at] / (factors[k] * factors[k]);
  }
  double sum = 0;
  for (const View<const float>& matrix : task.matrices) {
    sum += error_with(task, matrix, factors, importance, math);
  }
  return sum;
}

}  // namespace

AwqScaling choose_awq_scaling(const AwqTask& task, const MatrixMath& math) {
  AwqScaling best{.factors = std::vector<float>(static_cast<size_t>(task.hessian.rows()), 1.0f)};
  best.error_before = best.error_after = error_with(task, best.factors, math);
  for (const double exponent : kExponents) {
    std::vector<float> factors = factors_for(task.hessian, exponent);
    const double error = error_with(task, factors, math);
    if (!(error < best.error_after)) continue;
    best.factors = std::move(factors);
    best.exponent = exponent;
    best.error_after = error;
  }
  return best;
}

}  // namespace mica
