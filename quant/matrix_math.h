// The dense linear algebra that the algorithms need, given to them: lib/runtime has it from
// OpenBLAS, tests have plain loops. Both work on the caller's thread alone and may be called from
// several threads at once.
#pragma once

#include <cstdint>

namespace mica {

// A row-major matrix; `stride` elements from one row to the next.
struct MatrixRows {
  const float* data;
  int64_t rows;
  int64_t stride;
};

struct MatrixMath {
  // out[m][n] = sum over k < inner of a[m][k] * b[n][k]; out: [a.rows, b.rows].
  void (*multiply)(const MatrixRows& a, const MatrixRows& b, int64_t inner, float* out,
                   int64_t out_stride);
  // Replaces the lower triangle of `a`, [n, n] row-major, by its Cholesky factor. False where it is
  // not positive definite; what is left is undefined then.
  bool (*factor)(double* a, int64_t n);
};

}  // namespace mica
