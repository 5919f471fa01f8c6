// The matrix mathematics that the algorithms are given, as plain loops over doubles.
#pragma once

#include <cmath>

#include "quant/matrix_math.h"

namespace mica {

inline void plain_multiply(const MatrixRows& a, const MatrixRows& b, int64_t inner, float* out,
                           int64_t out_stride) {
  for (int64_t m = 0; m < a.rows; ++m) {
    for (int64_t n = 0; n < b.rows; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < inner; ++k) {
        sum += double{a.data[m * a.stride + k]} * double{b.data[n * b.stride + k]};
      }
      out[m * out_stride + n] = static_cast<float>(sum);
    }
  }
}

inline bool plain_factor(double* a, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      double sum = a[i * n + j];
      for (int64_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      if (i == j && !(sum > 0)) return false;
      a[i * n + j] = i == j ? std::sqrt(sum) : sum / a[j * n + j];
    }
  }
  return true;
}

inline constexpr MatrixMath kPlainMath{plain_multiply, plain_factor};

}  // namespace mica
