// The second moments of a projection's input, H = mean of x x^T, and what GPTQ needs of them.
//
// A HessianSum is filled in block by block: each block is summed in f32, the blocks in f64. Tiles
// of a block are independent, so that any number of threads gives the same bits. Different tiles
// may be added from several threads; nothing else.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/tensor/view.h"
#include "quant/matrix_math.h"

namespace mica {

// What makes a mean over a text hold for other texts (quant/README.md has what others gave).
struct Regularization {
  double shrinkage = 0.3;  // what is off the diagonal is multiplied by 1 - shrinkage: samples
                           // overstate correlations (Ledoit and Wolf, 2004)
  double damping = 0.001;  // of the mean diagonal, added to the diagonal
};

class HessianSum {
 public:
  explicit HessianSum(int64_t size);

  int64_t size() const { return size_; }
  int64_t tiles() const;
  // inputs: [size, samples], a row a channel. `samples` of them are counted with tile 0.
  void add_tile(int64_t tile, const MatrixRows& inputs, int64_t samples, const MatrixMath& math);
  int64_t samples() const { return samples_; }

  // The mean [size, size]. Inputs that were never anything but 0 get a diagonal of 1. Throws
  // Error(kInvalidFile) beginning with `what` unless all of it is finite.
  std::vector<float> mean(const Regularization& how, const char* what) const;

 private:
  int64_t size_;
  int64_t samples_ = 0;
  std::vector<double> sums_;  // [size, size], tiles on and below the diagonal
};

// The mean of a b^T for two kinds of values of the same samples, summed in f32. Tiles as above.
class CrossSum {
 public:
  CrossSum(int64_t rows, int64_t cols);

  int64_t tiles() const;
  // a: [rows, samples], b: [cols, samples]. `samples` of them are counted with tile 0.
  void add_tile(int64_t tile, const MatrixRows& a, const MatrixRows& b, int64_t samples,
                const MatrixMath& math);
  // [rows, cols], row by row; all that is off the diagonal times 1 - shrinkage.
  std::vector<float> mean(double shrinkage) &&;

 private:
  int64_t rows_, cols_;
  int64_t samples_ = 0;
  std::vector<float> sums_;
};

// How the error of one column is made good by those after it (GPTQ, arXiv:2210.17323, in the form
// of arXiv:2307.13304): with the columns in `order`, H = (I + F^T) D (I + F), F strictly lower.
struct Feedback {
  std::vector<int32_t> order;     // [K], by descending H_jj
  std::vector<float> rows;        // F, [K, K] in that order
  std::vector<float> importance;  // D, [K] by column: what is left of H_jj when the later ones help
  double damping = 0;             // that was needed, of the mean diagonal
};

// hessian: [K, K], already damped by `damping`, which is doubled until the factorization succeeds
// (to the diagonal of `hessian` too). Throws Error(kRuntime) when it never does.
Feedback make_feedback(View<float> hessian, double damping, const MatrixMath& math);

}  // namespace mica
